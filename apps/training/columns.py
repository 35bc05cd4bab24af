"""Metric rows as numpy columns: the one shape in which training and scoring hand them to the features. Pure.

Rows of a coin stand together in order of time. Metric columns are float64 with NaN where the table says NULL; times are
int64 microseconds since 1970. The all-time high is a running maximum and travels as a column of its own: whoever holds
only the newest part of a history passes the high of what came before, so both agree bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.discovery.windows import METRIC_COLUMNS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
High = tuple[float, int]  # highest price so far (SOL per token), microseconds of the row that reached it first

_NO_HIGH: High = (float("nan"), 0)
METRICS: tuple[str, ...] = METRIC_COLUMNS[METRIC_COLUMNS.index("price_open") :]  # behind the keys of a row
CREATOR: tuple[str, ...] = (
    "creator_coins",
    "creator_graduated",
    "creator_died",
    "creator_sold80_seconds",
    "creator_top_market_cap_sol",
    "creator_since_last_seconds",
)
RECORD = np.dtype(
    [("coin", "i8"), ("as_of_us", "i8"), ("started_us", "i8"), ("phase_id", "f8")]
    + [(name, "f8") for name in (*METRICS, *CREATOR)]
)


@dataclass(frozen=True, slots=True)
class MetricColumns:
    """Metric rows, a column each, all of one length, sorted by (coin, as_of_us).

    `coin` numbers the coins (any non-decreasing integers); `as_of_us` is the end of the window, `started_us` the moment
    from which the coin's age counts; the `creator_` columns are what was known of the coin's creator at its creation
    (apps.discovery.creators), the same in all its rows; `ath_price` and `ath_us` are the highest price up to and
    including the row and the end of the window that first reached it.
    """

    coin: Integers
    as_of_us: Integers
    started_us: Integers
    phase_id: Floats
    price_open: Floats
    price_high: Floats
    price_low: Floats
    price_close: Floats
    market_cap_close: Floats
    bonding_curve_pct: Floats
    virtual_sol_reserves: Floats
    is_koth: Floats
    volume_sol: Floats
    buy_volume_sol: Floats
    sell_volume_sol: Floats
    num_buys: Floats
    num_sells: Floats
    unique_wallets: Floats
    num_micro_trades: Floats
    dev_sold_amount: Floats
    max_single_buy_sol: Floats
    max_single_sell_sol: Floats
    net_volume_sol: Floats
    volatility_pct: Floats
    avg_trade_size_sol: Floats
    whale_buy_volume_sol: Floats
    whale_sell_volume_sol: Floats
    num_whale_buys: Floats
    num_whale_sells: Floats
    buy_pressure_ratio: Floats
    unique_signer_ratio: Floats
    creator_coins: Floats
    creator_graduated: Floats
    creator_died: Floats
    creator_sold80_seconds: Floats
    creator_top_market_cap_sol: Floats
    creator_since_last_seconds: Floats
    ath_price: Floats
    ath_us: Integers

    def __len__(self) -> int:
        return len(self.coin)

    def take(self, rows: NDArray[np.bool_] | Integers | slice) -> MetricColumns:
        """The chosen rows (mask, slice or ascending indices)."""
        return MetricColumns(*(getattr(self, field.name)[rows] for field in fields(self)))


def load_columns(records: NDArray[np.void], *, highs: Mapping[int, High] | None = None) -> MetricColumns:
    """Columns from records of dtype RECORD that are sorted by (coin, as_of_us).

    `highs` is each coin's all-time high before its first row here, by coin number; a coin without one begins here.
    Raises ValueError where the order is wrong.
    """
    values: dict[str, Any] = {name: np.ascontiguousarray(records[name]) for name in RECORD.names or ()}
    coin, as_of_us = values["coin"], values["as_of_us"]
    _check_order(coin, as_of_us)
    ath_price, ath_us = _all_time_highs(coin, as_of_us, values["price_high"])
    if highs:
        before = [highs.get(number, _NO_HIGH) for number in coin.tolist()]
        high_before = np.array([high[0] for high in before])
        stands = high_before >= ath_price
        ath_price = np.where(stands, high_before, ath_price)
        ath_us = np.where(stands, np.array([high[1] for high in before], dtype=np.int64), ath_us)
    return MetricColumns(**values, ath_price=ath_price, ath_us=ath_us)


def concat(parts: Sequence[MetricColumns]) -> MetricColumns:
    """Several parts as one, sorted by (coin, as_of_us): history and the rows that came after it."""
    joined = MetricColumns(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(MetricColumns)))
    return joined.take(np.lexsort((joined.as_of_us, joined.coin)))


def coin_starts(coin: Integers) -> Integers:
    """For every row the index of its coin's first row."""
    index = np.arange(len(coin))
    first = np.r_[True, coin[1:] != coin[:-1]][: len(coin)]
    return np.maximum.accumulate(np.where(first, index, 0))


def _check_order(coin: Integers, as_of_us: Integers) -> None:
    step, later = np.diff(coin), np.diff(as_of_us) > 0
    if (step < 0).any() or not later[step == 0].all():
        raise ValueError("metric rows must be sorted by coin and time, each instant once")


def _all_time_highs(coin: Integers, as_of_us: Integers, price_high: Floats) -> tuple[Floats, Integers]:
    """Running maximum within each coin, by doubling, and the time of the first row that reached it."""
    if not len(coin):
        return price_high, as_of_us
    starts, index = coin_starts(coin), np.arange(len(coin))
    longest, shift, high = int((index - starts).max()), 1, price_high.copy()
    while shift <= longest:
        same = (index - shift >= starts)[shift:]
        high[shift:] = np.where(same, np.fmax(high[shift:], high[:-shift]), high[shift:])
        shift *= 2
    fresh = np.r_[True, high[1:] != high[:-1]] | (index == starts)
    return high, as_of_us[np.maximum.accumulate(np.where(fresh, index, 0))]
