"""How deep the equity of a backtest fell, looked at after every trade of a held coin and after every fill.

Between two of these nothing that the wallet is worth changes; the curve of a run shows some instants only, and a fall
between two of them is not to be overlooked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.trading.backtest_figures import drawdown_ratio
from apps.trading.fills import Costs
from apps.trading.memory import CoinHistory, MemoryBook, from_us, to_us
from apps.trading.models import TradeLog
from apps.trading.positions import Holding
from apps.trading.valuation import costs_of, value_lamports

Integers = NDArray[np.int64]
AFTER_TRADES = 1 << 62  # our fills at an instant come after the market's trades of it


class Change(NamedTuple):
    """By how many lamports the equity changed, when (microseconds) and in which place among those of that instant."""

    at_us: int
    place: int
    lamports: int


def equity_path(book: MemoryBook, start_lamports: int, until_us: int) -> tuple[Integers, Integers]:
    """When the equity changed (microseconds, ascending) and to how many lamports."""
    changes = [Change(to_us(one.at), AFTER_TRADES + one.pk, one.balance_change_lamports) for one in book.trades]
    for trades in _by_position(book.trades):
        changes += _changes(trades, book.history.coins[trades[0].mint], costs_of(book.wallet(0)), until_us)
    rows = np.array(changes, np.int64).reshape(-1, 3)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    is_last = np.ones(len(rows), np.bool_)  # a fill changes cash and holding at once
    is_last[:-1] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    equity = start_lamports + np.cumsum(rows[:, 2])
    return rows[is_last, 0], equity[is_last]


def deepest_fall(book: MemoryBook, start_lamports: int, until_us: int) -> float:
    """The deepest fall of the equity from its peak, as a share of that peak, over every change of it."""
    _, equity = equity_path(book, start_lamports, until_us)
    return drawdown_ratio([start_lamports, *equity.tolist()])


def _by_position(trades: Iterable[TradeLog]) -> Iterator[list[TradeLog]]:
    """The fills of each position, in order."""
    found: dict[int, list[TradeLog]] = defaultdict(list)
    for one in trades:
        if one.status == "SUCCESS" and one.position is not None:
            found[one.position.pk].append(one)
    yield from found.values()


def _changes(trades: list[TradeLog], coin: CoinHistory, costs: Costs, until_us: int) -> Iterator[Change]:
    """How the value of a position changed, from its first fill on."""
    ends = [to_us(one.at) for one in trades[1:]] + [until_us]
    holding, before = Holding(), 0
    for trade, end_us in zip(trades, ends, strict=True):
        holding = _after(holding, trade)
        at_us, place = to_us(trade.at), AFTER_TRADES + trade.pk
        index = bisect_right(coin.at_us, at_us) - 1
        for number in range(index, bisect_right(coin.at_us, end_us) if holding.quantity else index + 1):
            if number > index:
                at_us, place = coin.at_us[number], coin.seq[number]
            worth = _value(holding, coin, number, at_us, costs)
            yield Change(at_us, place, worth - before)
            before = worth


def _after(holding: Holding, trade: TradeLog) -> Holding:
    """What is held after a fill, as far as its value depends on it."""
    way = 1 if trade.action == "buy" else -1
    return Holding(
        quantity=holding.quantity + way * trade.token_base_units,
        curve_lamports=holding.curve_lamports + way * trade.curve_lamports,
    )


def _value(holding: Holding, coin: CoinHistory, number: int, at_us: int, costs: Costs) -> int:
    return value_lamports(holding, coin.reserves(number), from_us(at_us), costs) if holding.quantity else 0
