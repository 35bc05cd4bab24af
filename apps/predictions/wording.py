"""Reasons of a score in words and bars, as pages show them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.training.features import REGISTRY, Feature

Title = str | Promise
_WINDOWED = re.compile(r"^(.+)_(\d+)s$")
TITLES: dict[str, Title] = {
    "price_open": gettext_lazy("opening price"),
    "price_high": gettext_lazy("highest price"),
    "price_low": gettext_lazy("lowest price"),
    "price_close": gettext_lazy("price"),
    "market_cap_close": gettext_lazy("market cap"),
    "bonding_curve_pct": gettext_lazy("share of the curve sold"),
    "virtual_sol_reserves": gettext_lazy("virtual SOL of the curve"),
    "is_koth": gettext_lazy("king of the hill"),
    "volume_sol": gettext_lazy("volume"),
    "buy_volume_sol": gettext_lazy("volume of buys"),
    "sell_volume_sol": gettext_lazy("volume of sells"),
    "net_volume_sol": gettext_lazy("buys minus sells"),
    "num_buys": gettext_lazy("number of buys"),
    "num_sells": gettext_lazy("number of sells"),
    "unique_wallets": gettext_lazy("wallets"),
    "num_micro_trades": gettext_lazy("tiny trades"),
    "dev_sold_amount": gettext_lazy("sold by the creator"),
    "max_single_buy_sol": gettext_lazy("largest buy"),
    "max_single_sell_sol": gettext_lazy("largest sell"),
    "volatility_pct": gettext_lazy("volatility"),
    "avg_trade_size_sol": gettext_lazy("average trade"),
    "whale_buy_volume_sol": gettext_lazy("volume of whale buys"),
    "whale_sell_volume_sol": gettext_lazy("volume of whale sells"),
    "num_whale_buys": gettext_lazy("whale buys"),
    "num_whale_sells": gettext_lazy("whale sells"),
    "buy_pressure_ratio": gettext_lazy("buy pressure"),
    "unique_signer_ratio": gettext_lazy("wallets per trade"),
    "price_change": gettext_lazy("change of price"),
    "price_range": gettext_lazy("range of prices"),
    "from_high": gettext_lazy("distance to the high"),
    "trades": gettext_lazy("trades"),
    "buy_pressure": gettext_lazy("buy pressure"),
    "whale_flow_sol": gettext_lazy("whale buys minus sells"),
    "dev_sold_sol": gettext_lazy("sold by the creator"),
    "wallets": gettext_lazy("wallets"),
    "wallets_per_trade": gettext_lazy("wallets per trade"),
    "volatility": gettext_lazy("volatility"),
    "curve_change": gettext_lazy("progress on the curve"),
    "volume_change": gettext_lazy("change of volume"),
    "trades_change": gettext_lazy("change of trades"),
    "buy_pressure_change": gettext_lazy("change of buy pressure"),
    "price_acceleration": gettext_lazy("acceleration of the price"),
    "from_ath": gettext_lazy("distance to the all-time high"),
    "since_ath_seconds": gettext_lazy("time since the all-time high"),
    "age_seconds": gettext_lazy("age of the coin"),
    "quiet_seconds": gettext_lazy("time since the window before"),
    "phase_id": gettext_lazy("phase"),
    "day_sine": gettext_lazy("time of day (sine)"),
    "day_cosine": gettext_lazy("time of day (cosine)"),
    "creator_coins": gettext_lazy("earlier coins of the creator"),
    "creator_graduated": gettext_lazy("graduated coins of the creator"),
    "creator_died": gettext_lazy("dead coins of the creator"),
    "creator_sold80_seconds": gettext_lazy("how soon the creator sold before"),
    "creator_top_market_cap_sol": gettext_lazy("usual top of the creator's coins"),
    "creator_since_last_seconds": gettext_lazy("time since the creator's last coin"),
    "market_creates": gettext_lazy("new coins in the market"),
    "market_trades": gettext_lazy("trades in the market"),
    "market_volume_sol": gettext_lazy("volume of the market"),
    "market_buy_pressure": gettext_lazy("buy pressure of the market"),
    "market_share": gettext_lazy("share of the market's volume"),
    "market_creates_change": gettext_lazy("change of new coins in the market"),
    "market_volume_change": gettext_lazy("change of the market's volume"),
    "sol_usd_change": gettext_lazy("change of the price of SOL"),
    "sol_usd": gettext_lazy("price of SOL"),
}


def feature_title(name: str) -> str:
    """A feature in words: `price_change_60s` is "change of price, last 60 s"."""
    windowed = _WINDOWED.match(name)
    stem = windowed[1] if windowed else name
    title = str(TITLES.get(stem, stem.replace("_", " ")))
    if windowed is None:
        return title
    return _("%(what)s, last %(span)s") % {"what": title, "span": display.seconds(int(windowed[2]))}


def feature_value(name: str, value: float | None) -> str:
    """A feature's value with its unit."""
    if value is None:
        return _("unknown")
    unit = _units().get(name, "")
    if unit == "ratio":
        return display.signed_pct(value * 100) if _is_change(name) else display.ratio_pct(value)
    if unit == "SOL per token":
        return display.price(value) + " SOL/M"
    if unit == "seconds":
        return display.seconds(value)
    if unit == "flag":
        return _("yes") if value else _("no")
    whole = unit in ("count", "id")
    text = display.number(value, 0 if whole else 2)
    return {"percent": f"{text} %", "SOL": f"{text} SOL", "USD": f"{text} USD"}.get(unit, text)


def _is_change(name: str) -> bool:
    return any(part in name for part in ("change", "acceleration", "from_"))


@cache
def _units() -> Mapping[str, str]:
    features: tuple[Feature, ...] = REGISTRY
    return {feature.name: feature.unit for feature in features}


def reason_lines(reasons: dict[str, Any] | None, most: int | None = None) -> list[dict[str, Any]]:
    """The reasons an alert keeps, strongest first: what, its value, what it does to the odds, a bar; empty where none
    are kept."""
    top = reasons["top"][:most] if reasons else []
    longest = max((abs(one["contribution"]) for one in top), default=1.0)
    return [
        {
            "title": feature_title(one["feature"]),
            "value": feature_value(one["feature"], one["value"]),
            "effect": effect(one["contribution"]),
            "verb": _("raises the score") if one["contribution"] > 0 else _("lowers the score"),
            "tone": display.tone(one["contribution"]),
            "bar": bar(one["contribution"] / longest),
            "name": one["feature"],
        }
        for one in top
    ]


def effect(contribution: float) -> str:
    """What a contribution does to the odds: ×2.1 or ÷1.4."""
    factor = math.exp(min(abs(contribution), 50.0))
    sign = "×" if contribution >= 0 else "÷"
    return sign + display.number(factor, 2 if factor < 10 else 0)


def base_text(reasons: dict[str, Any]) -> str:
    """What the model says of a coin it knows nothing of, and what the features that are not listed do together."""
    base = 1 / (1 + math.exp(-reasons["base"]))
    words = _("Without knowing anything it says %(base)s; all other features together: %(rest)s.")
    return words % {"base": display.ratio_pct(base), "rest": effect(reasons["rest"])}


def bar(share: float) -> SafeString:
    """A bar from the middle to the right (raises) or to the left (lowers); `share` is -1..1."""
    width = abs(share) * 50
    return format_html(
        '<svg class="why-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="{}" x="{}" y="0" width="{}" height="8"></rect><line x1="50" x2="50" y1="0" y2="8"></line></svg>',
        "up" if share > 0 else "down", f"{50 if share > 0 else 50 - width:.1f}", f"{width:.1f}",
    )  # fmt: skip
