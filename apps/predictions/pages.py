"""What the prediction pages show: rows of the database turned into ready texts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display, svg
from apps.core.htmx import ROWS_A_PAGE, Page, page_of
from apps.core.process import processes_alive
from apps.discovery.models import Phase
from apps.predictions import champions, pages_life, queries, services
from apps.predictions.models import (
    ActiveModel,
    ScorerState,
)
from apps.predictions.pages_alerts import market_now, number_asked
from apps.training import cautions
from apps.training import pages as training_pages
from apps.training.models import BULKY_OF_RELATED, Model
from apps.training.plots import calibration_of
from apps.training.questions import question

Title = str | Promise
SPANS = ((1, gettext_lazy("last hour")), (24, gettext_lazy("last day")), (168, gettext_lazy("last week")))
CARD_HOURS = 1
BINS = 20


# --- Models at work ------------------------------------------------------------------------------------
def models_at_work() -> QuerySet[ActiveModel]:
    """Models put to work with the trained models behind them, those that score first; not their challengers."""
    rows = ActiveModel.objects.filter(shadow_of=None).select_related("model")
    rows = rows.order_by("-is_active", "-activated_at", "-id")
    return rows.defer(*BULKY_OF_RELATED, "whitelist")


def cards() -> list[dict[str, Any]]:
    """A card for each model at work with its counts of the last hour of feed time."""
    since = market_now() - timedelta(hours=CARD_HOURS)
    scores = {row[0]: row for row in queries.score_statistics(since)}
    alerts = {row[0]: row for row in queries.alert_statistics(since)}
    names, places = phase_names(), list(models_at_work()[:ROWS_A_PAGE])
    notes, challengers = pages_life.notes(places), champions.challengers_of(places)
    return [
        {
            **active_facts(one, names),
            **live_counts(scores.get(one.pk), alerts.get(one.pk)),
            **promised(one.model),
            "life_note": notes.get(one.pk),
            "challenger": challengers.get(one.pk, ""),
        }
        for one in places
    ]


def phase_names() -> dict[int, str]:
    return {phase.pk: phase.name for phase in Phase.objects.all()}


def active_facts(active: ActiveModel, names: dict[int, str]) -> dict[str, Any]:
    """A model at work with its settings."""
    return {
        "id": active.pk,
        "name": active.custom_name,
        "on": active.is_active,
        "model_id": None if active.model.is_deleted else active.model_id,
        "model": active.model.name,
        "question": question(active.model.recipe),
        "threshold": display.number(active.threshold, 3),
        "phases": ", ".join(names.get(phase, str(phase)) for phase in active.phases) or _("all phases"),
        "whitelist": active.coin_filter == ActiveModel.CoinFilter.WHITELIST,
        "webhook": active.webhook_enabled,
        "since": display.clock(active.activated_at),
    }


def live_counts(scores: Sequence[Any] | None, alerts: Sequence[Any] | None) -> dict[str, Any]:
    """Counts out of the rows of `queries.score_statistics` and `queries.alert_statistics`."""
    success, failed = (alerts[4], alerts[5]) if alerts else (0, 0)
    return {
        "scores": display.count(scores[1]) if scores else "0",
        "coins": display.count(scores[2]) if scores else "0",
        "milliseconds": display.number(scores[7], 1) if scores else display.NONE,
        "newest": display.clock(scores[9]) if scores else display.NONE,
        "alerts": display.count(alerts[2]) if alerts else "0",
        "pending": display.count(alerts[3]) if alerts else "0",
        "judged": display.count(success + failed),
        "success": display.count(success),
        "undecided": display.count(alerts[6] + alerts[7]) if alerts else "0",
        "rate": display.ratio_pct(success / (success + failed) if success + failed else None),
        "mean_change": display.signed_pct(alerts[8] if alerts else None),
        "mean_tone": display.tone(alerts[8] if alerts else None),
        "mean_highest": display.signed_pct(alerts[9] if alerts else None),
        "mean_lowest": display.signed_pct(alerts[10] if alerts else None),
    }


def promised(model: Model) -> dict[str, str]:
    """What the model's own judgement promised: precision at its threshold, and the base rate a guess would reach."""
    part, scores = training_pages.best_part(model.promising_scores())
    return {
        "promise_caution": str(cautions.of_part(part)) if scores else "",
        "promised": display.ratio_pct(scores.get("precision")),
        "base_rate": display.ratio_pct(scores.get("base_rate")),
    }


def scorer_note() -> tuple[str, str]:
    """Tone and text of a note about the scorer; empty where all is well."""
    if not ActiveModel.objects.filter(is_active=True).exists():
        return "", ""
    if "scorer" not in processes_alive(now=timezone.now()):
        return "bad", _("The scorer is not running: nothing is scored. Start it with the others (make run, make demo).")
    state, feed_at = ScorerState.objects.filter(pk=1).first(), queries.feed_time()
    if state and state.scored_to and feed_at and (lag := (feed_at - state.scored_to).total_seconds()) > 60:
        text = _("The scorer is %(lag)s behind the feed; scores that come too late raise no alert.")
        return "warn-edge", text % {"lag": display.seconds(lag)}
    return "", ""


def empty_text() -> tuple[str, str]:
    """What the overview says while no model is at work."""
    if settings.DEMO:
        return (
            _("No model is at work yet."),
            _("The demo trains its first model by itself when there is enough data, and puts it to work here."),
        )
    return _("No model is at work."), _("Train a model, then put it to work.")


def model_page(active: ActiveModel) -> dict[str, Any]:
    """Everything on the page of one model at work."""
    now = market_now()
    since = now - timedelta(hours=24)
    scores = {row[0]: row for row in queries.score_statistics(now - timedelta(hours=CARD_HOURS))}
    alerts = {row[0]: row for row in queries.alert_statistics(since)}
    webhook = services.n8n_status(active=active)
    return {
        **active_facts(active, phase_names()),
        **live_counts(scores.get(active.pk), alerts.get(active.pk)),
        **promised(active.model),
        "histogram": histogram(active, since),
        "calibration": calibration_of([row[:2] for row in queries.live_calibration(active.pk, since, 10)]),
        "life_note": pages_life.notes([active]).get(active.pk),
        "is_shadow": active.shadow_of_id is not None,
        "shadow_of": active.shadow_of_id,
        "webhook_state": WEBHOOK_STATES[webhook["status"]],
        "webhook_counts": webhook,
    }


WEBHOOK_STATES: dict[str, tuple[str, Title]] = {
    "disabled": ("", gettext_lazy("off")),
    "switched_off": ("bad", gettext_lazy("the endpoint is off")),
    "never_sent": ("wait", gettext_lazy("nothing sent yet")),
    "ok": ("good", gettext_lazy("delivered")),
    "failing": ("bad", gettext_lazy("failing")),
}


def histogram(active: ActiveModel, since: datetime) -> SafeString:
    """The scores since then by probability, those that alert marked; empty text where there are none."""
    counts = queries.score_histogram(active.pk, since, BINS)
    if not any(counts):
        return SafeString("")
    axes = svg.Axes(_("Probability"), _("Scores"), form="{:.2f}")
    return svg.histogram(counts, axes, _("Scores by probability"), active.threshold)


# --- Statistics ----------------------------------------------------------------------------------------
def hours_asked(request: HttpRequest) -> int:
    """The span of the statistics: one of SPANS, else a day."""
    number = number_asked(request.GET.get("hours", ""))
    return number if number in {hours for hours, _title in SPANS} else 24


def statistics(hours: int) -> list[dict[str, Any]]:
    """Per model at work: what it said in the last hours of feed time and what became of it."""
    since = market_now() - timedelta(hours=hours)
    scores = {row[0]: row for row in queries.score_statistics(since)}
    alerts = {row[0]: row for row in queries.alert_statistics(since)}
    judged, spans = _judged_by_model(since), queries.scored_hours(since)
    return [
        {
            **active_facts(one, {}),
            **live_counts(scores.get(one.pk), alerts.get(one.pk)),
            **promised(one.model),
            **_outcome_texts(*judged.get(one.pk, (0, 0))),
            "per_hour": _per_hour(alerts.get(one.pk), spans.get(one.pk, 0.0)),
            "late": display.count(scores[one.pk][8]) if one.pk in scores else "0",
        }
        for one in models_at_work()[:ROWS_A_PAGE]
    ]


def _judged_by_model(since: datetime) -> dict[int, tuple[int, int]]:
    """Of all judged scores of a model: how many came true, how many did not."""
    found: dict[int, tuple[int, int]] = {}
    for model, _tag, success, failed in queries.outcomes_by_tag(since):
        before = found.get(model, (0, 0))
        found[model] = (before[0] + success, before[1] + failed)
    return found


def _outcome_texts(success: int, failed: int) -> dict[str, str]:
    """Judged scores of any tag, and the share that came true: what a blind guess would have reached meanwhile."""
    judged = success + failed
    return {
        "judged_scores": display.count(judged),
        "live_base": display.ratio_pct(success / judged if judged else None),
    }


def _per_hour(alerts: Sequence[Any] | None, hours: float) -> str:
    """Alerts per hour of feed time scored; unknown before a minute has been."""
    return display.number(alerts[2] / hours if alerts and hours > 1 / 60 else None, 1)


# --- Putting to work -----------------------------------------------------------------------------------
def available_page(request: HttpRequest) -> Page:
    """Trained models, newest first."""
    return page_of(request, training_pages.models_found(), training_pages.model_row)


def model_asked(request: HttpRequest) -> Model | None:
    """The trained model that `?model=` names; None where it names none."""
    number = number_asked(request.GET.get("model", ""))
    return None if number is None else Model.objects.filter(is_deleted=False, pk=number).defer("artifact").first()
