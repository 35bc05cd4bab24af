"""What the page of a coin shows of our trading in it: the newest orders as a table, fills as marks of the chart."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from apps.core import display
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.trading import wording
from apps.trading.models import Order, TradeLog
from apps.trading.pages import ORDER_TONES

ORDERS_LISTED, MOST_MARKS = 15, 200
DIRECTION = {"buy": "up", "sell": "down"}


def orders_table(mint: str) -> Table:
    """The newest orders for a coin, those too that came to nothing."""
    columns = [
        Column(_("Time"), "nowrap"),
        Column(_("Wallet")),
        Column(_("Side")),
        Column(_("State")),
        Column(_("Balance, SOL"), NUMBER),
        Column(_("Price"), WIDE_NUMBER),
    ]
    orders = Order.objects.filter(mint=mint).select_related("wallet", "trade").order_by("-decided_at", "-id")
    rows = [_row(order) for order in orders[:ORDERS_LISTED]]
    hint = _("A strategy makes one on an alert; you can make one by hand.")
    return Table(columns, rows, _("Our orders"), _("No order yet."), hint, "send")


def _row(order: Order) -> Row:
    trade: TradeLog | None = getattr(order, "trade", None)
    side = {"buy": _("buy"), "sell": _("sell")}[order.side]
    return Row(
        [
            Cell(display.clock(order.decided_at)),
            Cell(order.wallet.alias),
            Cell(side, css=DIRECTION[order.side], note=wording.sentence(order.exit_reason)),
            Cell(
                pills=[(ORDER_TONES.get(order.status, ""), order.status)],
                note=wording.sentence(order.deny_code),
                below=wording.small_print(order.deny_code),
            ),
            Cell(display.signed_sol(trade.balance_change_lamports, 5) if trade else display.NONE),
            Cell(display.price(trade.price_sol) if trade else display.NONE),
        ],
        f"order-{order.pk}",
    )


def marks(mint: str) -> list[dict[str, Any]]:
    """The newest fills in a coin as marks of its chart, oldest first: `time` (epoch seconds), `kind`, `text`."""
    found = TradeLog.objects.filter(mint=mint, status="SUCCESS").order_by("-at", "-id")[:MOST_MARKS]
    return [
        {"time": one.at.timestamp(), "kind": one.action, "text": display.sol(abs(one.curve_lamports), 3)}
        for one in reversed(found)
    ]
