"""Live figures beside the promise, and drift from the training sample."""

from __future__ import annotations

import numpy as np
import pytest

from apps.predictions import drift, living
from apps.predictions.living import Alerted, Promise, Scored
from apps.training import profiles


def scored(rows: int = 1000, hits: int = 100) -> Scored:
    return Scored(np.array([rows]), np.array([hits]), np.array([rows * 0.1]), np.array([rows * 0.09]))


def alerted(hits: int, count: int, *, coins: int = 100, value: float = 0.1) -> Alerted:
    hit = np.arange(count) < hits
    return Alerted(np.arange(count) % coins, hit, np.where(hit, value, -value))


def promise(precision: float | None = 0.6, ends: list[float] | None = None, part: str = "test") -> Promise:
    ends = ends if ends is not None or precision is None else [precision - 0.05, precision + 0.05]
    return Promise(part, 0.5, {"precision": precision}, {"precision": ends})


@pytest.mark.parametrize(
    ("hits", "count", "said", "comparable", "state"),
    [
        (120, 200, promise(0.6), True, "as_promised"),
        (110, 200, promise(0.6), True, "as_promised"),  # outside the promised interval, but so few could be chance
        (60, 200, promise(0.6), True, "below"),
        (180, 200, promise(0.6), True, "above"),
        (2, 29, promise(0.6), True, "too_few"),
        (60, 200, promise(None), True, "not_promised"),
        (60, 200, Promise("test", 0.5, {"precision": 0.6}, {"precision": None}), True, "not_promised"),
        (60, 200, promise(0.6), False, "not_comparable"),
    ],
)
def test_a_model_lives_off_its_backtest_where_chance_does_not_explain_it(hits, count, said, comparable, state) -> None:
    life = living.life_of(scored(), alerted(hits, count))
    assert living.state_of(life, said, "precision", comparable=comparable) == state


def test_a_life_counts_what_was_judged() -> None:
    values = np.array([0.5, np.nan, -0.3])
    life = living.life_of(scored(), Alerted(np.array([0, 0, 1]), np.array([True, False, False]), values))
    again = living.life_of(living.scored_of([life.as_json(), {}]), Alerted(*np.empty((3, 0), int)))
    assert (again.scores, again.base_rate, again.brier) == pytest.approx((life.scores, life.base_rate, life.brier))
    assert (life.scores, life.alerts, life.alerted_coins) == (1000, 3, 2)
    assert (life.base_rate, life.predicted, life.brier) == pytest.approx((0.1, 0.1, 0.09))
    assert (life.precision, life.expected_value) == pytest.approx((1 / 3, 0.1))
    assert life.precision_interval is life.expected_value_interval is None  # two coins


def test_nothing_judged_is_unknown_and_never_zero() -> None:
    none = np.empty(0)
    life = living.life_of(Scored(none, none, none, none), Alerted(none.astype(int), none.astype(bool), none))
    assert (life.scores, life.alerts) == (0, 0)
    assert life.base_rate is life.precision is life.expected_value is life.brier is None


def test_the_promise_is_the_test_part_and_only_without_one_the_validation() -> None:
    part = {"threshold": 0.7, "precision": 0.4, "expected_value": 0.02, "intervals": {"precision": [0.3, 0.5]}}
    assert living.promise_of({"validation": {}, "test": part}).part == "test"
    assert living.promise_of({"validation": {}, "later": part}).part == "later"
    alone = living.promise_of({"validation": part})
    assert (alone.part, alone.threshold, alone.intervals["expected_value"]) == ("validation", 0.7, None)
    assert living.promise_of({}).part == ""


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (["as_promised", "below"], "below"), (["above", "below"], "below"), (["too_few", "as_promised"], "as_promised"),
        (["not_promised", "too_few"], "too_few"), ([], ""),
    ],
)  # fmt: skip
def test_what_is_bad_comes_first(states, worst) -> None:
    assert living.worst(states) == worst


@pytest.mark.parametrize(
    ("shift", "degree"), [(0.0, "none"), (0.05, "none"), (0.4, "some"), (1.0, "much"), (np.nan, "much")]
)
def test_a_shift_is_seen_and_sameness_is_not(shift: float, degree: str) -> None:
    rng = np.random.default_rng(1)
    then = profiles.spread_of(rng.normal(size=20_000).astype(np.float32))
    assert drift.degree_of(profiles.psi(then, rng.normal(size=3_000) + shift)) == degree


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 90 + [1.0] * 10,
        [5.0] * 100,
        [np.nan] * 100,
        [np.nan] * 50 + [1.0] * 50,
        list(range(100)),
        [-np.inf, 1.0],
    ],
)
def test_every_value_has_its_part(values) -> None:
    sample = np.array(values, np.float32)
    spread = profiles.spread_of(sample)
    assert sum(spread.shares) == pytest.approx(1)
    assert len(spread.shares) == len(spread.cuts) + 2
    assert profiles.psi(spread, sample) == pytest.approx(0, abs=1e-3)
    assert profiles.spread_read(spread.as_json()) == spread


def test_what_was_never_seen_in_training_is_much_drift() -> None:
    then = profiles.spread_of(np.zeros(50_000, np.float32))
    for unseen in (np.nan, 1.0, -1.0):
        assert profiles.psi(then, np.r_[np.zeros(180), np.full(20, unseen)]) > drift.MUCH
    assert profiles.psi(then, np.zeros(200)) == pytest.approx(0)


def test_few_rows_and_unknown_features_say_nothing() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(drift.LEAST_ROWS, 2))
    profile = profiles.profile_of(["a", "b"], x, np.arange(len(x)), x[:, 0])
    found = drift.drift_of(profile, ["a", "new"], x, x[:, 0])
    assert found.features["new"] is None
    assert found.highest == ("a", found.features["a"])
    assert (drift.degree_of(found.score), drift.drift_read(found.as_json())) == ("none", found)
    clock = drift.drift_of({"features": {"day_sine": profile["features"]["a"]}}, ["day_sine"], x[:, :1], x[:, 0])
    assert clock.features == {"day_sine": None}
    few = drift.drift_of(profile, ["a", "new"], x[1:], x[1:, 0])
    assert (few.score, few.highest, drift.degree_of(few.score)) == (None, None, "unknown")
    assert drift.drift_of({}, ["a"], x[:, :1], x[:, 0]).highest is None
