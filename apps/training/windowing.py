"""Sums, extremes and earlier values over windows of seconds, for many coins at once. Pure.

Everything here is exact: sums are differences of int64 cumulative sums (lamports for SOL, counts as they are), extremes
compare. The result for a row therefore does not depend on how much older history is present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers, MetricColumns, coin_starts
from apps.training.market import Figure, Market, nowhere
from apps.training.ranges import Stretches, first_after, max_table, range_max, running

_LAMPORTS_PER_SOL = 1e9
_HISTORY_US = 1_800_000_000
# Squared changes are summed as integers of this many to one; a change of more than 3,162 % counts as that.
_SQUARES, _MOST_SQUARE = 1e10, 1e3

# What features sum over windows: who holds columns for long may keep running sums of these.
SUMMED: tuple[str, ...] = (
    "volume_sol",
    "buy_volume_sol",
    "net_volume_sol",
    "num_buys",
    "num_sells",
    "unique_wallets",
    "dev_sold_amount",
    "whale_buy_volume_sol",
    "whale_sell_volume_sol",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a holder of columns keeps beside them, so that few rows can be seen without a look at all the others.

    `starts` is for each chosen row the index of its coin's first row; where it is given the columns may have anything
    between the rows of two coins. `sums` (by name of SUMMED, each beside that of unknown values, None where there are
    none) and `squares` are running sums with a leading zero within each coin: the sum over its rows [a, b) is
    sums[b] - sums[a].
    """

    starts: Integers
    sums: Mapping[str, tuple[Integers, Integers | None]]
    squares: Integers


def whole(name: str, values: Floats) -> tuple[Integers, NDArray[np.bool_]]:
    """A summed column as integers (lamports, counts), 0 where it is unknown, and where that is."""
    missing = np.isnan(values)
    scale = 1.0 if name.startswith(("num_", "unique_")) else _LAMPORTS_PER_SOL
    return np.rint(np.where(missing, 0.0, values) * scale).astype(np.int64), missing


def squares(close: Floats, before: Floats) -> Integers:
    """Squared changes of the price from `before` to `close`, as integers; 0 where there is none."""
    change = np.divide(close, before, out=np.full(len(close), np.nan), where=before > 0)
    square = np.minimum(np.nan_to_num((change - 1) ** 2, nan=0.0, posinf=_MOST_SQUARE), _MOST_SQUARE)
    scaled: Integers = np.rint(square * _SQUARES).astype(np.int64)
    return scaled


class History:
    """Metric columns seen from chosen rows; remembers window bounds and cumulative sums between features."""

    def __init__(
        self, columns: MetricColumns, rows: Integers, market: Market | None = None, *, kept: Kept | None = None
    ) -> None:
        self.columns, self.rows = columns, rows
        self.market = nowhere() if market is None else market
        self._bounds: dict[int, Integers] = {}
        self._sums: dict[str, tuple[Integers, Integers | None]] = {}
        self._tables: dict[str, list[Floats]] = {}
        self._stretches: Stretches | None = None
        self._laid: dict[str, Floats] = {}
        self._totals: dict[tuple[str, int], Floats] = {}
        self._extremes: dict[tuple[str, bool, int], Floats] = {}
        self._markets: dict[tuple[Figure, int, int], Floats] = {}
        self._prices: dict[int, Floats] = {}
        self._squares: Integers | None = None
        self._every = len(rows) == len(columns)
        self._few = kept is not None or len(rows) * 16 < len(columns)
        self._starts = kept.starts if kept else None
        if kept:
            self._sums = dict(kept.sums)
            self._squares = kept.squares
        else:
            self._key = _key(columns)

    def now(self, name: str) -> NDArray[Any]:
        """The column's value in the chosen rows."""
        values: NDArray[Any] = getattr(self.columns, name)
        return values if self._every else values[self.rows]

    def first(self, seconds: int) -> Integers:
        """Index of the first row in the window (t - seconds, t] of each chosen row."""
        if seconds not in self._bounds:
            self._bounds[seconds] = self._first(seconds * 1_000_000)
        return self._bounds[seconds]

    def _first(self, reach_us: int) -> Integers:
        if self._starts is None:
            return np.searchsorted(self._key, self._key[self.rows] - reach_us, side="right")
        return first_after(self.columns.as_of_us, self._starts, self.rows, self.now("as_of_us") - reach_us)

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
        return self._extreme(name, seconds, lowest=False)

    def lowest(self, name: str, seconds: int) -> Floats:
        """Minimum of a column over the window."""
        return self._extreme(name, seconds, lowest=True)

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
            self._squares = running(squares(close, np.r_[np.nan, close[:-1]][: len(close)]))
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
            values, missing = whole(name, getattr(self.columns, name))
            self._sums[name] = (running(values), running(missing) if missing.any() else None)
        return self._sums[name]

    def _extreme(self, name: str, seconds: int, *, lowest: bool) -> Floats:
        if (name, lowest, seconds) not in self._extremes:
            find = self._extreme_of_few if self._few else self._extreme_of_many
            self._extremes[name, lowest, seconds] = find(name, self.first(seconds), lowest)
        return self._extremes[name, lowest, seconds]

    def _extreme_of_few(self, name: str, low: Integers, lowest: bool) -> Floats:
        """Directly, over the half hours of the chosen rows laid one after the other."""
        if self._stretches is None:
            self._stretches = Stretches(self.first(_HISTORY_US // 1_000_000), self.rows + 1)
        if name not in self._laid:
            self._laid[name] = self._stretches.lay(getattr(self.columns, name))
        return self._stretches.reduce(np.minimum if lowest else np.maximum, self._laid[name], low)

    def _extreme_of_many(self, name: str, low: Integers, lowest: bool) -> Floats:
        """Through a table of powers of two."""
        sign, high = -1.0 if lowest else 1.0, self.rows + 1
        key = f"{sign}{name}"
        if key not in self._tables:
            longest = int((high - self.first(_HISTORY_US // 1_000_000)).max(initial=1))
            self._tables[key] = max_table(sign * getattr(self.columns, name), longest)
        return sign * range_max(self._tables[key], low, high)


def _key(columns: MetricColumns) -> Integers:
    """One ascending key for (coin, time): coins lie further apart than any window reaches."""
    starts = coin_starts(columns.coin)
    relative = columns.as_of_us - columns.as_of_us[starts]
    spacing = int(relative.max(initial=0)) + 2 * _HISTORY_US + 1
    number = np.cumsum(starts == np.arange(len(starts))) if len(starts) else starts
    return number * spacing + relative
