"""The dashboard: the whole pipeline at a glance, read from every part's tables, live."""

from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.core import display, live
from apps.core.htmx import oob
from apps.core.sparkline import sparkline
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.discovery import pages_feed, pages_rates
from apps.discovery import pages_list as discovery
from apps.discovery.models import Coin, CoinMetric, CoinStream
from apps.predictions import webhook_pages
from apps.predictions.models import ActiveModel, AlertEvaluation
from apps.trading import figures, queries
from apps.trading.models import Position
from apps.trading.valuation import Valued, positions_valued
from apps.training.models import Job, Model
from pumpsite.health import health_parts

MOST_RESULTS = 300

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
            "equity_value": stats.equity_lamports,
            "worth": pages_rates.worth(stats.equity_lamports, now),
            "unrealized": display.signed_sol(stats.unrealized_pnl_lamports),
            "unrealized_tone": display.tone(stats.unrealized_pnl_lamports),
            "realized": display.signed_sol(stats.realized_pnl_lamports),
            "realized_tone": display.tone(stats.realized_pnl_lamports),
            "today": display.signed_sol(stats.realized_today_lamports),
            "today_tone": display.tone(stats.realized_today_lamports),
            "wins": _("%(won)d of %(closed)d") % {"won": stats.winners, "closed": stats.closed_positions},
            "state": stats.trading_state,
            "state_tone": "good" if stats.trading_state == "ACTIVE" else "wait",
        },
        "coins": newest_coins(now),
        "alerts": newest_alerts(),
        "positions": open_positions(now),
        "notice": pages_feed.badge()["trouble"] or notice(),
        "webhooks_off": webhook_pages.lost(),
        "health": health_rows(),
        "curve": results_curve(),
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
    badge = pages_feed.badge()
    edge = {"bad": "bad", "wait": "warn-edge"}.get(badge["tone"], "ok")
    per_minute = _("in a minute")
    steps = (
        _step(
            "radio", _("Feed"), badge["text"], _("%(n)s trades/min") % {"n": display.count(trades)},
            "discovery:feed",
        ),
        _step(
            "coins", _("Coins"), coins, _("%(n)s tracked, %(new)s new") % {"n": display.count(tracked), "new": new},
            "discovery:overview",
        ),
        _step("layers", _("Windows"), windows, per_minute, "discovery:streams"),
        _step(
            "brain", _("Scores"), scores, _("%(n)d of %(m)d models at work") % {"n": working, "m": models},
            "predictions:log",
        ),
        _step("bell", _("Alerts"), alerts, per_minute, "predictions:alerts"),
        _step("send", _("Orders"), orders, per_minute, "trading:trades"),
        _step(
            "briefcase", _("Positions"), stats.open_positions, _("%(n)d closed") % {"n": stats.closed_positions},
            "trading:positions",
        ),
    )  # fmt: skip
    return [steps[0] | {"edge": edge}, *steps[1:]]


def _step(icon: str, label: str, value: int | str, note: str, url: str) -> dict[str, str]:
    """One tile of the pipeline; its edge says whether anything passes."""
    text = value if isinstance(value, str) else display.count(value)
    return {"icon": icon, "label": label, "value": text, "note": note, "edge": "ok" if value else "", "url": url}


def health_rows() -> list[dict[str, str]]:
    """What the platform stands on: name, tone and a word for each part."""
    names = {"database": _("Database"), "redis": "Valkey", "stream": _("Stream"), "workers": _("Workers")}
    rows = []
    for key, part in health_parts().items():
        missing = ", ".join(part.get("missing", ()))
        word = _("runs") if part["ok"] else _("missing: %(names)s") % {"names": missing} if missing else _("away")
        rows.append({"name": names[key], "tone": "good" if part["ok"] else "bad", "word": word})
    return rows


def results_curve() -> SafeString:
    """The sum of the newest realized results, one point a closed position."""
    newest = Position.objects.filter(status="CLOSED").order_by("-closed_at", "-id")
    results = list(newest.values_list("realized_pnl_lamports", flat=True)[:MOST_RESULTS])
    return sparkline([0.0, *accumulate(map(float, reversed(results)))] if results else [], _("Realized results"))


def newest_coins(now: datetime) -> Table:
    mints = CoinStream.objects.order_by("-started_at", "coin_id").values_list("coin_id", flat=True)[:12]
    columns = [
        Column(_("Coin"), "clip"),
        Column(_("Age"), NUMBER),
        Column(_("Market cap, SOL"), NUMBER),
        Column(_("Volume, SOL"), WIDE_NUMBER),
        Column(_("Trades"), NUMBER),
    ]
    more, hint = (reverse("discovery:overview"), _("all")), _("The feed brings one every few seconds.")
    rows = [_coin_row(row) for row in discovery.rows_of(list(mints), now)]
    return Table(columns, rows, _("Newest coins"), _("No coin yet."), hint, "coins", more)


def _coin_row(row: dict[str, Any]) -> Row:
    cap = Cell(row["cap"], id=f"newcap-{row['mint']}", value=f"{row['cap_value']:.4f}")
    coin = Cell(row["symbol"][:12], href=row["url"], note=row["name"][:20])
    return Row([coin, Cell(row["age"]), cap, Cell(row["volume"]), Cell(row["trades"])], f"new-{row['mint']}")


def symbols_of(mints: set[str]) -> dict[str, str]:
    """What coins are called; the shortened mint where they are called nothing."""
    known = dict(Coin.objects.filter(mint__in=mints).values_list("mint", "symbol"))
    return {mint: display.visible(known.get(mint, "")) or display.mint_short(mint) for mint in mints}


def newest_alerts() -> Table:
    alerts = list(AlertEvaluation.objects.exclude(alert_id=None).order_by("-as_of", "-alert_id")[:8])
    names = dict(ActiveModel.objects.values_list("id", "custom_name"))
    symbols = symbols_of({alert.mint for alert in alerts})
    columns = [
        Column(_("Time"), "nowrap"),
        Column(_("Coin")),
        Column(_("Probability"), NUMBER),
        Column(_("Became")),
        Column(_("Highest"), WIDE_NUMBER),
    ]
    rows = [_alert_row(one, symbols[one.mint], names.get(one.active_model_id, display.NONE)) for one in alerts]
    more, hint = (reverse("predictions:alerts"), _("all")), _("A model at work makes one at its threshold.")
    return Table(columns, rows, _("Newest alerts"), _("No alert yet."), hint, "bell", more)


def _alert_row(alert: AlertEvaluation, symbol: str, model: str) -> Row:
    tones = {"success": "good", "failed": "bad", "pending": "wait"}
    return Row(
        [
            Cell(display.clock(alert.as_of)),
            Cell(symbol[:12], href=reverse("discovery:coin", args=[alert.mint]), note=model),
            Cell(display.ratio_pct(alert.probability, 0)),
            Cell(pills=[(tones.get(alert.status, ""), alert.get_status_display())]),
            Cell(display.signed_pct(alert.highest_pct)),
        ]
    )


def open_positions(now: datetime) -> Table:
    held = positions_valued(list(queries.positions_open().order_by("-opened_at", "-id")[:8]), now)
    symbols = symbols_of({one.position.mint for one in held})
    columns = [
        Column(_("Coin")),
        Column(_("Cost, SOL"), WIDE_NUMBER),
        Column(_("Worth, SOL"), NUMBER),
        Column(_("Gain"), NUMBER),
        Column(_("Age"), NUMBER),
    ]
    rows = [_position_row(one, symbols[one.position.mint], now) for one in held]
    more, hint = (reverse("trading:positions"), _("all")), _("A strategy opens one on an alert.")
    return Table(columns, rows, _("Open positions"), _("No open position."), hint, "briefcase", more)


def _position_row(valued: Valued, symbol: str, now: datetime) -> Row:
    position, gain = valued.position, valued.unrealized_pnl_lamports
    pct = display.signed_pct(gain / valued.cost_lamports * 100 if valued.cost_lamports else None)
    text = f"{display.signed_sol(gain)} ({pct})"
    return Row(
        [
            Cell(symbol[:12], href=reverse("discovery:coin", args=[position.mint])),
            Cell(display.sol(valued.cost_lamports)),
            Cell(display.sol(valued.value_lamports)),
            Cell(text, css=display.tone(gain), id=f"gain-{position.pk}", value=str(gain)),
            Cell(display.seconds((now - position.opened_at).total_seconds())),
        ],
        f"position-{position.pk}",
    )


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
        "Collecting data: %(n)s windows so far. The first model is trained by itself as soon as there is enough, "
        "usually within five minutes."
    ) % {"n": display.count(CoinMetric.objects.count())}


live.register("dashboard", render_live)
