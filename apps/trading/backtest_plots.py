"""The curves of backtests as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.core import display
from apps.core.svg import Axes, Line, Point, Span, curves, spans
from apps.trading.models import Backtest
from apps.training.plots import CURVE_CLASSES

EMPTY = SafeString("")
_LAMPORTS = 1e9


def equity(run: Backtest) -> SafeString:
    """Cash and positions at the sell quote, in SOL, with what it began with as a guide."""
    points = [(hours, lamports / _LAMPORTS) for hours, lamports in _points(run)]
    if len(points) < 2:
        return EMPTY
    start = run.balance_lamports / _LAMPORTS
    guide = Line([(0.0, start), (points[-1][0], start)], "guide", title=_("start"))
    up = _around([start, *(y for _x, y in points)])
    form = "{:.2f}" if up[1] - up[0] > 0.1 else "{:.4f}"
    axes = Axes(_("Hours"), "SOL", (0.0, points[-1][0]), up, _hours(points), form)
    return curves([guide, Line(points)], axes, _("Equity"))


def drawdown(run: Backtest) -> SafeString:
    """How far below its highest point the equity stood."""
    peak, points = 0.0, []
    for hours, lamports in _points(run):
        peak = max(peak, lamports)
        points.append((hours, (lamports - peak) / peak if peak else 0.0))
    if len(points) < 2:
        return EMPTY
    low = min(y for _x, y in points)
    axes = Axes(
        _("Hours"),
        "",
        (0.0, points[-1][0]),
        (min(low * 1.1, -0.001), 0.0),
        _hours(points),
        "{:.2%}" if low > -0.02 else "{:.1%}" if low > -0.1 else "{:.0%}",
    )
    return curves([Line(points, "line four")], axes, _("Below the highest equity so far"))


def equities(runs: Sequence[Backtest]) -> SafeString:
    """The equity of several runs as gain on what each began with, in the order of CURVE_CLASSES."""
    drawn = [[(x, y / run.balance_lamports - 1) for x, y in _points(run)] for run in runs]
    known = [points for points in drawn if len(points) > 1]
    if not known:
        return EMPTY
    most = max(points[-1][0] for points in known)
    up = _around([0.0, *(y for points in known for _x, y in points)])
    axes = Axes(_("Hours"), "", (0.0, most), up, _hours(known[0]), "{:+.2%}" if up[1] - up[0] < 0.04 else "{:+.0%}")
    lines = [Line([(0.0, 0.0), (most, 0.0)], "guide", title=_("start"))]
    lines += [
        Line(points, css, title=f"{run.strategy_name} {run.pk}")
        for run, points, css in zip(runs, drawn, CURVE_CLASSES, strict=False)
    ]
    return curves(lines, axes, _("Gain on what it began with"))


def differences(pairs: Sequence[dict[str, Any]]) -> SafeString:
    """How much more the first of each pair made, in SOL, with its interval over drawn coins."""
    rows = [
        Span(
            f"{pair['first']} – {pair['second']}",
            pair["difference_lamports"] / _LAMPORTS,
            *_ends(pair["interval_lamports"]),
            text=display.signed_sol(pair["difference_lamports"], 3),
        )
        for pair in pairs
    ]
    return spans(rows, _("Difference in SOL"), "{:+.2f}")


def _ends(interval: list[int] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval[0] / _LAMPORTS, interval[1] / _LAMPORTS)


def _points(run: Backtest) -> list[Point]:
    """(hours since the beginning, lamports)."""
    moments = [(datetime.fromisoformat(at), lamports) for at, lamports in run.equity]
    return [((at - run.since).total_seconds() / 3600, float(lamports)) for at, lamports in moments]


def _hours(points: Sequence[Point]) -> str:
    return "{:.0f}" if points[-1][0] >= 10 else "{:.2f}"


def _around(values: Sequence[float]) -> Point:
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or max(abs(high) * 0.01, 1e-6)
    return low - room, high + room
