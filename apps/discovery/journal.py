"""The journal: every received frame with its receive time, on disk before anything else looks at it.

A folder of segments `<first sequence number, 16 digits>.jsonl`; one JSON line a frame, `{"t_wall": epoch seconds,
"raw": "exact text"}`, or a time without connection, `{"t_wall": ..., "gap": {"from": ..., "to": ..., "reason": ...}}`.
Every line has a sequence number: its segment's first plus its index. One process writes (a lock file guards that), any
number read. A line torn by a crash is cut off when the journal is opened for writing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from apps.discovery.state import Cursor, Entry

SEGMENT_BYTES = 64 * 2**20
CHUNK_BYTES = 256 * 2**10
FSYNC_SECONDS = 1.0

_encode = msgspec.json.encode


class JournalBusyError(RuntimeError):
    """Another process writes this journal."""


class _Line(msgspec.Struct):
    t_wall: float
    raw: str | None = None
    gap: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Line)
_NO_LINE = (msgspec.DecodeError, UnicodeError, KeyError, TypeError, ValueError, OverflowError)


def frame_line(at_us: int, raw: str) -> bytes:
    """A frame as a line of the journal. `at_us` is its receive time in epoch microseconds."""
    return b'{"t_wall":%d.%06d,"raw":%b}\n' % (at_us // 1_000_000, at_us % 1_000_000, _encode(raw))


def gap_line(from_us: int, to_us: int, reason: str) -> bytes:
    """A time without connection as a line of the journal."""
    gap = {"from": from_us / 1e6, "to": to_us / 1e6, "reason": reason}
    return b'{"t_wall":%d.%06d,"gap":%b}\n' % (to_us // 1_000_000, to_us % 1_000_000, _encode(gap))


def segment_name(first_seq: int) -> str:
    return f"{first_seq:016d}.jsonl"


def segments(folder: Path) -> list[Path]:
    """The segments in order."""
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit() and len(path.stem) == 16)


def _first_seq(path: Path) -> int:
    return int(path.stem)


def _microseconds(seconds: float) -> int:
    """Raises ValueError for what is no time between 1970 and 2255."""
    at_us = round(seconds * 1_000_000)
    if not 0 <= at_us < 2**53:
        raise ValueError(f"{seconds} is no epoch time")
    return at_us


def decode_line(text: str | bytes, seq: int = 0) -> Entry | None:
    """One line of a journal, or None if it is none."""
    try:
        return _entry(seq, _decoder.decode(text))
    except _NO_LINE:
        return None


def _entry(seq: int, line: _Line) -> Entry:
    gap = line.gap
    bounds = None
    if gap is not None:
        bounds = (_microseconds(gap["from"]), _microseconds(gap["to"]), str(gap.get("reason", ""))[:64])
    return Entry(seq, _microseconds(line.t_wall), line.raw, bounds)


class JournalWriter:
    """Appends lines. Raises JournalBusyError where another process writes, OSError where the disk fails.

    `fsync`: off, interval (once a second) or always. `least_seq`: the database may know of lines that the disk lost;
    numbers never repeat.
    """

    def __init__(
        self, folder: Path, *, least_seq: int = 0, fsync: str = "interval", segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.fsync, self.segment_bytes = folder, fsync, segment_bytes
        self._lock = _locked(folder / "lock")
        self.last_at_us: int | None = None
        self._synced_at = time.monotonic()
        existing = segments(folder)
        self.next_seq = _repair(existing[-1]) if existing else 0
        if existing:
            self.last_at_us = _last_time(existing)
        start_new = not existing or least_seq > self.next_seq
        self.next_seq = max(self.next_seq, least_seq)
        self._open(folder / segment_name(self.next_seq) if start_new else existing[-1])

    def _open(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        self._size = os.fstat(self._file).st_size

    def append(self, lines: Sequence[bytes]) -> None:
        """Write whole lines; after an OSError none of them is in the journal."""
        if self._size >= self.segment_bytes:
            self._rotate()
        data = b"".join(lines)
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self.next_seq += len(lines)
        if self.fsync == "always":
            os.fdatasync(self._file)

    def sync_if_due(self) -> None:
        """With `fsync` "interval": bring the file to the disk once a second."""
        if self.fsync == "interval" and time.monotonic() - self._synced_at >= FSYNC_SECONDS:
            os.fdatasync(self._file)
            self._synced_at = time.monotonic()

    def _rotate(self) -> None:
        os.fdatasync(self._file)
        os.close(self._file)
        self._open(self.folder / segment_name(self.next_seq))

    def close(self) -> None:
        if self.fsync != "off":
            os.fdatasync(self._file)
        os.close(self._file)
        os.close(self._lock)


def _locked(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise JournalBusyError(f"another process writes the journal in {path.parent}") from None
    return lock


def _repair(path: Path) -> int:
    """Cut a torn last line off; the number the next line gets."""
    lines, whole = 0, 0
    size = path.stat().st_size
    with path.open("rb") as stream:
        while chunk := stream.read(2**20):
            lines += chunk.count(b"\n")
            if b"\n" in chunk:
                whole = stream.tell() - len(chunk) + chunk.rfind(b"\n") + 1
    if whole < size:
        os.truncate(path, whole)
    return _first_seq(path) + lines


def _last_time(existing: Sequence[Path]) -> int | None:
    for path in reversed(existing):
        size = path.stat().st_size
        with path.open("rb") as stream:
            stream.seek(max(0, size - 4 * 2**20))
            tail = stream.read().splitlines()
        if tail:
            return _decode_lines(tail[-1] + b"\n", 0, 0)[0].at_us
    return None


class JournalReader:
    """Reads entries from a cursor on, also while the journal grows. `cursor` is the place after the last read."""

    def __init__(self, folder: Path, cursor: Cursor) -> None:
        self.folder, self.cursor = folder, cursor
        self._file: int | None = None
        self._last_us = 0

    def read(self) -> list[Entry]:
        """The next whole lines, a chunk at most; empty at the end of what is written."""
        while True:
            if entries := self._read_open():
                return entries
            following = self._following()
            if following is None:
                return []
            if self._file is not None and (entries := self._read_open()):
                return entries  # written between the read above and the look at the folder
            self._move_to(following)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _read_open(self) -> list[Entry]:
        if self._file is None and not self._resume():
            return []
        assert self._file is not None
        size, data = CHUNK_BYTES, b""
        while not (cut := data.rfind(b"\n") + 1):
            data = os.pread(self._file, size, self.cursor.offset)
            if len(data) < size:
                cut = data.rfind(b"\n") + 1
                break
            size *= 2
        if not cut:
            return []
        entries = _decode_lines(data[:cut], self.cursor.next_seq, self._last_us)
        self._last_us = entries[-1].at_us
        self.cursor = Cursor(self.cursor.segment, self.cursor.offset + cut, self.cursor.next_seq + len(entries))
        return entries

    def _resume(self) -> bool:
        path = self.folder / self.cursor.segment
        if not self.cursor.segment or not path.exists():
            return False
        self._file = os.open(path, os.O_RDONLY)
        return True

    def _following(self) -> Path | None:
        """The first segment that starts where we are or later, other than the open one."""
        for path in segments(self.folder):
            if _first_seq(path) >= self.cursor.next_seq and path.name != self.cursor.segment:
                return path
        return None

    def _move_to(self, path: Path) -> None:
        self.close()
        self.cursor = Cursor(path.name, 0, _first_seq(path))
        self._file = os.open(path, os.O_RDONLY)


def _decode_lines(data: bytes, first_seq: int, last_us: int) -> list[Entry]:
    try:
        lines = _decoder.decode_lines(data)
        if len(lines) != data.count(b"\n"):  # an empty line has a number too
            return _decode_damaged(data, first_seq, last_us)
        return [_entry(seq, line) for seq, line in enumerate(lines, start=first_seq)]
    except _NO_LINE:
        return _decode_damaged(data, first_seq, last_us)


def _decode_damaged(data: bytes, first_seq: int, last_us: int) -> list[Entry]:
    """Line by line; what is no journal line is handed on as a frame of its own text, to be counted and kept."""
    entries: list[Entry] = []
    for seq, text in enumerate(data[:-1].split(b"\n"), start=first_seq):
        entry = decode_line(text, seq) or Entry(seq, last_us, text.decode("utf-8", "replace"))
        last_us = entry.at_us
        entries.append(entry)
    return entries


# --- for the command ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What a segment holds. Times are epoch microseconds, None in an empty segment; `torn_bytes` after its last line;
    `damaged`: numbers of lines that are none; `backwards`: lines older than the one before."""

    name: str
    first_seq: int
    lines: int
    frames: int
    gaps: int
    size_bytes: int
    torn_bytes: int
    first_us: int | None
    last_us: int | None
    damaged: list[int]
    backwards: int


def read_segment(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered whole lines of a segment, without their newline."""
    with path.open("rb") as stream:
        for seq, line in enumerate(stream, start=_first_seq(path)):
            if line.endswith(b"\n"):
                yield seq, line[:-1]


def inspect_segment(path: Path) -> SegmentInfo:
    """Read a whole segment and say what it holds."""
    frames = gaps = whole = backwards = lines = 0
    first_us = last_us = None
    damaged: list[int] = []
    for seq, text in read_segment(path):
        lines, whole = lines + 1, whole + len(text) + 1
        entry = decode_line(text, seq)
        if entry is None:
            damaged.append(seq)
            continue
        frames, gaps = frames + (entry.raw is not None), gaps + (entry.gap is not None)
        backwards += last_us is not None and entry.at_us < last_us
        first_us, last_us = first_us if first_us is not None else entry.at_us, entry.at_us
    size = path.stat().st_size
    return SegmentInfo(
        path.name, _first_seq(path), lines, frames, gaps, size, size - whole, first_us, last_us, damaged, backwards
    )
