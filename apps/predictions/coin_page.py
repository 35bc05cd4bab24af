"""What the page of a coin shows of its scores: their course, the newest as a table, alerts as marks of the chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display, svg
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.predictions import queries
from apps.predictions.models import AlertEvaluation, ModelPrediction, Prediction, Tag
from apps.predictions.pages_alerts import STATUS, TAGS, alert_row, market_now, outcomes_of, work_names
from apps.predictions.wording import reason_lines

MOST_SCORES, SCORES_LISTED, MOST_MARKS, ALERTS_EXPLAINED = 400, 15, 200, 3
SHADOW = "", gettext_lazy("shadow")
LINES = ("line", "line two", "line three", "line four")


def coin_scores(mint: str) -> dict[str, Any]:
    """The newest scores of a coin: `plot` (a line a model), `legend` (class, name), `table`."""
    scores = list(Prediction.objects.filter(mint=mint).order_by("-as_of", "active_model_id")[:MOST_SCORES])
    names = work_names()
    models = sorted({one.active_model_id for one in scores})[: len(LINES)]
    legend = [(css, names.get(model, _("removed"))) for css, model in zip(LINES, models, strict=False)]
    return {
        "plot": _plot(scores, models),
        "legend": legend,
        "table": _table(mint, scores, names),
        "alerts": _alerts(mint, scores, names),
    }


def _alerts(mint: str, scores: Sequence[Prediction], names: dict[int, str]) -> list[dict[str, Any]]:
    """The newest alerts among these scores, with what moved them."""
    told = _told(mint, [one for one in scores if one.tag == Tag.ALERT])
    newest = told.order_by("-as_of", "active_model_id")[:ALERTS_EXPLAINED]
    now = market_now()
    return [{**alert_row(one, names, {}, now), "why": reason_lines(one.reasons, 3)} for one in newest]


def _plot(scores: Sequence[Prediction], models: Sequence[int]) -> SafeString:
    """Probability over the minutes before the newest score; empty where there are too few scores for a line."""
    if len(scores) < 2:
        return SafeString("")
    newest = scores[0].as_of
    points: dict[int, list[svg.Point]] = {model: [] for model in models}
    for one in reversed(scores):
        if one.active_model_id in points:
            points[one.active_model_id].append(((one.as_of - newest).total_seconds() / 60, one.probability))
    oldest = min((line[0][0] for line in points.values() if line), default=0.0)
    axes = svg.Axes(_("minutes before the newest score"), _("probability"), x_range=(min(oldest, -0.1), 0.0))
    lines = [svg.Line(points[model], css) for css, model in zip(LINES, models, strict=False)]
    return svg.curves(lines, axes, _("Course of the scores; the newest as a table below"))


def _table(mint: str, scores: Sequence[Prediction], names: dict[int, str]) -> Table:
    shown = scores[:SCORES_LISTED]
    outcomes = outcomes_of(shown)
    columns = [
        Column(_("As of"), "nowrap"),
        Column(_("Model")),
        Column(_("Probability"), NUMBER),
        Column(_("Tag")),
        Column(_("Outcome")),
        Column(_("Highest"), WIDE_NUMBER),
    ]
    shadows = queries.shadow_ids()
    rows = [
        _row(one, names, outcomes.get((one.active_model_id, one.mint, one.as_of)), one.active_model_id in shadows)
        for one in shown
    ]
    more = (f"{reverse('predictions:log')}?{urlencode({'mint': mint})}", _("all scores")) if scores else None
    hint = _("A model at work scores every window that closes in its phases.")
    return Table(columns, rows, _("Scores"), _("No score yet."), hint, "brain", more)


def _row(one: Prediction, names: dict[int, str], outcome: ModelPrediction | None, is_shadow: bool) -> Row:
    return Row(
        [
            Cell(display.clock(one.as_of)),
            Cell(names.get(one.active_model_id, _("removed"))),
            Cell(display.number(one.probability, 3), bar=one.probability * 100),
            Cell(pills=[TAGS[one.tag], *([SHADOW] if is_shadow else [])]),
            Cell(pills=[STATUS[outcome.status]]) if outcome else Cell(display.NONE, css="muted"),
            Cell(display.signed_pct(outcome.highest_pct) if outcome else ""),
        ],
        f"score-{one.active_model_id}-{one.as_of.timestamp():.0f}",
    )


def marks(mint: str) -> list[dict[str, Any]]:
    """The newest alerts of a coin as marks of its chart, oldest first: `time` (epoch seconds), `kind`, `text`; a
    shadow's are none."""
    said = Prediction.objects.filter(mint=mint, tag=Tag.ALERT, is_late=False)
    newest = list(said.order_by("-as_of", "active_model_id")[:MOST_SCORES])
    told = _told(mint, newest).order_by("-as_of", "active_model_id")[:MOST_MARKS]
    return [
        {"time": one.as_of.timestamp(), "kind": "alert", "text": display.ratio_pct(one.probability, 0)}
        for one in reversed(told)
    ]


def _told(mint: str, scores: Sequence[Prediction]) -> QuerySet[AlertEvaluation]:
    """The alerts within the time of these scores that were told."""
    if not scores:
        return AlertEvaluation.objects.none()
    times = [one.as_of for one in scores]
    found = AlertEvaluation.objects.filter(
        mint=mint, active_model_id__in={one.active_model_id for one in scores}, as_of__range=(min(times), max(times))
    )
    return found.exclude(alert_id=None)
