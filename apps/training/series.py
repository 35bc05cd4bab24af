"""Values of many coins over time, searched at many moments at once: single trades, or a metric's rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers
from apps.training.ranges import first_reaching, max_table, running


@dataclass(frozen=True, slots=True)
class Trades:
    """Sorted by (coin, time, order within): coin number, microseconds, price after the trade (or a row's value)."""

    coin: Integers
    at_us: Integers
    price: Floats


class Series:
    """Values by (coin, moment), searched through one ascending key that also covers `moments` of `coin`."""

    def __init__(self, trades: Trades, coin: Integers, moments: Integers) -> None:
        self._trades = trades
        every = np.concatenate((trades.at_us, moments, np.zeros(0 if len(moments) else 1, np.int64)))
        self._start = int(every.min())
        self._span = int(every.max()) - self._start + 1
        if (int(coin.max(initial=0)) + 1) * self._span > np.iinfo(np.int64).max:
            raise ValueError("too many coins over too long a time for one call: pass fewer coins")
        self._key = trades.coin * self._span + (trades.at_us - self._start)
        self._tables: dict[float, list[Floats]] = {}
        self._unknown: Integers | None = None

    def after(self, coin: Integers, at_us: Integers) -> Integers:
        """Index of the coin's first value later than the moment."""
        inside = np.clip(at_us - self._start, 0, self._span - 1)
        return np.searchsorted(self._key, coin * self._span + inside, side="right")

    def at(self, coin: Integers, at_us: Integers) -> Floats:
        """Value at the moment: the last one until then; NaN where there was none."""
        if not len(self._key):
            return np.full(len(coin), np.nan)
        last = self.after(coin, at_us) - 1
        exists = (last >= 0) & (self._trades.coin[last] == coin)
        return np.where(exists, self._trades.price[last], np.nan)

    def moment(self, index: Integers) -> Integers:
        """Time of the values; anything for indices past the end."""
        if not len(self._key):
            return np.zeros(len(index), np.int64)
        return self._trades.at_us[np.minimum(index, len(self._key) - 1)]

    def any_unknown(self, low: Integers, high: Integers) -> NDArray[np.bool_]:
        """Whether a value in [low, high) is NaN."""
        if self._unknown is None:
            self._unknown = running(np.isnan(self._trades.price))
        return self._unknown[high] > self._unknown[low]

    def first(self, sign: float, low: Integers, high: Integers, threshold: Floats) -> Integers:
        """The first value in [low, high) at or beyond the threshold (above for sign 1, below for -1), else `high`.

        Unknown values reach nothing."""
        if not len(self._key):
            return high
        if sign not in self._tables:
            values = np.nan_to_num(sign * self._trades.price, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
            self._tables[sign] = max_table(values, int((high - low).max(initial=1)))
        return first_reaching(self._tables[sign], low, high, sign * threshold)
