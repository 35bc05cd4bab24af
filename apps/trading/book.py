"""Where the engine keeps what it decides: the tables when it trades on paper, memory in a backtest.

Orders, risk, exits and positions are decided by one code (`orders`, `execution`, `engine`); it reads and writes through
a `Book` and knows nothing else of the two. A book keeps, finds and sorts; it decides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.core import live
from apps.core.units import lamports_to_sol
from apps.discovery.pins import coin_pin, coin_unpin
from apps.trading import metrics, queries, strategies
from apps.trading.fills import Standing
from apps.trading.market import Market
from apps.trading.models import LedgerEntry, Order, Position, Strategy, TradeLog, TraderProgress, Wallet
from apps.trading.queries import Score, Tick
from apps.trading.webhooks import trade_tell


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
    def invested(self, wallet: Wallet) -> tuple[dict[str, int], int]: ...
    def reserved(self, wallet: Wallet) -> int: ...

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
    def trade_add(self, trade: TradeLog, order: Order) -> None: ...
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

    # How far everything is judged
    def progress(self) -> tuple[datetime | None, int]: ...
    def progress_save(self, processed_at: datetime, seq: int) -> None: ...


class TableBook:
    """The book of paper trading: the tables, with their locks."""

    @property
    def terms(self) -> Terms:
        return terms_set()

    def atomic(self) -> AbstractContextManager[object]:
        return transaction.atomic(savepoint=False)

    def wallet(self, wallet_id: int) -> Wallet:
        return Wallet.objects.select_for_update().get(pk=wallet_id)

    def wallet_ids(self) -> Sequence[int]:
        return list(Wallet.objects.order_by("pk").values_list("pk", flat=True))

    def wallet_save(self, wallet: Wallet, *fields: str) -> None:
        wallet.save(update_fields=fields)

    def invested(self, wallet: Wallet) -> tuple[dict[str, int], int]:
        return queries.invested_lamports(wallet)

    def reserved(self, wallet: Wallet) -> int:
        return queries.reserved_lamports(wallet)

    def strategy_of(self, order: Order) -> Strategy | None:
        return strategies.strategy_of(order)

    def filtered_add(self, strategy: Strategy, at: datetime, reason: str) -> None:
        strategies.filtered_add(strategy, at, reason)

    def exit_signal(self, wallet_id: int, mint: str, active_model_id: int, at: datetime) -> None:
        held = Position.objects.filter(wallet_id=wallet_id, mint=mint, status="OPEN", leave_at=None)
        held.filter(rules__exit_model_ids__contains=active_model_id).update(leave_at=at)

    def order_of_key(self, key: str) -> Order | None:
        return Order.objects.filter(idempotency_key=key).first()

    def order(self, order_id: int) -> Order:
        wallet_id = Order.objects.values_list("wallet_id", flat=True).get(pk=order_id)
        self.wallet(wallet_id)
        return Order.objects.select_for_update().get(pk=order_id)

    def order_save(self, order: Order) -> None:
        order.save()

    def order_announce(self, order: Order) -> None:
        transaction.on_commit(lambda: _announce_now(order))

    def order_next_due(self, to: datetime) -> Order | None:
        return queries.order_next_due(to)

    def trade_add(self, trade: TradeLog, order: Order) -> None:
        trade.save()
        trade_tell(trade, order)
        if trade.status == "SUCCESS":
            sol = float(lamports_to_sol(trade.curve_lamports))
            transaction.on_commit(lambda: metrics.TRADE_VOLUME_SOL_TOTAL.inc(sol))

    def ledger_add(self, entry: LedgerEntry) -> None:
        entry.save(force_insert=True)

    def position(self, position_id: int) -> Position:
        return Position.objects.select_related("wallet").get(pk=position_id)

    def position_held(self, wallet: Wallet, mint: str) -> Position | None:
        return Position.objects.select_for_update().filter(wallet=wallet, mint=mint, status="OPEN").first()

    def position_save(self, position: Position, *fields: str) -> None:
        if fields:
            Position.objects.filter(pk=position.pk).update(**{name: getattr(position, name) for name in fields})
        else:
            position.save()

    def positions_open(self, wallet: Wallet) -> list[Position]:
        return list(queries.positions_open(wallet=wallet))

    def positions_to_judge(self, mints: Collection[str], to: datetime, ids: Sequence[int] | None) -> list[Position]:
        due = Q(mint__in=mints) | Q(timeout_at__lte=to) | Q(leave_at__lte=to) | Q(rules__has_key="model_below")
        return queries.positions_to_judge(due if ids is None else due & Q(id__in=ids))

    def is_being_sold(self, position: Position) -> bool:
        return queries.orders_in_flight(position=position, side="sell").exists()

    def is_idle(self) -> bool:
        return not (queries.positions_open().exists() or queries.orders_in_flight().exists())

    def pin(self, position: Position) -> None:
        pin = coin_pin if position.status == Position.Status.OPEN else coin_unpin
        pin(mint=position.mint, holder=f"position:{position.pk}")

    def trading_state(self) -> str:
        return queries.trading_state_locked() if transaction.get_connection().in_atomic_block else _state_now()

    def standing_of(self, mint: str) -> Standing:
        return queries.standing_of(mint)

    def markets_at(self, mints: Iterable[str], at: datetime) -> Mapping[str, Market]:
        return queries.markets_at(mints, at)

    def ticks_between(self, since: datetime, to: datetime, ids: Sequence[int] | None) -> Mapping[str, Sequence[Tick]]:
        return queries.ticks_between(since, to, ids)

    def scores_between(self, mints: Collection[str], since: datetime, to: datetime) -> Mapping[str, Sequence[Score]]:
        return queries.scores_between(mints, since, to)

    def initial_buy(self, mint: str) -> int | None:
        return queries.initial_buy_of(mint)

    def held_graduated(self, to: datetime) -> Mapping[str, datetime]:
        return queries.held_graduated(to)

    def progress(self) -> tuple[datetime | None, int]:
        row = queries.progress()
        return row.processed_at, row.processed_seq

    def progress_save(self, processed_at: datetime, seq: int) -> None:
        TraderProgress.objects.filter(id=1).update(processed_at=processed_at, processed_seq=seq)


def _state_now() -> str:
    return str(queries.trading_state().state)


def _announce_now(order: Order) -> None:
    """Count an order and tell the browsers."""
    if order.status != Order.Status.SUBMITTED:
        metrics.TRADES_TOTAL.labels(action=order.side, status=order.status.lower()).inc()
    for topic in ("trading", "dashboard"):
        live.publish(topic)


TABLES = TableBook()
