"""Executing orders on paper: once each, with all effects (order, wallet, position, trade log) in one transaction.

An order that has ended is never executed again: its status is read under its lock. Locks as in `orders`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.core.units import lamports_to_sol
from apps.discovery.pins import coin_pin, coin_unpin
from apps.trading import metrics, queries
from apps.trading.fills import CHARGED, Fill, FillRejectedError, RejectCode
from apps.trading.market import Market
from apps.trading.models import Order, Position, TradeLog, Wallet
from apps.trading.orders import order_announce, wallet_locked, wallet_roll_day
from apps.trading.positions import Holding, after_failed_exit, after_fill, realized_pnl
from apps.trading.valuation import costs_of, holding_of
from apps.trading.venues import paper
from apps.trading.webhooks import trade_tell

# A sale refused for these is not tried again by itself: the position is kept and flagged.
BLOCKING = frozenset(
    {
        RejectCode.COIN_GRADUATED,
        RejectCode.CURVE_COMPLETE,
        RejectCode.COIN_NONSTANDARD,
        RejectCode.COIN_UNKNOWN,
        RejectCode.TRADE_REFUSED,
    }
)


@transaction.atomic
def order_execute(*, order_id: int) -> Order:
    """Let the paper venue execute a due order and apply the outcome; an order that has ended is returned as it is.

    Call it only when the feed has passed `due_at`: the market of that instant must be complete in the tables.
    """
    order = Order.objects.get(pk=order_id)
    wallet = wallet_locked(order.wallet_id)
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status != Order.Status.SUBMITTED:
        return order
    assert order.due_at is not None
    position = Position.objects.select_for_update().filter(wallet=wallet, mint=order.mint, status="OPEN").first()
    market = queries.market_at(order.mint, order.due_at)
    wallet_roll_day(wallet=wallet, at=order.due_at)
    try:
        request = _request(order, position)
        standing = queries.standing_of(order.mint)
        fill = paper.execute(request, market, standing, costs_of(wallet), settings.PAPER_FAILURE_RATE)
    except FillRejectedError as refusal:
        _apply_rejection(order, wallet, position, refusal, market)
    else:
        _apply_fill(order, wallet, position, fill, market)
    order_announce(order)
    return order


def _request(order: Order, position: Position | None) -> paper.Request:
    """The order as the venue sees it. Raises FillRejectedError when there is nothing left to sell."""
    held = position.quantity_base_units if position else 0
    amount = order.lamports if order.side == "buy" else order.base_units
    if order.side == "sell" and (amount or 0) > held:
        raise FillRejectedError(RejectCode.TRADE_REFUSED, "the position holds less than the order sells")
    return paper.Request(
        key=order.idempotency_key,
        side="buy" if order.side == "buy" else "sell",
        amount=amount or 0,
        quoted_base_units=order.quoted_base_units or 0,
        quoted_lamports=order.quoted_lamports or 0,
        slippage_bps=order.slippage_bps,
        moves_rent=position is None if order.side == "buy" else amount == held,
    )


def _settle(order: Order, wallet: Wallet, balance_change: int, status: str, code: str = "", message: str = "") -> None:
    """Give back what was reserved, book what the order cost or brought, and end it."""
    wallet.virtual_balance_lamports += order.reserved_lamports + balance_change
    wallet.save(update_fields=["virtual_balance_lamports", "consecutive_losses"])
    order.reserved_lamports = 0
    order.status, order.deny_code, order.message, order.finished_at = status, code, message, order.due_at
    order.save()


def _apply_fill(order: Order, wallet: Wallet, position: Position | None, fill: Fill, market: Market) -> None:
    held = position if position is not None else _position_new(order, market)
    holding = after_fill(holding_of(held), fill)
    if fill.side == "buy":
        held.entry_price_sol = _average_price(held, fill)
        held.peak_price_sol = max(held.peak_price_sol or 0.0, fill.price_sol)
    else:
        held.exit_price_sol = fill.price_sol
        held.judged_at, held.judged_seq = market.at, market.last_seq
    _write_holding(held, holding)
    if holding.quantity == 0:
        _close(held, order, wallet)
    held.save()
    if position is None or holding.quantity == 0:
        _pin(held)
    order.position = held
    _settle(order, wallet, fill.balance_change, Order.Status.FILLED)
    trade_tell(TradeLog.objects.create(**_trade_fields(order, held), **_fill_fields(fill), status="SUCCESS"), order)
    transaction.on_commit(lambda: metrics.TRADE_VOLUME_SOL_TOTAL.inc(float(lamports_to_sol(fill.curve_lamports))))


def _pin(position: Position) -> None:
    """The feed must not leave out a coin that is held."""
    pin = coin_pin if position.status == Position.Status.OPEN else coin_unpin
    pin(mint=position.mint, holder=f"position:{position.pk}")


def _position_new(order: Order, market: Market) -> Position:
    """An empty position with the exit levels that its strategy has now; later changes leave it alone."""
    strategy = order.strategy
    timeout = strategy.timeout_seconds if strategy else None
    return Position(
        wallet_id=order.wallet_id,
        strategy=strategy,
        mint=order.mint,
        opened_at=market.at,
        judged_at=market.at,
        judged_seq=market.last_seq,
        stop_loss_bps=strategy.stop_loss_bps if strategy else None,
        take_profit_bps=strategy.take_profit_bps if strategy else None,
        timeout_at=market.at + timedelta(seconds=timeout) if timeout is not None else None,
        slippage_bps=order.slippage_bps,
    )


def _average_price(position: Position, fill: Fill) -> float:
    """Entry price over all buys, weighted by base units."""
    before = position.bought_base_units
    return ((position.entry_price_sol or 0.0) * before + fill.price_sol * fill.base_units) / (before + fill.base_units)


def _write_holding(position: Position, holding: Holding) -> None:
    position.quantity_base_units, position.bought_base_units = holding.quantity, holding.bought
    position.cost_lamports, position.proceeds_lamports = holding.cost, holding.proceeds
    position.curve_lamports, position.realized_pnl_lamports = holding.curve_lamports, realized_pnl(holding)


def _close(position: Position, order: Order, wallet: Wallet) -> None:
    position.status, position.closed_at = Position.Status.CLOSED, order.due_at
    position.exit_reason = order.exit_reason or Position.ExitReason.MANUAL
    position.curve_lamports = 0
    lost = position.realized_pnl_lamports < 0
    wallet.consecutive_losses = wallet.consecutive_losses + 1 if lost else 0


def _apply_rejection(
    order: Order, wallet: Wallet, position: Position | None, refusal: FillRejectedError, market: Market
) -> None:
    fee = costs_of(wallet).network_fee_lamports if refusal.code in CHARGED else 0
    if order.side == "sell" and position is not None:
        _write_holding(position, after_failed_exit(holding_of(position), fee))
        position.judged_at, position.judged_seq = market.at, market.last_seq
        position.blocked_code = refusal.code if refusal.code in BLOCKING else ""
        position.save()
    order.position = position if order.side == "sell" else None
    _settle(order, wallet, -fee, Order.Status.REJECTED, refusal.code, str(refusal))
    trade = TradeLog.objects.create(
        **_trade_fields(order, order.position),
        status="FAILED",
        code=refusal.code,
        message=str(refusal),
        network_fee_lamports=fee,
        balance_change_lamports=-fee,
    )
    trade_tell(trade, order)


def _trade_fields(order: Order, position: Position | None) -> dict[str, Any]:
    return {
        "order": order,
        "wallet_id": order.wallet_id,
        "position": position,
        "mint": order.mint,
        "action": order.side,
        "at": order.due_at,
    }


def _fill_fields(fill: Fill) -> dict[str, Any]:
    return {
        "token_base_units": fill.base_units,
        "curve_lamports": fill.curve_lamports,
        "protocol_fee_lamports": fill.protocol_fee,
        "creator_fee_lamports": fill.creator_fee,
        "venue_fee_lamports": fill.venue_fee,
        "network_fee_lamports": fill.network_fee,
        "tip_lamports": fill.tip,
        "rent_lamports": fill.rent,
        "virtual_loss_lamports": fill.virtual_loss,
        "balance_change_lamports": fill.balance_change,
        "price_sol": fill.price_sol,
        "price_impact_bps": fill.price_impact_bps,
        "slippage_bps": fill.slippage_bps,
    }
