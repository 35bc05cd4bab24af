"""What the pages say of a model at work beside its promise, and of its drift."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.sparkline import sparkline
from apps.core.svg import Axes, Line, Span, curves, spans
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table, Text
from apps.predictions import champions, drift, evidence, living, model_days
from apps.predictions.evidence import Held
from apps.predictions.living import Life, Promise, State
from apps.predictions.models import ActiveModel, ModelDay
from apps.training.plots import calibration_of

DAYS_SHOWN = 30
PERCENT = 100.0
CALIBRATION_BINS, NAMES_WIDTH = 10, 145
STATES: dict[str, tuple[str, Text]] = {
    "": ("", gettext_lazy("not counted yet")),
    "as_promised": ("good", gettext_lazy("as promised")),
    "below": ("bad", gettext_lazy("below its promise")),
    "above": ("wait", gettext_lazy("above its promise")),
    "too_few": ("", gettext_lazy("too few alerts")),
    "not_comparable": ("", gettext_lazy("not comparable")),
    "not_promised": ("", gettext_lazy("no promise")),
}
DEGREES: dict[str, tuple[str, Text]] = {
    "none": ("good", gettext_lazy("none")),
    "some": ("wait", gettext_lazy("some")),
    "much": ("bad", gettext_lazy("much")),
    "unknown": ("", gettext_lazy("unknown")),
}
TONES = {"none": "up", "some": "warn", "much": "down", "unknown": "muted"}
MEASURES: dict[str, Text] = {
    "precision": gettext_lazy("Alerts that came true"),
    "expected_value": gettext_lazy("Expected value per alert after costs"),
}


# --- Notes -----------------------------------------------------------------------------------------------
def notes(places: Iterable[ActiveModel]) -> dict[int, tuple[str, str]]:
    """For each place whose model is to be looked at: tone and text of a note."""
    held = {place.pk: place for place in places}
    rows = ModelDay.objects.filter(active_model_id__in=held, day=None)
    found = {}
    for row in rows:
        place = held[row.active_model_id]
        states = model_days.states_stored(place, row) if row.model_id == place.model_id else {}
        state = living.worst(list(states.values()))
        if state in ("below", "above"):
            found[place.pk] = ("bad" if state == "below" else "warn-edge", _note(place, row, states, state))
    return found


def _note(place: ActiveModel, row: ModelDay, states: Mapping[str, State], worst: State) -> str:
    life, promise = Life(**row.life), living.promise_of(place.model.promising_scores())
    parts = [_beside(name, life, promise) for name, state in states.items() if state == worst]
    said = {
        "below": _("This model lives below its backtest: %(what)s. Do not rely on it before you know why."),
        "above": _("This model lives above its backtest: %(what)s. Its promise says too little of this market."),
    }
    return said[worst] % {"what": "; ".join(parts)}


def _beside(name: str, life: Life, promise: Promise) -> str:
    values = {
        "measure": MEASURES[name],
        "live": percent(name, getattr(life, name)),
        "promised": percent(name, promise.values.get(name)),
        "alerts": display.count(life.alerts),
    }
    return _("%(measure)s %(live)s in %(alerts)s alerts, promised %(promised)s") % values


def percent(name: str, value: float | None) -> str:
    """A measure as text; values of money carry their sign."""
    if name == "expected_value":
        return display.signed_pct(None if value is None else value * 100, 2)
    return display.ratio_pct(value)


def range_text(name: str, ends: Sequence[float] | None) -> str:
    """An interval as text; empty where there is none."""
    return "" if ends is None else f"{percent(name, ends[0])} … {percent(name, ends[1])}"


# --- The page ----------------------------------------------------------------------------------------------
def life_page(place: ActiveModel) -> dict[str, Any]:
    """Everything on the page of live beside promised."""
    days = list(
        ModelDay.objects.filter(active_model_id=place.pk, model_id=place.model_id, day__isnull=False)[:DAYS_SHOWN]
    )
    week = ModelDay.objects.filter(active_model_id=place.pk, model_id=place.model_id, day=None).first()
    promise = living.promise_of(place.model.promising_scores())
    life = Life(**week.life) if week and week.life else None
    return {
        "id": place.pk,
        "name": place.custom_name,
        "model": place.model,
        "is_shadow": place.shadow_of_id is not None,
        "note": notes([place]).get(place.pk),
        "state": STATES[model_days.state_stored(place, week)],
        "span": living.SPAN_DAYS,
        "part": promise.part,
        "tiles": _tiles(life, promise),
        "plots": _plots(place, days, life, promise),
        "table": _days_table(days, promise),
        "explained": _explained(place, promise),
    }


def _tiles(life: Life | None, promise: Promise) -> list[dict[str, Any]]:
    tiles = [
        {
            "label": MEASURES[name],
            "value": percent(name, getattr(life, name) if life else None),
            "note": _("promised %(value)s (%(range)s)")
            % {
                "value": percent(name, promise.values.get(name)),
                "range": range_text(name, promise.intervals.get(name)) or _("no interval"),
            },
        }
        for name in living.MEASURES
    ]
    alerts, coins = (life.alerts, life.alerted_coins) if life else (0, 0)
    scores, base = (life.scores, life.base_rate) if life else (0, None)
    return [
        *tiles,
        {
            "label": _("Alerts judged"),
            "value": display.count(alerts),
            "note": _("on %(coins)s coins") % {"coins": display.count(coins)},
        },
        {
            "label": _("Of all scores came true"),
            "value": display.ratio_pct(base),
            "note": _("of %(scores)s; predicted %(predicted)s")
            % {
                "scores": display.count(scores),
                "predicted": display.ratio_pct(life.predicted if life else None),
            },
        },
    ]


def _explained(place: ActiveModel, promise: Promise) -> str:
    if not promise.part:
        return _("This model was never tested, so it promises nothing: train it with a test part, or test it.")
    if not model_days.is_comparable(place, place.model, promise):
        return _(
            "Its settings here alert elsewhere than its test did (a higher threshold, fewer phases or a list of coins),"
            " so the two are shown but not judged."
        )
    said = []
    if promise.part == "validation":
        said.append(
            _("It had no test part: the promise is that of the rows on which it chose its threshold, so too good.")
        )
    if place.leaves_out:
        said.append(
            _("Its ignore times and limits leave out alerts that its test counted: part of a gap may come from them.")
        )
    return " ".join(said)


def _plots(
    place: ActiveModel, days: Sequence[ModelDay], life: Life | None, promise: Promise
) -> list[tuple[str, SafeString]]:
    """Caption and picture; those without data are left out."""
    now = champions.now_of_market()
    points = evidence.calibration(Held.of(place), (now - timedelta(days=1), now), CALIBRATION_BINS)
    drawn = [
        (_("Promised and live, with their intervals"), _beside_plot(life, promise)),
        (_("Alerts that came true, by day, in percent"), _by_day("precision", days, promise)),
        (_("Expected value per alert, by day, in percent"), _by_day("expected_value", days, promise)),
        (_("Calibration on the live market, last day"), calibration_of([row[:2] for row in points])),
    ]
    return [pair for pair in drawn if pair[1]]


def _beside_plot(life: Life | None, promise: Promise) -> SafeString:
    rows = []
    for name in living.MEASURES:
        said, ends = promise.values.get(name), promise.intervals.get(name) or (None, None)
        short = _("value") if name == "expected_value" else _("came true")
        rows.append(_span(_("%(what)s, promised") % {"what": short}, name, said, ends))
        value = getattr(life, name) if life else None
        ends = (getattr(life, f"{name}_interval") if life else None) or (None, None)
        rows.append(_span(_("%(what)s, live") % {"what": short}, name, value, ends))
    known = any(row.value is not None for row in rows)
    return spans(rows, _("Promised and live, in percent"), "{:.0f}", NAMES_WIDTH) if known else SafeString("")


def _span(title: str, name: str, value: float | None, ends: Sequence[float | None]) -> Span:
    low, high = (None if end is None else end * PERCENT for end in ends)
    return Span(title, None if value is None else value * PERCENT, low, high, percent(name, value))


def _by_day(name: str, days: Sequence[ModelDay], promise: Promise) -> SafeString:
    """The measure by day with the promised interval as guides; empty below two days."""
    known = [(day.day, value * PERCENT) for day in days if day.day and (value := day.life.get(name)) is not None]
    if len(known) < 2:
        return SafeString("")
    newest = known[0][0]
    points = sorted((float((day - newest).days), value) for day, value in known)
    guides = [end * PERCENT for end in promise.intervals.get(name) or ()]
    low, high = (min([value for _x, value in points] + guides), max([value for _x, value in points] + guides))
    room = (high - low) * 0.1 or 1.0
    lines = [Line([(points[0][0], end), (0.0, end)], "guide", title=_("promised")) for end in guides]
    axes = Axes(
        _("days before the newest"), _("percent"), (points[0][0], 0.0), (low - room, high + room),
        "{:.0f}",
    )  # fmt: skip
    return curves([*lines, Line(points, dots=True)], axes, str(MEASURES[name]))


def _days_table(days: Sequence[ModelDay], promise: Promise) -> Table:
    columns = [
        Column(_("Day (UTC)"), "nowrap"),
        Column(_("Came true"), NUMBER),
        Column(_("Value per alert"), NUMBER),
        Column(_("Alerts"), NUMBER),
        Column(_("Scores"), WIDE_NUMBER),
        Column(_("Predicted / came true"), WIDE_NUMBER),
        Column(_("Brier"), WIDE_NUMBER),
        Column(_("Drift of the score"), WIDE_NUMBER),
        Column(_("State")),
    ]
    hint = _("Figures appear as soon as the horizon of the first scores has passed.")
    return Table(columns, [_day_row(day) for day in days], _("By day"), _("No day yet."), hint, "chart-line")


def _day_row(day: ModelDay) -> Row:
    life: Mapping[str, Any] = day.life
    score = drift.drift_read(day.drift).score
    return Row(
        [
            Cell(day.day.isoformat() if day.day else ""),
            _measured("precision", life),
            _measured("expected_value", life, display.tone(life.get("expected_value"))),
            Cell(display.count(life.get("alerts", 0))),
            Cell(display.count(life.get("scores", 0))),
            Cell(f"{display.ratio_pct(life.get('predicted'))} / {display.ratio_pct(life.get('base_rate'))}"),
            Cell(display.number(life.get("brier"), 4)),
            Cell(display.number(score, 3), css=TONES[drift.degree_of(score)] if score is not None else ""),
            Cell(pills=[STATES[day.state]]),
        ],
        f"day-{day.day}",
    )  # fmt: skip


def _measured(name: str, life: Mapping[str, Any], css: str = "") -> Cell:
    return Cell(percent(name, life.get(name)), css=css, below=range_text(name, life.get(f"{name}_interval")))


# --- Drift -------------------------------------------------------------------------------------------------
def drift_page(place: ActiveModel) -> dict[str, Any]:
    """Everything on the page of drift: the newest day's indices, highest first, each with its course."""
    days = list(
        ModelDay.objects.filter(
            active_model_id=place.pk, model_id=place.model_id, day__isnull=False, drift__has_key="to"
        )[:DAYS_SHOWN]
    )
    found = [drift.drift_read(day.drift) for day in days]
    newest = found[0] if found else None
    return {
        "id": place.pk,
        "name": place.custom_name,
        "model": place.model,
        "is_shadow": place.shadow_of_id is not None,
        "day": days[0].day if days else None,
        "counts": _degree_counts(newest),
        "tiles": _drift_tiles(newest),
        "has_profile": bool(place.model.profile),
        "some": drift.SOME,
        "much": drift.MUCH,
        "table": _drift_table(found),
    }


def _degree_counts(found: drift.Drift | None) -> dict[str, int]:
    degrees = [drift.degree_of(index) for index in found.features.values()] if found else []
    return {degree: degrees.count(degree) for degree in ("none", "some", "much")}


def _drift_tiles(found: drift.Drift | None) -> list[dict[str, Any]]:
    highest = found.highest if found else None
    counts = _degree_counts(found)
    return [
        {
            "label": _("Drift of the score"),
            "value": display.number(found.score if found else None, 3),
            "note": DEGREES[drift.degree_of(found.score if found else None)][1],
        },
        {
            "label": _("Highest drift of a feature"),
            "value": display.number(highest[1] if highest else None, 3),
            "note": highest[0] if highest else "",
        },
        {"label": _("Features with much drift"), "value": str(counts["much"]), "note": ""},
        {"label": _("Features with some drift"), "value": str(counts["some"]), "note": ""},
        {"label": _("Rows compared"), "value": display.count(found.rows if found else 0), "note": ""},
    ]


def _drift_table(found: Sequence[drift.Drift]) -> Table:
    columns = [
        Column(_("Feature")),
        Column("PSI", NUMBER),
        Column(_("Drift")),
        Column(_("By day"), "fill wide-only"),
    ]
    rows = []
    if found:
        rows.append(_drift_row(_("the score itself"), [one.score for one in found]))
        rows += [
            _drift_row(name, [one.features.get(name) for one in found]) for name, _v in model_days.by_drift(found[0])
        ]
    hint = _("Compared twice an hour with the sample that a model keeps of its training.")
    return Table(columns, rows, _("Features, highest drift first"), _("No day was compared yet."), hint, "activity")


def _drift_row(name: str, course: Sequence[float | None]) -> Row:
    """`course` is newest first."""
    degree = drift.degree_of(course[0])
    line = [value for value in reversed(course) if value is not None]
    return Row(
        [
            Cell(name, css="mono"),
            Cell(display.number(course[0], 3)),
            Cell(pills=[DEGREES[degree]]),
            Cell(sparkline(line, _("%(name)s by day") % {"name": name}, TONES[degree])),
        ],
        f"drift-{name}",
    )
