"""What the pages about keys show: who did what, never a key."""

from django.utils.translation import gettext as _

from apps.core import display
from apps.core.tables import Cell, Column, Row, Table
from apps.trading import wallet_keys
from apps.trading.models import KeyEvent, Wallet

TONES = {"SHOWN": "wait", "REFUSED": "bad"}


def events_table(wallet: Wallet) -> Table:
    """What was done with a wallet's key, newest first."""
    columns = [Column(_("When")), Column(_("What")), Column(_("Who")), Column(_("Why"))]
    rows = [_cells(event) for event in wallet_keys.key_events(wallet)]
    return Table(columns, rows, _("What was done with it"), _("Nothing yet."), "", "key-round")


def _cells(event: KeyEvent) -> Row:
    what = Cell("", pills=[(TONES.get(event.kind, "info"), event.kind)])
    who = event.username or _("a command")
    return Row([Cell(display.moment(event.at)), what, Cell(who), Cell(event.why)], f"event-{event.pk}")
