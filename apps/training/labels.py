"""What became of a coin after a row: 1, 0, or NaN where nobody knows. Pure.

Entry is at the price that stood `latency_seconds` after the row (the last trade until then), never at the price seen
when deciding. Prices are those of single trades, so a peak between two windows counts. Unknown begins where the coin's
tracking ended, where a gap in the recording begins, or where the data ends: what was decided before that is known, the
rest is NaN. A coin that merely stops trading keeps its price and is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers
from apps.training.ranges import first_reaching, max_table

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class LabelRule:
    """path: reaches entry * (1 + change_pct/100) within the horizon, before -stop_pct where that is given.
    close: is there at the end of the horizon. A negative change_pct asks for a fall (the stop is then above)."""

    kind: Literal["path", "close"]
    change_pct: float
    horizon_seconds: float
    stop_pct: float | None = None
    latency_seconds: float = 2.0

    @property
    def name(self) -> str:
        """Such as `path_+20pct_300s`, `path_+50pct_-40pct_600s`, `close_-30pct_60s`."""
        stop = "" if self.stop_pct is None else f"_{-self.stop_pct if self.change_pct > 0 else self.stop_pct:+g}pct"
        return f"{self.kind}_{self.change_pct:+g}pct{stop}_{self.horizon_seconds:g}s"

    @property
    def reach_seconds(self) -> float:
        """How far after a row its label and payoff look."""
        return self.horizon_seconds + 2 * self.latency_seconds


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades sorted by (coin, time, order within): coin number, microseconds, price after the trade."""

    coin: Integers
    at_us: Integers
    price: Floats


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of the market: end of tracking by coin number, ascending disjoint gaps, end of the data."""

    tracking_end_us: Integers
    gap_start_us: Integers
    gap_end_us: Integers
    data_end_us: int

    def until(self, coin: Integers, as_of_us: Integers) -> Integers:
        """The moment at which the future of each row becomes unknown (`as_of_us` where it already is)."""
        until = np.minimum(self.tracking_end_us[coin], self.data_end_us)
        gap = np.searchsorted(self.gap_end_us, as_of_us, side="right")
        starts = np.r_[self.gap_start_us, np.iinfo(np.int64).max]
        known: Integers = np.maximum(np.minimum(until, starts[gap]), as_of_us)
        return known


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One value a row. Prices are SOL per token: the quote at the row's end, the entry after the latency, the exit
    `latency_seconds` after the target, the stop or the horizon; NaN where unknown. `complete` says that the whole
    horizon is known: to fit or judge on rows that are known only because the target was reached would count the
    successes near an end and drop the failures."""

    label: Floats
    quoted_price: Floats
    entry_price: Floats
    exit_price: Floats
    complete: NDArray[np.bool_]

    @property
    def payoff(self) -> Floats:
        """Change from entry to exit, before costs."""
        return self.exit_price / self.entry_price - 1


def outcomes(coin: Integers, as_of_us: Integers, rule: LabelRule, trades: Trades, known: Knowledge) -> Outcomes:
    """Label and payoff of each row (coin number, end of its window); rows may be in any order."""
    latency, horizon = round(rule.latency_seconds * _US), round(rule.horizon_seconds * _US)
    prices = _Prices(trades, coin, as_of_us)
    until, entry_us = known.until(coin, as_of_us), as_of_us + latency
    entry = np.where(until >= entry_us, prices.at(coin, entry_us), np.nan)
    end_us = entry_us + horizon
    if rule.kind == "close":
        label, decided_us = _close(prices.at(coin, end_us), entry, rule), end_us
    else:
        label, decided_us = _path(prices, coin, entry_us, end_us, entry, rule)
    label = np.where(np.isnan(entry) | (decided_us > until), np.nan, label)
    exit_us = decided_us + latency
    leave = np.where(~np.isnan(label) & (exit_us <= until), prices.at(coin, exit_us), np.nan)
    complete = ~np.isnan(label) & (entry_us + horizon <= until)
    return Outcomes(label, prices.at(coin, as_of_us), entry, leave, complete)


def _close(price: Floats, entry: Floats, rule: LabelRule) -> Floats:
    target = entry * (1 + rule.change_pct / 100)
    return (price >= target if rule.change_pct > 0 else price <= target).astype(np.float64)


def _path(
    prices: _Prices, coin: Integers, entry_us: Integers, end_us: Integers, entry: Floats, rule: LabelRule
) -> tuple[Floats, Integers]:
    """Label, and the moment at which it was decided: the target, the stop, or the end of the horizon."""
    sign = 1.0 if rule.change_pct > 0 else -1.0
    low, high = prices.after(coin, entry_us), prices.after(coin, end_us)
    target = prices.first(sign, low, high, entry * (1 + rule.change_pct / 100))
    stop = high
    if rule.stop_pct is not None:
        stop = prices.first(-sign, low, high, entry * (1 - sign * rule.stop_pct / 100))
    first = np.minimum(target, stop)
    decided_us = np.where(first < high, prices.moment(first), end_us)
    return ((target < high) & (target < stop)).astype(np.float64), decided_us


class _Prices:
    """Trades by (coin, moment), searched through one ascending key."""

    def __init__(self, trades: Trades, coin: Integers, as_of_us: Integers) -> None:
        self._trades = trades
        moments = np.concatenate((trades.at_us, as_of_us, np.zeros(0 if len(as_of_us) else 1, np.int64)))
        self._start = int(moments.min())
        self._span = int(moments.max()) - self._start + 1
        if (int(coin.max(initial=0)) + 1) * self._span > np.iinfo(np.int64).max:
            raise ValueError("too many coins over too long a time for one call: pass fewer coins")
        self._key = trades.coin * self._span + (trades.at_us - self._start)
        self._tables: dict[float, list[Floats]] = {}

    def after(self, coin: Integers, at_us: Integers) -> Integers:
        """Index of the coin's first trade later than the moment."""
        inside = np.clip(at_us - self._start, 0, self._span - 1)
        return np.searchsorted(self._key, coin * self._span + inside, side="right")

    def at(self, coin: Integers, at_us: Integers) -> Floats:
        """Price at the moment: that of the last trade until then; NaN where there was none."""
        if not len(self._key):
            return np.full(len(coin), np.nan)
        last = self.after(coin, at_us) - 1
        exists = (last >= 0) & (self._trades.coin[last] == coin)
        return np.where(exists, self._trades.price[last], np.nan)

    def moment(self, index: Integers) -> Integers:
        """Time of the trades; anything for indices past the end."""
        if not len(self._key):
            return np.zeros(len(index), np.int64)
        return self._trades.at_us[np.minimum(index, len(self._key) - 1)]

    def first(self, sign: float, low: Integers, high: Integers, threshold: Floats) -> Integers:
        """The first trade in [low, high) at or beyond the threshold (above for sign 1, below for -1), else `high`."""
        if not len(self._key):
            return high
        if sign not in self._tables:
            self._tables[sign] = max_table(sign * self._trades.price, int((high - low).max(initial=1)))
        return first_reaching(self._tables[sign], low, high, sign * threshold)
