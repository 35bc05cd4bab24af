"""The judge of the endurance run sees what it is there to see."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from apps.discovery.benchmarks.endurance_check import KEYED, Verdict, judge, table_keys
from apps.discovery.benchmarks.endurance_feed import CREATE, SENT, TRADE, rows_of
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal import simulator
from apps.discovery.pumpportal.faults import GARBAGE
from apps.discovery.pumpportal.market import Market
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor, Entry
from apps.discovery.tests.process import database_url
from apps.discovery.writer import Status, write

START = 1_790_000_000.0


def sent(*clients: list[int]) -> NDArray[np.void]:
    """Trades by key, a list for each connection, one a second."""
    rows = [(client, key) for client, keys in enumerate(clients, start=1) for key in keys]
    return np.array([(float(at), client, TRADE, key) for at, (client, key) in enumerate(rows)], SENT)


def kept(*keys: int) -> NDArray[np.void]:
    return np.array([(TRADE, key) for key in keys], KEYED)


def verdict(some: NDArray[np.void], journal: list[int], tables: list[int], *gaps: tuple[float, float]) -> Verdict:
    return judge(some, kept(*journal), kept(*tables), np.array(gaps, dtype=np.float64).reshape(-1, 2))


def test_undisturbed_run_loses_nothing() -> None:
    found = verdict(sent([1, 2, 3]), [1, 2, 3], [1, 2, 3])
    assert (found.lost, found.doubled, found.missed, found.strays, found.stored) == (0, 0, 0, 0, 3)


def test_what_was_on_its_way_at_a_cut_is_missed_and_not_lost_where_the_ledger_has_a_gap() -> None:
    some = sent([1, 2, 3, 4], [5, 6])
    found = verdict(some, [1, 2, 5, 6], [1, 2, 5, 6], (1.5, 3.9))
    assert (found.lost, found.missed) == (0, 2)


def test_what_is_missing_without_a_gap_is_lost() -> None:
    found = verdict(sent([1, 2, 3, 4], list(range(5, 15))), [1, 2, *range(5, 15)], [1, 2, *range(5, 15)], (9.0, 10.0))
    assert (found.lost, found.missed, found.unexplained) == (2, 2, 2)
    assert verdict(sent([1, 2]), [], [], (50.0, 60.0)).lost == 2


def test_hole_is_lost_even_in_a_gap() -> None:
    found = verdict(sent([1, 2, 3]), [1, 3], [1, 3], (0.0, 3.0))
    assert (found.holes, found.missed, found.lost) == (1, 0, 1)


def test_what_the_journal_has_and_the_tables_have_not_is_lost() -> None:
    found = verdict(sent([1, 2, 3]), [1, 2, 3], [1, 2], (1.0, 3.0))
    assert (found.not_in_tables, found.lost) == (1, 1)


def test_row_that_is_there_twice_is_doubled_and_a_frame_sent_twice_is_not() -> None:
    assert verdict(sent([1, 2, 2, 3]), [1, 2, 2, 3], [1, 2, 3]).doubled == 0
    assert verdict(sent([1, 2, 3]), [1, 2, 3], [1, 2, 2, 2, 3]).doubled == 2


def test_row_that_was_never_sent_is_a_stray() -> None:
    assert verdict(sent([1, 2]), [1, 2], [1, 2, 9]).strays == 1


@pytest.mark.usefixtures("feed_tables")
@pytest.mark.parametrize("spoiled", [False, True])
def test_keys_of_frames_are_those_of_the_rows_they_become_and_of_no_others(
    settings: Any, tmp_path: Path, spoiled: bool
) -> None:
    settings.SPAM_BURST_WINDOW = 0
    texts = [simulator.frame_of(content).text for _, content in Market(4, START, rate=5.0).until(START + 60)]
    fold(texts, tmp_path)
    if spoiled:
        texts[-1] = texts[-1].replace('"solAmount":', '"solAmount":1')
    expected = [row for text in texts for row in rows_of(text)]
    found = [(int(kind), int(key)) for kind, key in table_keys(database_url())]
    assert {kind for kind, _ in expected} == {TRADE, CREATE}
    assert (sorted(found) == sorted(expected)) is not spoiled


@pytest.mark.parametrize("text", [*GARBAGE, '{"txType":"migrate","mint":"M"}', '{"message":"Successfully subscribed"}'])
def test_what_becomes_no_row_has_no_key(text: str) -> None:
    assert rows_of(text) == []


def fold(texts: list[str], folder: Path) -> None:
    config = stream_config_load()
    pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))
    entries = [Entry(seq, round((START + seq / 100) * 1e6), text) for seq, text in enumerate(texts)]
    pipeline.feed(entries, Cursor("0000000000000000.jsonl", len(texts), len(texts)))
    write(pipeline.take(), Status("live", True, "", datetime(2026, 1, 1, tzinfo=UTC)), Owed(folder))
