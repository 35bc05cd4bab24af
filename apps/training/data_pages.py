"""What the training pages show of the data: how much there is, what a recipe would find in it, and the features."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import ROWS_A_PAGE, Page, page_number
from apps.discovery.models import Phase
from apps.training import demo, features, fitting, queries
from apps.training.columns import Floats
from apps.training.models import Job, Model
from apps.training.pages import COUNTS, OPEN, PARTS, Title, question


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
    found, names = queries.data_availability(), {phase.pk: phase.name for phase in Phase.objects.all()}
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
            for day in reversed(found["days"][-ROWS_A_PAGE:])
        ],
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
        if (not text or text in f"{feature['name']} {feature['formula']}".lower())
        and (not window or window == str(feature["window_seconds"] or "now"))
    ]
    number = min(page_number(request), max(-(-len(found) // ROWS_A_PAGE), 1))
    return Page(found[(number - 1) * ROWS_A_PAGE : number * ROWS_A_PAGE], len(found), number)


def feature_row(feature: Mapping[str, Any]) -> dict[str, Any]:
    span = feature["window_seconds"]
    return {
        "position": feature["position"],
        "name": feature["name"],
        "formula": feature["formula"],
        "window": display.seconds(span) if span else display.NONE,
        "inputs": ", ".join(feature["inputs"]),
        "unit": feature["unit"],
        "phase": feature["phase"],
    }


# --- The new model's preview ---------------------------------------------------------------------------
def preview_facts(counts: Mapping[str, int], labels: Mapping[str, Floats]) -> dict[str, Any]:
    """What a recipe would find, how its parts would look, and whether that is enough for a fit."""
    rows, positives = counts["rows"], counts["positives"]
    lacking = fitting.lacking(labels["train"], labels["validation"])
    return {
        "rows": display.count(rows),
        "coins": display.count(counts["coins"]),
        "positives": display.count(positives),
        "base_rate": display.ratio_pct(positives / rows if rows else None),
        "left_out": [(COUNTS[name], display.count(counts[name])) for name in LEFT_OUT if counts[name]],
        "parts": [
            {"name": SPLIT_PARTS[name], "rows": display.count(len(label)), "positives": display.count(int(label.sum()))}
            for name, label in labels.items()
        ],
        "lacking": lacking[1] if lacking else "",
    }


SPLIT_PARTS: dict[str, Title] = {
    "train": gettext_lazy("Training"),
    **{name: PARTS[name] for name in ("validation", "test")},
}
LEFT_OUT = ("rows_nonstandard_curve", "rows_of_known_coins", "rows_unknown")
