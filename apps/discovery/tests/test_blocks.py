"""Blocks of the journal and single entries are two ways to the same batches."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from itertools import islice
from random import Random

import pytest

from apps.discovery.blocks import take_apart, text_of
from apps.discovery.lifecycle import Phases, Rules
from apps.discovery.lines import Block, frame_line, gap_line, last_of
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal.load import market_frames
from apps.discovery.state import Batch, Config, Cursor, Entry, Snapshot, TrackedCoin
from apps.discovery.windows import Thresholds

START_US = 1_760_000_000_000_000
CONFIG = Config(
    Phases.of([(1, 5, 0, 1), (2, 30, 1, 10)]),
    Rules.of(bad_names="rug", spam_seconds=60, spam_coins=5, untraded_seconds=60, stale_seconds=90),
    Thresholds(whale_lamports=10**9, koth_market_cap_sol=35.0),
)


class NoStore:
    """Tables that know no coin."""

    def load_coins(self, mints: Collection[str]) -> list[TrackedCoin]:
        return []


@cache
def journal() -> bytes:
    """Minutes of the market: frames alone and together, pauses, doubles, a gap, lines that are none."""
    chance, at_us, lines = Random(3), START_US, []
    for number, raw in enumerate(islice(market_frames(4_000), 4_000)):
        at_us += chance.choice([0, 0, 0, 40_000, 200_000]) + 70_000_000 * (number in (1_500, 3_000))
        lines.append(frame_line(at_us, raw))
        if chance.random() < 0.03:
            lines.append(chance.choice([frame_line(at_us, raw), lines[chance.randrange(len(lines))], b"none\n", b"\n"]))
        if number == 2_000:
            lines.append(gap_line(at_us, at_us + 5_000_000, "closed 1006"))
            at_us += 5_000_000
    return b"".join(lines)


def blocks(sizes: Random | None) -> list[Block]:
    """The journal in blocks of changing size; None: each line alone."""
    lines, found, seq, last_us = journal().splitlines(keepends=True), list[Block](), 0, 0
    while seq < len(lines):
        data = b"".join(lines[seq : seq + (sizes.choice([1, 30, 300, 900]) if sizes else 1)])
        found.append(
            Block(data, seq, last_us, Entry(-1, START_US, None, (1, START_US, "journal")) if not seq else None)
        )
        seq, last_us = seq + data.count(b"\n"), last_of(data, last_us)
    return found


def batches(pieces: list[Block], commits: set[int]) -> list[Batch]:
    """What the pipeline hands out where the number of lines reaches one of `commits`, and at the end."""
    pipeline, found = Pipeline(CONFIG, NoStore(), Snapshot()), []
    for block in pieces:
        after = block.first_seq + block.data.count(b"\n")
        pipeline.feed_block(block, Cursor("0.jsonl", after, after))
        if after in commits:
            found.append(pipeline.take())
            pipeline.committed()
    return [*found, pipeline.take()]


@pytest.mark.parametrize("seed", [1, 2])
def test_blocks_of_any_size_give_the_same_batches_as_single_lines(seed: int) -> None:
    pieces = blocks(Random(seed))
    commits = {block.first_seq + block.data.count(b"\n") for block in pieces[::3]}
    together = batches(pieces, commits)
    assert together == batches(blocks(None), commits)
    trades = [row for batch in together for row in batch.trades]
    oddities = together[-1].oddities
    assert len(trades) > 3_000
    assert oddities["duplicate_trade"] > 20 and oddities["not_json"] > 20 and oddities["float_artefact"] > 500


def test_most_lines_are_common_and_no_line_is_lost() -> None:
    block = Block(journal(), 7, 0, None)
    trades, frames = take_apart(block)
    assert sorted([*trades.seq, *(frame.entry.seq for frame in frames)]) == list(range(7, 7 + block.data.count(b"\n")))
    assert len(trades.seq) > 0.9 * block.data.count(b"\n")


def test_text_of_a_frame_is_found_in_its_block() -> None:
    block = Block(frame_line(START_US, "one") + frame_line(START_US, "two"), 5, 0, None)
    assert [text_of(block, 5), text_of(block, 6), text_of("three", 9)] == ["one", "two", "three"]
