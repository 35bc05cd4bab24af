"""What the pages show of judged samples, tests and comparisons: scores turned into ready texts, tables and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.discovery.models import Phase
from apps.training import cautions, plots, selections
from apps.training.models import BULKY_OF_RELATED, Comparison, Model, TestResult

Title = str | Promise
COUNTS: dict[str, Title] = {
    "rows_found": gettext_lazy("Windows found"),
    "rows_nonstandard_curve": gettext_lazy("left out: other curve"),
    "rows_of_known_coins": gettext_lazy("left out: coins from the training time"),
    "rows_filtered": gettext_lazy("left out: the filters"),
    "rows_unknown": gettext_lazy("left out: what followed is not known"),
    "rows_unknown_no_entry": gettext_lazy("unknown: no trade to enter at"),
    "rows_unknown_tracking_ended": gettext_lazy("unknown: the coin was no longer followed"),
    "rows_unknown_gap": gettext_lazy("unknown: a gap in the recording"),
    "rows_unknown_data_end": gettext_lazy("unknown: the data ends before"),
    "rows_unknown_graduated": gettext_lazy("unknown: the coin graduated meanwhile"),
    "rows_unknown_undefined": gettext_lazy("unknown: nothing to compare with"),
    "rows": gettext_lazy("Rows used"),
    "coins": gettext_lazy("Coins"),
    "positives": gettext_lazy("Positive rows"),
}
BASELINES: dict[str, Title] = {
    "always_no": gettext_lazy("nobody buys"),
    "always_yes": gettext_lazy("every row is bought"),
    "momentum": gettext_lazy("momentum rule"),
    "curve_position": gettext_lazy("curve position rule"),
    "logistic": gettext_lazy("logistic regression"),
}
KINDS: dict[str, Title] = {
    "phase": gettext_lazy("phase"),
    "day": gettext_lazy("day"),
    "market": gettext_lazy("market"),
}
MARKETS: dict[str, Title] = {
    "calm": gettext_lazy("calm market"),
    "normal": gettext_lazy("normal market"),
    "busy": gettext_lazy("busy market"),
}


# --- Measures ------------------------------------------------------------------------------------------
def score_texts(scores: Mapping[str, Any]) -> dict[str, str]:
    """The measures of one sample as texts; a measure that is not defined is a dash. `…_ends` are intervals."""
    base, precision = scores.get("base_rate"), scores.get("precision")
    return {
        "sample_rows": display.count(scores.get("rows", 0)),
        "positives": display.count(scores.get("positives", 0)),
        "base_rate": display.ratio_pct(base),
        "pr_auc": display.number(scores.get("pr_auc"), 3),
        "pr_auc_ends": ends(scores, "pr_auc"),
        "base": display.number(base, 3),
        "roc_auc": display.number(scores.get("roc_auc"), 3),
        "roc_auc_ends": ends(scores, "roc_auc"),
        "log_loss": display.number(scores.get("log_loss"), 4),
        "brier": display.number(scores.get("brier"), 3),
        "brier_ends": ends(scores, "brier"),
        "alerts": display.count(scores.get("alerts", 0)),
        "coins_alerted": display.count(scores.get("coins_alerted")),
        "precision": display.ratio_pct(precision),
        "precision_ends": ends_pct(scores, "precision"),
        "recall": display.ratio_pct(scores.get("recall")),
        "mcc": display.number(scores.get("mcc"), 3),
        "mcc_ends": ends(scores, "mcc"),
        "expected_value": _signed(scores.get("expected_value")),
        "expected_ends": ends_pct(scores, "expected_value"),
        "expected_of_first": _signed(scores.get("expected_value_first")),
        "expected_of_all": _signed(scores.get("expected_value_of_all")),
        "expected_tone": expected_tone(scores),
        "suspicious": "1" if scores.get("suspicious") else "",
    }


def ends(scores: Mapping[str, Any], measure: str) -> str:
    """An interval as text: `0.51 – 0.58`; empty where there is none."""
    found = scores.get("intervals", {}).get(measure)
    return _span([display.number(end, 3) for end in found]) if found else ""


def ends_pct(scores: Mapping[str, Any], measure: str) -> str:
    """The interval of a ratio, in percent."""
    found = scores.get("intervals", {}).get(measure)
    return _span([display.number(end * 100, 1) for end in found]) + " %" if found else ""


def expected_tone(scores: Mapping[str, Any]) -> str:
    """The colour of an expected value: none where its interval holds 0 or is missing, for then nobody knows."""
    found = scores.get("intervals", {}).get("expected_value")
    unsure = found[0] <= 0 <= found[1] if found else "intervals" in scores
    return "" if unsure else display.tone(scores.get("expected_value"))


def _span(texts: Sequence[str]) -> str:
    return _("%(low)s to %(high)s") % {"low": texts[0], "high": texts[1]}


def _signed(ratio: float | None) -> str:
    return display.signed_pct(None if ratio is None else ratio * 100)


# --- One judged sample ---------------------------------------------------------------------------------
def sample(key: str, title: Title, scores: Mapping[str, Any]) -> dict[str, Any]:
    """One judged sample: its measures as texts, its plots, its tables of baselines and slices."""
    boot = scores.get("bootstrap", {})
    cuts, texts = _cuts(scores), score_texts(scores)
    return {
        "key": key,
        "title": title,
        **texts,
        "notes": _notes(texts),
        "caution": cautions.of_part(key),
        "threshold": display.number(scores.get("threshold"), 3),
        "coins": display.count(scores.get("coins")),
        "draws": display.count(boot.get("resamples")) if scores.get("intervals") else "",
        "pr_plot": plots.precision_recall(scores),
        "roc_plot": plots.roc(scores),
        "calibration_plot": plots.calibration(scores),
        "ev_plot": plots.expected_value(scores),
        "cuts_plot": plots.expected_values(cuts, _("Expected value per alert by phase, day and market")),
        "baselines": _baselines(scores) if scores.get("baselines") else None,
        "slices": _slices(cuts) if cuts else None,
    }


def _notes(texts: Mapping[str, str]) -> dict[str, str]:
    """What stands below each figure: its interval, where there is one, and what to hold it against."""
    beside = {
        "expected": (texts["expected_ends"], _("any row %(value)s") % {"value": texts["expected_of_all"]}),
        "precision": (texts["precision_ends"], _("base rate %(rate)s") % {"rate": texts["base_rate"]}),
        "pr_auc": (_("base rate %(rate)s") % {"rate": texts["base"]}, texts["pr_auc_ends"]),
        "roc_auc": (texts["roc_auc_ends"], _("0.5 is chance")),
    }
    return {name: "; ".join(filter(None, parts)) for name, parts in beside.items()}


def _columns(first: Title) -> list[Column]:
    return [
        Column(first),
        Column(_("Per alert"), NUMBER),
        Column(_("Alerts"), NUMBER),
        Column(_("Precision"), NUMBER),
        Column("PR-AUC / " + _("base rate"), NUMBER),
        Column("ROC-AUC", WIDE_NUMBER),
        Column("MCC", WIDE_NUMBER),
        Column("Brier", WIDE_NUMBER),
    ]


def _cells(name: Title, row: Mapping[str, Any]) -> list[Cell]:
    texts = score_texts(row)
    return [
        Cell(name, css="nowrap"),
        Cell(texts["expected_value"], css=texts["expected_tone"], note=texts["expected_ends"]),
        Cell(texts["alerts"], note=_("%(n)s coins") % {"n": texts["coins_alerted"]}),
        Cell(texts["precision"], note=texts["precision_ends"]),
        Cell(f"{texts['pr_auc']} / {texts['base']}", note=texts["pr_auc_ends"]),
        Cell(texts["roc_auc"], note=texts["roc_auc_ends"]),
        Cell(texts["mcc"], note=texts["mcc_ends"]),
        Cell(texts["brier"], note=texts["brier_ends"]),
    ]


def _baselines(scores: Mapping[str, Any]) -> Table:
    """The model above the baselines, with its lead over each."""
    rows = [Row([*_cells(_("this model"), scores), Cell(display.NONE)], "")]
    for row in scores["baselines"]:
        found = row.get("lead_interval")
        note = _span([display.number(end * 100, 1) for end in found]) + " %" if found else ""
        tone = display.tone(row["lead"]) if found and not found[0] <= 0 <= found[1] else ""
        rows.append(Row([*_cells(BASELINES[row["name"]], row), Cell(_signed(row["lead"]), css=tone, note=note)], ""))
    columns = [*_columns(_("On the same rows")), Column(_("Lead of the model"), NUMBER)]
    return Table(columns, rows, _("Against baselines"))


def _cuts(scores: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every slice with its name."""
    found = scores.get("slices", {})
    phases = {str(phase.pk): phase.name for phase in Phase.objects.all()} if "phase" in found else {}
    names = {**phases, **{key: str(title) for key, title in MARKETS.items()}}
    return [(names.get(row["key"], row["key"]), row) for kind in KINDS for row in found.get(kind, [])]


def _slices(cuts: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    rows = [Row([*_cells(name, row), Cell(display.count(row["rows"]))], "") for name, row in cuts]
    columns = [*_columns(_("Only")), Column(_("Rows"), WIDE_NUMBER)]
    return Table(columns, rows, _("By phase, day and market"))


# --- Tests ---------------------------------------------------------------------------------------------
def time_span(start: datetime, end: datetime) -> str:
    """A stretch of time, the date once where both ends share it: `2026-03-01 00:40 – 01:00`."""
    first, last = timezone.localtime(start), timezone.localtime(end)
    form = "%H:%M" if first.date() == last.date() else "%Y-%m-%d %H:%M"
    return f"{first:%Y-%m-%d %H:%M} – {last.strftime(form)}"


def tests_found(request: HttpRequest) -> QuerySet[TestResult]:
    """Test results of the chosen model or of all, newest first."""
    rows = TestResult.objects.select_related("model").defer(*BULKY_OF_RELATED, "model__scores")
    model = request.GET.get("model", "")
    return rows.filter(model_id=int(model)) if model.isdecimal() and len(model) < 10 else rows


def tests_of(model: Model, count: int = 10) -> Table:
    """The newest tests of one model."""
    rows = model.test_results.select_related("model").defer("model__artifact")[:count]
    shown = [{**row, "model": row["span"], "span": ""} for row in map(test_row, rows)]
    return replace(tests_table(shown), title=_("Tests"))


def test_row(result: TestResult) -> dict[str, Any]:
    return {
        "id": result.pk,
        "model_id": None if result.model.is_deleted else result.model_id,
        "model": result.model.name,
        "span": time_span(result.test_from, result.test_to),
        "overlaps": result.overlaps_training,
        "rows": display.count(result.rows),
        "unknown": display.count(result.rows_unknown),
        "coins": display.count(result.coins),
        "created": display.clock(result.created_at),
        **score_texts(result.scores),
    }


def tests_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Test results with what each score is to be held against."""
    columns = [
        Column(_("Test")),
        Column(_("Per alert"), NUMBER),
        Column(_("Alerts"), NUMBER),
        Column(_("Precision"), NUMBER),
        Column("PR-AUC / " + _("base rate"), NUMBER),
        Column("ROC-AUC", NUMBER),
        Column(_("Rows"), WIDE_NUMBER),
        Column(_("Coins"), WIDE_NUMBER),
        Column(_("Done"), WIDE_NUMBER),
    ]
    hint = _("Open a model and test it on data it has not seen.")
    return Table(columns, [_test_cells(row) for row in rows], "", _("No test yet."), hint, "flask-conical")


def _test_cells(row: dict[str, Any]) -> Row:
    pills: list[tuple[str, Title]] = [("bad", _("overlaps training"))] if row["overlaps"] else []
    if row["suspicious"]:
        pills.append(("bad", _("too good")))
    return Row(
        [
            Cell(row["model"], href=reverse("training:test", args=[row["id"]]), note=row["span"], pills=pills),
            Cell(row["expected_value"], css=row["expected_tone"], note=row["expected_ends"]),
            Cell(row["alerts"]),
            Cell(row["precision"]),
            Cell(row["pr_auc"], note=f"/ {row['base']}"),
            Cell(row["roc_auc"]),
            Cell(row["rows"]),
            Cell(row["coins"]),
            Cell(row["created"]),
        ],
        f"test-{row['id']}",
    )


def test_facts(result: TestResult) -> dict[str, Any]:
    judged = sample("test", result.model.name, result.scores)
    if selections.precedes(result.model, result.test_from, result.test_to):
        judged["caution"] = cautions.ON_EARLIER
    return {**test_row(result), "sample": judged}


def suspicious(count: int = 50) -> list[dict[str, str]]:
    """The newest models and tests whose ROC-AUC is too good to be true."""
    models = Model.objects.filter(is_deleted=False).only("pk", "name", "scores")
    found = [
        _suspect(model.name, part, reverse("training:model", args=[model.pk]), model.scores[part])
        for part in ("test", "validation")
        for model in models.filter(**{f"scores__{part}__suspicious": True})[:count]
    ]
    tests = (
        TestResult.objects.filter(scores__suspicious=True).select_related("model").only("pk", "scores", "model__name")
    )
    return found + [
        _suspect(test.model.name, _("Test"), reverse("training:test", args=[test.pk]), test.scores)
        for test in tests[:count]
    ]


def _suspect(name: str, part: str, href: str, scores: Mapping[str, Any]) -> dict[str, str]:
    return {"name": name, "part": part, "href": href, "roc_auc": display.number(scores.get("roc_auc"), 4)}


# --- Comparisons ---------------------------------------------------------------------------------------
def comparisons_found() -> QuerySet[Comparison]:
    """Comparisons, newest first, with the names of their models."""
    named = Model.objects.only("pk", "name", "is_deleted")
    return Comparison.objects.prefetch_related(Prefetch("compared", named), Prefetch("winner", named))


def comparison_row(comparison: Comparison) -> dict[str, Any]:
    return {
        "id": comparison.pk,
        "models": sorted(model.name for model in comparison.compared.all()),
        "span": time_span(comparison.test_from, comparison.test_to),
        "winner": comparison.winner.name if comparison.winner else "",
        "reason": display.error_text(comparison.reason),
        "created": display.clock(comparison.created_at),
    }


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """The compared models side by side, the best first."""
    rows = comparison.results.get("models", [])
    rows = sorted(rows, key=lambda row: row["model_id"] != comparison.winner_id)
    counts = comparison.results.get("counts", {})
    alive = {model.pk for model in comparison.compared.all() if not model.is_deleted}
    named = [(row["name"], row["scores"]) for row in rows]
    return {
        **comparison_row(comparison),
        "results": [_compared(row, comparison, alive) for row in rows],
        "differences": [_difference(row) for row in comparison.results.get("differences", [])],
        "counts": [(COUNTS.get(name, name), display.count(value)) for name, value in counts.items()],
        "plot": plots.precision_recall_of_many(named),
        "ev_plot": plots.expected_values(named, _("Expected value per alert")),
        "legend": [(place, row["name"]) for place, row in enumerate(rows)],
    }


def _compared(row: Mapping[str, Any], comparison: Comparison, alive: set[int]) -> dict[str, Any]:
    return {
        "model_id": row["model_id"] if row["model_id"] in alive else None,
        "name": row["name"],
        "is_winner": row["model_id"] == comparison.winner_id,
        "overlaps": row["overlaps_training"],
        "threshold": display.number(row["scores"].get("threshold"), 3),
        **score_texts(row["scores"]),
    }


def _difference(row: Mapping[str, Any]) -> dict[str, str]:
    """The lead of the best over another model."""
    percent = row["measure"] == "expected_value"
    scale, digits, unit = (100, 1, " %") if percent else (1, 3, "")
    found = row["interval"]
    return {
        "best": row["best"],
        "other": row["other"],
        "measure": _("per alert") if percent else "PR-AUC",
        "difference": display.localised(f"{row['difference'] * scale:+,.{digits}f}{unit}"),
        "ends": _span([display.number(end * scale, digits) for end in found]) + unit if found else display.NONE,
        "sure": "1" if found and found[0] > 0 else "",
    }
