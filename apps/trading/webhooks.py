"""The webhook of our trades: every fill and every failed order, in the transaction that books it."""

from __future__ import annotations

from apps.core import outbox
from apps.core.models import WebhookKind
from apps.core.outbox import Message, body_text
from apps.trading.models import Order, TradeLog


def trade_tell(trade: TradeLog, order: Order) -> None:
    """Write a message for whoever is told of trades."""
    if to := outbox.subscribers(WebhookKind.TRADES):
        body = body_text("trade", trade.at, trade_told(trade, order))
        outbox.messages_write([Message(pk, WebhookKind.TRADES, body) for pk in to])


def trade_told(trade: TradeLog, order: Order) -> dict[str, object]:
    """What is said of a trade; amounts are lamports and base units."""
    position = trade.position
    return {
        "trade_id": trade.pk,
        "order_id": order.pk,
        "wallet": trade.wallet.alias,
        "strategy": order.strategy.name if order.strategy else None,
        "alert_id": order.alert_id,
        "mint": trade.mint,
        "action": trade.action,
        "status": trade.status,
        "code": trade.code,
        "message": trade.message,
        "is_simulation": trade.is_simulation,
        "token_base_units": trade.token_base_units,
        "balance_change_lamports": trade.balance_change_lamports,
        "price_sol": trade.price_sol,
        "price_impact_bps": trade.price_impact_bps,
        "slippage_bps": trade.slippage_bps,
        "signature": trade.signature,
        "exit_reason": order.exit_reason,
        "position_id": position.pk if position else None,
        "position_status": position.status if position else None,
        "realized_pnl_lamports": position.realized_pnl_lamports if position else None,
    }
