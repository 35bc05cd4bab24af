"""What a journal holds and whether it is whole: for the command, for packing, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apps.discovery.lines import decode_line
from apps.discovery.segments import (
    DamagedSegmentError,
    as_it_lies,
    check_packed,
    first_seq,
    is_packed,
    read_blocks,
    read_summary,
    segments,
)
from apps.discovery.state import Entry

_GAP = b',"gap":{'  # inside a frame's text every quote is escaped


@dataclass(slots=True)
class SegmentInfo:
    """What a segment holds. Times are epoch microseconds, None in an empty segment; `size_bytes` on the disk,
    `content_bytes` as plain text; `torn_bytes` after its last line; `damaged`: numbers of lines that are none;
    `backwards`: lines older than the one before; `problems`: one sentence for each thing that is wrong."""

    name: str
    first_seq: int
    lines: int = 0
    frames: int = 0
    gaps: int = 0
    size_bytes: int = 0
    content_bytes: int = 0
    torn_bytes: int = 0
    first_us: int | None = None
    last_us: int | None = None
    damaged: list[int] = field(default_factory=list)
    backwards: int = 0
    problems: list[str] = field(default_factory=list)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered whole lines of a segment, without their newline."""
    rest, seq = b"", first_seq(path)
    for block in read_blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield seq, line
            seq += 1


def read_entries(path: Path) -> Iterator[tuple[Entry, bytes]]:
    """The lines of a segment that are journal lines, each with its own text."""
    for seq, text in read_lines(path):
        entry = decode_line(text, seq)
        if entry is not None:
            yield entry, text


def summarize(path: Path) -> dict[str, object]:
    """The summary of a closed segment; only its first and last lines are decoded."""
    lines = gaps = size = 0
    first, rest = None, b""
    last = b""
    for block in read_blocks(path):
        size += len(block)
        text = rest + block
        cut = text.rfind(b"\n") + 1
        whole, rest = text[:cut], text[cut:]
        lines, gaps = lines + whole.count(b"\n"), gaps + whole.count(_GAP)
        if whole:
            first = first if first is not None else whole[: whole.index(b"\n")]
            last = whole[whole.rfind(b"\n", 0, -1) + 1 : -1]
    return {
        "lines": lines,
        "frames": lines - gaps,
        "gaps": gaps,
        "content_bytes": size,
        "torn_bytes": len(rest),
        "first_us": _time(first),
        "last_us": _time(last),
    }


def _time(line: bytes | None) -> int | None:
    entry = decode_line(line) if line else None
    return entry.at_us if entry is not None else None


def describe_segment(path: Path) -> SegmentInfo:
    """What a segment holds without decoding it: a packed one says it itself, a plain one is counted."""
    path = as_it_lies(path)
    info = SegmentInfo(path.name, first_seq(path), size_bytes=path.stat().st_size)
    try:
        summary = read_summary(path) if is_packed(path) else summarize(path)
    except DamagedSegmentError as error:
        info.problems.append(f"{error}.")
        return info
    for name, value in summary.items():
        if name in SegmentInfo.__slots__:
            setattr(info, name, value)
    return info


def inspect_segment(path: Path) -> SegmentInfo:
    """Read a whole segment, every line and every byte, and say what it holds and what is wrong with it."""
    path = as_it_lies(path)
    info = SegmentInfo(path.name, first_seq(path), size_bytes=path.stat().st_size)
    for seq, text in read_lines(path):
        info.lines += 1
        info.content_bytes += len(text) + 1
        entry = decode_line(text, seq)
        if entry is None:
            info.damaged.append(seq)
            continue
        info.frames += entry.raw is not None
        info.gaps += entry.gap is not None
        info.backwards += info.last_us is not None and entry.at_us < info.last_us
        info.first_us = info.first_us if info.first_us is not None else entry.at_us
        info.last_us = entry.at_us
    info.torn_bytes = sum(map(len, read_blocks(path))) - info.content_bytes
    info.content_bytes += info.torn_bytes
    info.problems = _problems(info, path)
    return info


def _problems(info: SegmentInfo, path: Path) -> list[str]:
    problems = []
    if info.damaged:
        problems.append(f"{len(info.damaged)} lines are damaged (first: line {info.damaged[0]}).")
    if info.backwards:
        problems.append(f"{info.backwards} lines go back in time.")
    if not is_packed(path):
        return problems
    try:
        check_packed(path)
        if (lines := read_summary(path).get("lines")) != info.lines:
            problems.append(f"It should hold {lines} lines and gives {info.lines}.")
    except DamagedSegmentError as error:
        problems.append(f"The file is damaged: {error}.")
    return problems


def verify_journal(folder: Path) -> Iterator[SegmentInfo]:
    """Every segment, read whole; holes and overlaps of the numbers are problems of the segment after them."""
    expected: int | None = None
    found = segments(folder)
    for path in found:
        info = inspect_segment(path)
        if expected is not None and info.first_seq > expected:
            missing = info.first_seq - expected
            info.problems.append(f"{missing} lines before it are missing: numbers {expected} to {info.first_seq - 1}.")
        if expected is not None and info.first_seq < expected:
            info.problems.append(f"It begins at {info.first_seq}, but the one before it ends at {expected}.")
        if info.torn_bytes and path != found[-1]:
            info.problems.append(f"{info.torn_bytes} bytes of a torn line are at its end.")
        expected = info.first_seq + info.lines
        yield info
