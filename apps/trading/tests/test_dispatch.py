"""Real orders between us and a venue: sent at most once, never lost sight of, whatever dies where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.trading import dispatch, unlocking
from apps.trading.bookings import booking
from apps.trading.fills import Fill
from apps.trading.ledger import Entry
from apps.trading.ledger_queries import difference_of
from apps.trading.models import LedgerEntry, Order, Position, RealUnlock, TradeLog, TradingState, Wallet
from apps.trading.tests.conftest import SOL, World, at
from apps.trading.tests.rounds import run
from apps.trading.venues import (
    Answer,
    Expired,
    Filled,
    Note,
    OrderEndedError,
    Pending,
    Receipt,
    Rejected,
    Ticket,
    Unknown,
)

pytestmark = pytest.mark.django_db


class CrashError(BaseException):
    """What a power cut would be."""


class ChainVenue:
    """A venue with a memory of its own: what was sent there stays sent, whatever becomes of us."""

    def __init__(self) -> None:
        self.landed: dict[str, Answer] = {}
        self.sent: Counter[int] = Counter()
        self.says: Any = None

    def send(self, ticket: Ticket, note: Note) -> Answer | Pending | Unknown:
        signature = f"signature-{ticket.order_id}"
        note(Receipt(signature, {"height": 7}))
        self.sent[ticket.order_id] += 1
        self.landed[signature] = Filled(fill_of(ticket), signature)
        return self.says or self.landed[signature]

    def look(self, ticket: Ticket) -> Answer | Pending | Unknown:
        assert ticket.receipt is not None
        expired = Expired("BLOCKHASH_EXPIRED", "its blockhash has expired and it is in no block")
        return self.landed.get(ticket.receipt.signature, expired)


def fill_of(ticket: Ticket) -> Fill:
    """What the chain's balance changes would say."""
    buys = ticket.side == "buy"
    lamports = ticket.amount if buys else ticket.quoted_lamports
    return Fill(
        side=ticket.side,
        base_units=ticket.quoted_base_units if buys else ticket.amount,
        curve_lamports=lamports,
        protocol_fee=0,
        creator_fee=0,
        venue_fee=50,
        network_fee=5_000,
        tip=0,
        rent=0,
        virtual_loss=0,
        price_impact_bps=0,
        slippage_bps=0,
    )


@pytest.fixture
def order(started: World, settings: Any) -> Order:
    """A buy of a real wallet that is SUBMITTED: made as one of a test wallet, which then becomes real."""
    mint = started.coin()
    wallet = started.wallet()
    started.strategy(stop_loss_bps=None, take_profit_bps=None, timeout_seconds=60)
    started.alert(mint, 5)
    run(started, 5)
    made_real(wallet)
    settings.REAL_TRADING = True
    started.feed(6, mode="live", updated_at=timezone.now())
    return Order.objects.get()


def made_real(wallet: Wallet) -> None:
    cash = Wallet.objects.get(pk=wallet.pk).virtual_balance_lamports
    Wallet.objects.filter(pk=wallet.pk).update(
        wallet_type="REAL",
        real_balance_lamports=cash,
        virtual_balance_lamports=0,
        deposited_lamports=0,
        **dict.fromkeys(unlocking.CAPS, SOL),
    )
    now, caps = timezone.now(), unlocking.caps_of(Wallet.objects.get())
    RealUnlock.objects.create(
        wallet=wallet, username="owner", caps=caps, unlocked_at=now, expires_at=now + timedelta(1)
    )


def status() -> tuple[str, str]:
    order = Order.objects.order_by("id").last()
    assert order is not None
    return order.status, order.deny_code


def books_agree() -> None:
    assert difference_of(Wallet.objects.get()).total == 0


def test_order_is_sent_once_and_filled_by_what_the_chain_says(order: Order) -> None:
    venue = ChainVenue()
    assert dispatch.round_once(venue) == 1
    assert dispatch.round_once(venue) == 0
    trade, position = TradeLog.objects.get(), Position.objects.get()
    assert status() == ("FILLED", "")
    assert (trade.is_simulation, trade.signature) == (False, f"signature-{order.pk}")
    assert (position.quantity_base_units, position.curve_lamports) == (order.quoted_base_units, 0)
    assert venue.sent == {order.pk: 1}
    assert Wallet.objects.get().real_balance_lamports == 10 * SOL + trade.balance_change_lamports
    books_agree()


@pytest.mark.parametrize(
    ("answer", "expected", "keeps"),
    [
        (Pending(), ("SUBMITTED", ""), True),
        (Unknown("SEND_TIMED_OUT", "no answer"), ("UNKNOWN", "SEND_TIMED_OUT"), True),
        (Rejected("TRANSACTION_FAILED", "it failed", network_fee=5_000), ("REJECTED", "TRANSACTION_FAILED"), False),
        (Rejected("WRONG_TRANSACTION", "not ours", is_final=True), ("REJECTED", "WRONG_TRANSACTION"), False),
        (Expired("BLOCKHASH_EXPIRED", "too late"), ("EXPIRED", "BLOCKHASH_EXPIRED"), False),
    ],
)
def test_each_answer_ends_or_keeps_the_order(order: Order, answer: Any, expected: Any, keeps: bool) -> None:
    venue = ChainVenue()
    venue.says = answer
    dispatch.round_once(venue)
    assert status() == expected
    reserved = Order.objects.get().reserved_lamports
    assert (reserved > 0) is keeps
    fee = answer.network_fee if isinstance(answer, Rejected) else 0
    assert Wallet.objects.get().real_balance_lamports == 10 * SOL - reserved - fee
    books_agree()
    dispatch.round_once(venue)
    assert venue.sent == {order.pk: 1}
    if keeps:
        assert status() == ("FILLED", "")
        books_agree()


def test_order_of_a_replay_or_a_time_gone_by_is_not_sent(order: Order, started: World) -> None:
    venue = ChainVenue()
    started.feed(7, mode="replay")
    dispatch.round_once(venue)
    assert (status(), venue.sent) == (("EXPIRED", "FEED_NOT_LIVE"), {})
    books_agree()


def test_order_that_waited_too_long_is_not_sent(order: Order) -> None:
    Order.objects.update(created_at=timezone.now() - timedelta(seconds=30))
    venue = ChainVenue()
    dispatch.round_once(venue)
    assert (status(), venue.sent) == (("EXPIRED", "ORDER_TOO_OLD"), {})


def test_order_of_a_wallet_that_was_locked_meanwhile_is_not_sent(order: Order) -> None:
    RealUnlock.objects.update(ended_at=timezone.now())
    venue = ChainVenue()
    dispatch.round_once(venue)
    assert (status(), venue.sent) == (("EXPIRED", "REAL_TRADING_LOCKED"), {})
    books_agree()


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (lambda: TradingState.objects.update(state="HALTED"), "TRADING_HALTED"),
        (lambda: RealUnlock.objects.update(ended_at=timezone.now()), "REAL_TRADING_LOCKED"),
    ],
)
def test_order_that_is_being_built_when_all_is_stopped_is_not_sent(
    order: Order, stop: Callable[[], object], code: str
) -> None:
    class Slow(ChainVenue):
        def send(self, ticket: Ticket, note: Note) -> Answer | Pending | Unknown:
            stop()
            return super().send(ticket, note)

    venue = Slow()
    dispatch.round_once(venue)
    assert (status(), venue.sent) == (("EXPIRED", code), {})
    assert Order.objects.get().signature is None
    books_agree()


def test_claim_without_a_receipt_was_never_sent_and_cannot_be_later(order: Order) -> None:
    venue = ChainVenue()
    assert dispatch.claim(order.pk)
    assert not dispatch.claim(order.pk)
    dispatch.round_once(venue)
    assert status() == ("SUBMITTED", "")
    Order.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    dispatch.round_once(venue)
    assert (status(), venue.sent) == (("EXPIRED", "NEVER_SENT"), {})
    with pytest.raises(OrderEndedError):  # a process that was only asleep wakes up
        dispatch.receipt_note(order.pk, Receipt("late"))


def test_sale_that_failed_is_tried_again_after_a_pause(order: Order, started: World) -> None:
    venue = ChainVenue()
    dispatch.round_once(venue)
    position = Position.objects.get()
    sale = order_of_sale(position)
    venue.says = Rejected("TRANSACTION_FAILED", "it failed", network_fee=5_000)
    started.feed(70, mode="live", updated_at=timezone.now())
    dispatch.round_once(venue)
    first, second = Order.objects.filter(side="sell").order_by("id")
    assert (first.pk, first.status, second.deny_code or second.status) in [
        (sale.pk, "REJECTED", "SUBMITTED"),
        (sale.pk, "REJECTED", "REAL_TRADING_LOCKED"),
    ]
    dispatch.round_once(venue)
    assert venue.sent[second.pk] == 0
    books_agree()


def order_of_sale(position: Position) -> Order:
    """A sale as the engine makes it, whatever the gate thinks of real wallets."""
    order = Order.objects.create(
        idempotency_key="sale",
        wallet_id=position.wallet_id,
        position=position,
        mint=position.mint,
        side="sell",
        status="SUBMITTED",
        base_units=position.quantity_base_units,
        quoted_lamports=SOL // 20,
        slippage_bps=500,
        decided_at=at(60),
        due_at=at(61),
    )
    wallet = Wallet.objects.get()
    booking(wallet, LedgerEntry.Kind.RESERVE, [Entry("cash", 0)], at(60), order=order).save()
    return order


class Fuse:
    """Lets so many statements pass, then nothing but the undoing of a transaction (here: a savepoint)."""

    def __init__(self, statements: int) -> None:
        self.left = statements

    def __call__(self, execute: Any, sql: str, *arguments: Any) -> Any:
        if "SAVEPOINT" in sql:
            return execute(sql, *arguments)
        self.left -= 1
        if self.left < 0:
            raise CrashError
        return execute(sql, *arguments)


def test_cut_off_before_any_statement_nothing_is_sent_twice_or_lost(order: Order) -> None:
    ends = Counter(_cut_off(order, statements) for statements in range(40))
    assert set(ends) == {("EXPIRED", 0), ("FILLED", 1)}
    assert ends["FILLED", 1] > 20


def _cut_off(order: Order, statements: int) -> tuple[str, int]:
    """Die after so many statements, come back twice; how the order ended and how often it was sent."""
    venue, before = ChainVenue(), transaction.savepoint()
    with suppress(CrashError), connection.execute_wrapper(Fuse(statements)):
        dispatch.round_once(venue)
    Order.objects.filter(sent_at__isnull=False).update(sent_at=timezone.now() - timedelta(hours=1))
    dispatch.round_once(venue)
    dispatch.round_once(venue)
    assert TradeLog.objects.count() == sum(venue.sent.values())
    books_agree()
    end = status()[0], venue.sent[order.pk]
    transaction.savepoint_rollback(before)
    return end
