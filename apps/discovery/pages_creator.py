"""The box about a coin's creator: what was known when the coin was created, and the creator's other coins now."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.discovery import creators
from apps.discovery.models import Coin

COINS_SHOWN = 10
OUTCOMES: dict[str, tuple[str, str | Promise]] = {
    "graduated": ("good", gettext_lazy("graduated")),
    "trading": ("info", gettext_lazy("trading")),
    "finished": ("", gettext_lazy("finished")),
    "abandoned": ("", gettext_lazy("abandoned")),
    "ended": ("", gettext_lazy("ended")),
    "untracked": ("wait", gettext_lazy("not tracked")),
}


def creator_box(coin: Coin) -> dict[str, Any]:
    """Ready texts: `facts` (label, value) as of the coin's creation, and `table` of the newest other coins as they are
    now. Empty where the creator is not known."""
    if coin.creator is None:
        return {}
    return {"creator": coin.creator, "facts": _facts(coin), "table": _table(coin.creator, coin.mint)}


def _facts(coin: Coin) -> list[tuple[str, str]]:
    history = creators.history(coin.mint)
    if history is None:
        return []
    return [
        (_("Coins made before"), display.count(history.coins)),
        (_("Of them graduated"), display.count(history.graduated)),
        (_("Of them dead"), display.count(history.died)),
        (_("Four fifths sold after (median)"), display.seconds(history.sold80_seconds)),
        (_("Highest market cap, SOL (median)"), display.number(history.top_market_cap_sol)),
        (_("Since the coin before"), display.seconds(history.since_last_seconds)),
    ]


def _table(creator: str, mint: str) -> Table:
    columns = [
        Column(_("Coin")),
        Column(_("Created"), "nowrap wide-only"),
        Column(_("Outcome")),
        Column(_("Highest, SOL"), NUMBER),
        Column(_("Four fifths sold after"), NUMBER),
        Column(_("Trades"), WIDE_NUMBER),
    ]
    rows = [_row(one) for one in creators.coins_of(creator, limit=COINS_SHOWN, but=mint)]
    more = f"{reverse('discovery:streams')}?{urlencode({'q': creator})}"
    return Table(
        columns,
        rows,
        _("Other coins of the creator"),
        _("No other coin of this creator is known."),
        icon="user",
        more=(more, _("all tracked")) if rows else None,
    )


def _row(coin: dict[str, Any]) -> Row:
    cells = [
        Cell(display.visible(coin["symbol"]) or "?", href=reverse("discovery:coin", args=[coin["mint"]])),
        Cell(display.clock(coin["created_at"])),
        Cell(pills=[OUTCOMES[coin["outcome"]]]),
        Cell(display.number(coin["top_market_cap_sol"])),
        Cell(display.seconds(coin["sold80_seconds"])),
        Cell(display.count(coin["trades"])),
    ]
    return Row(cells, f"creator-coin-{coin['mint']}")
