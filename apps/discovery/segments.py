"""Segments of the journal on disk: their names, the packing of closed ones, checksums, and reading both kinds.

A segment `<first sequence number, 16 digits>.jsonl` is plain while it grows and `.jsonl.zst` once it is packed: an
ordinary zstd file of one frame with its checksum, then a skippable frame (every zstd tool steps over it) that holds a
JSON summary, the SHA-256 of every byte of the file before the hash, and the summary's length (4 bytes, little-endian).
Offsets are always those of the plain text. Where a crash left both, the plain one counts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec
import zstandard

logger = logging.getLogger(__name__)

PLAIN, PACKED = ".jsonl", ".jsonl.zst"
BLOCK_BYTES = 2**20
LEVEL = 3
_DIGITS = 16
_MAGIC = 0x184D2A5E
_HASH_BYTES = 32
_END = struct.Struct("<I")


class DamagedSegmentError(RuntimeError):
    """A packed segment is not what was written."""


def segment_name(first_seq: int) -> str:
    return f"{first_seq:0{_DIGITS}d}{PLAIN}"


def segments(folder: Path) -> list[Path]:
    """The segments in order, one path for each: the plain one where there are two."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{PLAIN}*"), reverse=True):  # ".jsonl" sorts before ".jsonl.zst"
        if path.name.endswith((PLAIN, PACKED)) and _is_number(path.name.partition(".")[0]):
            found[plain_name(path)] = path
    return [found[name] for name in sorted(found)]


def first_seq(path: Path) -> int:
    """The number of a segment's first line."""
    return int(path.name.partition(".")[0])


def plain_name(path: Path) -> str:
    """What the cursor calls a segment, packed or not."""
    return path.name.removesuffix(".zst")


def is_packed(path: Path) -> bool:
    return path.name.endswith(PACKED)


def as_it_lies(path: Path) -> Path:
    """The same segment under the name it has now: it may have been packed since the folder was read."""
    packed = path.with_name(plain_name(path) + ".zst")
    return packed if not path.exists() and packed.exists() else path


def _is_number(text: str) -> bool:
    return len(text) == _DIGITS and text.isascii() and text.isdigit()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading ----------------------------------------------------------------------------------------------


class Source(Protocol):
    """The text of a segment by offset."""

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset` on; fewer only at the end of what is there."""
        ...

    def close(self) -> None: ...


class PlainSource:
    """A segment that may still grow."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        os.close(self._file)


class PackedSource:
    """A packed segment. Offsets asked for must not go back behind the last one; what is damaged ends the text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complain()
        self._stream = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True)
        self._start, self._held = 0, b""

    def pread(self, size: int, offset: int) -> bytes:
        while self._start + len(self._held) < offset:
            self._start += len(self._held)
            self._held = self._read(BLOCK_BYTES)
            if not self._held:
                return b""
        self._held, self._start = self._held[offset - self._start :], offset
        while len(self._held) < size and (more := self._read(max(size - len(self._held), BLOCK_BYTES))):
            self._held += more
        return self._held[:size]

    def close(self) -> None:
        self._stream.close()

    def _complain(self) -> None:
        """A cut file unpacks without an error: say at once that something is missing."""
        try:
            read_summary(self._path)
        except DamagedSegmentError as error:
            logger.error("segment %s is damaged: %s", self._path.name, error)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except zstandard.ZstdError as error:
            logger.error("segment %s is damaged, the rest of it is lost: %s", self._path.name, error)
            return b""


def open_segment(path: Path) -> Source:
    """A segment by its plain name, wherever it is. Raises FileNotFoundError where it is neither way there."""
    try:
        return PlainSource(path.with_name(plain_name(path)))
    except FileNotFoundError:
        return PackedSource(path.with_name(plain_name(path) + ".zst"))


def read_blocks(path: Path) -> Iterator[bytes]:
    """The text of a segment in blocks."""
    source, offset = open_segment(path), 0
    try:
        while block := source.pread(BLOCK_BYTES, offset):
            yield block
            offset += len(block)
    finally:
        source.close()


# --- packing ----------------------------------------------------------------------------------------------


def pack(path: Path, summary: Mapping[str, object]) -> Path:
    """Replace a closed plain segment by its packed form; the new path.

    Written aside, on the disk, read back and compared, and only then put in place of the plain one: a crash at any step
    leaves a whole segment. Raises OSError where the disk fails, DamagedSegmentError where it gives back something else.
    """
    packed = path.with_name(path.name + ".zst")
    temporary = packed.with_name(packed.name + ".new")
    try:
        content = _write_packed(path, temporary, summary)
        if _content_hash(temporary) != content:
            raise DamagedSegmentError(f"{temporary.name} does not give back what was packed")
        modified = path.stat().st_mtime_ns
        os.utime(temporary, ns=(modified, modified))
        temporary.replace(packed)
    except (OSError, DamagedSegmentError):
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    path.unlink()
    return packed


def _write_packed(path: Path, target: Path, summary: Mapping[str, object]) -> bytes:
    """Write the packed form and bring it to the disk; the hash of the text."""
    content = hashlib.sha256()
    size = path.stat().st_size
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with path.open("rb") as stream, target.open("w+b") as out:
        with compressor.stream_writer(out, size=size, closefd=False) as packing:
            while block := stream.read(BLOCK_BYTES):
                content.update(block)
                packing.write(block)
        text = msgspec.json.encode(summary)
        out.write(struct.pack("<II", _MAGIC, len(text) + _HASH_BYTES + _END.size) + text)
        out.seek(0)
        whole = hashlib.file_digest(out, "sha256").digest()
        out.write(whole + _END.pack(len(text)))
        out.flush()
        os.fsync(out.fileno())
    return content.digest()


def _content_hash(path: Path) -> bytes:
    """SHA-256 of the text of a packed segment."""
    content = hashlib.sha256()
    source, offset = PackedSource(path), 0
    try:
        while block := source.pread(BLOCK_BYTES, offset):
            content.update(block)
            offset += len(block)
    finally:
        source.close()
    return content.digest()


def read_summary(path: Path) -> dict[str, object]:
    """What a packed segment says of itself; no more than its end is read. Raises DamagedSegmentError."""
    with path.open("rb") as stream:
        text, _ = _ending(stream)
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError:
        raise DamagedSegmentError("its summary cannot be read") from None


def check_packed(path: Path) -> None:
    """Read every byte of a packed segment. Raises DamagedSegmentError where one is not what was written."""
    with path.open("rb") as stream:
        _, expected = _ending(stream)
        whole, left = hashlib.sha256(), stream.seek(0, os.SEEK_END) - _HASH_BYTES - _END.size
        stream.seek(0)
        while left and (block := stream.read(min(left, BLOCK_BYTES))):
            whole.update(block)
            left -= len(block)
    if whole.digest() != expected:
        raise DamagedSegmentError("its bytes are not those that were written (SHA-256)")


def is_damaged(path: Path) -> bool:
    """Whether a packed segment is not what was written; of a plain one it cannot be told."""
    if not is_packed(path):
        return False
    try:
        check_packed(path)
    except DamagedSegmentError:
        return True
    return False


def _ending(stream: BinaryIO) -> tuple[bytes, bytes]:
    """Summary and hash from the end of a packed segment."""
    size = stream.seek(0, os.SEEK_END)
    fixed = 8 + _HASH_BYTES + _END.size
    stream.seek(max(0, size - _END.size))
    length = _END.unpack(stream.read(_END.size))[0] if size >= fixed else size
    if length + fixed > size:
        raise DamagedSegmentError("it was cut off: its end is missing")
    stream.seek(size - fixed - length)
    if stream.read(8) != struct.pack("<II", _MAGIC, length + _HASH_BYTES + _END.size):
        raise DamagedSegmentError("its end is not where it should be")
    return stream.read(length), stream.read(_HASH_BYTES)
