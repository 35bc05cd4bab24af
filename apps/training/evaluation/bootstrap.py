"""How far measures would scatter on other coins: resampled coins, all rows of a coin together. Pure numpy and scipy.

Rows of one coin repeat each other, so whole coins are drawn with replacement. A draw is a weight a coin; sums over
coins are one matrix product for many draws at once. Ranking measures work on at most BINS groups of equal or
neighbouring scores, which is exact where there are no more distinct scores than that. The same coins and seed give
the same draws, so arrays of two models can be subtracted draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers
from apps.training.evaluation.measures import coins_so_far, is_probability, row_brier, row_log_loss

RESAMPLES = 1_000
LEVEL = 0.95
BINS = 1_000
LEAST_COINS = 10
CURVE_POINTS, CURVE_LEAST_ALERTS = 40, 20
_WEIGHTS_AT_ONCE, _DRAWS_AT_ONCE = 4_000_000, 200

Interval = list[float]
"""Low and high end."""
Step = Callable[[], None]
"""Called every some draws; may raise to stop."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Each measure's value in every draw (NaN where undefined); `curve` is (points, draws) of the expected value."""

    measures: dict[str, Floats]
    curve: Floats
    points: list[dict[str, Any]]


def weights(coins: int, seed: int, resamples: int = RESAMPLES) -> Iterator[NDArray[np.float32]]:
    """How often each of `coins` coins is drawn: float32 (some draws, coins), until there are `resamples` draws."""
    rng, step = np.random.default_rng(seed), max(1, min(_DRAWS_AT_ONCE, _WEIGHTS_AT_ONCE // max(coins, 1)))
    for begin in range(0, resamples, step):
        draws = min(step, resamples - begin)
        chosen = rng.integers(0, coins, (draws, coins)) + np.arange(draws)[:, None] * coins
        yield np.bincount(chosen.ravel(), minlength=draws * coins).reshape(draws, coins).astype(np.float32)


def draw(
    coin: Integers,
    label: Floats,
    score: Floats,
    value: Floats,
    *,
    threshold: float,
    seed: int,
    resamples: int = RESAMPLES,
    on_step: Step = lambda: None,
) -> Draws:
    """All measures of one score on the rows, in every draw; `coin` numbers the coins from 0 without holes."""
    coins = int(coin.max()) + 1
    sums, names = _sums(coin, label, score, value, threshold, coins)
    bins, lowest = _bins(score)
    tables = [_table(bins, coin, what, coins) for what in (np.ones(len(coin)), label, ~np.isnan(value), _zeroed(value))]
    places = _places(np.cumsum(tables[0].sum(axis=1)))
    pooled = [_pooled(table, places) for table in tables[2:]]
    found: list[dict[str, Floats]] = []
    curve: list[Floats] = []
    for weight in weights(coins, seed, resamples):
        on_step()
        totals = dict(zip(names, (weight @ sums).T.astype(np.float64), strict=True))
        rows, hits = (table @ weight.T for table in tables[:2])
        known, gained = (np.cumsum(table @ weight.T, axis=0, dtype=np.float64) for table in pooled)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append({**_ratios(totals), **_ranking(rows, hits)})
            curve.append(gained / known)
    measures = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return Draws(
        measures,
        np.concatenate(curve, axis=1),
        _curve_points(tables, places, lowest, coins_so_far(coin[np.argsort(-score, kind="stable")])),
    )


def interval(values: Floats, level: float = LEVEL) -> Interval | None:
    """Percentiles of the draws; None where the measure is undefined in more than half of them."""
    known = values[np.isfinite(values)]
    if 2 * len(known) <= len(values):
        return None
    low, high = np.percentile(known, [50 * (1 - level), 50 * (1 + level)])
    return [float(low), float(high)]


def mean_difference(
    coin: Integers, first: Floats, second: Floats, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float | None, Interval | None]:
    """Mean of `first` minus mean of `second` (NaN where a side has no value) and its interval over drawn coins."""
    numbers = np.unique(coin, return_inverse=True)[1]
    coins = int(numbers.max(initial=-1)) + 1
    sides = [part for side in (first, second) for part in (_zeroed(side), (~np.isnan(side)).astype(np.float64))]
    sums = np.column_stack([np.bincount(numbers, side, minlength=coins) for side in sides])
    if coins == 0 or not sums[:, 1].any() or not sums[:, 3].any():
        return None, None
    point = sums.sum(axis=0)
    drawn = np.concatenate([weight @ sums for weight in weights(coins, seed, resamples)]).T
    with np.errstate(invalid="ignore", divide="ignore"):
        differences = drawn[0] / drawn[1] - drawn[2] / drawn[3]
    enough = coins >= LEAST_COINS
    return float(point[0] / point[1] - point[2] / point[3]), interval(differences, level) if enough else None


def first_alerts(coin: Integers, alert: NDArray[np.bool_]) -> Integers:
    """Index of each alerted coin's first alert; rows of a coin stand in order of time."""
    rows = np.flatnonzero(alert)
    return rows[np.unique(coin[rows], return_index=True)[1]]


def _sums(
    coin: Integers, label: Floats, score: Floats, value: Floats, threshold: float, coins: int
) -> tuple[NDArray[np.float32], list[str]]:
    """What adds up over rows, by coin: (coins, k), with the names of the columns."""
    alert = score >= threshold
    known = ~np.isnan(value)
    first = np.zeros(len(coin), bool)
    first[first_alerts(coin, alert & known)] = True
    probable, unknown = is_probability(score), np.full(len(score), np.nan)
    columns = {
        "rows": np.ones(len(coin)),
        "positives": label,
        "alerts": alert,
        "hits": alert * label,
        "known": known,
        "value": _zeroed(value),
        "known_alerts": alert & known,
        "value_alerts": alert * _zeroed(value),
        "known_first": first,
        "value_first": first * _zeroed(value),
        "log_loss": row_log_loss(label, score) if probable else unknown,
        "brier": row_brier(label, score) if probable else unknown,
    }
    table = np.column_stack([np.bincount(coin, column, minlength=coins) for column in columns.values()])
    return table.astype(np.float32), list(columns)


def _ratios(sums: dict[str, Floats]) -> dict[str, Floats]:
    """Measures that follow from sums over rows."""
    hits, alerts, positives, rows = sums["hits"], sums["alerts"], sums["positives"], sums["rows"]
    false, missed = alerts - hits, positives - hits
    negative = rows - alerts - missed
    product = alerts * positives * (negative + false) * (negative + missed)
    return {
        "base_rate": positives / rows,
        "precision": hits / alerts,
        "recall": hits / positives,
        "mcc": (hits * negative - false * missed) / np.sqrt(product),
        "expected_value": sums["value_alerts"] / sums["known_alerts"],
        "expected_value_of_all": sums["value"] / sums["known"],
        "expected_value_first": sums["value_first"] / sums["known_first"],
        "log_loss": sums["log_loss"] / rows,
        "brier": sums["brier"] / rows,
    }


def _ranking(rows: NDArray[np.float32], hits: NDArray[np.float32]) -> dict[str, Floats]:
    """PR-AUC and ROC-AUC from the rows and positives of each group, (bins, draws), highest score first."""
    passed, gained = np.cumsum(rows, axis=0, dtype=np.float64), np.cumsum(hits, axis=0, dtype=np.float64)
    positives, negatives = gained[-1].copy(), passed[-1] - gained[-1]
    middle = gained - 0.5 * hits
    precision = np.divide(gained, passed, out=gained, where=passed > 0)  # where nothing has passed, nothing was gained
    return {
        "pr_auc": np.einsum("ij,ij->j", hits, precision) / positives,
        "roc_auc": np.einsum("ij,ij->j", rows - hits, middle) / (positives * negatives),
    }


def _bins(score: Floats) -> tuple[Integers, Floats]:
    """The group of each row, highest scores first, equal scores together; and each group's lowest score."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    fresh = np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]
    distinct = np.cumsum(fresh) - 1
    if distinct[-1] >= BINS:
        begins = np.flatnonzero(fresh)[distinct]
        distinct = np.unique(begins * BINS // len(score), return_inverse=True)[1]
    bins = np.empty(len(score), np.int64)
    bins[order] = distinct
    lowest = ordered[np.r_[np.flatnonzero(np.diff(distinct)), len(ordered) - 1]]
    return bins, lowest


def _table(bins: Integers, coin: Integers, what: NDArray[Any], coins: int) -> Any:
    """Sums by (group, coin), sparse."""
    from scipy.sparse import csr_matrix  # late: 0.1 s of every start, and only evaluations need it

    shape = (int(bins.max()) + 1, coins)
    return csr_matrix((np.asarray(what, dtype=np.float32), (bins, coin)), shape=shape)


def _pooled(table: Any, places: Integers) -> Any:
    """A table's groups summed up between the places of the curve: (places, coins), sparse."""
    from scipy.sparse import csr_matrix

    groups = np.arange(table.shape[0])
    ones, shape = np.ones(len(groups), np.float32), (len(places), len(groups))
    return csr_matrix((ones, (np.searchsorted(places, groups), groups)), shape=shape) @ table


def _places(rows: NDArray[Any]) -> Integers:
    """The groups at which the curve of the expected value has its points: few alerts first, evenly in logarithms."""
    count = np.asarray(rows).ravel()
    wanted = np.geomspace(min(CURVE_LEAST_ALERTS, count[-1]), count[-1], CURVE_POINTS)
    return np.unique(np.searchsorted(count, wanted - 0.5))


def _curve_points(tables: list[Any], places: Integers, lowest: Floats, coins: Integers) -> list[dict[str, Any]]:
    """Threshold, alerts, their coins and expected value of the sample itself at the curve's places."""
    rows, _hits, known, gained = (np.cumsum(np.asarray(t.sum(axis=1), dtype=np.float64).ravel()) for t in tables)
    return [
        {
            "threshold": float(lowest[place]),
            "alerts": round(float(rows[place])),
            "coins": int(coins[round(float(rows[place])) - 1]),
            "expected_value": float(gained[place] / known[place]) if known[place] else None,
        }
        for place in places
    ]


def _zeroed(value: Floats) -> Floats:
    return np.nan_to_num(value, nan=0.0)
