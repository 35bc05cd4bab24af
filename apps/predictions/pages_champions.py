"""What the page of champion and challenger shows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import Page, page_of
from apps.core.svg import Span, spans
from apps.core.tables import Cell, Column, Row, Table, Text
from apps.predictions import champions, championship
from apps.predictions.championship import Gate
from apps.predictions.models import ActiveModel, ChampionEvent, RetrainingPlan
from apps.predictions.pages_life import percent, range_text

KINDS: dict[str, tuple[str, Text]] = {
    "challenged": ("", gettext_lazy("challenge")),
    "gate": ("wait", gettext_lazy("look of the gate")),
    "promoted": ("good", gettext_lazy("promotion")),
    "rolled_back": ("bad", gettext_lazy("rolled back")),
    "ended": ("", gettext_lazy("challenge ended")),
    "deleted": ("", gettext_lazy("taken out of the list")),
}
VERDICTS: dict[str, tuple[str, Text]] = {
    "": ("", ""),
    "better": ("good", gettext_lazy("better")),
    "worse": ("bad", gettext_lazy("worse")),
    "not_better": ("", gettext_lazy("no difference beyond chance")),
    "too_few": ("", gettext_lazy("not enough alerts yet")),
}
NOTES: dict[str, Text] = {
    "superseded": gettext_lazy("Another challenger came."),
    "dismissed": gettext_lazy("Sent away."),
    "timed_out": gettext_lazy("Not decided in its time."),
    "rolled_back": gettext_lazy("The place was rolled back."),
    "deleted": gettext_lazy("The model was taken out of the list."),
    "worse": gettext_lazy("It earns less."),
    "not_better": gettext_lazy("All looks are used up."),
}
VALUE = "expected_value"


def champion_page(place: ActiveModel) -> dict[str, Any]:
    """Everything on the page but its forms and its history."""
    challenge, gate = champions.challenge_open(place), champions.gate_now(place)
    passed, back, plan = champions.gate_passed(place), champions.way_back(place), champions.plan_of(place)
    return {
        "id": place.pk,
        "name": place.custom_name,
        "champion": place.model,
        "champion_since": display.clock(place.model_since or place.activated_at),
        "challenger": challenge.challenger if challenge else None,
        "challenged_at": display.clock(challenge.at) if challenge else "",
        "shadow_id": getattr(champions.shadow_of(place), "pk", None),
        "gate": _gate(gate, passed) if gate else None,
        "passed": passed is not None,
        "back": back.champion_name if back else "",
        "plan_note": _plan_note(plan),
        "plan_job": plan.job_id,
        "looks": championship.MOST_LOOKS,
        "on": place.is_active,
    }


def _plan_note(plan: RetrainingPlan) -> str:
    """What becomes of the last request, or why nothing came of it."""
    if plan.job_id:
        return _("Job %(id)s trains the next challenger.") % {"id": plan.job_id}
    return display.error_text(plan.note)


def _gate(gate: Gate, passed: ChampionEvent | None) -> dict[str, Any]:
    """The gate's figures of this moment, and what follows from them."""
    return {
        "sentence": _("The challenger has passed the gate.") if passed else sentence(gate.as_json(), gate.verdict),
        "tone": "ok" if passed else VERDICTS[gate.verdict][0],
        "look": gate.look,
        "needed": display.count(gate.needed),
        "rows": [
            (_("Champion"), display.count(gate.champion_alerts), percent(VALUE, gate.champion_value)),
            (_("Challenger"), display.count(gate.challenger_alerts), percent(VALUE, gate.challenger_value)),
        ],
        "coins": display.count(gate.coins),
        "difference": percent(VALUE, gate.difference),
        "range": range_text(VALUE, gate.interval),
        "level": display.ratio_pct(gate.level, 2),
        "progress": min(gate.champion_alerts, gate.challenger_alerts) / gate.needed * 100,
        "plot": _plot(gate),
    }


def _plot(gate: Gate) -> SafeString:
    if gate.interval is None:
        return SafeString("")
    low, high = gate.interval
    row = Span(_("Difference"), gate.difference, low, high, percent(VALUE, gate.difference))
    return spans([row], _("Challenger minus champion, value per alert"), "{:.3f}")


def sentence(figures: dict[str, Any], verdict: str) -> str:
    """What the gate found, in words."""
    values = {
        "difference": percent(VALUE, figures.get("difference")),
        "range": range_text(VALUE, figures.get("interval")),
        "champion": display.count(figures.get("champion_alerts", 0)),
        "challenger": display.count(figures.get("challenger_alerts", 0)),
        "needed": display.count(figures.get("needed", 0)),
    }
    said = {
        "better": _("The challenger earns %(difference)s more per alert (%(range)s): beyond chance."),
        "worse": _("The challenger earns less per alert: %(difference)s (%(range)s), beyond chance."),
        "not_better": _("The difference per alert is %(difference)s (%(range)s): it could be chance."),
        "too_few": _(
            "So far %(champion)s and %(challenger)s judged alerts at instants both scored; the next look needs"
            " %(needed)s of each, on enough coins."
        ),
    }
    return said[verdict] % values if verdict in said else ""


def history_page(request: HttpRequest, place: ActiveModel) -> tuple[Table, Page]:
    """The place's history, newest first."""
    page = page_of(request, champions.events_of(place))
    columns = [
        Column(_("At"), "nowrap"),
        Column(_("What")),
        Column(_("Champion"), "wide-only"),
        Column(_("Challenger"), "wide-only"),
        Column(_("Why"), "fill"),
        Column(_("By"), "wide-only"),
    ]
    rows = [_event_row(event) for event in page.items]
    hint = _("Train the model anew, or let another one challenge it.")
    return Table(columns, rows, _("History"), _("Nothing has happened here yet."), hint, "clock"), page


def _event_row(event: ChampionEvent) -> Row:
    why = sentence(event.figures, event.verdict or str(event.figures.get("verdict", "")))
    return Row(
        [
            Cell(display.clock(event.at)),
            Cell(pills=[KINDS[event.kind]]),
            Cell(event.champion_name),
            Cell(event.challenger_name),
            Cell(" ".join(part for part in (str(NOTES.get(event.note, event.note)), why) if part) or display.NONE),
            Cell(event.by or _("by itself")),
        ],
        f"event-{event.pk}",
    )
