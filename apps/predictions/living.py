"""What a model keeps live of what its test promised. Pure.

A life is counted from judged scores: sums by coin, and the alerts with their values after costs. Intervals draw whole
coins again (apps.training.evaluation.bootstrap). Live and promised differ where the gap is wider than both intervals
together allow for a difference (Zou and Donner's MOVER: the square root of the two half widths that face each other).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers
from apps.training.evaluation import bootstrap

SPAN_DAYS = 7
LEAST_ALERTS = 30
RESAMPLES = 1_000
SEED = 20_260_402
MEASURES = ("precision", "expected_value")

State = Literal["", "too_few", "as_promised", "below", "above", "not_promised", "not_comparable"]
Range = Sequence[float]


@dataclass(frozen=True, slots=True)
class Scored:
    """Sums of judged scores, an element a coin or a day: rows, how many came true, probabilities, squared errors."""

    rows: Integers
    hits: Integers
    probability: Floats
    squared_error: Floats


@dataclass(frozen=True, slots=True)
class Alerted:
    """Judged alerts: coin number (0..), whether it came true, value after costs (NaN unknown)."""

    coin: Integers
    hit: NDArray[np.bool_]
    value: Floats


@dataclass(frozen=True, slots=True)
class Life:
    """What became of the scores and alerts of a stretch; intervals at 95 %, None where unknown."""

    scores: int
    alerts: int
    alerted_coins: int
    base_rate: float | None
    predicted: float | None
    brier: float | None
    precision: float | None
    expected_value: float | None
    precision_interval: list[float] | None
    expected_value_interval: list[float] | None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Promise:
    """What the test said: the measures with their intervals, at which threshold; None where it said nothing."""

    part: str
    threshold: float | None
    values: Mapping[str, float | None]
    intervals: Mapping[str, Range | None]


def life_of(scored: Scored, alerted: Alerted, resamples: int = RESAMPLES) -> Life:
    """The figures of a stretch."""
    rows, alerts = int(scored.rows.sum()), len(alerted.hit)
    known = alerted.value[~np.isnan(alerted.value)]
    precision, value = _intervals(alerted, resamples)
    return Life(
        scores=rows, alerts=alerts, alerted_coins=len(np.unique(alerted.coin)),
        base_rate=_ratio(float(scored.hits.sum()), rows), predicted=_ratio(float(scored.probability.sum()), rows),
        brier=_ratio(float(scored.squared_error.sum()), rows), precision=_ratio(float(alerted.hit.sum()), alerts),
        expected_value=float(known.mean()) if len(known) else None,
        precision_interval=precision, expected_value_interval=value,
    )  # fmt: skip


def scored_of(lives: Sequence[Mapping[str, Any]]) -> Scored:
    """The sums behind stored lives, an element each."""
    known = [life for life in lives if life.get("scores")]
    rows = np.array([life["scores"] for life in known], np.int64)
    share, predicted, error = (
        np.array([life[name] for life in known], np.float64) * rows for name in ("base_rate", "predicted", "brier")
    )
    return Scored(rows, np.rint(share).astype(np.int64), predicted, error)


def _ratio(total: float, rows: int) -> float | None:
    return total / rows if rows else None


def _intervals(alerted: Alerted, resamples: int) -> tuple[list[float] | None, list[float] | None]:
    """Of precision and expected value, over drawn coins; None below `bootstrap.LEAST_COINS` coins."""
    numbers = np.unique(alerted.coin, return_inverse=True)[1]
    coins = int(numbers.max(initial=-1)) + 1
    if coins < bootstrap.LEAST_COINS:
        return None, None
    known = ~np.isnan(alerted.value)
    what = (np.ones(len(numbers)), alerted.hit, known, np.nan_to_num(alerted.value, nan=0.0))
    sums = np.column_stack([np.bincount(numbers, column, minlength=coins) for column in what])
    drawn = np.concatenate([weight @ sums for weight in bootstrap.weights(coins, SEED, resamples)]).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return bootstrap.interval(drawn[1] / drawn[0]), bootstrap.interval(drawn[3] / drawn[2])


def promise_of(scores: Mapping[str, Any]) -> Promise:
    """The promise in a model's scores (`Model.promising_scores`): of the test part, else of a later test, else of the
    validation part on which it chose itself."""
    part = next((name for name in ("test", "later", "validation") if scores.get(name)), "")
    found = scores.get(part) or {}
    intervals = found.get("intervals") or {}
    return Promise(
        part,
        found.get("threshold"),
        {name: found.get(name) for name in MEASURES},
        {name: intervals.get(name) for name in MEASURES},
    )


def state_of(life: Life, promise: Promise, measure: str, *, comparable: bool = True) -> State:
    """Where a measure stands beside its promise; nothing is said of fewer than LEAST_ALERTS alerts."""
    live, live_ends = getattr(life, measure), getattr(life, f"{measure}_interval")
    said, said_ends = promise.values.get(measure), promise.intervals.get(measure)
    if said is None or said_ends is None:
        return "not_promised"
    if not comparable:
        return "not_comparable"
    if life.alerts < LEAST_ALERTS or live is None or live_ends is None:
        return "too_few"
    if live < said:
        return "below" if said - live > math.hypot(said - said_ends[0], live_ends[1] - live) else "as_promised"
    return "above" if live - said > math.hypot(said_ends[1] - said, live - live_ends[0]) else "as_promised"


def worst(states: Sequence[State]) -> State:
    """The state of a model from those of its measures: what is bad first, then what is known."""
    order: tuple[State, ...] = ("below", "above", "as_promised", "too_few", "not_comparable", "not_promised")
    return next((state for state in order if state in states), "")
