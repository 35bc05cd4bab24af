"""What a preview of an order shows: the verdict, the fill with every fee, the price at which it breaks even."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from apps.core import display
from apps.trading import wording
from apps.trading.fills import Fill
from apps.trading.pages import bps
from apps.trading.preview import Preview

DIGITS = 6


def preview_shown(preview: Preview) -> dict[str, Any]:
    """A preview in ready texts: `facts` are (name, text, tone) in the order of reading."""
    fill = preview.fill
    return {
        "at": display.clock(preview.at),
        "is_allowed": preview.is_allowed,
        "is_real": not preview.is_simulation,
        "code": preview.code,
        "message": wording.sentence(preview.code),
        "facts": _facts(preview, fill) if fill else [],
        "fees": _fees(fill) if fill else [],
    }


def _facts(preview: Preview, fill: Fill) -> list[tuple[str, str, str]]:
    change = preview.break_even_change
    rise = display.signed_pct(None if change is None else change * 100, 2)
    facts = [
        (_("Tokens"), display.tokens(fill.base_units), ""),
        (_("Spot price now, SOL per million"), display.price(preview.spot_price_sol), ""),
        (_("Average price of the fill"), display.price(fill.price_sol), ""),
        (_("The order moves the price by"), bps(fill.price_impact_bps), ""),
        (_("Change of the balance, SOL"), display.signed_sol(fill.balance_change, DIGITS), ""),
    ]
    if preview.realized_lamports is not None:
        gain = preview.realized_lamports
        facts.append((_("Gain of what is sold, SOL"), display.signed_sol(gain, DIGITS), display.tone(gain)))
    if preview.base_units_after:
        facts.append((_("Break-even price of the position"), display.price(preview.break_even_sol), ""))
        facts.append(
            (_("Rise needed for it"), rise if change is not None else _("not before the curve is sold out"), "")
        )
    return facts


def _fees(fill: Fill) -> list[tuple[str, str]]:
    """Every fee of a fill in SOL, and together."""
    parts = [
        (_("Protocol fee"), fill.protocol_fee),
        (_("Creator fee"), fill.creator_fee),
        (_("PumpPortal fee"), fill.venue_fee),
        (_("Network fee"), fill.network_fee),
        (_("Tip"), fill.tip),
        (_("Rent of the token account"), fill.rent),
        (_("Extra test loss"), fill.virtual_loss),
        (_("Together"), fill.costs),
    ]
    return [(name, display.sol(lamports, DIGITS)) for name, lamports in parts]
