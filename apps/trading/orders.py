"""Making orders: every intent becomes one order, SUBMITTED or DENIED, under its wallet's lock.

Locks are always taken in the order strategy, wallet, order, position. An order that exists is never made again: its
idempotency key names the intent for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from apps.core import live
from apps.core.units import sol_to_lamports
from apps.discovery import curve
from apps.trading import metrics, queries, risk
from apps.trading.fills import FillRejectedError, RejectCode, Standing, buy_budget, quote_buy, quote_sell
from apps.trading.market import Market
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


def latency() -> timedelta:
    """From a decision to its execution at the venue."""
    return timedelta(milliseconds=settings.TRADING_LATENCY_MS)


def wallet_locked(wallet_id: int) -> Wallet:
    """The wallet, nobody else's until the transaction ends."""
    return Wallet.objects.select_for_update().get(pk=wallet_id)


@transaction.atomic(savepoint=False)
def order_buy(*, intent: BuyIntent, feed_age_seconds: float = 0.0) -> Order:
    """Make the buy order of an intent, SUBMITTED or DENIED; the order already made for this key if there is one."""
    wallet = wallet_locked(intent.wallet_id)
    if existing := Order.objects.filter(idempotency_key=intent.key).first():
        return existing
    market = queries.market_at(intent.mint, intent.decided_at)
    costs = costs_of(wallet)
    needed = buy_budget(intent.lamports, costs, pays_rent=True)
    wallet_roll_day(wallet=wallet, at=intent.decided_at)
    denied = risk.deny_buy(_buy_snapshot(intent, wallet, market, needed, feed_age_seconds))
    quote = None
    if denied is None and market.reserves is not None:
        try:
            standing = queries.standing_of(intent.mint)
            quote = quote_buy(market.reserves, standing, intent.lamports, curve.fees_at(intent.decided_at))
        except FillRejectedError as refusal:
            denied = _denial_of(refusal)
    order = _buy_order(intent, denied)
    if quote is not None:
        order.quoted_base_units, order.quoted_lamports = quote.token_base_units, quote.total_lamports
        _reserve(order, wallet, needed)
    order.save()
    order_announce(order)
    return order


def _denial_of(refusal: FillRejectedError) -> DenyCode:
    return DenyCode.CURVE_COMPLETE if refusal.code == RejectCode.CURVE_COMPLETE else DenyCode.TRADE_REFUSED


def _buy_order(intent: BuyIntent, denied: DenyCode | None) -> Order:
    return Order(
        idempotency_key=intent.key,
        wallet_id=intent.wallet_id,
        strategy_id=intent.strategy_id,
        mint=intent.mint,
        side="buy",
        status=Order.Status.DENIED if denied else Order.Status.SUBMITTED,
        lamports=intent.lamports,
        slippage_bps=intent.slippage_bps,
        alert_id=intent.alert_id,
        deny_code=denied or "",
        decided_at=intent.decided_at,
        due_at=None if denied else intent.decided_at + latency(),
        finished_at=intent.decided_at if denied else None,
    )


def _buy_snapshot(
    intent: BuyIntent, wallet: Wallet, market: Market, needed: int, feed_age_seconds: float
) -> risk.BuySnapshot:
    invested, open_positions = queries.invested_lamports(wallet)
    return risk.BuySnapshot(
        trading_state=queries.trading_state_locked(),
        wallet=_wallet_state(wallet),
        coin=market.coin_state(),
        feed_age_seconds=feed_age_seconds,
        stake_lamports=intent.lamports,
        needed_lamports=needed,
        safety_buffer_lamports=sol_to_lamports(str(settings.SAFETY_BUFFER_SOL)),
        equity_lamports=equity_lamports(wallet, intent.decided_at) if wallet.max_daily_loss_bps else 0,
        open_positions=open_positions,
        invested_in_coin_lamports=invested.get(intent.mint, 0),
        holds_coin=intent.mint in invested,
        may_add=intent.may_add,
    )


def _wallet_state(wallet: Wallet) -> risk.WalletState:
    return risk.WalletState(
        is_test=wallet.wallet_type == Wallet.Type.TEST,
        is_active=wallet.status == Wallet.Status.ACTIVE,
        trading_enabled=wallet.trading_enabled,
        cash_lamports=wallet.virtual_balance_lamports,
        max_position_lamports=wallet.max_position_lamports,
        max_open_positions=wallet.max_open_positions,
        max_consecutive_losses=wallet.max_consecutive_losses,
        max_daily_loss_bps=wallet.max_daily_loss_bps,
        consecutive_losses=wallet.consecutive_losses,
        day_start_equity_lamports=wallet.day_start_equity_lamports or 0,
    )


def _reserve(order: Order, wallet: Wallet, lamports: int) -> None:
    order.reserved_lamports = lamports
    wallet.virtual_balance_lamports -= lamports
    wallet.save(update_fields=["virtual_balance_lamports"])


def wallet_roll_day(*, wallet: Wallet, at: datetime) -> bool:
    """Begin a new risk day for a locked wallet if `at` lies in one: note the equity, forget the losing streak."""
    day = risk.day_of(at, settings.RISK_TIMEZONE)
    if wallet.day_start_on is not None and day <= wallet.day_start_on:
        return False
    wallet.day_start_on = day
    wallet.day_start_equity_lamports = equity_lamports(wallet, at)
    wallet.consecutive_losses = 0
    wallet.save(update_fields=["day_start_on", "day_start_equity_lamports", "consecutive_losses"])
    return True


@transaction.atomic(savepoint=False)
def order_sell(*, intent: SellIntent) -> Order:
    """Make the sell order of an intent, SUBMITTED or DENIED; the order already made for this key if there is one."""
    position = Position.objects.get(pk=intent.position_id)
    wallet = wallet_locked(position.wallet_id)
    if existing := Order.objects.filter(idempotency_key=intent.key).first():
        return existing
    position.refresh_from_db()
    costs = costs_of(wallet)
    needed = costs.network_fee_lamports + costs.tip_lamports
    denied = risk.deny_sell(
        risk.SellSnapshot(
            trading_state=queries.trading_state_locked(),
            is_test=wallet.wallet_type == Wallet.Type.TEST,
            held_base_units=position.quantity_base_units if position.status == Position.Status.OPEN else 0,
            base_units=intent.base_units,
            sale_in_flight=queries.orders_in_flight(position=position, side="sell").exists(),
            cash_lamports=wallet.virtual_balance_lamports,
            needed_lamports=needed,
        )
    )
    order = _sell_order(intent, position, denied)
    if denied is None:
        order.quoted_base_units = intent.base_units
        order.quoted_lamports = _quoted_proceeds(position, intent)
        _reserve(order, wallet, needed)
    order.save()
    order_announce(order)
    return order


def _quoted_proceeds(position: Position, intent: SellIntent) -> int:
    """What the curve would pay now, after its fees; 0 where it cannot be priced (the venue will say so).

    Of our own fills only those of this position are counted, as where its exits are judged.
    """
    market = queries.market_at(position.mint, intent.decided_at)
    if market.reserves is None:
        return 0
    try:
        standing = Standing(position.curve_lamports, position.quantity_base_units)
        quote = quote_sell(market.reserves, standing, intent.base_units, curve.fees_at(intent.decided_at))
    except FillRejectedError:
        return 0
    return quote.total_lamports


def _sell_order(intent: SellIntent, position: Position, denied: DenyCode | None) -> Order:
    return Order(
        idempotency_key=intent.key,
        wallet_id=position.wallet_id,
        strategy_id=position.strategy_id,
        position=position,
        mint=position.mint,
        side="sell",
        status=Order.Status.DENIED if denied else Order.Status.SUBMITTED,
        base_units=intent.base_units,
        slippage_bps=intent.slippage_bps,
        exit_reason=intent.reason,
        deny_code=denied or "",
        decided_at=intent.decided_at,
        due_at=None if denied else intent.decided_at + latency(),
        finished_at=intent.decided_at if denied else None,
    )


def order_announce(order: Order) -> None:
    """Count an order and tell the browsers, once it is committed."""
    transaction.on_commit(lambda: _announce_now(order))


def _announce_now(order: Order) -> None:
    if order.status != Order.Status.SUBMITTED:
        metrics.TRADES_TOTAL.labels(action=order.side, status=order.status.lower()).inc()
    for topic in ("trading", "dashboard"):
        live.publish(topic)
