"""Phases and thresholds changed while windows are open: every trade stays in exactly one window, and the tables do not
depend on what is restarted when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import F, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.discovery import services
from apps.discovery.models import CoinMetric, CoinTransaction, Phase
from apps.discovery.state import Cursor
from apps.discovery.tests import tables
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.test_pipeline import commit, started

pytestmark = pytest.mark.usefixtures("feed_tables", "phases")

FRAMES = 500
Edit = tuple[tuple[int, int, float], ...]  # (interval seconds, ages from and to, minutes) of the phases 1, 2, ...
SHORTER: Edit = ((1, 0, 10), (10, 10, 60), (60, 60, 1_440))
LONGER: Edit = ((45, 0, 10), (3_600, 10, 60), (86_400, 60, 1_440))
OVER_SOON: Edit = ((7, 0, 1), (30, 1, 2), (30, 2, 3))
LATE_IN_LIFE: Edit = ((5, 0, 1), (20, 1, 90), (90, 90, 1_440))


@pytest.fixture
def phases() -> Iterator[None]:
    before = list(Phase.objects.values())
    yield
    for row in before:
        Phase.objects.filter(id=row["id"]).update(**row)


def edit(phases: Edit, whale_sol: float) -> None:
    for number, (interval, least, greatest) in enumerate(phases, start=1):
        Phase.objects.filter(id=number).update(
            interval_seconds=interval, min_age_minutes=least, max_age_minutes=greatest
        )
    services.config_write(changes={"whale_threshold_sol": whale_sol})


def run(seed: int, edits: dict[int, tuple[Edit, float]], restarts: set[int]) -> dict[str, Any]:
    """The tables after a market in which phases are edited after so many frames, and the stream restarted."""
    tables.reset()
    edit(SHORTER, 1.0)
    entries = SmallMarket(seed, late=True).entries(FRAMES)
    pipeline, begin = started(), 0
    for end in [*sorted({*edits, *restarts} - {FRAMES}), FRAMES]:
        pipeline.feed(entries[begin:end], Cursor("0000000000000000.jsonl", end, end))
        begin = end
        commit(pipeline)
        if end in edits:
            edit(*edits[end])
            pipeline.reconfigure(services.stream_config_load())
        if end in restarts:
            pipeline = started()
    pipeline.advance(pipeline.feed_us + 2 * 86_400_000_000)
    commit(pipeline)
    return tables.dump()


def trades_in_windows() -> tuple[int, int]:
    """How many trades the windows hold, and how many fell into a phase that has windows."""
    folded = CoinMetric.objects.aggregate(trades=Sum(F("num_buys") + F("num_sells")))["trades"]
    return folded, CoinTransaction.objects.filter(phase_id_at_time__lt=Phase.FINISHED).count()


@pytest.mark.parametrize("edited", [SHORTER, LONGER, OVER_SOON, LATE_IN_LIFE])
@pytest.mark.parametrize("begun", [SHORTER, LONGER])
def test_windows_over_an_edit_are_the_same_with_restarts(begun: Edit, edited: Edit) -> None:
    edits = {60: (begun, 0.1), 250: (edited, 2.0)}
    undisturbed = run(5, edits, set())
    folded, windowed = trades_in_windows()
    assert folded == windowed
    disturbed = run(5, edits, {70, 240, 250, 251, 260, 330})
    for name, rows in undisturbed.items():
        assert disturbed[name] == rows, name


edits = st.tuples(st.sampled_from([SHORTER, LONGER, OVER_SOON, LATE_IN_LIFE]), st.sampled_from([0.1, 1.0, 5.0]))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    edits=st.dictionaries(st.integers(1, FRAMES - 1), edits, min_size=1, max_size=4),
    restarts=st.sets(st.integers(1, FRAMES - 1), max_size=6),
)
def test_any_edits_and_restarts_leave_every_trade_in_one_window(
    seed: int, edits: dict[int, tuple[Edit, float]], restarts: set[int]
) -> None:
    undisturbed = run(seed, edits, set())
    folded, windowed = trades_in_windows()
    assert folded == windowed
    disturbed = run(seed, edits, restarts)
    for name, rows in undisturbed.items():
        assert disturbed[name] == rows, name


def test_an_edit_while_the_stream_is_away_loses_no_trade() -> None:
    tables.reset()
    edit(LONGER, 1.0)
    entries = SmallMarket(8).entries(FRAMES)
    pipeline, begin = started(), 0
    for end, phases in ((200, OVER_SOON), (300, LONGER), (FRAMES, SHORTER)):
        pipeline.feed(entries[begin:end], Cursor("0000000000000000.jsonl", end, end))
        commit(pipeline)
        edit(phases, 1.0)
        pipeline, begin = started(), end
    pipeline.advance(pipeline.feed_us + 2 * 86_400_000_000)
    commit(pipeline)
    folded, windowed = trades_in_windows()
    assert folded == windowed
