"""What a score means and which coins are looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.predictions.rules import (
    ALERT,
    NEGATIVE,
    POSITIVE,
    TAGS,
    Rules,
    has_room,
    in_phases,
    quiet_until,
    sends,
    tags_of,
)
from apps.predictions.watch import Watch


@pytest.mark.parametrize(
    ("probability", "threshold", "tag"),
    [
        (0.49, 0.7, NEGATIVE),
        (0.5, 0.7, POSITIVE),
        (0.69, 0.7, POSITIVE),
        (0.7, 0.7, ALERT),
        (0.3, 0.2, ALERT),
        (0.1, 0.2, NEGATIVE),
        (1.0, 1.0, ALERT),
    ],
)
def test_tags_follow_one_half_and_the_threshold(probability: float, threshold: float, tag: int) -> None:
    assert tags_of(np.array([probability]), threshold).tolist() == [tag]


def test_a_coin_never_scored_is_never_quiet() -> None:
    rules = Rules(0.5, ignore_seconds=(5, 10, 20), min_scan_interval_seconds=7)
    last = np.array([np.nan, 100.0, 100.0, 100.0])
    tags = np.array([ALERT, NEGATIVE, POSITIVE, ALERT], np.int8)
    assert quiet_until(rules, last, tags).tolist() == [-np.inf, 107.0, 110.0, 120.0]


def test_no_phases_means_all() -> None:
    phases = np.array([1, 2, 3], np.int16)
    assert in_phases(Rules(0.5), phases).all()
    assert in_phases(Rules(0.5, phases=frozenset({1, 3})), phases).tolist() == [True, False, True]


def test_a_limit_of_zero_is_no_limit() -> None:
    rules = Rules(0.5, max_log_entries=(0, 2, 1))
    logged = np.array([[9, 9, 9], [0, 1, 0], [0, 2, 0], [0, 0, 1]])
    tags = np.array([NEGATIVE, POSITIVE, POSITIVE, ALERT], np.int8)
    assert has_room(rules, tags, logged).tolist() == [True, True, False, False]


def test_send_modes_choose_by_tag() -> None:
    sent = {
        mode: [sends(mode, tag) for tag in TAGS] for mode in ("all", "alerts_only", "positive_only", "negative_only")
    }
    assert sent == {
        "all": [True, True, True],
        "alerts_only": [False, False, True],
        "positive_only": [False, True, True],
        "negative_only": [True, False, False],
    }


@given(
    scores=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300), st.floats(0, 1)), max_size=60),
    ignore=st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)),
    interval=st.integers(0, 60),
    limits=st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
    cut=st.integers(0, 300),
)
def test_one_batch_or_two_choose_the_same(scores, ignore, interval, limits, cut) -> None:
    """Batches, and a restart from what was written, change nothing; and it equals the rule said plainly."""
    rules = Rules(0.8, ignore_seconds=ignore, min_scan_interval_seconds=interval, max_log_entries=limits)
    rows = sorted({(slot, moment): p for slot, moment, p in scores}.items())
    whole = _choose(_fresh(), rules, rows)
    first = [row for row in rows if row[0][1] <= cut]
    second = [row for row in rows if row[0][1] > cut]
    before = _choose(_fresh(), rules, first)
    assert before | _choose(_recalled(before, rules), rules, second) == whole == _plainly(rules, rows)


Rows = list[tuple[tuple[int, int], float]]


def _fresh() -> Watch:
    watch = Watch()
    watch.reset(np.arange(4), 4)
    return watch


def _choose(watch: Watch, rules: Rules, rows: Rows) -> set[tuple[int, int, int]]:
    slots = np.array([slot for (slot, _), _ in rows], np.int64)
    as_of = np.array([moment for (_, moment), _ in rows], np.float64)
    chosen, tags = watch.choose(rules, slots, as_of, np.ones(len(rows), np.bool_), np.array([p for _, p in rows]))
    return {(int(s), int(t), int(g)) for s, t, g, c in zip(slots, as_of, tags, chosen, strict=True) if c}


def _recalled(written: set[tuple[int, int, int]], rules: Rules) -> Watch:
    watch = _fresh()
    for slot in range(4):
        for tag in range(3):
            times = [moment for s, moment, g in written if (s, g) == (slot, tag)]
            if times:
                watch.recall(slot, tag, len(times), max(times))
    return watch


def _plainly(rules: Rules, rows: Rows) -> set[tuple[int, int, int]]:
    written: set[tuple[int, int, int]] = set()
    for (slot, moment), p in rows:
        tag = int(tags_of(np.array([p]), rules.threshold)[0])
        mine = sorted((t, g) for s, t, g in written if s == slot)
        if mine:
            last, last_tag = mine[-1]
            if moment < last + max(rules.ignore_seconds[last_tag], rules.min_scan_interval_seconds):
                continue
        if rules.max_log_entries[tag] and sum(g == tag for _, g in mine) >= rules.max_log_entries[tag]:
            continue
        written.add((slot, moment, tag))
    return written
