"""Small pictures of coins, made by ourselves: fetched under guard, decoded within limits, encoded anew, kept on disk.

No byte of a stranger's file reaches a browser. A picture that cannot be had is remembered as an empty file for a while.
The folder has a size; the pictures that were made first go first.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import os
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from PIL import ExifTags, Image, ImageOps

from apps.discovery.fetching import FetchError, Hosts, Limits, fetch_first
from apps.discovery.metadata import MetadataError, sources
from apps.discovery.simulated import endpoints, stand_ins

logger = logging.getLogger(__name__)

SIDE = 96
MAX_BYTES = 4 * 1024 * 1024
MAX_PIXELS = 16_000_000
MAX_SCANS = 100  # of a JPEG; usual are 1 or about 10, and each is a pass over all pixels that costs 30 bytes to ask for
_SCAN = b"\xff\xda"
TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "application/octet-stream", "binary/octet-stream")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
FORGET_FAILURE_SECONDS = 3600.0
# What a decoder may raise for a broken file.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, OverflowError, Image.DecompressionBombError)
# How a camera says that it was held (EXIF's Orientation): what has to be done to the picture.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_places = threading.BoundedSemaphore(2)


class PictureError(Exception):
    """It is no picture that we show; the text says why."""


def thumbnail(image_url: str) -> bytes | None:
    """The small picture of an address as WebP, made now if need be; None where there is none to be had (now)."""
    path = path_of(image_url)
    try:
        kept, age = path.read_bytes(), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return _make(image_url, path)
    return kept or (None if age < FORGET_FAILURE_SECONDS else _make(image_url, path))


def _make(image_url: str, path: Path) -> bytes | None:
    if not _places.acquire(blocking=False):
        return None
    try:
        small = shrink(_fetch(image_url))
    except (FetchError, MetadataError, PictureError) as error:
        logger.info("no picture: %s", error)
        small = b""
    finally:
        _places.release()
    try:
        _store(path, small)
        make_room(path.parent, settings.THUMBNAILS_MB * 1024 * 1024)
    except OSError as error:
        logger.warning("a picture could not be kept: %s", error)
    return small or None


def path_of(image_url: str) -> Path:
    """Where its picture is kept."""
    return folder() / f"{hashlib.sha256(image_url.encode()).hexdigest()}.webp"


def folder() -> Path:
    return Path(settings.RUNTIME_DIR) / "thumbnails"


def shrink(data: bytes) -> bytes:
    """A picture of SIDE by SIDE as WebP: the first frame, without anything else the file held. Raises PictureError."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:  # reads no pixel yet
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureError(f"{picture.width} by {picture.height} pixels are too many")
            if picture.format == "JPEG" and data.count(_SCAN) > MAX_SCANS:
                raise PictureError(f"over {MAX_SCANS} scans are too many")
            picture.draft("RGB", (SIDE * 2, SIDE * 2))
            small = ImageOps.fit(picture.convert("RGBA"), (SIDE, SIDE))
            turn = _TURNS.get(_orientation(picture))
    except _BROKEN as error:
        raise PictureError(f"not a picture: {type(error).__name__}") from None
    small = small if turn is None else small.transpose(turn)
    out = io.BytesIO()
    Image.frombytes("RGBA", small.size, small.tobytes()).save(out, "WEBP", quality=80)
    return out.getvalue()


def _orientation(picture: Image.Image) -> int:
    """1 is upright, and so is what does not say it readably."""
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation)
    except (struct.error, *_BROKEN):
        return 1
    return found if isinstance(found, int) else 1


def make_room(place: Path, limit: int) -> None:
    """Delete the oldest files beyond `limit` bytes."""
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process has renamed or deleted it meanwhile
                found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        Path(path).unlink(missing_ok=True)
        excess -= size


def _fetch(image_url: str) -> bytes:
    addresses = sources(image_url, gateways=settings.METADATA_GATEWAYS, stand_ins=stand_ins())
    limits = Limits(MAX_BYTES, TYPES, endpoints())
    return asyncio.run(fetch_first(addresses[:2], hosts=Hosts(100.0), limits=limits))[0]


def _store(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}-{time.monotonic_ns()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
