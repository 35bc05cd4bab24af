"""Rows of many coins that come, are trimmed and dropped, against lists of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.predictions.histories import Histories
from apps.training import windowing
from apps.training.columns import METRICS, RECORD, load_columns

SLOTS = 5


def rows_of(rng: np.random.Generator, at: int) -> np.ndarray:
    """Up to six rows of each of some slots, all later than `at`."""
    slots = np.repeat(np.arange(SLOTS), rng.integers(0, 7, SLOTS) * (rng.random(SLOTS) < 0.6))
    rows = np.zeros(len(slots), RECORD)
    rows["coin"], rows["as_of_us"] = slots, at + 1 + np.arange(len(slots))
    for name in METRICS:
        rows[name] = rng.integers(1, 100, len(rows)) / 8
    rows["unique_wallets"][rng.random(len(rows)) < 0.1] = np.nan
    return rows


def holds(histories: Histories, expected: list[list[np.void]]) -> None:
    for slot, rows in enumerate(expected):
        times = np.array([row["as_of_us"] for row in rows], np.int64)
        places = histories.find(np.full(len(rows), slot), times)
        assert (np.diff(places) == 1).all()
        kept = histories.kept(places)
        for name in METRICS:
            values = np.array([row[name] for row in rows], np.float64)
            assert getattr(histories.columns, name)[places].tobytes() == values.tobytes()
        for name, (sums, unknown) in kept.sums.items():
            whole, missing = windowing.whole(name, np.array([row[name] for row in rows], np.float64))
            assert (sums[places + 1] - sums[places]).tolist() == whole.tolist()
            assert len(places) == 0 or sums[places[-1] + 1] - sums[kept.starts[0]] == whole.sum()
            gone = np.zeros_like(sums) if unknown is None else unknown
            assert (gone[places + 1] - gone[places]).tolist() == missing.tolist()
        close = np.array([row["price_close"] for row in rows])
        swings = windowing.squares(close[1:], close[:-1])
        assert (kept.squares[places + 1] - kept.squares[places])[1:].tolist() == swings.tolist()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_and_sums_are_those_that_came_and_were_not_forgotten(seed: int) -> None:
    rng, at = np.random.default_rng(seed), 0
    histories, expected = Histories(), [[] for _ in range(SLOTS)]
    histories.know(SLOTS)
    for _ in range(25):
        fresh = rows_of(rng, at)
        at += len(fresh)
        histories.append(load_columns(fresh))
        for row in fresh:
            expected[row["coin"]].append(row)
        if rng.random() < 0.3:
            before = int(rng.integers(at - 20, at + 1))
            histories.trim(before)
            expected = [[row for row in rows if row["as_of_us"] > before] for rows in expected]
        if rng.random() < 0.2:
            gone = int(rng.integers(SLOTS))
            histories.drop([gone])
            expected[gone] = []
        assert histories.rows == sum(map(len, expected))
        holds(histories, expected)


def test_what_is_not_held_is_nowhere() -> None:
    histories = Histories()
    histories.know(SLOTS)
    assert histories.find(np.array([0, -1]), np.array([5, 5])).tolist() == [-1, -1]
    rows = np.zeros(2, RECORD)
    rows["coin"], rows["as_of_us"] = 1, [10, 20]
    histories.append(load_columns(rows))
    found = histories.find(np.array([1, 1, 1, 1, 2, -1]), np.array([9, 10, 15, 20, 10, 10]))
    assert (found >= 0).tolist() == [False, True, False, True, False, False]
    histories.drop([1])
    assert histories.find(np.array([1]), np.array([10])).tolist() == [-1]
