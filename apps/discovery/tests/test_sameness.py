"""The heart of the journal: for any cut, any number of kills at any byte, any order of database outages, with rotation,
packing and removal of old segments between, the tables are those of one undisturbed run."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.discovery.inspection import verify_journal
from apps.discovery.journal import JournalWriter
from apps.discovery.lines import frame_line, gap_line
from apps.discovery.models import StreamState
from apps.discovery.processor import AWAY, Processor
from apps.discovery.pumpportal.swift import common_trades
from apps.discovery.retention import Limits, pack_closed, remove_expired
from apps.discovery.segments import segments
from apps.discovery.services import stream_config_load
from apps.discovery.state import Entry
from apps.discovery.tests import tables
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.outages import CommitBreaker, Outage
from apps.discovery.tests.process import database_url
from apps.discovery.writer import Status

SEEDS, FRAMES = (11, 12, 13), 150
NEVER = 10**9


class KilledError(Exception):
    """The process is gone at this point."""


@dataclass(frozen=True)
class Life:
    """One life of the stream: what it receives, how its database behaves, and where it dies."""

    frames: int
    torn_bytes: int  # of the line it was writing when it died
    segment_bytes: int
    flush_rows: int
    outages: tuple[Outage, ...]
    dies_before_commit: int
    dies_after_commit: int
    tidying: str


lives = st.builds(
    Life,
    frames=st.integers(0, 60),
    torn_bytes=st.integers(0, 400),
    segment_bytes=st.sampled_from([1, 3_000, 20_000]),
    flush_rows=st.sampled_from([1, 7, 40]),
    outages=st.lists(st.sampled_from(["none", "refused", "unanswered"]), max_size=6).map(tuple),
    dies_before_commit=st.sampled_from([1, 2, 3, NEVER, NEVER]),
    dies_after_commit=st.sampled_from([1, 2, 4, NEVER, NEVER]),
    tidying=st.sampled_from(["", "pack", "crash before removal", "crash while writing", "remove"]),
)


class Doom:
    """Stands where browsers are told of a commit; the process dies after the n-th."""

    def __init__(self, commits: int) -> None:
        self.left = commits

    def changed(self, mints: Iterable[str]) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError


def line_of(entry: Entry) -> bytes:
    if entry.gap is not None:
        return gap_line(*entry.gap)
    return frame_line(entry.at_us, entry.raw or "")


@cache
def market(seed: int) -> tuple[bytes, ...]:
    return tuple(line_of(entry) for entry in SmallMarket(seed, late=True).entries(FRAMES))


def receive(folder: Path, lines: tuple[bytes, ...], life: Life) -> int:
    """Write what comes next, and the beginning of one line more; the number after the last whole line."""
    writer = JournalWriter(folder, fsync="off", segment_bytes=life.segment_bytes)
    coming = lines[writer.next_seq : writer.next_seq + life.frames]
    for begin in range(0, len(coming), 5):
        writer.append(coming[begin : begin + 5])
    end = writer.next_seq
    writer.close()
    if end < len(lines):
        with segments(folder)[-1].open("ab") as segment:
            segment.write(lines[end][: min(life.torn_bytes, len(lines[end]) - 1)])
    return end


def tidy(folder: Path, how: str) -> None:
    """Pack or remove closed segments, or die on the way."""
    closed = [path for path in segments(folder)[:-1] if path.suffix == ".jsonl"]
    if how in ("pack", "remove"):
        pack_closed(folder)
    if how == "remove":
        committed = StreamState.objects.values_list("next_seq", flat=True).get()
        remove_expired(folder, committed_seq=committed, limits=Limits(keep_bytes=1))
    if closed and how == "crash before removal":
        text = closed[0].read_bytes()
        pack_closed(folder)
        closed[0].write_bytes(text)
    if closed and how == "crash while writing":
        closed[0].with_name(closed[0].name + ".zst.new").write_bytes(b"half")


def process(folder: Path, end: int, life: Life, network: CommitBreaker) -> None:
    """The real processor up to the end of the journal, or to its death."""
    network.plan = deque(life.outages)
    processor = Processor(folder, load_config=stream_config_load, flush_rows=life.flush_rows, flush_seconds=60)
    processor.announcer = Doom(life.dies_after_commit)  # type: ignore[assignment]
    commits = 0

    def status() -> Status:
        nonlocal commits
        commits += 1
        if commits == life.dies_before_commit:
            raise KilledError
        return Status("live", True, "", timezone.now())

    def ticks() -> int:
        if processor.pipeline.cursor.next_seq >= end:
            processor.stop()
        return 0

    processor.status, processor.ticks = status, ticks
    prepare(processor)
    try:
        processor.run()
    except KilledError:
        connection.close()
    network.plan.clear()


def prepare(processor: Processor) -> None:
    while True:
        try:
            return processor.prepare()
        except AWAY:
            connection.close()


UNDISTURBED = Life(FRAMES, 0, NEVER, NEVER, (), NEVER, NEVER, "")


def live(seed: int, plan: list[Life], network: CommitBreaker) -> dict[str, list[Any]]:
    """The tables after all these lives and a last one that ends well."""
    tables.reset()
    folder = Path(tempfile.mkdtemp())
    try:
        for life in [*plan, UNDISTURBED]:
            end = receive(folder, market(seed), life)
            tidy(folder, life.tidying)
            process(folder, end, life, network)
        assert end == FRAMES
        assert [problem for info in verify_journal(folder) for problem in info.problems] == []
        return tables.dump()
    finally:
        shutil.rmtree(folder)


_expected: dict[int, dict[str, list[Any]]] = {}


@pytest.fixture
def network(feed_tables: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommitBreaker]:
    """The test's own database connection leads through it."""
    monkeypatch.setattr("apps.discovery.processor.RETRY_SECONDS", 0.001)
    monkeypatch.setattr("apps.discovery.journal.CHUNK_BYTES", 4_000)
    breaker = CommitBreaker(database_url())
    straight = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict.update(HOST="127.0.0.1", PORT=breaker.port)
    yield breaker
    breaker.cut()
    connection.close()
    connection.settings_dict.update(HOST=straight[0], PORT=straight[1])


def assert_same(seed: int, plan: list[Life], network: CommitBreaker) -> None:
    """Undisturbed every line goes the general way; after that, common trades go the shorter one."""
    with pytest.MonkeyPatch.context() as patch:
        if seed not in _expected:
            patch.setattr("apps.discovery.blocks.LEAST_BYTES", NEVER)
            _expected[seed] = live(seed, [], network)
            assert _expected[seed]["coin_transactions"] and _expected[seed]["coin_metrics"]
        patch.setattr("apps.discovery.blocks.LEAST_BYTES", 0)
        found = live(seed, plan, network)
    for name, rows in _expected[seed].items():
        assert found[name] == rows, name


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.sampled_from(SEEDS), plan=st.lists(lives, min_size=1, max_size=4))
def test_tables_are_those_of_an_undisturbed_run(network: CommitBreaker, seed: int, plan: list[Life]) -> None:
    assert_same(seed, plan, network)


def test_many_trades_go_the_shorter_way() -> None:
    assert all(len(common_trades(b"".join(market(seed)), 0)[0].seq) > FRAMES / 4 for seed in SEEDS)


def test_outages_and_deaths_really_happen(network: CommitBreaker) -> None:
    worst = Life(30, 9, 1, 1, ("refused", "unanswered", "none", "refused"), NEVER, 3, "pack")
    assert_same(11, [worst] * 4, network)
    assert network.broken >= 8
