"""Where the engine keeps what it decides: the tables when it trades on paper, memory in a backtest.

Orders, risk, exits and positions are decided by one code (`orders`, `execution`, `engine`); it reads and writes through
a `Book` and knows nothing else of the two. A book keeps, finds and sorts; it decides nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from django.conf import settings
from django.db import transaction

from apps.core import live
from apps.core.units import lamports_to_sol
from apps.discovery.pins import coin_pin, coin_unpin
from apps.trading import gate_queries, metrics, queries, rows, strategies
from apps.trading.fills import Standing
from apps.trading.gate_queries import Origin
from apps.trading.hints import Hint, TableHints
from apps.trading.market import Market
from apps.trading.models import (
    EquityPoint,
    LedgerEntry,
    Order,
    Position,
    RiskLimits,
    Strategy,
    TradeLog,
    TraderProgress,
    Wallet,
)
from apps.trading.queries import Score, Tick
from apps.trading.webhooks import trade_tell

if TYPE_CHECKING:
    from apps.trading.orders import BuyIntent

ENDING = ["status", "deny_code", "message", "reserved_lamports", "position", "finished_at"]


@dataclass(frozen=True, slots=True)
class Terms:
    """How orders travel: milliseconds from decision to venue (least, most) and the share that fails on its way."""

    latency_ms: int
    latency_max_ms: int
    failure_rate: float

    def latency(self, key: str) -> timedelta:
        """The time the order `key` takes: even between least and most, and for the same order always the same."""
        spread = max(0, self.latency_max_ms - self.latency_ms)
        digest = hashlib.blake2b(key.encode(), digest_size=8, person=b"latency").digest()
        return timedelta(milliseconds=self.latency_ms + int.from_bytes(digest, "big") % (spread + 1))


def terms_set() -> Terms:
    """The terms of the settings. A most below the least means the least for every order."""
    return Terms(settings.TRADING_LATENCY_MS, settings.TRADING_LATENCY_MAX_MS, settings.PAPER_FAILURE_RATE)


class Book(Protocol):
    """What the engine reads and writes. Rows are instances of the models, whether or not a table holds them."""

    @property
    def terms(self) -> Terms: ...
    def atomic(self) -> AbstractContextManager[object]:
        """All that is written inside is written, or nothing."""

    # Wallets
    def wallet(self, wallet_id: int) -> Wallet:
        """The wallet, nobody else's until the transaction ends."""

    def wallet_ids(self) -> Sequence[int]: ...
    def wallet_save(self, wallet: Wallet, *fields: str) -> None: ...
    def invested(self, wallet: Wallet) -> tuple[dict[str, int], int]:
        """What is in each coin, and how many of them can be left."""

    def reserved(self, wallet: Wallet) -> int: ...
    def spent(self, wallet: Wallet, since: datetime | None) -> int:
        """What its buys have cost since then, or ever."""

    def result_of(self, wallet: Wallet, *, mint: str = "", creator: str | None = None) -> int:
        """What it has gained on what it sold of a coin, or of a creator's coins."""

    def origin(self, mint: str) -> Origin: ...
    def equity_add(self, wallet: Wallet, at: datetime, equity_lamports: int) -> None:
        """Keep what a wallet is worth at a feed time."""

    # All wallets of a kind: TEST, REAL
    def limits_of_all(self, wallet: Wallet) -> RiskLimits:
        """The limits of all wallets of its kind, nobody else's until the transaction ends."""

    def limits_save(self, limits: RiskLimits, *fields: str) -> None: ...
    def invested_by_all(self, kind: str, mint: str) -> tuple[int, int, int]:
        """What is in positions and buys on their way: in all, in one coin, and in how many."""

    def money_of_all(self, kind: str) -> tuple[int, int]:
        """Cash and reservations, and the equity at the start of the day."""

    def positions_of_all(self, kind: str) -> list[Position]: ...
    def result_of_all(self, kind: str, *, mint: str = "", creator: str | None = None) -> int:
        """As `result_of`."""

    def streak_of(self, kind: str, since: datetime, at: datetime) -> tuple[int, datetime | None]:
        """Losses in a row up to `at`, not counting those before `since`; when the last was."""

    # Strategies
    def strategy_of(self, order: Order) -> Strategy | None:
        """The strategy in the version that made an order."""

    def filtered_add(self, strategy: Strategy, at: datetime, reason: str) -> None:
        """Count an alert that the strategy lets pass, decided at this feed time."""

    def exit_signal(self, wallet_id: int, mint: str, active_model_id: int, at: datetime) -> None:
        """A model has spoken: a position that this model says sell of is to be left from this feed time on."""

    # Orders
    def order_of_key(self, key: str) -> Order | None: ...
    def order(self, order_id: int) -> Order:
        """The order; locked. Its wallet is locked first."""

    def order_save(self, order: Order) -> None: ...
    def order_announce(self, order: Order) -> None: ...
    def order_next_due(self, to: datetime) -> Order | None: ...
    def trade_add(self, trade: TradeLog) -> None: ...
    def trade_announce(self, trade: TradeLog, order: Order) -> None: ...
    def ledger_add(self, entry: LedgerEntry) -> None: ...

    # Positions
    def position(self, position_id: int) -> Position: ...
    def position_held(self, wallet: Wallet, mint: str) -> Position | None: ...
    def position_save(self, position: Position, *fields: str) -> None: ...
    def positions_open(self, wallet: Wallet) -> list[Position]: ...
    def positions_to_judge(self, mints: Collection[str], to: datetime, ids: Sequence[int] | None) -> list[Position]:
        """Those that nothing blocks and that are not being left, of these coins or with a deadline until `to`, and
        those that ask for scores."""

    def is_being_sold(self, position: Position) -> bool: ...
    def is_idle(self) -> bool:
        """Whether nothing is held and nothing is in flight."""

    def pin(self, position: Position) -> None:
        """The feed must not leave out a coin that is held."""

    # The market
    def trading_state(self) -> str: ...
    def standing_of(self, mint: str) -> Standing: ...
    def markets_at(self, mints: Iterable[str], at: datetime) -> Mapping[str, Market]: ...
    def ticks_between(self, since: datetime, to: datetime, ids: Sequence[int] | None) -> Mapping[str, Sequence[Tick]]:
        """The trades of held coins, ends included; of the coins of the positions `ids` at least."""

    def scores_between(self, mints: Collection[str], since: datetime, to: datetime) -> Mapping[str, Sequence[Score]]:
        """The scores of these coins with since < as_of <= to, in order."""

    def initial_buy(self, mint: str) -> int | None:
        """Base units that the creator bought with the creation."""

    def held_graduated(self, to: datetime) -> Mapping[str, datetime]: ...

    # What is to come (`hints`)
    def buy_ahead(self, intent: BuyIntent) -> Hint: ...
    def fill_ahead(self, order: Order) -> Hint: ...
    def judging_ahead(self, since: datetime, to: datetime, ids: Sequence[int] | None) -> Hint: ...
    def writing(self) -> Hint: ...

    # How far everything is judged
    def progress(self) -> tuple[datetime | None, int]: ...
    def progress_save(self, processed_at: datetime, seq: int) -> None:
        """Go on from here; it is written with the next decision, or by `progress_flush`."""

    def progress_flush(self, **fields: datetime) -> None:
        """Write how far everything is judged."""


class TableBook(TableHints):
    """The book of paper trading: the tables, with their locks.

    How far the trader has come is kept in memory within a round (each thread its own) and written with every decision
    and at the end: what a crash leaves unwritten is judged again, with the same result.
    """

    def __init__(self) -> None:
        self._round = _Round()

    @property
    def terms(self) -> Terms:
        return terms_set()

    def atomic(self) -> AbstractContextManager[object]:
        return transaction.atomic(savepoint=False)

    def wallet(self, wallet_id: int) -> Wallet:
        return rows.wallet_locked(wallet_id)

    def wallet_ids(self) -> Sequence[int]:
        return list(Wallet.objects.order_by("pk").values_list("pk", flat=True))

    def wallet_save(self, wallet: Wallet, *fields: str) -> None:
        rows.WALLETS.update(wallet, *fields)

    def invested(self, wallet: Wallet) -> tuple[dict[str, int], int]:
        return queries.invested_lamports(wallet)

    def reserved(self, wallet: Wallet) -> int:
        return queries.reserved_lamports(wallet)

    def spent(self, wallet: Wallet, since: datetime | None) -> int:
        return gate_queries.spent_of(wallet, since)

    def result_of(self, wallet: Wallet, *, mint: str = "", creator: str | None = None) -> int:
        return gate_queries.result_of(wallet.wallet_type, wallet=wallet, mint=mint, creator=creator)

    def limits_of_all(self, wallet: Wallet) -> RiskLimits:
        return gate_queries.limits_locked(wallet.wallet_type)

    def limits_save(self, limits: RiskLimits, *fields: str) -> None:
        rows.LIMITS.update(limits, *fields)

    def invested_by_all(self, kind: str, mint: str) -> tuple[int, int, int]:
        return gate_queries.invested_by_all(kind, mint)

    def money_of_all(self, kind: str) -> tuple[int, int]:
        return gate_queries.money_of_all(kind)

    def positions_of_all(self, kind: str) -> list[Position]:
        return list(queries.positions_open(wallet__wallet_type=kind))

    def result_of_all(self, kind: str, *, mint: str = "", creator: str | None = None) -> int:
        return gate_queries.result_of(kind, mint=mint, creator=creator)

    def streak_of(self, kind: str, since: datetime, at: datetime) -> tuple[int, datetime | None]:
        return gate_queries.streak_of(kind, since, at)

    def origin(self, mint: str) -> Origin:
        return gate_queries.origin_of(mint)

    def equity_add(self, wallet: Wallet, at: datetime, equity_lamports: int) -> None:
        cash = wallet.cash_lamports + self.reserved(wallet)
        values = {"cash_lamports": cash, "positions_lamports": equity_lamports - cash}
        EquityPoint.objects.update_or_create(wallet=wallet, at=at, defaults=values)

    def strategy_of(self, order: Order) -> Strategy | None:
        if order.strategy_id is not None and "strategy" not in order._state.fields_cache:
            order.strategy = rows.STRATEGIES.first(rows.BY_ID, {"id": order.strategy_id})
        return strategies.strategy_of(order)

    def filtered_add(self, strategy: Strategy, at: datetime, reason: str) -> None:
        strategies.filtered_add(strategy, at, reason)

    def exit_signal(self, wallet_id: int, mint: str, active_model_id: int, at: datetime) -> None:
        rows.position_leave(wallet_id, mint, active_model_id, at)

    def order_of_key(self, key: str) -> Order | None:
        return rows.order_of_key(key)

    def order(self, order_id: int) -> Order:
        return rows.order_locked(order_id)

    def order_save(self, order: Order) -> None:
        if order.pk:
            rows.ORDERS.update(order, *ENDING)
        else:
            rows.ORDERS.insert(order)

    def order_announce(self, order: Order) -> None:
        transaction.on_commit(lambda: _announce_now(order))

    def order_next_due(self, to: datetime) -> Order | None:
        return rows.order_next_due(to)

    def trade_add(self, trade: TradeLog) -> None:
        rows.TRADES.insert(trade)

    def trade_announce(self, trade: TradeLog, order: Order) -> None:
        trade_tell(trade, order)
        if trade.status == "SUCCESS":
            sol = float(lamports_to_sol(trade.curve_lamports))
            transaction.on_commit(lambda: metrics.TRADE_VOLUME_SOL_TOTAL.inc(sol))

    def ledger_add(self, entry: LedgerEntry) -> None:
        rows.LEDGER.append(entry)

    def position(self, position_id: int) -> Position:
        return rows.position(position_id)

    def position_held(self, wallet: Wallet, mint: str) -> Position | None:
        return rows.position_held(wallet.pk, mint)

    def position_save(self, position: Position, *fields: str) -> None:
        if position.pk:
            rows.POSITIONS.update(position, *fields)
        else:
            rows.POSITIONS.insert(position)

    def positions_open(self, wallet: Wallet) -> list[Position]:
        return rows.positions_open(wallet.pk)

    def positions_to_judge(self, mints: Collection[str], to: datetime, ids: Sequence[int] | None) -> list[Position]:
        return rows.positions_to_judge(mints, to, ids)

    def is_being_sold(self, position: Position) -> bool:
        return rows.is_being_sold(position.pk)

    def is_idle(self) -> bool:
        return not (queries.positions_open().exists() or queries.orders_in_flight().exists())

    def pin(self, position: Position) -> None:
        pin = coin_pin if position.status == Position.Status.OPEN else coin_unpin
        pin(mint=position.mint, holder=f"position:{position.pk}")

    def trading_state(self) -> str:
        return queries.trading_state_locked() if transaction.get_connection().in_atomic_block else rows.trading_state()

    def standing_of(self, mint: str) -> Standing:
        return rows.standing_of(mint)

    def markets_at(self, mints: Iterable[str], at: datetime) -> Mapping[str, Market]:
        return queries.markets_at(mints, at)

    def ticks_between(self, since: datetime, to: datetime, ids: Sequence[int] | None) -> Mapping[str, Sequence[Tick]]:
        return queries.ticks_between(since, to, ids)

    def scores_between(self, mints: Collection[str], since: datetime, to: datetime) -> Mapping[str, Sequence[Score]]:
        return queries.scores_between(mints, since, to)

    def initial_buy(self, mint: str) -> int | None:
        return rows.initial_buy_of(mint)

    def held_graduated(self, to: datetime) -> Mapping[str, datetime]:
        return queries.held_graduated(to)

    def progress(self) -> tuple[datetime | None, int]:
        if self._round.place is None:
            self._round.place = rows.progress()
        return self._round.place

    def progress_save(self, processed_at: datetime, seq: int) -> None:
        self._round.place, self._round.is_unsaved = (processed_at, seq), True

    def progress_flush(self, **fields: datetime) -> None:
        unsaved = self._round.place if self._round.is_unsaved else None
        changed: dict[str, object] = {**fields}
        if unsaved is not None:
            changed |= {"processed_at": unsaved[0], "processed_seq": unsaved[1]}
        if changed:
            rows.PROGRESS.update(TraderProgress(id=1, **changed), *changed)
        self._round.is_unsaved = False

    def progress_forget(self) -> None:
        """Begin a round: read the place that is written."""
        self._round.place, self._round.is_unsaved = None, False


class _Round(threading.local):
    """Where the trader of this thread is within its round."""

    place: tuple[datetime | None, int] | None = None
    is_unsaved = False


def _announce_now(order: Order) -> None:
    """Count an order and tell the browsers."""
    if order.status != Order.Status.SUBMITTED:
        metrics.TRADES_TOTAL.labels(action=order.side, status=order.status.lower()).inc()
    for topic in ("trading", "dashboard"):
        live.publish(topic)


TABLES = TableBook()
