"""The dashboard: the whole pipeline at a glance, read from every part's tables, live."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.core import display, live
from apps.core.htmx import oob
from apps.discovery import pages as discovery
from apps.discovery.models import CoinStream
from apps.predictions.models import ActiveModel, AlertEvaluation
from apps.trading import figures, queries
from apps.trading.valuation import Valued, positions_valued
from apps.training.models import Job, Model

RATES = """
SELECT (SELECT count(*) FROM discovered_coins WHERE first_seen_at > %(since)s),
       (SELECT count(*) FROM coin_transactions WHERE "timestamp" > %(since)s),
       (SELECT count(*) FROM coin_metrics WHERE "timestamp" > %(since)s),
       (SELECT count(*) FROM predictions WHERE as_of > %(since)s),
       (SELECT count(*) FROM alert_evaluations WHERE as_of > %(since)s),
       (SELECT count(*) FROM orders WHERE decided_at > %(since)s AND status <> 'DENIED')
"""
# Hypertables: TimescaleDB counts from statistics, so that the dashboard stays fast with millions of rows.
TOTALS = """
SELECT (SELECT count(*) FROM discovered_coins), (SELECT count(*) FROM coin_streams WHERE is_active),
       (SELECT count(*) FROM active_models WHERE is_active), (SELECT count(*) FROM ml_models WHERE NOT is_deleted)
"""


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """`/`."""
    return render(request, "core/dashboard.html", context() | {"topics": "dashboard"})


def render_live(topic: str) -> str:
    """The live part as out-of-band HTML."""
    return oob("core/_dashboard.html", context())


def context() -> dict[str, Any]:
    """Everything the live part shows."""
    now = discovery.feed_time()
    stats = figures.stats(now)
    return {
        "pipe": pipeline(now, stats),
        "stats": {
            "equity": display.sol(stats.equity_lamports),
            "unrealized": display.signed_sol(stats.unrealized_pnl_lamports),
            "unrealized_tone": display.tone(stats.unrealized_pnl_lamports),
            "realized": display.signed_sol(stats.realized_pnl_lamports),
            "realized_tone": display.tone(stats.realized_pnl_lamports),
            "today": display.signed_sol(stats.realized_today_lamports),
            "today_tone": display.tone(stats.realized_today_lamports),
            "wins": _("%(won)d of %(closed)d") % {"won": stats.winners, "closed": stats.closed_positions},
            "state": stats.trading_state,
        },
        "coins": newest_coins(now),
        "alerts": newest_alerts(),
        "positions": [position_row(valued, now) for valued in open_positions(now)],
        "notice": notice(),
        "badge": discovery.badge(),
        "feed_at": display.clock(now),
        "jobs": [job_row(job) for job in Job.objects.filter(status__in=("PENDING", "RUNNING"))[:3]],
    }


def pipeline(now: datetime, stats: figures.Stats) -> list[dict[str, str]]:
    """Seven steps from the feed to positions, each with what passed in the last minute."""
    with connection.cursor() as cursor:
        cursor.execute(RATES, {"since": now - timedelta(minutes=1)})
        new, trades, windows, scores, alerts, orders = cursor.fetchone()
        cursor.execute(TOTALS)
        coins, tracked, working, models = cursor.fetchone()
    badge = discovery.badge()
    edge = {"bad": "bad", "wait": "warn-edge"}.get(badge["tone"], "ok")
    per_minute = _("in a minute")
    steps = (
        ("radio", _("Feed"), badge["text"], _("%(n)s trades/min") % {"n": f"{trades:,}"}, edge, "discovery:settings"),
        (
            "coins",
            _("Coins"),
            f"{coins:,}",
            _("%(n)s tracked, %(new)s new") % {"n": f"{tracked:,}", "new": new},
            _ok(tracked),
            "discovery:overview",
        ),
        ("layers", _("Windows"), f"{windows:,}", per_minute, _ok(windows), "discovery:streams"),
        (
            "brain",
            _("Scores"),
            f"{scores:,}",
            _("%(n)d of %(m)d models at work") % {"n": working, "m": models},
            _ok(scores),
            "predictions:log",
        ),
        ("bell", _("Alerts"), f"{alerts:,}", per_minute, _ok(alerts), "predictions:alerts"),
        ("send", _("Orders"), f"{orders:,}", per_minute, _ok(orders), "trading:trades"),
        (
            "briefcase",
            _("Positions"),
            f"{stats.open_positions:,}",
            _("%(n)d closed") % {"n": stats.closed_positions},
            _ok(stats.open_positions),
            "trading:positions",
        ),
    )
    return [dict(zip(("icon", "label", "value", "note", "edge", "url"), step, strict=True)) for step in steps]


def _ok(count: int) -> str:
    return "ok" if count else ""


def newest_coins(now: datetime) -> list[dict[str, Any]]:
    rows = CoinStream.objects.select_related("coin", "phase").order_by("-started_at", "coin_id")[:10]
    return [discovery.stream_row(stream, now) for stream in rows]


def newest_alerts() -> list[dict[str, Any]]:
    alerts = list(AlertEvaluation.objects.order_by("-as_of", "-alert_id")[:10])
    names = dict(ActiveModel.objects.values_list("id", "custom_name"))
    symbols = dict(
        CoinStream.objects.filter(coin_id__in={a.mint for a in alerts}).values_list("coin_id", "coin__symbol")
    )
    tones = {"success": "good", "failed": "bad", "pending": "wait"}
    return [
        {
            "mint": alert.mint,
            "symbol": symbols.get(alert.mint, "").strip() or display.mint_short(alert.mint),
            "model": names.get(alert.active_model_id, display.NONE),
            "at": display.clock(alert.as_of),
            "probability": display.ratio_pct(alert.probability, 0),
            "status": alert.get_status_display(),
            "tone": tones.get(alert.status, ""),
            "highest": display.signed_pct(alert.highest_pct),
        }
        for alert in alerts
    ]


def open_positions(now: datetime) -> list[Valued]:
    return positions_valued(list(queries.positions_open().order_by("-opened_at", "-id")[:10]), now)


def position_row(valued: Valued, now: datetime) -> dict[str, Any]:
    position, gain = valued.position, valued.unrealized_pnl_lamports
    return {
        "id": position.pk,
        "mint": position.mint,
        "mint_short": display.mint_short(position.mint),
        "wallet": position.wallet.alias,
        "cost": display.sol(valued.cost_lamports),
        "value": display.sol(valued.value_lamports),
        "gain": display.signed_sol(gain),
        "gain_value": gain,
        "pct": display.signed_pct(gain / valued.cost_lamports * 100 if valued.cost_lamports else None),
        "tone": display.tone(gain),
        "age": display.seconds((now - position.opened_at).total_seconds()),
    }


def job_row(job: Job) -> dict[str, Any]:
    return {
        "id": job.pk,
        "title": f"{job.job_type} #{job.pk}",
        "message": job.message or job.get_status_display(),
        "progress": f"{job.progress * 100:.0f}",
    }


def notice() -> str:
    """What a new user waits for, in one sentence; empty when all parts work."""
    if not settings.DEMO or ActiveModel.objects.filter(is_active=True).exists():
        return ""
    if Model.objects.exists():
        return _("The first model is trained and goes to work in a few seconds.")
    if Job.objects.filter(
        status__in=("PENDING", "RUNNING"), created_at__gt=timezone.now() - timedelta(hours=1)
    ).exists():
        return _("The first model is being trained on what was streamed so far.")
    return _(
        "Collecting data: the first model is trained by itself as soon as there is enough, usually within minutes."
    )


live.register("dashboard", render_live)
