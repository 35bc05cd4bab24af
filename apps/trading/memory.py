"""The book of a backtest: orders, positions and the wallet in memory, the market as it was recorded.

A market is asked for one instant and answers with nothing later than that: look-ahead is impossible by construction.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import overload

from apps.discovery.curve import Reserves
from apps.trading.book import Terms
from apps.trading.bookings import released
from apps.trading.fills import Standing
from apps.trading.gate_queries import Origin
from apps.trading.hints import NoHints
from apps.trading.market import Market
from apps.trading.models import LedgerEntry, Order, Position, RiskLimits, Strategy, TradeLog, Wallet
from apps.trading.positions import cost_of_remaining
from apps.trading.queries import LONGEST_LOOK_BACK, Score, Tick
from apps.trading.together import Together
from apps.trading.valuation import holding_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NOTHING_SOLD = (0, 0)


def to_us(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """The instant so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True, slots=True)
class Known:
    """Reserves of a coin that are known apart from its trades, since when."""

    since: datetime
    reserves: Reserves | None


@dataclass(slots=True)
class CoinHistory:
    """All that is recorded of one coin; trades in order, as columns. `off_curve_at`: when it was found not to be on the
    standard curve."""

    first_seen_at: datetime
    off_curve_at: datetime | None
    graduated_at: datetime | None
    created: Known
    streamed: Known | None
    at_us: list[int] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)
    virtual_sol: list[int] = field(default_factory=list)
    virtual_token: list[int] = field(default_factory=list)
    initial_buy: int | None = None
    began_at: datetime | None = None
    creator: str | None = None
    creator_sold: dict[int, tuple[int, int]] = field(default_factory=dict)  # trade number: lamports, base units
    scores: list[Score] = field(default_factory=list)

    def reserves(self, index: int) -> Reserves:
        """What the trade of that number left."""
        return Reserves(self.virtual_sol[index], self.virtual_token[index])

    def ticks(self, since: datetime, to: datetime) -> Stretch:
        """The trades in a stretch, both ends included."""
        return Stretch(self, bisect_left(self.at_us, to_us(since)), bisect_right(self.at_us, to_us(to)))


class Stretch(Sequence[Tick]):
    """Some trades of a coin in a row, each made when it is looked at: most are not, for a position is left before."""

    __slots__ = ("_coin", "_first", "_last")

    def __init__(self, coin: CoinHistory, first: int, last: int) -> None:
        self._coin, self._first, self._last = coin, first, last

    def __len__(self) -> int:
        return max(0, self._last - self._first)

    def __iter__(self) -> Iterator[Tick]:
        return map(self._tick, range(self._first, self._last))

    @overload
    def __getitem__(self, index: int) -> Tick: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tick]: ...
    def __getitem__(self, index: int | slice) -> Tick | list[Tick]:
        found = range(self._first, self._last)[index]
        return list(map(self._tick, found)) if isinstance(found, range) else self._tick(found)

    def _tick(self, index: int) -> Tick:
        coin = self._coin
        sold = coin.creator_sold.get(index, NOTHING_SOLD)
        return Tick(from_us(coin.at_us[index]), coin.seq[index], coin.reserves(index), *sold)


@dataclass(frozen=True, slots=True)
class History:
    """A recorded stretch: coins by mint, and the times without a connection (start, end)."""

    coins: Mapping[str, CoinHistory]
    gaps: Sequence[tuple[datetime, datetime]] = ()

    def market_at(self, mint: str, at: datetime) -> Market:
        """As `queries.market_at`, from memory."""
        coin = self.coins.get(mint)
        if coin is None or coin.first_seen_at > at:
            return Market(mint, at, is_known=False)
        known, seq = self._last_known(coin, at)
        return Market(
            mint=mint,
            at=at,
            reserves=known.reserves,
            last_trade_at=known.since,
            last_seq=seq,
            is_standard=coin.off_curve_at is None or at < coin.off_curve_at,
            is_graduated=coin.graduated_at is not None and coin.graduated_at <= at,
            gap_ended_at=max((end for start, end in self.gaps if start < at and end > known.since), default=None),
            began_at=coin.began_at,
        )

    def _last_known(self, coin: CoinHistory, at: datetime) -> tuple[Known, int]:
        index = bisect_right(coin.at_us, to_us(at)) - 1
        if index >= 0 and coin.at_us[index] > to_us(at - LONGEST_LOOK_BACK):
            return Known(from_us(coin.at_us[index]), coin.reserves(index)), coin.seq[index]
        if coin.streamed is not None and coin.streamed.since <= at:
            return coin.streamed, -1
        return coin.created, -1


class MemoryBook(NoHints):
    """What one strategy does with its wallet in a backtest; wallet and strategy are changed, never saved."""

    def __init__(self, strategy: Strategy, history: History, terms: Terms, together: Together) -> None:
        self.history = history
        self.terms = terms
        self.together, self._limits = together, together.row()
        self.orders: dict[str, Order] = {}
        self.positions: list[Position] = []
        self.trades: list[TradeLog] = []
        self.ledger: list[LedgerEntry] = []
        self.filtered: Counter[str] = Counter()
        self._strategy, self._wallet = strategy, strategy.wallet
        self._by_id: dict[int, Order] = {}
        self._open: dict[str, Position] = {}
        self._due: list[tuple[datetime, str, Order]] = []
        self._leaving: Counter[int] = Counter()
        self._progress: tuple[datetime | None, int] = (None, -1)

    def atomic(self) -> AbstractContextManager[object]:
        return nullcontext()

    # Wallets

    def wallet(self, wallet_id: int) -> Wallet:
        return self._wallet

    def wallet_ids(self) -> Sequence[int]:
        return [self._wallet.pk]

    def wallet_save(self, wallet: Wallet, *fields: str) -> None:
        """The wallet is the one in memory already."""

    def invested(self, wallet: Wallet) -> tuple[dict[str, int], int]:
        lamports = Counter({mint: cost_of_remaining(holding_of(one)) for mint, one in self._open.items()})
        free = Counter({mint: not position.blocked_code for mint, position in self._open.items()})
        for order in self._in_flight():
            if order.side == "buy":
                lamports[order.mint] += order.lamports or 0
                free[order.mint] = True
        return dict(lamports), sum(map(bool, free.values()))

    def reserved(self, wallet: Wallet) -> int:
        return sum(order.reserved_lamports for order in self._in_flight())

    def spent(self, wallet: Wallet, since: datetime | None) -> int:
        bought = (trade for trade in self.trades if trade.action == "buy" and (since is None or trade.at >= since))
        waiting = sum(order.reserved_lamports for order in self._in_flight() if order.side == "buy")
        return waiting - sum(trade.balance_change_lamports for trade in bought)

    def result_of(self, wallet: Wallet, *, mint: str = "", creator: str | None = None) -> int:
        return sum(
            one.realized_pnl_lamports
            for one in self.positions
            if one.mint == mint or (creator and self.history.coins[one.mint].creator == creator)
        )

    def origin(self, mint: str) -> Origin:
        coin = self.history.coins.get(mint)
        return self.together.origin(mint, coin.creator if coin else None)

    def equity_add(self, wallet: Wallet, at: datetime, equity_lamports: int) -> None:
        """A backtest reads its equity at points of its own."""

    def _in_flight(self) -> list[Order]:
        return [order for _, _, order in self._due if order.status == Order.Status.SUBMITTED]

    # All wallets: there is one

    def limits_of_all(self, wallet: Wallet) -> RiskLimits:
        return self._limits

    def limits_save(self, limits: RiskLimits, *fields: str) -> None:
        """They are those in memory already."""

    def invested_by_all(self, kind: str, mint: str) -> tuple[int, int, int]:
        invested, count = self.invested(self._wallet)
        return sum(invested.values()), invested.get(mint, 0), count

    def money_of_all(self, kind: str) -> tuple[int, int]:
        cash = self._wallet.cash_lamports + self.reserved(self._wallet)
        day_start = self._wallet.day_start_equity_lamports
        return cash, cash if day_start is None else day_start

    def positions_of_all(self, kind: str) -> list[Position]:
        return self.positions_open(self._wallet)

    def result_of_all(self, kind: str, *, mint: str = "", creator: str | None = None) -> int:
        return self.result_of(self._wallet, mint=mint, creator=creator)

    def streak_of(self, kind: str, since: datetime, at: datetime) -> tuple[int, datetime | None]:
        ends = [(one.closed_at, one.realized_pnl_lamports < 0) for one in self.positions if one.closed_at is not None]
        ends = [end for end in ends if since <= end[0] <= at]
        won = max((closed_at for closed_at, lost in ends if not lost), default=EPOCH)
        losses = [closed_at for closed_at, _ in ends if closed_at > won]
        return len(losses), max(losses, default=None)

    # Strategies

    def strategy_of(self, order: Order) -> Strategy | None:
        return self._strategy

    def filtered_add(self, strategy: Strategy, at: datetime, reason: str) -> None:
        self.filtered[reason] += 1

    def exit_signal(self, wallet_id: int, mint: str, active_model_id: int, at: datetime) -> None:
        held = self._open.get(mint)
        if held is not None and held.leave_at is None and active_model_id in held.rules.get("exit_model_ids", ()):
            held.leave_at = at

    # Orders

    def order_of_key(self, key: str) -> Order | None:
        return self.orders.get(key)

    def order(self, order_id: int) -> Order:
        return self._by_id[order_id]

    def order_save(self, order: Order) -> None:
        if order.pk is None:
            self._order_add(order)
        elif order.status != Order.Status.SUBMITTED and order.side == "sell" and order.position_id is not None:
            self._leaving[order.position_id] -= 1

    def _order_add(self, order: Order) -> None:
        order.pk = len(self._by_id) + 1
        order.strategy, order.wallet = self._strategy, self._wallet
        self._by_id[order.pk] = self.orders[order.idempotency_key] = order
        if order.status == Order.Status.SUBMITTED and order.due_at is not None:
            heapq.heappush(self._due, (order.due_at, order.idempotency_key, order))
            if order.position_id is not None:
                self._leaving[order.position_id] += 1

    def order_announce(self, order: Order) -> None:
        """Nobody listens to a backtest."""

    def order_next_due(self, to: datetime) -> Order | None:
        while self._due and self._due[0][2].status != Order.Status.SUBMITTED:
            heapq.heappop(self._due)
        return self._due[0][2] if self._due and self._due[0][0] <= to else None

    def trade_add(self, trade: TradeLog) -> None:
        trade.pk = len(self.trades) + 1
        self.trades.append(trade)

    def trade_announce(self, trade: TradeLog, order: Order) -> None:
        """Nobody is told of a backtest."""

    def ledger_add(self, entry: LedgerEntry) -> None:
        entry.pk = len(self.ledger) + 1
        self.ledger.append(entry)

    def expire(self, at: datetime) -> int:
        """End what is in flight when the recorded time ends: its market never came. Returns how many."""
        left = self._in_flight()
        for order in left:
            self._wallet.cash_lamports += order.reserved_lamports
            if order.reserved_lamports:
                self.ledger_add(released(order, self._wallet, order.reserved_lamports, at))
            order.reserved_lamports = 0
            order.status, order.finished_at = Order.Status.EXPIRED, at
            self.order_save(order)
        self._due.clear()
        return len(left)

    # Positions

    def position(self, position_id: int) -> Position:
        return self.positions[position_id - 1]

    def position_held(self, wallet: Wallet, mint: str) -> Position | None:
        return self._open.get(mint)

    def position_save(self, position: Position, *fields: str) -> None:
        if position.pk is None:
            position.wallet = self._wallet
            self.positions.append(position)
            position.pk = len(self.positions)
        if position.status == Position.Status.OPEN:
            self._open[position.mint] = position
        else:
            self._open.pop(position.mint, None)

    def positions_open(self, wallet: Wallet) -> list[Position]:
        return list(self._open.values())

    def positions_to_judge(self, mints: Collection[str], to: datetime, ids: Sequence[int] | None) -> list[Position]:
        return [one for one in self._open.values() if self._is_due(one, mints, to, ids)]

    def _is_due(self, one: Position, mints: Collection[str], to: datetime, ids: Sequence[int] | None) -> bool:
        if one.blocked_code or self._leaving[one.pk] or (ids is not None and one.pk not in ids):
            return False
        if one.mint in mints or (one.timeout_at is not None and one.timeout_at <= to):
            return True
        return (one.leave_at is not None and one.leave_at <= to) or "model_below" in one.rules

    def is_being_sold(self, position: Position) -> bool:
        return self._leaving[position.pk] > 0

    def is_idle(self) -> bool:
        return not self._open and not self._in_flight()

    def pin(self, position: Position) -> None:
        """There is no feed that could leave a coin out."""

    # The market

    def trading_state(self) -> str:
        return "ACTIVE"

    def standing_of(self, mint: str) -> Standing:
        held = self._open.get(mint)
        return Standing(held.curve_lamports, held.quantity_base_units) if held else Standing(0, 0)

    def markets_at(self, mints: Iterable[str], at: datetime) -> Mapping[str, Market]:
        return {mint: self.history.market_at(mint, at) for mint in mints}

    def ticks_between(self, since: datetime, to: datetime, ids: Sequence[int] | None) -> Mapping[str, Sequence[Tick]]:
        held = self._open.values() if ids is None else [self.position(number) for number in ids]
        found = {one.mint: self.history.coins[one.mint].ticks(since, to) for one in held}
        return {mint: ticks for mint, ticks in found.items() if ticks}

    def scores_between(self, mints: Collection[str], since: datetime, to: datetime) -> Mapping[str, Sequence[Score]]:
        return {
            mint: [score for score in self.history.coins[mint].scores if since < score.as_of <= to] for mint in mints
        }

    def initial_buy(self, mint: str) -> int | None:
        return self.history.coins[mint].initial_buy

    def held_graduated(self, to: datetime) -> Mapping[str, datetime]:
        ended = {mint: self.history.coins[mint].graduated_at for mint in self._open}
        return {mint: at for mint, at in ended.items() if at is not None and at <= to}

    # How far everything is judged

    def progress(self) -> tuple[datetime | None, int]:
        return self._progress

    def progress_save(self, processed_at: datetime, seq: int) -> None:
        self._progress = processed_at, seq

    def progress_flush(self, **fields: datetime) -> None:
        """It is where it is kept."""
