"""Sending the orders of real wallets, outside of any transaction, and following them to their end.

What may be done with an order is decided by what is written down: it is claimed (`sent_at`) before anything is done,
its transaction is noted (`signature`) before that is sent, and its end is booked once. So a process may die between any
two lines, and two may work at once: an order is never sent twice, and none is lost sight of (see `venues`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from apps.discovery.curve import BPS
from apps.discovery.models import Coin, StreamState
from apps.trading import fee_account, queries, unlocking
from apps.trading.book import TABLES
from apps.trading.execution import order_settle
from apps.trading.judging import judge_again
from apps.trading.models import Order, Position, TradingState
from apps.trading.orders import wallet_locked
from apps.trading.valuation import costs_of
from apps.trading.venues import (
    Answer,
    Expired,
    Note,
    OrderEndedError,
    OrderStoppedError,
    Pending,
    Receipt,
    Rejected,
    Ticket,
    Unknown,
    Venue,
)

logger = logging.getLogger(__name__)

AT_ONCE = 4
CLAIM_LASTS = timedelta(minutes=2)  # a venue that is still working on an order notes its receipt by then, or never
SALES_APART = timedelta(seconds=2)  # a sale that failed is tried again so long after it was begun


def round_once(venue: Venue, each: Callable[[Callable[[Order], None], Iterable[Order]], object] | None = None) -> int:
    """Send what was never sent and ask for the rest; returns how many orders of real wallets are under way.

    `each` runs a function over orders (a pool's `map`; by default one after the other).
    """
    under_way = queries.orders_in_flight(wallet__wallet_type="REAL").select_related("wallet")
    orders = list(under_way.order_by("id"))
    for _ in (each or map)(lambda order: _advance(order, venue), orders):  # type: ignore[attr-defined]
        pass
    return len(orders)


def is_needed() -> bool:
    """Whether an order of a real wallet is under way."""
    return queries.orders_in_flight(wallet__wallet_type="REAL").exists()


def pool() -> ThreadPoolExecutor:
    """Threads for `round_once(venue, pool.map)`: a slow answer holds up no other order of the round."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dispatch")


def _advance(order: Order, venue: Venue) -> None:
    """The next step of one order. Whatever the venue raises, the order stays where it can be asked for again."""
    try:
        if order.sent_at is None:
            _begin(order, venue)
        elif order.signature is not None:
            _book(order, venue.look(ticket_of(order)))
        elif order.sent_at < timezone.now() - CLAIM_LASTS:
            _book(order, Expired("NEVER_SENT", "the process that was to send it ended before it had signed it"))
    except Exception:
        logger.exception("order %s: the venue did not answer", order.idempotency_key)
        _book_failed(order.pk)
    finally:
        if not connections["default"].in_atomic_block:
            connections["default"].close_if_unusable_or_obsolete()


def _begin(order: Order, venue: Venue) -> None:
    """Claim an order and send it, or let it expire where it has come too late to be what was meant."""
    if refused := _refused(order):
        _book(order, refused)
    elif not _is_resting(order) and claim(order.pk):
        order.sent_at = timezone.now()
        try:
            _book(order, venue.send(ticket_of(order), _noter(order.pk)))
        except OrderStoppedError as stop:
            _book(order, stop.answer)


def _is_resting(order: Order) -> bool:
    """Whether a sale of the same position was begun a moment ago: then this one waits."""
    if order.position_id is None:
        return False
    others = Order.objects.filter(position_id=order.position_id, side="sell").exclude(pk=order.pk)
    return others.filter(sent_at__gt=timezone.now() - SALES_APART).exists()


def _refused(order: Order) -> Expired | None:
    """Why an order must not be sent any more, judged by the wall clock."""
    state = StreamState.objects.filter(id=1).first()
    if state is None or state.mode != "live":
        return Expired("FEED_NOT_LIVE", "real orders are sent only while the feed is live, never in a replay")
    if stopped := _stopped(order, queries.trading_state().state):
        return Expired(*stopped)
    if order.created_at < timezone.now() - timedelta(seconds=settings.ORDER_VALID_SECONDS):
        return Expired("ORDER_TOO_OLD", f"it was not sent within {settings.ORDER_VALID_SECONDS:g} seconds")
    return None


def _stopped(order: Order, trading_state: str) -> tuple[str, str] | None:
    """Code and reason why an order may not be sent, whatever its age."""
    if trading_state == TradingState.State.HALTED:
        return "TRADING_HALTED", "trading was halted before it was sent"
    if trading_state == TradingState.State.REDUCING and order.side == "buy":
        return "TRADING_REDUCING", "trading was set to leave positions only before it was sent"
    if not _is_allowed(order):
        return "REAL_TRADING_LOCKED", "real trading was locked before it was sent"
    return None


def _may_send(order_id: int) -> bool:
    """Asked right before each sending, of what is written down at that moment."""
    order = Order.objects.select_related("wallet").get(pk=order_id)
    return _stopped(order, queries.trading_state().state) is None


def _is_allowed(order: Order) -> bool:
    return (unlocking.may_buy if order.side == "buy" else unlocking.may_sell)(order.wallet)


def claim(order_id: int) -> bool:
    """Whether the order is ours to send: true once for an order, ever, and committed when this returns."""
    waiting = Order.objects.filter(pk=order_id, status=Order.Status.SUBMITTED, sent_at__isnull=True)
    return bool(waiting.update(sent_at=timezone.now()))


@transaction.atomic
def receipt_note(order_id: int, receipt: Receipt) -> None:
    """Commit what finds a transaction again; nothing is sent that this has not committed.

    The kill switch and the locking of a wallet wait for it, so once either has been set no order is noted any more.
    Raises OrderStoppedError then, and for a buy that would pay PumpPortal's fee to another account; OrderEndedError
    where the order has ended or has a receipt already.
    """
    order = TABLES.order(order_id)
    if stopped := _stopped(order, queries.trading_state_locked()):
        raise OrderStoppedError(*stopped)
    if other := fee_account.refused(order, receipt.details.get("fee_account", ""), timezone.now()):
        raise OrderStoppedError(*other)
    waiting = Order.objects.filter(pk=order_id, status=Order.Status.SUBMITTED, signature__isnull=True)
    if not waiting.update(signature=receipt.signature, receipt=receipt.details):
        raise OrderEndedError(f"order {order_id} has ended or has a receipt already")


def _noter(order_id: int) -> Note:
    return lambda receipt: receipt_note(order_id, receipt)


def ticket_of(order: Order) -> Ticket:
    """The order as its venue sees it."""
    position = Position.objects.filter(wallet_id=order.wallet_id, mint=order.mint, status="OPEN").first()
    quoted_units, quoted_lamports = order.quoted_base_units or 0, order.quoted_lamports or 0
    is_buy = order.side == "buy"
    return Ticket(
        order_id=order.pk,
        key=order.idempotency_key,
        wallet_id=order.wallet_id,
        mint=order.mint,
        side="buy" if is_buy else "sell",
        amount=(order.lamports if is_buy else order.base_units) or 0,
        quoted_base_units=quoted_units,
        quoted_lamports=quoted_lamports,
        least_base_units=quoted_units * BPS // (BPS + order.slippage_bps) if is_buy else 0,
        least_lamports=0 if is_buy else quoted_lamports * (BPS - order.slippage_bps) // BPS,
        most_lamports=order.reserved_lamports,
        slippage_bps=order.slippage_bps,
        costs=costs_of(order.wallet),
        moves_rent=position is None if is_buy else position is None or position.quantity_base_units == order.base_units,
        is_graduated=Coin.objects.filter(mint=order.mint, graduated=True).exists(),
        may_send=lambda: _may_send(order.pk),
        sent_at=order.sent_at,
        receipt=Receipt(order.signature, order.receipt) if order.signature else None,
    )


def _book(order: Order, answer: Answer | Pending | Unknown) -> None:
    """Write what a venue has answered."""
    match answer:
        case Pending():
            return
        case Unknown():
            unknown_note(order.pk, answer)
        case _:
            settle(order.pk, answer)


def unknown_note(order_id: int, answer: Unknown) -> None:
    """An order whose end is not known: it keeps what it has reserved and is asked for until it is."""
    doubtful = Order.objects.filter(pk=order_id, status__in=Order.IN_FLIGHT)
    doubtful.update(status=Order.Status.UNKNOWN, deny_code=answer.code, message=answer.message)


@transaction.atomic
def settle(order_id: int, answer: Answer) -> Order:
    """Book the end of a real order, and judge again a position that it has not sold."""
    wallet_locked(Order.objects.values_list("wallet_id", flat=True).get(pk=order_id))
    order = order_settle(order_id=order_id, answer=answer, at=_moment(order_id))
    if order.sent_at is not None:  # what could not even be sent is not repeated at once
        judge_again(order, TABLES)
    return order


def _moment(order_id: int) -> datetime:
    """The feed's present, never before the decision."""
    decided_at = Order.objects.values_list("decided_at", flat=True).get(pk=order_id)
    return max(decided_at, queries.feed_at() or decided_at)


def _book_failed(order_id: int) -> None:
    """After an exception: an order that may have been sent is UNKNOWN, one that cannot have been is REJECTED."""
    message = "the venue failed without an answer; the log has the cause"
    order = Order.objects.get(pk=order_id)
    if order.signature is not None:
        unknown_note(order_id, Unknown("VENUE_FAILED", message))
    elif order.sent_at is not None:
        settle(order_id, Rejected("VENUE_FAILED", message))
