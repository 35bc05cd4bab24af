"""A block of the journal, taken apart: common trades as columns, every other line with its meaning. Pure."""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from typing import NamedTuple

from apps.discovery.lines import Block, decode_line, entry_of
from apps.discovery.pumpportal.messages import Parsed
from apps.discovery.pumpportal.parse import parse
from apps.discovery.pumpportal.swift import NO_TRADES, Trades, common_trades
from apps.discovery.state import Entry

LEAST_BYTES = 2**14  # what is shorter is read sooner line by line
Raw = str | Block  # a frame's text, or the block that holds it


class Frame(NamedTuple):
    """A line with its meaning, None for a gap. `before`: how many common trades of its block stand before it."""

    entry: Entry
    parsed: Parsed | None
    before: int = 0


def frame_of(entry: Entry, before: int = 0) -> Frame:
    """A journal entry with its meaning."""
    return Frame(entry, parse(entry.raw) if entry.raw is not None else None, before)


def take_apart(block: Block) -> tuple[Trades, list[Frame]]:
    """The common trades of a block, and all its other lines."""
    if len(block.data) < LEAST_BYTES:
        return NO_TRADES, [frame_of(entry) for entry in block.entries()]
    trades, others = common_trades(block.data, block.first_seq)
    frames = [] if block.hole is None else [frame_of(block.hole)]
    last_us, taken = block.last_us, 0
    for number, (before, line) in enumerate(others):
        if before > taken:
            last_us, taken = trades.at_us[before - 1], before
        entry = entry_of(line, block.first_seq + before + number, last_us)
        frames.append(frame_of(entry, before))
        last_us = entry.at_us
    return trades, frames


def text_of(raw: Raw, seq: int) -> str:
    """The exact text of the frame with this number."""
    if isinstance(raw, str):
        return raw
    line = decode_line(next(islice(BytesIO(raw.data), seq - raw.first_seq, None)))
    return (line.raw or "") if line is not None else ""
