"""From which probability on to alert: where the validation part earned most per alert after costs. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers
from apps.training.evaluation.measures import coins_so_far, ends_of_ties

MIN_COINS = 20


@dataclass(frozen=True, slots=True)
class Threshold:
    """The chosen score, how many rows of the sample reach it and what each is worth after costs (ratio)."""

    value: float
    alerts: int
    expected_value: float | None


def choose_threshold(
    label: Floats, probability: Floats, value: Floats, *, min_alerts: int, coin: Integers | None = None
) -> Threshold:
    """The threshold with the highest mean `value` among those that at least `min_alerts` rows of MIN_COINS coins reach.

    Where the sample has fewer of either, all of it is the least. Where no value is known (a label that asks for a fall)
    the one with the highest F0.5 takes its place. Raises ValueError on an empty sample.
    """
    if not len(probability):
        raise ValueError("a threshold needs rows")
    order = np.argsort(-probability, kind="stable")
    score, count = probability[order], np.arange(1, len(order) + 1)
    enough = count >= min(min_alerts, len(order))
    if coin is not None:
        coins = coins_so_far(coin[order])
        enough &= coins >= min(MIN_COINS, int(coins[-1]))
    allowed = np.flatnonzero(ends_of_ties(score) & enough)
    known = np.cumsum(~np.isnan(value[order]))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.cumsum(np.nan_to_num(value[order])) / known
    merit = mean if known[-1] else _f_half(label[order], count)
    best = int(allowed[np.argmax(np.where(np.isnan(merit[allowed]), -np.inf, merit[allowed]))])
    return Threshold(float(score[best]), int(count[best]), float(mean[best]) if known[best] else None)


def _f_half(label: Floats, count: NDArray[np.int64]) -> Floats:
    hits = np.cumsum(label)
    result: Floats = 1.25 * hits / (0.25 * max(float(label.sum()), 1.0) + count)
    return result
