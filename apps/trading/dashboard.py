"""What the trading dashboard shows beside the money: curves, funnel, risk state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display, svg
from apps.core.units import LAMPORTS_PER_SOL
from apps.trading import equity, figures, funnel, limits_used, wording
from apps.trading.api_risk import states
from apps.trading.funnel import Count, Funnel
from apps.trading.limits_used import RiskState, Used

SPANS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
LIMITS = {
    "max_position_lamports": gettext_lazy("Largest position, SOL"),
    "max_open_positions": gettext_lazy("Open positions"),
    "max_exposure_lamports": gettext_lazy("In all positions, SOL"),
    "max_daily_loss_bps": gettext_lazy("Loss since the day began, %"),
    "max_drawdown_bps": gettext_lazy("Below the peak, %"),
    "max_consecutive_losses": gettext_lazy("Losses in a row"),
}


def curves(span: str, now: datetime, equity_lamports: int) -> dict[str, Any]:
    """Equity of all test wallets over a span up to now, and realized profit by day."""
    span = span if span in SPANS else "24h"
    points = equity.equity_points(now - SPANS[span], now)
    days = list(reversed(figures.pnl_by_day(30)))
    return {
        "span": span,
        "spans": list(SPANS),
        "equity": equity_plot([*points, (now, equity_lamports)], now, span) if points else "",
        "days": days_plot(days) if days else "",
    }


def equity_plot(points: Sequence[tuple[datetime, int]], now: datetime, span: str) -> str:
    """The curve over hours, or days, before now."""
    unit, title = (timedelta(hours=1), _("hours ago")) if span == "24h" else (timedelta(days=1), _("days ago"))
    line = [((at - now) / unit, lamports / LAMPORTS_PER_SOL) for at, lamports in points]
    low, high = min(y for _x, y in line), max(y for _x, y in line)
    room = (high - low) * 0.08 or max(high * 0.01, 0.001)
    axes = svg.Axes(title, _("SOL"), (-(SPANS[span] / unit), 0.0), (low - room, high + room), "{:.0f}", "{:.3f}")
    return svg.curves([svg.Line(line)], axes, _("Equity of all test wallets, SOL"))


def days_plot(days: Sequence[dict[str, Any]]) -> str:
    """A row a day: what the positions closed then have made."""
    rows = [_day_span(row["day"], row["realized_pnl_lamports"] or 0) for row in days[-14:]]
    return svg.spans(rows, _("Realized profit by day, SOL"), "{:.2f}", names=52)


def _day_span(day: date, lamports: int) -> svg.Span:
    """The profit as a bar from zero."""
    sol = lamports / LAMPORTS_PER_SOL
    return svg.Span(day.strftime("%d.%m."), sol, min(0.0, sol), max(0.0, sol), display.signed_sol(lamports, 3))


# --- Why no trade ----------------------------------------------------------------------------------------
def funnel_rows(hours: int) -> list[dict[str, Any]]:
    """The funnel of each strategy as steps with their share, and the reasons."""
    return [_funnel_row(one) for one in funnel.funnels(hours=hours)]


def _funnel_row(one: Funnel) -> dict[str, Any]:
    steps = [
        (_("Alerts"), one.alerts),
        (_("Passed the conditions"), one.passed),
        (_("Allowed by risk"), one.submitted),
        (_("Filled"), one.filled),
    ]
    return {
        "strategy": one.strategy,
        "wallet": one.wallet,
        "steps": [(title, display.count(count), _percent(count, one.alerts)) for title, count in steps],
        "filtered": _reasons(one.filtered),
        "denied": _reasons(one.denied),
        "ended": _reasons(one.ended),
        "in_flight": display.count(one.in_flight) if one.in_flight else "",
        "warnings": [(warned.code, _(warned.message)) for warned in one.warnings],
        "is_empty": not one.alerts,
    }


def _reasons(counts: Sequence[Count]) -> list[tuple[str, str, str]]:
    return [(wording.sentence(row.reason), wording.small_print(row.reason), display.count(row.count)) for row in counts]


def _percent(count: int, of: int) -> int:
    return round(100 * count / of) if of else 0


# --- Risk ------------------------------------------------------------------------------------------------
def risk_rows() -> list[dict[str, Any]]:
    """Every wallet, and all of a kind together where a limit of theirs is set, with the use of each limit."""
    return [_risk_row(one) for one in states() if one.name or one.limits or not one.trading_enabled]


def _risk_row(one: RiskState) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "trading": one.trading_enabled,
        "transfer": one.transfer_enabled,
        "cooling": one.is_cooling_down,
        "limits": [_used_row(used) for used in one.limits],
    }


def _used_row(used: Used) -> dict[str, Any]:
    percent = round(used.ratio * 100)
    return {
        "title": LIMITS[used.limit],
        "text": f"{_amount(used.used, used.unit)} / {_amount(used.most, used.unit)}",
        "percent": percent,
        "tone": "down" if percent >= 100 else "",
    }


def _amount(value: int, unit: limits_used.Unit) -> str:
    if unit == "lamports":
        return display.sol(value, 2)
    return display.number(value / 100, 1) if unit == "bps" else display.count(value)
