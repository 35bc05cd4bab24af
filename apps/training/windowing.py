"""Sums, extremes and earlier values over windows of seconds, for many coins at once. Pure.

Everything here is exact: sums are differences of int64 cumulative sums (lamports for SOL, counts as they are), extremes
compare. The result for a row therefore does not depend on how much older history is present.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers, MetricColumns, coin_starts
from apps.training.market import Figure, Market, nowhere
from apps.training.ranges import max_table, range_max, reduce_max, running

_LAMPORTS_PER_SOL = 1e9
_HISTORY_US = 1_800_000_000
# Squared changes are summed as integers of this many to one; a change of more than 3,162 % counts as that.
_SQUARES, _MOST_SQUARE = 1e10, 1e3


class History:
    """Metric columns seen from chosen rows; remembers window bounds and cumulative sums between features."""

    def __init__(self, columns: MetricColumns, rows: Integers, market: Market | None = None) -> None:
        self.columns, self.rows = columns, rows
        self.market = nowhere() if market is None else market
        self._bounds: dict[int, Integers] = {}
        self._sums: dict[str, tuple[Integers, Integers | None]] = {}
        self._tables: dict[str, list[Floats]] = {}
        self._totals: dict[tuple[str, int], Floats] = {}
        self._markets: dict[tuple[Figure, int, int], Floats] = {}
        self._prices: dict[int, Floats] = {}
        self._squares: Integers | None = None
        self._every = len(rows) == len(columns)
        starts = coin_starts(columns.coin)
        # One ascending key for (coin, time): coins lie further apart than any window reaches.
        relative = columns.as_of_us - columns.as_of_us[starts]
        spacing = int(relative.max(initial=0)) + 2 * _HISTORY_US + 1
        number = np.cumsum(starts == np.arange(len(starts))) if len(starts) else starts
        self._key = number * spacing + relative
        self._wanted = self._key[rows]
        self._starts = starts[rows]

    def now(self, name: str) -> NDArray[Any]:
        """The column's value in the chosen rows."""
        values: NDArray[Any] = getattr(self.columns, name)
        return values if self._every else values[self.rows]

    def first(self, seconds: int) -> Integers:
        """Index of the first row in the window (t - seconds, t] of each chosen row."""
        if seconds not in self._bounds:
            self._bounds[seconds] = np.searchsorted(self._key, self._wanted - seconds * 1_000_000, side="right")
        return self._bounds[seconds]

    def total(self, name: str, seconds: int) -> Floats:
        """Sum of a column over the window; NaN where a value in it is unknown."""
        if (name, seconds) not in self._totals:
            self._totals[name, seconds] = self._between(name, self.first(seconds), self.rows + 1)
        return self._totals[name, seconds]

    def earlier(self, name: str, seconds: int) -> Floats:
        """Sum of a column over the window of the same length that ends where the window begins."""
        return self._between(name, self.first(2 * seconds), self.first(seconds))

    def highest(self, name: str, seconds: int) -> Floats:
        """Maximum of a column over the window."""
        return self._extreme(name, 1.0, seconds)

    def lowest(self, name: str, seconds: int) -> Floats:
        """Minimum of a column over the window."""
        return -self._extreme(name, -1.0, seconds)

    def price_before(self, seconds: int) -> Floats:
        """Price at t - seconds: the last close of the 30 minutes until t that was known by then, else the first open
        after; NaN where the coin is younger than that."""
        if seconds not in self._prices:
            self._prices[seconds] = self._price_before(seconds)
        return self._prices[seconds]

    def _price_before(self, seconds: int) -> Floats:
        after, oldest = self.first(seconds), self.first(_HISTORY_US // 1_000_000)
        known = after > oldest
        close = self.columns.price_close[np.maximum(after - 1, 0)]
        price = np.where(known, close, self.columns.price_open[after])
        old_enough = self.now("as_of_us") - self.now("started_us") >= seconds * 1_000_000
        return np.where(old_enough, price, np.nan)

    def curve_before(self, seconds: int) -> Floats:
        """Curve position at t - seconds: that of the last row until then in the 30 minutes until t; NaN where there is
        none."""
        after, oldest = self.first(seconds), self.first(_HISTORY_US // 1_000_000)
        value = self.columns.bonding_curve_pct[np.maximum(after - 1, 0)]
        return np.where(after > oldest, value, np.nan)

    def swings(self, seconds: int) -> Floats:
        """Sum of the squared changes of the close from row to row within the window; NaN with less than two rows."""
        if self._squares is None:
            close = self.columns.price_close
            change = np.divide(close[1:], close[:-1], out=np.full(max(len(close) - 1, 0), np.nan), where=close[:-1] > 0)
            square = np.minimum(np.nan_to_num((change - 1) ** 2, nan=0.0, posinf=_MOST_SQUARE), _MOST_SQUARE)
            self._squares = running(np.rint(np.r_[0.0, square][: len(close)] * _SQUARES).astype(np.int64))
        low, high = self.first(seconds) + 1, self.rows + 1
        return np.where(high > low, (self._squares[high] - self._squares[low]) / _SQUARES, np.nan)

    def of_market(self, figure: Figure, seconds: int, *, ago: int = 0) -> Floats:
        """A figure of the whole market over the window, or over the one that ended `ago` seconds before."""
        if (figure, seconds, ago) not in self._markets:
            as_of_us = self.now("as_of_us")
            self._markets[figure, seconds, ago] = self.market.total(figure, as_of_us, seconds, ago=ago)
        return self._markets[figure, seconds, ago]

    def since_previous(self) -> Floats:
        """Seconds since the coin's row before; NaN where there is none within 30 minutes."""
        exists = self.rows > self.first(_HISTORY_US // 1_000_000)
        gap = self.now("as_of_us") - self.columns.as_of_us[np.maximum(self.rows - 1, 0)]
        return np.where(exists, gap / 1e6, np.nan)

    def _between(self, name: str, low: Integers, high: Integers) -> Floats:
        sums, unknown = self._cumulative(name)
        total = (sums[high] - sums[low]).astype(np.float64)
        if name.endswith("_sol") or name == "dev_sold_amount":
            total /= _LAMPORTS_PER_SOL
        if unknown is not None:
            total[unknown[high] > unknown[low]] = np.nan
        return total

    def _cumulative(self, name: str) -> tuple[Integers, Integers | None]:
        if name not in self._sums:
            values: Floats = getattr(self.columns, name)
            missing = np.isnan(values)
            unknown = running(missing) if missing.any() else None
            scale = 1.0 if name.startswith(("num_", "unique_")) else _LAMPORTS_PER_SOL
            whole = np.rint(np.where(missing, 0.0, values) * scale).astype(np.int64)
            self._sums[name] = (running(whole), unknown)
        return self._sums[name]

    def _extreme(self, name: str, sign: float, seconds: int) -> Floats:
        """Maximum of sign * column over the window: few rows directly, many through a table of powers of two."""
        low, high = self.first(seconds), self.rows + 1
        values = sign * getattr(self.columns, name)
        if len(self.rows) * 16 < len(values):
            return reduce_max(values, low, high)
        key = f"{sign}{name}"
        if key not in self._tables:
            longest = int((high - self.first(_HISTORY_US // 1_000_000)).max(initial=1))
            self._tables[key] = max_table(values, longest)
        return range_max(self._tables[key], low, high)
