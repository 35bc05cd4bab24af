"""Closed segments of the journal: packed, and removed when they are too old or too many.

Runs in the process that writes the journal, in a thread of its own. Nothing that the tables do not hold yet is removed,
and nothing that is still written is touched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from django.db import connection

from apps.discovery.inspection import summarize
from apps.discovery.journal import JournalBusyError, lock_file
from apps.discovery.models import StreamState
from apps.discovery.processor import AWAY
from apps.discovery.segments import DamagedSegmentError, first_seq, is_packed, pack, segments

logger = logging.getLogger(__name__)

TIDY_SECONDS = 30.0
PACKED_A_ROUND = 4  # a backlog of plain segments is packed little by little, beside the stream


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the journal is kept; 0: without limit."""

    keep_bytes: int = 0
    keep_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A closed segment; `end_seq`: the number after its last line; `written_at`: when it was closed, epoch seconds."""

    path: Path
    end_seq: int
    size_bytes: int
    written_at: float


def expired(closed: Sequence[Stored], *, open_bytes: int, committed_seq: int, now: float, limits: Limits) -> list[Path]:
    """The oldest segments that are beyond a limit, as far as the tables hold what is in them."""
    total = open_bytes + sum(one.size_bytes for one in closed)
    gone: list[Path] = []
    for one in closed:
        too_many = limits.keep_bytes > 0 and total > limits.keep_bytes
        too_old = limits.keep_seconds > 0 and now - one.written_at > limits.keep_seconds
        if one.end_seq > committed_seq or not (too_many or too_old):
            break
        gone.append(one.path)
        total -= one.size_bytes
    return gone


def remove_expired(folder: Path, *, committed_seq: int, limits: Limits) -> list[Path]:
    """Delete what `expired` names; what was deleted. Raises OSError."""
    found = segments(folder)
    if not found:
        return []
    closed = [
        Stored(path, first_seq(following), path.stat().st_size, path.stat().st_mtime)
        for path, following in pairwise(found)
    ]
    now, open_bytes = time.time(), found[-1].stat().st_size
    gone = expired(closed, open_bytes=open_bytes, committed_seq=committed_seq, now=now, limits=limits)
    for path in gone:
        path.unlink()
        logger.info("segment %s of the journal was removed: it is beyond the limit", path.name)
    return gone


def pack_closed(folder: Path, most: int | None = None) -> int:
    """Pack the oldest plain segments, `most` of them and never the last one; how many.

    What cannot be packed stays plain and is tried again next time.
    """
    packed = 0
    plain = [path for path in segments(folder)[:-1] if not is_packed(path)]
    for path in plain[:most]:
        try:
            pack(path, summarize(path))
        except (OSError, DamagedSegmentError) as error:
            logger.warning("segment %s stays unpacked: %s", path.name, error)
            return packed
        packed += 1
    return packed


def tidy(folder: Path, *, committed_seq: int, limits: Limits) -> None:
    """Remove and pack, unless another process is at it."""
    try:
        with lock_file(folder / "tidy.lock"):
            remove_expired(folder, committed_seq=committed_seq, limits=limits)
            pack_closed(folder, PACKED_A_ROUND)
    except JournalBusyError:
        return
    except OSError as error:
        logger.warning("the journal's old segments could not be tidied: %s", error)


async def keep_tidy(folder: Path) -> None:
    """Tidy again and again, by the settings."""
    limits = Limits(settings.JOURNAL_KEEP_GB * 2**30, settings.JOURNAL_KEEP_DAYS * 86_400)
    while True:
        await asyncio.to_thread(lambda: tidy(folder, committed_seq=_committed_seq(), limits=limits))
        await asyncio.sleep(TIDY_SECONDS)


def _committed_seq() -> int:
    """The number up to which the tables hold the journal; 0 while the database is away."""
    try:
        return StreamState.objects.values_list("next_seq", flat=True).get()
    except AWAY:
        return 0
    finally:
        connection.close()
