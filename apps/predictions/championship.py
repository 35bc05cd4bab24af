"""Whether a challenger may take the champion's place. Pure.

Both scored the same coins at the same instants; each has its own alerts among them. What counts is the mean value per
alert after all costs. Coins are drawn again and again for both at once (apps.training.evaluation.bootstrap), and the
challenger is better only where the interval of the difference lies above zero.

Looking again and again would let chance pass in the end. So there are few looks, each at twice the alerts of the one
before, and the first is stricter than usual and each further one twice as strict: together they let a challenger that
is not better pass in at most ERROR of all cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from apps.training.columns import Floats, Integers
from apps.training.evaluation import bootstrap

ERROR = 0.05
MOST_LOOKS = 4
RESAMPLES = 4_000
SEED = 20_260_401

Verdict = Literal["too_few", "better", "not_better", "worse"]


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of one model among the common instants: coin number and value after costs (ratio of the stake)."""

    coin: Integers
    value: Floats

    def __len__(self) -> int:
        return len(self.value)

    @property
    def mean(self) -> float | None:
        return float(self.value.mean()) if len(self.value) else None


@dataclass(frozen=True, slots=True)
class Gate:
    """What one look found. `interval` is of the difference (challenger minus champion) at `level`; None: unknown."""

    verdict: Verdict
    look: int
    level: float
    needed: int
    champion_alerts: int
    challenger_alerts: int
    coins: int
    champion_value: float | None
    challenger_value: float | None
    difference: float | None
    interval: list[float] | None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def needed_alerts(look: int, least: int) -> int:
    """How many alerts each model must have for the look of this number (1, 2, ...)."""
    return int(least * 2 ** (look - 1))


def level_of(look: int) -> float:
    """The level of the interval at the look of this number; what the looks may err adds up to ERROR."""
    return float(1 - ERROR / 2**look)


def is_due(champion_alerts: int, challenger_alerts: int, *, look: int, least: int) -> bool:
    """Whether there is enough for the look of this number."""
    return look <= MOST_LOOKS and min(champion_alerts, challenger_alerts) >= needed_alerts(look, least)


def decide(champion: Alerts, challenger: Alerts, *, look: int, least: int, resamples: int = RESAMPLES) -> Gate:
    """The gate's answer at a look; `too_few` where alerts or coins do not suffice."""
    level = level_of(look)
    coin = np.concatenate((champion.coin, challenger.coin))
    ours = np.concatenate((np.full(len(champion), np.nan), challenger.value))
    theirs = np.concatenate((champion.value, np.full(len(challenger), np.nan)))
    difference, ends = bootstrap.mean_difference(coin, ours, theirs, seed=SEED, resamples=resamples, level=level)
    enough = is_due(len(champion), len(challenger), look=look, least=least) and ends is not None
    return Gate(
        verdict=_verdict(ends) if enough and ends is not None else "too_few",
        look=look, level=level, needed=needed_alerts(look, least),
        champion_alerts=len(champion), challenger_alerts=len(challenger), coins=len(np.unique(coin)),
        champion_value=champion.mean, challenger_value=challenger.mean, difference=difference, interval=ends,
    )  # fmt: skip


def _verdict(ends: list[float]) -> Verdict:
    low, high = ends
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not_better"
