"""Lines of the journal, to and from bytes. Pure.

A frame is `{"t_wall": epoch seconds, "raw": "exact text"}`, a time without connection
`{"t_wall": ..., "gap": {"from": ..., "to": ..., "reason": ...}}`; every line has a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from apps.discovery.state import Entry

_encode = msgspec.json.encode
_encode_lines = msgspec.json.Encoder().encode_lines


class _Line(msgspec.Struct, gc=False):
    t_wall: float
    raw: str | None = None
    gap: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Line)
_NO_LINE = (msgspec.DecodeError, UnicodeError, KeyError, TypeError, ValueError, OverflowError)


def frame_line(at_us: int, raw: str) -> bytes:
    """A frame as a line of the journal. `at_us` is its receive time in epoch microseconds."""
    return b'{"t_wall":%d.%06d,"raw":%b}\n' % (at_us // 1_000_000, at_us % 1_000_000, _encode(raw))


def frame_lines(at_us: int, raws: Sequence[str]) -> list[bytes]:
    """Frames received together as lines of the journal, three times as fast as one by one."""
    head = b'{"t_wall":%d.%06d,"raw":' % (at_us // 1_000_000, at_us % 1_000_000)
    text = head + _encode_lines(raws).replace(b"\n", b"}\n" + head)  # within JSON a line end is escaped
    return text[: -len(head)].splitlines(keepends=True)


def gap_line(from_us: int, to_us: int, reason: str) -> bytes:
    """A time without connection as a line of the journal."""
    gap = {"from": from_us / 1e6, "to": to_us / 1e6, "reason": reason}
    return b'{"t_wall":%d.%06d,"gap":%b}\n' % (to_us // 1_000_000, to_us % 1_000_000, _encode(gap))


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
        reason = str(gap.get("reason", "")).replace("\x00", "\ufffd")[:64]
        bounds = (_microseconds(gap["from"]), _microseconds(gap["to"]), reason)
    return Entry(seq, _microseconds(line.t_wall), line.raw, bounds)


class Block(NamedTuple):
    """Whole lines as they stand in the journal. `first_seq`: the number of the first; `last_us`: the time of the line
    before; `hole`: the lines that are missing before them, as a gap."""

    data: bytes
    first_seq: int
    last_us: int
    hole: Entry | None

    def entries(self) -> list[Entry]:
        """Every line as an entry; what is no journal line is a frame of its own text, to be counted and kept."""
        entries = decode_lines(self.data, self.first_seq, self.last_us)
        return entries if self.hole is None else [self.hole, *entries]


def last_of(data: bytes, last_us: int) -> int:
    """The time of the last line; `last_us` is that of the line before the first."""
    last = decode_line(data[data.rfind(b"\n", 0, -1) + 1 : -1])
    return last.at_us if last is not None else _decode_damaged(data, 0, last_us)[-1].at_us


def decode_lines(data: bytes, first_seq: int, last_us: int) -> list[Entry]:
    """Whole lines; `last_us` is the time of the line before them."""
    try:
        lines = _decoder.decode_lines(data)
        if len(lines) != (count := data.count(b"\n")) or count - data.count(b"}\n{") > 1:
            return _decode_damaged(data, first_seq, last_us)  # not one object a line: every line has its number
        return [
            Entry(seq, _microseconds(line.t_wall), line.raw) if line.gap is None else _entry(seq, line)
            for seq, line in enumerate(lines, start=first_seq)
        ]
    except _NO_LINE:
        return _decode_damaged(data, first_seq, last_us)


def _decode_damaged(data: bytes, first_seq: int, last_us: int) -> list[Entry]:
    """Line by line; what is no journal line is handed on as a frame of its own text, to be counted and kept."""
    entries: list[Entry] = []
    for seq, text in enumerate(data[:-1].split(b"\n"), start=first_seq):
        entries.append(entry_of(text, seq, last_us))
        last_us = entries[-1].at_us
    return entries


def entry_of(text: bytes, seq: int, last_us: int) -> Entry:
    """A line, or a frame of its text at the time of the line before where it is none."""
    return decode_line(text, seq) or Entry(seq, last_us, text.decode("utf-8", "replace"))
