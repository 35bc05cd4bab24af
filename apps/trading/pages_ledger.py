"""The ledger as pages show it: a table for `trading/_ledger.html`."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core import display
from apps.core.tables import NUMBER, WIDE, WIDE_NUMBER, Cell, Column, Row, Table
from apps.trading.ledger import COSTS
from apps.trading.models import LedgerEntry

Kind = LedgerEntry.Kind
NAMES: dict[str, str | Promise] = {
    Kind.OPENING: _("Opening"),
    Kind.DEPOSIT: _("Deposit"),
    Kind.RESERVE: _("Set aside"),
    Kind.RELEASE: _("Given back"),
    Kind.TRADE: _("Trade"),
    Kind.TRANSFER: _("Transfer"),
    Kind.ADJUSTMENT: _("Adjustment"),
}


def ledger_table(entries: Iterable[LedgerEntry]) -> Table:
    """Bookings of a wallet, SOL into each account; what is negative went out of it."""
    columns = [
        Column(_("Time"), "nowrap"),
        Column(_("Booking")),
        Column(_("Coin"), WIDE),
        Column(_("Cash"), NUMBER),
        Column(_("Set aside"), WIDE_NUMBER),
        Column(_("Curve"), WIDE_NUMBER),
        Column(_("Fees and costs"), WIDE_NUMBER),
        Column(_("Deposits"), WIDE_NUMBER),
        Column(_("Outside"), WIDE_NUMBER),
        Column(_("Cash after"), NUMBER),
    ]
    hint = _("Every deposit, order and transfer of this wallet is booked here.")
    rows = [_row(entry) for entry in entries]
    return Table(columns, rows, _("Ledger, SOL"), _("Nothing was booked yet."), hint, "list")


def _row(entry: LedgerEntry) -> Row:
    costs = sum(getattr(entry, name) for name in COSTS)
    return Row(
        [
            Cell(display.moment(entry.at)),
            Cell(NAMES[entry.kind], note=entry.note),
            Cell(display.mint_short(entry.order.mint) if entry.order else display.NONE),
            _amount(entry.cash),
            *(_amount(lamports) for lamports in (entry.reserved, entry.curve, costs, entry.deposits, entry.outside)),
            Cell(display.sol(entry.cash_after)),
        ],
        f"ledger-{entry.pk}",
    )


def _amount(lamports: int) -> Cell:
    return Cell(display.signed_sol(lamports) if lamports else "")
