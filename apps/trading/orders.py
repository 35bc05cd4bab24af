"""Making orders: every intent becomes one order, SUBMITTED or DENIED, under its wallet's lock.

Locks are always taken in the order strategy, wallet, order, position. An order that exists is never made again: its
idempotency key names the intent for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from apps.discovery import curve
from apps.trading import bookings, gate, risk, unlocking
from apps.trading.book import TABLES, Book
from apps.trading.fills import (
    NOTHING_STANDING,
    FillRejectedError,
    RejectCode,
    Standing,
    buy_budget,
    quote_buy,
    quote_sell,
)
from apps.trading.models import Order, Position, Wallet
from apps.trading.risk import DenyCode
from apps.trading.valuation import costs_of, equity_lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyIntent:
    """A wish to buy for `lamports` (curve fees included), decided at a feed time. `key` names it for ever."""

    key: str
    wallet_id: int
    mint: str
    lamports: int
    slippage_bps: int
    decided_at: datetime
    strategy_id: int | None = None
    strategy_version: int | None = None
    alert_id: int | None = None
    may_add: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SellIntent:
    """A wish to sell `base_units` of an open position, decided at a feed time."""

    key: str
    position_id: int
    base_units: int
    slippage_bps: int
    decided_at: datetime
    reason: str
    rungs: int | None = None
    percent: float | None = None


def wallet_locked(wallet_id: int) -> Wallet:
    """The wallet, nobody else's until the transaction ends."""
    return TABLES.wallet(wallet_id)


def order_buy(*, intent: BuyIntent, feed_age_seconds: float = 0.0, book: Book = TABLES) -> Order:
    """Make the buy order of an intent, SUBMITTED or DENIED; the order already made for this key if there is one."""
    with book.atomic():
        return _order_buy(intent, feed_age_seconds, book)


def _order_buy(intent: BuyIntent, feed_age_seconds: float, book: Book) -> Order:
    with book.buy_ahead(intent):
        return _buy_decided(intent, feed_age_seconds, book)


def _buy_decided(intent: BuyIntent, feed_age_seconds: float, book: Book) -> Order:
    wallet = book.wallet(intent.wallet_id)
    if existing := book.order_of_key(intent.key):
        return existing
    market = book.markets_at([intent.mint], intent.decided_at)[intent.mint]
    costs = costs_of(wallet)
    needed = buy_budget(intent.lamports, costs, pays_rent=True)
    wallet_roll_day(wallet=wallet, at=intent.decided_at, book=book)
    denied = risk.deny_buy(gate.buy_snapshot(intent, wallet, market, needed, feed_age_seconds, book))
    quote = None
    if denied is None and market.reserves is not None:
        try:
            standing = book.standing_of(intent.mint) if wallet.is_test else NOTHING_STANDING
            quote = quote_buy(market.reserves, standing, intent.lamports, curve.fees_at(intent.decided_at))
        except FillRejectedError as refusal:
            denied = _denial_of(refusal)
    order = _buy_order(intent, denied, book)
    if quote is not None:
        order.quoted_base_units, order.quoted_lamports = quote.token_base_units, quote.total_lamports
    _save(order, wallet, needed if quote is not None else 0, book)
    book.order_announce(order)
    return order


def _denial_of(refusal: FillRejectedError) -> DenyCode:
    return DenyCode.CURVE_COMPLETE if refusal.code == RejectCode.CURVE_COMPLETE else DenyCode.TRADE_REFUSED


def _buy_order(intent: BuyIntent, denied: DenyCode | None, book: Book) -> Order:
    return Order(
        idempotency_key=intent.key,
        wallet_id=intent.wallet_id,
        strategy_id=intent.strategy_id,
        strategy_version=intent.strategy_version,
        mint=intent.mint,
        side="buy",
        status=Order.Status.DENIED if denied else Order.Status.SUBMITTED,
        lamports=intent.lamports,
        slippage_bps=intent.slippage_bps,
        alert_id=intent.alert_id,
        deny_code=denied or "",
        decided_at=intent.decided_at,
        due_at=None if denied else intent.decided_at + book.terms.latency(intent.key),
        finished_at=intent.decided_at if denied else None,
    )


def _save(order: Order, wallet: Wallet, reserved: int, book: Book) -> None:
    """Write a new order, and take and book the lamports that it sets aside."""
    with book.writing():
        if reserved:
            order.reserved_lamports = reserved
            wallet.cash_lamports -= reserved
            book.wallet_save(wallet, wallet.cash_field)
        book.order_save(order)
        if reserved:
            book.ledger_add(bookings.reserved(order, wallet))


def wallet_roll_day(*, wallet: Wallet, at: datetime, book: Book = TABLES) -> bool:
    """Begin a new risk day for a locked wallet if `at` lies in one: note the equity, forget the losing streak."""
    day = risk.day_of(at, settings.RISK_TIMEZONE)
    if wallet.day_start_on is not None and day <= wallet.day_start_on:
        return False
    wallet.day_start_on = day
    wallet.day_start_equity_lamports = equity_lamports(wallet, at, book)
    wallet.consecutive_losses = 0
    book.wallet_save(wallet, "day_start_on", "day_start_equity_lamports", "consecutive_losses")
    gate.peak_raise(wallet, wallet.day_start_equity_lamports, book)
    return True


def order_sell(*, intent: SellIntent, book: Book = TABLES) -> Order:
    """Make the sell order of an intent, SUBMITTED or DENIED; the order already made for this key if there is one."""
    with book.atomic():
        return _order_sell(intent, book)


def _order_sell(intent: SellIntent, book: Book) -> Order:
    wallet = book.wallet(book.position(intent.position_id).wallet_id)
    if existing := book.order_of_key(intent.key):
        return existing
    position = book.position(intent.position_id)  # as it is under the wallet's lock
    costs = costs_of(wallet)
    needed = costs.network_fee_lamports + costs.tip_lamports
    denied = risk.deny_sell(
        risk.SellSnapshot(
            trading_state=book.trading_state(),
            is_unlocked=unlocking.may_sell(wallet),
            held_base_units=position.quantity_base_units if position.status == Position.Status.OPEN else 0,
            base_units=intent.base_units,
            sale_in_flight=book.is_being_sold(position),
            cash_lamports=wallet.cash_lamports,
            needed_lamports=needed,
        )
    )
    order = _sell_order(intent, position, denied, book)
    if denied is None:
        order.quoted_base_units = intent.base_units
        order.quoted_lamports = _quoted_proceeds(position, intent, book)
    _save(order, wallet, needed if denied is None else 0, book)
    position.sales += 1
    book.position_save(position, "sales")
    book.order_announce(order)
    return order


def _quoted_proceeds(position: Position, intent: SellIntent, book: Book) -> int:
    """What the curve would pay now, after its fees; 0 where it cannot be priced (the venue will say so).

    Of our own fills only those of this position are counted, as where its exits are judged.
    """
    market = book.markets_at([position.mint], intent.decided_at)[position.mint]
    if market.reserves is None:
        return 0
    try:
        standing = Standing(position.curve_lamports, position.quantity_base_units)
        quote = quote_sell(market.reserves, standing, intent.base_units, curve.fees_at(intent.decided_at))
    except FillRejectedError:
        return 0
    return quote.total_lamports


def _sell_order(intent: SellIntent, position: Position, denied: DenyCode | None, book: Book) -> Order:
    return Order(
        idempotency_key=intent.key,
        wallet_id=position.wallet_id,
        strategy_id=position.strategy_id,
        strategy_version=position.strategy_version,
        position=position,
        mint=position.mint,
        side="sell",
        status=Order.Status.DENIED if denied else Order.Status.SUBMITTED,
        base_units=intent.base_units,
        percent=intent.percent,
        slippage_bps=intent.slippage_bps,
        exit_reason=intent.reason,
        rungs=intent.rungs,
        deny_code=denied or "",
        decided_at=intent.decided_at,
        due_at=None if denied else intent.decided_at + book.terms.latency(intent.key),
        finished_at=intent.decided_at if denied else None,
    )
