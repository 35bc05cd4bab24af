"""What the pages show about orders and transfers whose end is not known, and those settled by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.core import display
from apps.core.tables import NUMBER, WIDE, Cell, Column, Row, Table
from apps.trading import settling, wording
from apps.trading.models import Order, Settlement, TransferLog
from apps.trading.pages import symbols


def facts_of(row: Order | TransferLog) -> dict[str, Any]:
    """What is known of one, as label and text."""
    facts = [
        (_("Wallet"), row.wallet.alias),
        (_("What"), _what(row, symbols({row.mint}) if isinstance(row, Order) else {})),
        (_("Sent"), display.moment(row.sent_at)),
        (_("Signature"), row.signature),
        (_("Code"), row.deny_code if isinstance(row, Order) else row.code),
        (_("Message"), row.message or display.NONE),
    ]
    if isinstance(row, Order):
        facts.insert(2, (_("Set aside, SOL"), display.sol(row.reserved_lamports, 9)))
        facts.insert(3, (_("Quoted"), f"{display.tokens(row.quoted_base_units)} / {display.sol(row.quoted_lamports)}"))
    return {"facts": facts, "number": row.pk, "is_order": isinstance(row, Order)}


def _what(row: Order | TransferLog, names: dict[str, str]) -> str:
    if isinstance(row, TransferLog):
        return _("%(sol)s SOL to %(address)s") % {"sol": display.sol(row.lamports, 9), "address": row.to_address}
    side = _("buy") if row.side == "buy" else _("sell")
    return f"{side} {names[row.mint]}"


def doubtful_rows(now: datetime) -> list[dict[str, str]]:
    """Every order and transfer that waits for somebody to look, oldest first."""
    orders, transfers = list(settling.orders_doubtful(now)[:50]), list(settling.transfers_doubtful(now)[:50])
    names = symbols({order.mint for order in orders})
    return [_doubtful(row, names, "trading:order_settle") for row in orders] + [
        _doubtful(row, names, "trading:transfer_settle") for row in transfers
    ]


def _doubtful(row: Order | TransferLog, names: dict[str, str], url: str) -> dict[str, str]:
    code = row.deny_code if isinstance(row, Order) else row.code
    return {
        "wallet": row.wallet.alias,
        "what": _what(row, names),
        "why": wording.sentence(code),
        "code": wording.small_print(code),
        "sent": display.moment(row.sent_at),
        "href": reverse(url, args=[row.pk]),
    }


def settlements_table() -> Table:
    """What was settled by hand, newest first."""
    columns = [
        Column(_("When")),
        Column(_("What")),
        Column(_("By"), WIDE),
        Column(_("Change, SOL"), NUMBER),
        Column(_("Why"), WIDE),
    ]
    rows = [_settlement_cells(row) for row in Settlement.objects.all()[:20]]
    return Table(columns, rows, _("Settled by hand"), _("Nothing was settled by hand."), "", "scale")


def _settlement_cells(row: Settlement) -> Row:
    which = _("order %s") % row.order_id if row.order_id else _("transfer %s") % row.transfer_id
    tone = {"never": "", "failed": "bad", "done": "good"}[row.outcome]
    names = {"never": _("never happened"), "failed": _("failed"), "done": _("done")}
    return Row(
        [
            Cell(display.moment(row.at)),
            Cell(which, pills=[(tone, names[row.outcome])]),
            Cell(row.username),
            Cell(display.signed_sol(row.balance_change_lamports, 9)),
            Cell(row.reason, css="wrap-any"),
        ],
        f"settlement-{row.pk}",
    )
