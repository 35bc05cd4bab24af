"""Executing orders on paper: once each, with all effects (order, wallet, position, trade log) in one transaction.

An order that has ended is never executed again: its status is read under its lock. Locks as in `orders`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.trading.book import TABLES, Book
from apps.trading.fills import CHARGED, Fill, FillRejectedError, RejectCode
from apps.trading.market import Market
from apps.trading.models import Order, Position, TradeLog, Wallet
from apps.trading.orders import wallet_roll_day
from apps.trading.positions import Holding, after_failed_exit, after_fill, realized_pnl
from apps.trading.valuation import costs_of, holding_of
from apps.trading.venues import paper

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


def order_execute(*, order_id: int, book: Book = TABLES) -> Order:
    """Let the paper venue execute a due order and apply the outcome; an order that has ended is returned as it is.

    Call it only when the feed has passed `due_at`: the market of that instant must be complete in the book.
    """
    with book.atomic():
        return _order_execute(order_id, book)


def _order_execute(order_id: int, book: Book) -> Order:
    order = book.order(order_id)
    wallet = book.wallet(order.wallet_id)
    if order.status != Order.Status.SUBMITTED:
        return order
    assert order.due_at is not None
    position = book.position_held(wallet, order.mint)
    market = book.markets_at([order.mint], order.due_at)[order.mint]
    wallet_roll_day(wallet=wallet, at=order.due_at, book=book)
    try:
        request = _request(order, position)
        standing = book.standing_of(order.mint)
        fill = paper.execute(request, market, standing, costs_of(wallet), book.terms.failure_rate)
    except FillRejectedError as refusal:
        _apply_rejection(order, wallet, position, refusal, market, book)
    else:
        _apply_fill(order, wallet, position, fill, market, book)
    book.order_announce(order)
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


def _settle(order: Order, wallet: Wallet, balance_change: int, book: Book) -> None:
    """Give back what was reserved, book what the order cost or brought, and end it."""
    wallet.virtual_balance_lamports += order.reserved_lamports + balance_change
    book.wallet_save(wallet, "virtual_balance_lamports", "consecutive_losses")
    order.reserved_lamports = 0
    order.finished_at = order.due_at
    book.order_save(order)


def _apply_fill(
    order: Order, wallet: Wallet, position: Position | None, fill: Fill, market: Market, book: Book
) -> None:
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
    book.position_save(held)
    if position is None or holding.quantity == 0:
        book.pin(held)
    order.position, order.status = held, Order.Status.FILLED
    _settle(order, wallet, fill.balance_change, book)
    book.trade_add(TradeLog(**_trade_fields(order, held), **_fill_fields(fill), status="SUCCESS"), order)


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
    order: Order, wallet: Wallet, position: Position | None, refusal: FillRejectedError, market: Market, book: Book
) -> None:
    fee = costs_of(wallet).network_fee_lamports if refusal.code in CHARGED else 0
    if order.side == "sell" and position is not None:
        _write_holding(position, after_failed_exit(holding_of(position), fee))
        position.judged_at, position.judged_seq = market.at, market.last_seq
        position.blocked_code = refusal.code if refusal.code in BLOCKING else ""
        book.position_save(position)
    order.position = position if order.side == "sell" else None
    order.status, order.deny_code, order.message = Order.Status.REJECTED, refusal.code, str(refusal)
    _settle(order, wallet, -fee, book)
    trade = TradeLog(
        **_trade_fields(order, order.position),
        status="FAILED",
        code=refusal.code,
        message=str(refusal),
        network_fee_lamports=fee,
        balance_change_lamports=-fee,
    )
    book.trade_add(trade, order)


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
