"""What the pages of alerts and of the log show: rows of the database turned into ready texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import Page, page_of
from apps.discovery.models import Coin, Phase
from apps.predictions import queries
from apps.predictions.models import (
    ActiveModel,
    AlertEvaluation,
    EvaluationStatus,
    ModelPrediction,
    Prediction,
    Tag,
)
from apps.predictions.wording import base_text, reason_lines
from apps.training.queries import to_datetime, to_us

Title = str | Promise
STATUS: dict[str, tuple[str, Title]] = {
    EvaluationStatus.PENDING: ("wait", gettext_lazy("pending")),
    EvaluationStatus.SUCCESS: ("good", gettext_lazy("came true")),
    EvaluationStatus.FAILED: ("bad", gettext_lazy("failed")),
    EvaluationStatus.EXPIRED: ("", gettext_lazy("expired")),
    EvaluationStatus.NOT_APPLICABLE: ("", gettext_lazy("not applicable")),
}
TAGS: dict[str, tuple[str, Title]] = {
    Tag.NEGATIVE: ("", gettext_lazy("negative")),
    Tag.POSITIVE: ("wait", gettext_lazy("positive")),
    Tag.ALERT: ("good", gettext_lazy("alert")),
}
REASONS: dict[str, Title] = {
    "graduated": gettext_lazy("the coin graduated before it was decided"),
    "undefined": gettext_lazy("nothing to compare with"),
    "tracking_ended": gettext_lazy("the coin was no longer tracked"),
    "gap": gettext_lazy("a gap in the data"),
    "no_trades": gettext_lazy("no trade to enter with"),
    "stop_reached": gettext_lazy("the stop came first"),
    "not_judged": gettext_lazy("could not be judged within a day"),
}
# Lists reach back so far: counting millions of scores for a page number would cost more than it tells.
MOST_LISTED = 10_000


def market_now() -> datetime:
    """Feed time; the wall clock before the first frame."""
    return queries.feed_time() or timezone.now()


def number_asked(text: str) -> int | None:
    """An id out of an address; None where it is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def alerts_page(request: HttpRequest) -> Page:
    """The alerts that the filters choose, newest first."""
    rows = AlertEvaluation.objects.order_by("-as_of", "-alert_id", "mint", "active_model_id")
    if not request.GET.get("model"):
        rows = rows.exclude(alert_id=None)  # those of challengers are shown with their model only
    if (status := request.GET.get("status", "")) in EvaluationStatus.values:
        rows = rows.filter(status=status)
    page = page_of(request, _of_model_and_coin(request, rows)[:MOST_LISTED])
    names, symbols = work_names(), symbols_of(alert.mint for alert in page.items)
    now = market_now()
    return replace(page, items=[alert_row(alert, names, symbols, now) for alert in page.items])


def _of_model_and_coin(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    if (number := number_asked(request.GET.get("model", ""))) is not None:
        rows = rows.filter(active_model_id=number)
    if mint := request.GET.get("mint", "").replace("\0", "").strip():
        rows = rows.filter(mint=mint)
    return rows


def work_names() -> dict[int, str]:
    return dict(ActiveModel.objects.values_list("pk", "custom_name").order_by("custom_name"))


def symbols_of(mints: Iterable[str]) -> dict[str, str]:
    """The symbols of the coins on a page."""
    found = Coin.objects.filter(pk__in=set(mints)).values_list("mint", "symbol")
    return {mint: display.visible(symbol) or "?" for mint, symbol in found}


def alert_row(alert: AlertEvaluation, names: dict[int, str], symbols: dict[str, str], now: datetime) -> dict[str, Any]:
    tone, status = STATUS[alert.status]
    left = (alert.horizon_at - now).total_seconds()
    waits = _("judged in %(span)s") % {"span": display.seconds(max(left, 0))} if alert.status == "pending" else ""
    return {
        "key": f"{alert.active_model_id}-{alert.alert_id or f'{alert.mint}-{alert.as_of.timestamp():.0f}'}",
        "mint": alert.mint,
        "mint_short": display.mint_short(alert.mint),
        "symbol": symbols.get(alert.mint, "?"),
        "model": names.get(alert.active_model_id, _("removed")),
        "model_id": alert.active_model_id if alert.active_model_id in names else None,
        "at": display.clock(alert.fired_at),
        "probability": display.number(alert.probability, 3),
        "price": display.price(alert.price_sol),
        "cap": display.number(alert.market_cap_sol, 1),
        "change": display.signed_pct(alert.change_pct),
        "tone": display.tone(alert.change_pct),
        "highest": display.signed_pct(alert.highest_pct),
        "lowest": display.signed_pct(alert.lowest_pct),
        "href": alert_address(alert),
        "touches_gap": alert.touches_gap,
        "shadow": alert.alert_id is None,
        "why": reason_lines(alert.reasons, 1),
        "status_tone": tone,
        "status": status,
        "reason": waits or REASONS.get(alert.reason, alert.reason),
    }


def alert_address(alert: AlertEvaluation) -> str:
    """The page of one alert."""
    return reverse("predictions:alert", args=[alert.active_model_id, alert.mint, to_us(alert.as_of)])


def alert_found(active_model_id: int, mint: str, as_of_us: int) -> AlertEvaluation:
    """The alert of a model on a coin's window. Raises Http404."""
    try:
        as_of = to_datetime(as_of_us)
    except OverflowError:
        raise Http404 from None
    return get_object_or_404(AlertEvaluation, active_model_id=active_model_id, mint=mint, as_of=as_of)


def alert_facts(alert: AlertEvaluation) -> dict[str, Any]:
    """Everything on the page of one alert."""
    phases = dict(Phase.objects.values_list("pk", "name"))
    row = alert_row(alert, work_names(), symbols_of([alert.mint]), market_now())
    return {
        **row,
        "reason_lines": reason_lines(alert.reasons),
        "base_text": base_text(alert.reasons) if alert.reasons else "",
        "phase": phases.get(alert.phase_id, str(alert.phase_id)),
        "window": display.moment(alert.as_of),
        "fired": display.moment(alert.fired_at),
        "horizon": display.moment(alert.horizon_at),
        "judged": display.moment(alert.judged_at),
        "judged_price": display.price(alert.judged_price_sol),
        "highest_after": _after(alert.highest_at, alert.as_of),
        "lowest_after": _after(alert.lowest_at, alert.as_of),
        "curve": display.sol(alert.virtual_sol_lamports, 2),
    }


def _after(moment: datetime | None, start: datetime) -> str:
    """How long after the window something was; empty where it was not."""
    if moment is None:
        return ""
    return _("after %(span)s") % {"span": display.seconds((moment - start).total_seconds())}


def log_page(request: HttpRequest) -> Page:
    """The scores that the filters choose, newest first, each with its outcome where that is known."""
    rows = Prediction.objects.order_by("-as_of", "mint", "active_model_id")
    if (tag := request.GET.get("tag", "")) in Tag.values:
        rows = rows.filter(tag=tag)
    page = page_of(request, _of_model_and_coin(request, rows)[:MOST_LISTED])
    names, symbols = work_names(), symbols_of(row.mint for row in page.items)
    outcomes, shadows = outcomes_of(page.items), queries.shadow_ids()
    rows_shown = [log_row(row, names, symbols, outcomes) for row in page.items]
    marked = [
        {**shown, "shadow": row.active_model_id in shadows} for shown, row in zip(rows_shown, page.items, strict=True)
    ]
    return replace(page, items=marked)


def outcomes_of(rows: Sequence[Prediction]) -> dict[tuple[int, str, datetime], ModelPrediction]:
    """The outcomes of these scores that are known."""
    if not rows:
        return {}
    times = [row.as_of for row in rows]
    found = ModelPrediction.objects.filter(
        as_of__range=(min(times), max(times)),
        mint__in={row.mint for row in rows},
        active_model_id__in={row.active_model_id for row in rows},
    )
    return {(one.active_model_id, one.mint, one.as_of): one for one in found}


def log_row(
    row: Prediction,
    names: dict[int, str],
    symbols: dict[str, str],
    outcomes: dict[tuple[int, str, datetime], ModelPrediction],
) -> dict[str, Any]:
    tone, tag = TAGS[row.tag]
    outcome = outcomes.get((row.active_model_id, row.mint, row.as_of))
    return {
        "mint": row.mint,
        "symbol": symbols.get(row.mint, "?"),
        "model": names.get(row.active_model_id, _("removed")),
        "at": display.clock(row.as_of),
        "probability": display.number(row.probability, 3),
        "bar": f"{row.probability * 100:.1f}",
        "tag_tone": tone,
        "tag": tag,
        "late": row.is_late,
        "price": display.price(row.price_sol),
        "milliseconds": display.number(row.duration_ms, 1),
        "outcome": STATUS[outcome.status] if outcome else None,
        "highest": display.signed_pct(outcome.highest_pct) if outcome else "",
    }
