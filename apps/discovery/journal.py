"""The journal: every received frame with its receive time, on disk before anything else looks at it.

A folder of segments (`segments.py`); one JSON line a frame, `{"t_wall": epoch seconds, "raw": "exact text"}`, or a time
without connection, `{"t_wall": ..., "gap": {"from": ..., "to": ..., "reason": ...}}`. Every line has a sequence number:
its segment's first plus its index. One process writes (a lock file guards that), any number read. A line torn by a
crash is cut off when the journal is opened for writing.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from apps.discovery.lines import Block, decode_line, decode_lines, last_of
from apps.discovery.segments import (
    Source,
    first_seq,
    is_packed,
    open_segment,
    plain_name,
    read_blocks,
    segment_name,
    segments,
    sync_folder,
)
from apps.discovery.state import Cursor, Entry

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 64 * 2**20
SEGMENT_SECONDS = 3600.0
CHUNK_BYTES = 2**20
FSYNC_SECONDS = 1.0
SETTLED_NS = 2 * 10**9  # times of files are coarse: a folder that changed just now may change unseen
LOST = "journal"
TAIL_BYTES = 4 * 2**20


class JournalBusyError(RuntimeError):
    """Another process writes this journal."""


class PartlyWrittenError(OSError):
    """The disk took only the first `written` lines; these are in the journal, the others are not."""

    def __init__(self, error: OSError, written: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.written = written


class JournalWriter:
    """Appends lines. Raises JournalBusyError where another process writes, OSError where the disk fails.

    `fsync`: off, interval (once a second) or always. `least_seq`: the database may know of lines that the disk lost;
    numbers never repeat. `reserve_bytes`: what is left free on the disk for others (the database that reads this).
    """

    def __init__(
        self,
        folder: Path,
        *,
        least_seq: int = 0,
        fsync: str = "interval",
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
        reserve_bytes: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.fsync, self.reserve_bytes = folder, fsync, reserve_bytes
        self.segment_bytes, self.segment_seconds = segment_bytes, segment_seconds
        self._lock = _locked(folder / "lock")
        self._synced_at = self._checked_at = time.monotonic()
        existing = segments(folder)
        self.next_seq = _repair(existing[-1]) if existing else 0
        self.last_at_us = _last_time(existing)
        start_new = not existing or least_seq > self.next_seq or is_packed(existing[-1])
        self.next_seq = max(self.next_seq, least_seq)
        self._file, self._size, self._torn = self._open(segment_name(self.next_seq) if start_new else existing[-1].name)
        self._full = self._is_full()

    def _open(self, name: str) -> tuple[int, int, bool]:
        """File, size and whether a torn line is at its end."""
        file = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        if self.fsync != "off":
            sync_folder(self.folder)
        self._opened_at = time.monotonic()
        return file, os.fstat(file).st_size, False

    def append(self, lines: Sequence[bytes]) -> None:
        """Write whole lines, in their order. After a PartlyWrittenError the first of them are in the journal, after any
        other OSError none."""
        if self._full:
            raise OSError(errno.ENOSPC, "only the reserve is left on the disk")
        if self._torn:
            self._cut()
        if self._size >= self.segment_bytes or (self._size and self._age() >= self.segment_seconds):
            self._rotate()
        data = b"".join(lines)
        done = 0
        try:
            done = os.write(self._file, data)
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            raise self._partly(error, data[:done]) from None
        self._size += len(data)
        self.next_seq += len(lines)
        if self.fsync == "always":
            try:
                os.fdatasync(self._file)
            except OSError as error:
                raise PartlyWrittenError(error, len(lines)) from None

    def _partly(self, error: OSError, data: bytes) -> PartlyWrittenError:
        """Keep the whole lines among `data`, which is in the file (a reader may have seen them), and cut the rest."""
        written = data.count(b"\n")
        self._size += data.rfind(b"\n") + 1
        self.next_seq += written
        self._torn = True
        with suppress(OSError):  # tried again before the next line is written
            self._cut()
        return PartlyWrittenError(error, written)

    def _cut(self) -> None:
        os.ftruncate(self._file, self._size)
        self._torn = False

    def _age(self) -> float:
        return time.monotonic() - self._opened_at

    def _is_full(self) -> bool:
        disk = os.fstatvfs(self._file)
        return disk.f_bavail * disk.f_frsize < self.reserve_bytes

    def sync_if_due(self) -> None:
        """Once a second: look at the free space and, with `fsync` "interval", bring the file to the disk."""
        now = time.monotonic()
        if now - self._checked_at >= FSYNC_SECONDS:
            self._checked_at = now
            self._full = self._is_full()
        if self.fsync == "interval" and now - self._synced_at >= FSYNC_SECONDS:
            self._synced_at = now
            os.fdatasync(self._file)

    def _rotate(self) -> None:
        """Begin the next segment; where the disk refuses that, the old one stays open."""
        os.fdatasync(self._file)
        old = self._file
        self._file, self._size, self._torn = self._open(segment_name(self.next_seq))
        os.close(old)

    def close(self) -> None:
        """Bring it to the disk and free the lock, also where the disk fails at the last moment."""
        try:
            if self.fsync != "off":
                os.fdatasync(self._file)
        except OSError:
            logger.exception("the end of the journal may not be on the disk")
        finally:
            os.close(self._file)
            os.close(self._lock)


def _locked(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise JournalBusyError(f"another process is at work on the journal in {path.parent}") from None
    return lock


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold a lock file. Raises JournalBusyError where another process holds it."""
    lock = _locked(path)
    try:
        yield
    finally:
        os.close(lock)


def _repair(path: Path) -> int:
    """Cut a torn last line off; the number the next line gets."""
    lines = whole = size = 0
    for block in read_blocks(path):
        lines += block.count(b"\n")
        if b"\n" in block:
            whole = size + block.rfind(b"\n") + 1
        size += len(block)
    if whole < size and not is_packed(path):
        os.truncate(path, whole)
    return first_seq(path) + lines


def _last_time(existing: Sequence[Path]) -> int | None:
    for path in reversed(existing):
        last = b""
        for block in read_blocks(path):
            last = (last + block)[-TAIL_BYTES:]
        for line in reversed(last[: last.rfind(b"\n") + 1].split(b"\n")):
            entry = decode_line(line)  # a damaged line has no time of its own
            if entry is not None:
                return entry.at_us
    return None


class JournalReader:
    """Reads entries from a cursor on, also while the journal grows. `cursor` is the place after the last read.

    Lines that are no longer there (a damaged or missing segment) become one gap, from the line before (`last_us` at
    first) to the line after them.
    """

    def __init__(self, folder: Path, cursor: Cursor, last_us: int = 0) -> None:
        self.folder, self.cursor = folder, cursor
        self._file: Source | None = None
        self._last_us = last_us
        self._is_behind_hole = False
        self._seen_ns = 0  # when the folder changed last, if no segment followed then

    def read(self) -> list[Entry]:
        """The next whole lines, a chunk at most; empty at the end of what is written."""
        block = self.read_block()
        return block.entries() if block is not None else []

    def read_block(self) -> Block | None:
        """The same, as it stands there; None at the end of what is written."""
        while True:
            if (block := self._read_open()) is not None:
                return block
            following = self._following()
            if following is None:
                return None
            if self._file is not None and (block := self._read_open()) is not None:
                return block  # written between the read above and the look at the folder
            self._move_to(following)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_open(self) -> Block | None:
        if self._file is None and not self._resume():
            return None
        assert self._file is not None
        size, data = CHUNK_BYTES, b""
        while not (cut := data.rfind(b"\n") + 1):
            data = self._file.pread(size, self.cursor.offset)
            if len(data) < size:
                cut = data.rfind(b"\n") + 1
                break
            size *= 2
        return self._block(data[:cut]) if cut else None

    def _block(self, data: bytes) -> Block:
        first, last_us, hole = self.cursor.next_seq, self._last_us, None
        self.cursor = Cursor(self.cursor.segment, self.cursor.offset + len(data), first + data.count(b"\n"))
        if self._is_behind_hole:
            self._is_behind_hole = False
            to_us = decode_lines(data[: data.index(b"\n") + 1], first, last_us)[0].at_us
            hole = Entry(first - 1, to_us, None, (last_us or to_us, to_us, LOST))
        self._last_us = last_of(data, last_us)
        return Block(data, first, last_us, hole)

    def _resume(self) -> bool:
        if not self.cursor.segment:
            return False
        try:
            self._file = open_segment(self.folder / self.cursor.segment)
        except FileNotFoundError:
            return False
        return True

    def _following(self) -> Path | None:
        """The first segment that starts where we are or later, other than the open one."""
        changed_ns = self.folder.stat().st_mtime_ns
        if changed_ns == self._seen_ns:
            return None
        self._seen_ns = changed_ns if time.time_ns() - changed_ns > SETTLED_NS else 0
        for path in segments(self.folder):
            if first_seq(path) >= self.cursor.next_seq and plain_name(path) != self.cursor.segment:
                return path
        return None

    def _move_to(self, path: Path) -> None:
        self.close()
        self._seen_ns = 0
        self._is_behind_hole = 0 < self.cursor.next_seq < first_seq(path)
        if self._is_behind_hole:
            logger.error("the journal has lost its lines from %d up to %s", self.cursor.next_seq, path.name)
        self.cursor = Cursor(plain_name(path), 0, first_seq(path))
        self._file = open_segment(path)
