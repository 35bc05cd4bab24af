"""Ending orders: once each, with all effects (order, wallet, position, trade log, ledger) in one transaction.

The paper venue is asked inside that transaction; what a real venue has answered is brought here by `dispatch`.
An order that has ended is never executed again: its status is read under its lock. Locks as in `orders`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from apps.trading import bookings
from apps.trading.book import TABLES, Book
from apps.trading.fills import CHARGED, Fill, FillRejectedError, RejectCode
from apps.trading.levels import position_arm, rungs_sold
from apps.trading.market import Market
from apps.trading.models import Order, Position, TradeLog, Wallet
from apps.trading.orders import wallet_roll_day
from apps.trading.positions import Holding, after_failed_exit, after_fill, realized_pnl
from apps.trading.risk import cooldown_of
from apps.trading.valuation import costs_of, holding_of
from apps.trading.venues import Answer, Expired, Filled, Rejected, paper

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
    wallet = order.wallet
    if order.status != Order.Status.SUBMITTED:
        return order
    assert order.due_at is not None
    with book.fill_ahead(order):
        position = book.position_held(wallet, order.mint)
        market = book.markets_at([order.mint], order.due_at)[order.mint]
        wallet_roll_day(wallet=wallet, at=order.due_at, book=book)
        _apply(order, wallet, position, _paper_answer(order, wallet, position, market, book), market, book)
    return order


def order_settle(*, order_id: int, answer: Answer, at: datetime, book: Book = TABLES) -> Order:
    """Apply how an order ended at the feed time `at`; an order that has ended already is returned as it is."""
    with book.atomic():
        order = book.order(order_id)
        wallet = order.wallet
        if order.status not in Order.IN_FLIGHT:
            return order
        market = book.markets_at([order.mint], at)[order.mint]
        wallet_roll_day(wallet=wallet, at=at, book=book)
        _apply(order, wallet, book.position_held(wallet, order.mint), answer, market, book)
        return order


def _paper_answer(order: Order, wallet: Wallet, position: Position | None, market: Market, book: Book) -> Answer:
    """What the paper venue makes of a due order. Inside a gap nobody can say: the order has expired."""
    costs = costs_of(wallet)
    try:
        request, standing = _request(order, position), book.standing_of(order.mint)
        return Filled(paper.execute(request, market, standing, costs, book.terms.failure_rate))
    except FillRejectedError as refusal:
        if refusal.code == RejectCode.COIN_IN_GAP and market.is_inside_gap:
            return Expired(refusal.code, str(refusal))
        fee = costs.network_fee_lamports if refusal.code in CHARGED else 0
        return Rejected(refusal.code, str(refusal), network_fee=fee, is_final=refusal.code in BLOCKING)


def _apply(order: Order, wallet: Wallet, position: Position | None, answer: Answer, market: Market, book: Book) -> None:
    """Write what came of an order."""
    match answer:
        case Filled():
            _apply_fill(order, wallet, position, answer, market, book)
        case Rejected():
            _apply_rejection(order, wallet, position, answer, market, book)
        case Expired():
            _apply_expiry(order, wallet, position, answer, market, book)
    book.order_announce(order)


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


def _end(order: Order, wallet: Wallet, balance_change: int, at: datetime, book: Book) -> int:
    """Give back what was reserved, add what the order cost or brought, and end it; returns what was reserved."""
    reserved, order.reserved_lamports = order.reserved_lamports, 0
    wallet.cash_lamports += reserved + balance_change
    book.wallet_save(wallet, wallet.cash_field, "consecutive_losses", "cooldown_until")
    order.finished_at = at
    book.order_save(order)
    return reserved


def _settle(order: Order, wallet: Wallet, trade: TradeLog, book: Book) -> None:
    """End an order that was executed or failed, and write and book its trade."""
    with book.writing():
        reserved = _end(order, wallet, trade.balance_change_lamports, trade.at, book)
        book.trade_add(trade)
        book.ledger_add(bookings.traded(trade, order, wallet, reserved))
    book.trade_announce(trade, order)


def _apply_fill(
    order: Order, wallet: Wallet, position: Position | None, answer: Filled, market: Market, book: Book
) -> None:
    fill = answer.fill
    held = position if position is not None else _position_new(order, market, book)
    holding = after_fill(holding_of(held), fill)
    if fill.side == "buy":
        held.entry_price_sol = _average_price(held, fill)
        held.peak_price_sol = max(held.peak_price_sol or 0.0, fill.price_sol)
    else:
        held.exit_price_sol = _average_exit(held, fill)
        rungs_sold(held, order)
        held.judged_at, held.judged_seq = market.at, market.last_seq
    _write_holding(held, holding)
    if not wallet.is_test:
        held.curve_lamports = 0  # it is in the market's own reserves
    if holding.quantity == 0:
        _close(held, order, wallet, market.at)
    with book.writing():
        book.position_save(held)
        if position is None or holding.quantity == 0:
            book.pin(held)
    order.position, order.status, order.deny_code, order.message = held, Order.Status.FILLED, "", ""
    fields = _trade_fields(order, wallet, held, market.at, answer.signature)
    _settle(order, wallet, TradeLog(**fields, **_fill_fields(fill), status="SUCCESS"), book)


def _position_new(order: Order, market: Market, book: Book) -> Position:
    """An empty position with the exits of the strategy's version that ordered it; later changes leave it alone."""
    strategy = book.strategy_of(order)
    position = Position(
        wallet_id=order.wallet_id,
        strategy_id=order.strategy_id,
        mint=order.mint,
        opened_at=market.at,
        judged_at=market.at,
        judged_seq=market.last_seq,
        seen_at=market.at,
        seen_seq=market.last_seq,
        slippage_bps=order.slippage_bps,
    )
    if strategy is not None:
        shares = "creator_sold_bps" in strategy.exits
        position_arm(position, strategy, book.initial_buy(order.mint) if shares else None)
    return position


def _average_price(position: Position, fill: Fill) -> float:
    """Entry price over all buys, weighted by base units."""
    before = position.bought_base_units
    return ((position.entry_price_sol or 0.0) * before + fill.price_sol * fill.base_units) / (before + fill.base_units)


def _average_exit(position: Position, fill: Fill) -> float:
    """Exit price over all sales, weighted by base units."""
    before = position.bought_base_units - position.quantity_base_units
    return ((position.exit_price_sol or 0.0) * before + fill.price_sol * fill.base_units) / (before + fill.base_units)


def _write_holding(position: Position, holding: Holding) -> None:
    position.quantity_base_units, position.bought_base_units = holding.quantity, holding.bought
    position.cost_lamports, position.proceeds_lamports = holding.cost, holding.proceeds
    position.curve_lamports, position.realized_pnl_lamports = holding.curve_lamports, realized_pnl(holding)


def _close(position: Position, order: Order, wallet: Wallet, at: datetime) -> None:
    position.status, position.closed_at = Position.Status.CLOSED, at
    position.exit_reason = order.exit_reason or Position.ExitReason.MANUAL
    position.curve_lamports = 0
    lost = position.realized_pnl_lamports < 0
    wallet.consecutive_losses = wallet.consecutive_losses + 1 if lost else 0
    pause = cooldown_of(wallet.consecutive_losses, wallet.cooldown_losses, wallet.cooldown_seconds) if lost else 0
    if pause:
        wallet.cooldown_until = at + timedelta(seconds=pause)


def _apply_rejection(
    order: Order, wallet: Wallet, position: Position | None, answer: Rejected, market: Market, book: Book
) -> None:
    cost = answer.network_fee + answer.tip
    _stay(order, position, cost, answer.code if answer.is_final else "", market, book)
    order.status, order.deny_code, order.message = Order.Status.REJECTED, answer.code, answer.message
    trade = TradeLog(
        **_trade_fields(order, wallet, order.position, market.at, answer.signature),
        status="FAILED",
        code=answer.code,
        message=answer.message,
        network_fee_lamports=answer.network_fee,
        tip_lamports=answer.tip,
        balance_change_lamports=-cost,
    )
    _settle(order, wallet, trade, book)


def _apply_expiry(
    order: Order, wallet: Wallet, position: Position | None, answer: Expired, market: Market, book: Book
) -> None:
    """Nothing was traded and nothing paid: no trade is logged."""
    _stay(order, position, 0, "", market, book)
    order.status, order.deny_code, order.message = Order.Status.EXPIRED, answer.code, answer.message
    if reserved := _end(order, wallet, 0, market.at, book):
        book.ledger_add(bookings.released(order, wallet, reserved, market.at))


def _stay(order: Order, position: Position | None, cost: int, blocked_code: str, market: Market, book: Book) -> None:
    """Keep a position that an order did not sell: its exits are judged from here on, unless something blocks it."""
    order.position = position if order.side == "sell" else None
    if order.position is None:
        return
    _write_holding(order.position, after_failed_exit(holding_of(order.position), cost))
    order.position.judged_at, order.position.judged_seq = market.at, market.last_seq
    order.position.blocked_code = blocked_code
    book.position_save(order.position)


def _trade_fields(
    order: Order, wallet: Wallet, position: Position | None, at: datetime, signature: str
) -> dict[str, Any]:
    return {
        "order": order,
        "wallet": wallet,
        "position": position,
        "mint": order.mint,
        "action": order.side,
        "is_simulation": wallet.is_test,
        "signature": signature or None,
        "at": at,
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
