"""What the training pages show of the data: how much there is, what a recipe would find in it, and the features."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import ROWS_A_PAGE, Page, page_number
from apps.discovery.models import Phase
from apps.training import availability, cautions, demo, features, queries
from apps.training.models import Job, Model
from apps.training.outlook import Outlook
from apps.training.pages import COUNTS, OPEN, PARTS, Title
from apps.training.questions import question

DAYS_SHOWN = 31


# --- Data ----------------------------------------------------------------------------------------------
def figures() -> dict[str, Any]:
    """The tiles of the overview."""
    span, end = queries.metrics_span(), queries.data_end()
    rows, exact = queries.metrics_count()
    return {
        "models": display.count(Model.objects.filter(is_deleted=False).count()),
        "jobs": display.count(Job.objects.filter(status__in=OPEN).count()),
        "failed": display.count(Job.objects.filter(status=Job.Status.FAILED).count()),
        "rows": display.count(rows) if exact else "≈ " + display.short(rows),
        "from": display.moment(span[0]) if span else display.NONE,
        "to": display.moment(end),
        "length": display.seconds((span[1] - span[0]).total_seconds()) if span else display.NONE,
        "has_data": span is not None,
    }


def waiting_text(has_models: bool, has_data: bool) -> tuple[str, str]:
    """What an empty list of models says and what to do about it."""
    if settings.DEMO and not has_models:
        first = demo.recipe(1)
        return (
            _("Waiting for enough data."),
            _("The demo trains its first model by itself as soon as enough coins have risen (%(question)s).")
            % {"question": question(first.as_json())},
        )
    if not has_data:
        return _("No data to learn from yet."), _("Let the stream run, or import a history of trades.")
    return _("No model yet."), _("Make the first one: New model.")


def data_facts() -> dict[str, Any]:
    """What there is to train on, by day and phase, and the times without data."""
    found, names = availability.data_availability(DAYS_SHOWN), {phase.pk: phase.name for phase in Phase.objects.all()}
    most = max((day["rows"] for day in found["days"]), default=1)
    return {
        "from": display.moment(found["from"]),
        "to": display.moment(found["to"]),
        "end": display.moment(found["data_end"]),
        "days": [
            {
                "day": day["day"],
                "phase": names.get(day["phase"], day["phase"]),
                "rows": display.count(day["rows"]),
                "coins": display.count(day["coins"]),
                "bar": f"{day['rows'] / most * 100:.1f}",
            }
            for day in reversed(found["days"])
        ],
        "days_shown": DAYS_SHOWN if found["from"] and found["to"] - found["from"] > timedelta(days=DAYS_SHOWN) else 0,
        "unknown": [_gap(gap["from"], gap["to"]) for gap in reversed(found["unknown"][-ROWS_A_PAGE:])],
    }


def _gap(start: datetime, end: datetime) -> dict[str, str]:
    length = display.seconds((end - start).total_seconds())
    return {"from": display.moment(start), "to": display.moment(end), "length": length}


# --- Features ------------------------------------------------------------------------------------------
def feature_windows() -> list[tuple[str, str]]:
    """The choices of the window filter."""
    seconds = sorted({feature.window_seconds for feature in features.REGISTRY if feature.window_seconds})
    return [("now", _("the window itself")), *((str(span), display.seconds(span)) for span in seconds)]


def features_page(request: HttpRequest) -> Page:
    """The features that the filters choose, in the order of the columns."""
    text, window = request.GET.get("q", "").strip().lower(), request.GET.get("window", "")
    found = [
        feature_row(feature)
        for feature in features.describe()
        if (not text or text in f"{feature['name']} {display.error_text(feature['formula'])}".lower())
        and (not window or window == str(feature["window_seconds"] or "now"))
    ]
    number = min(page_number(request), max(-(-len(found) // ROWS_A_PAGE), 1))
    return Page(found[(number - 1) * ROWS_A_PAGE : number * ROWS_A_PAGE], len(found), number)


def feature_row(feature: Mapping[str, Any]) -> dict[str, Any]:
    span = feature["window_seconds"]
    return {
        "position": feature["position"],
        "name": feature["name"],
        "formula": display.error_text(feature["formula"]),
        "window": display.seconds(span) if span else display.NONE,
        "inputs": ", ".join(feature["inputs"]),
        "unit": feature["unit"],
        "phase": feature["phase"],
    }


# --- The new model's preview ---------------------------------------------------------------------------
def preview_facts(found: Outlook) -> dict[str, Any]:
    """What a recipe would find, how its parts would look, and whether that is enough for a fit. Numbers that are
    projected from some of the coins begin with ≈."""
    counts = found.counts

    def count(value: int) -> str:
        return display.count(value) if found.share == 1 else f"≈ {display.count(value)}"

    pauses = [(PAUSES[name], count(getattr(found, name))) for name in PAUSES if getattr(found, name)]
    return {
        "rows": count(counts.rows),
        "coins": count(counts.coins),
        "positives": count(counts.positives),
        "base_rate": display.ratio_pct(counts.positives / counts.rows if counts.rows else None),
        "looked_at": "" if found.share == 1 else display.ratio_pct(found.share),
        "found": display.count(counts.rows_found),
        "left_out": _left_out(found, count) + pauses,
        "lost": cautions.of_counts(counts.as_json()),
        "parts": [
            {"name": SPLIT_PARTS[name], "rows": count(part.rows), "positives": count(part.positives)}
            for name, part in found.parts.items()
        ],
        "folds": found.folds,
        "lacking": found.lacking,
    }


def _left_out(found: Outlook, count: Callable[[int], str]) -> list[tuple[Title, str]]:
    """Reasons and rows; those of the coins that never take part are exact."""
    values = found.counts.as_json()
    exact = {"rows_nonstandard_curve", "rows_of_known_coins"}
    return [
        (COUNTS[name], display.count(value) if name in exact else count(value))
        for name, value in values.items()
        if name.startswith("rows_") and name not in ("rows_found", "rows_unknown") and value
    ]


SPLIT_PARTS: dict[str, Title] = {
    "train": gettext_lazy("Training"),
    **{name: PARTS[name] for name in ("validation", "test")},
}
PAUSES: dict[str, Title] = {
    "purged": gettext_lazy("left out: their outcome lies in the next part"),
    "embargoed": gettext_lazy("left out: too near to the part before"),
    "sampled_out": gettext_lazy("left out: the sample of the training part"),
}
