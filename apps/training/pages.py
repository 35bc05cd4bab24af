"""What the training pages show: rows of the database turned into ready texts."""

import json
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
from apps.core.htmx import ROWS_A_PAGE
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.discovery.models import Phase
from apps.training import plots
from apps.training.models import Comparison, Job, Model, TestResult

Title = str | Promise
STATUS: dict[str, tuple[str, Title]] = {
    Job.Status.PENDING: ("wait", gettext_lazy("waiting")),
    Job.Status.RUNNING: ("info", gettext_lazy("running")),
    Job.Status.COMPLETED: ("good", gettext_lazy("done")),
    Job.Status.FAILED: ("bad", gettext_lazy("failed")),
    Job.Status.CANCELLED: ("", gettext_lazy("cancelled")),
}
TYPES: dict[str, Title] = {
    Job.Type.TRAIN: gettext_lazy("Training"),
    Job.Type.TEST: gettext_lazy("Test"),
    Job.Type.COMPARE: gettext_lazy("Comparison"),
}
PARTS: dict[str, Title] = {"test": gettext_lazy("Test"), "validation": gettext_lazy("Validation")}
OPEN = (Job.Status.PENDING, Job.Status.RUNNING)
# Messages that only repeat the status.
ENDED = {str(status.label) for status in Job.Status} | {"waiting", "cancelled"}
MOST_IMPORTANT = 20


# --- Models --------------------------------------------------------------------------------------------
def models_found() -> QuerySet[Model]:
    """Models that are not deleted, newest first, each knowing where it is at work."""
    found = Model.objects.filter(is_deleted=False).defer("artifact", "importances", "feature_names")
    return found.prefetch_related("active")


def model_detail_rows() -> QuerySet[Model]:
    return Model.objects.filter(is_deleted=False).defer("artifact").prefetch_related("active")


def model_row(model: Model) -> dict[str, Any]:
    """A row of the table of models; the scores are those of the test part, else of the validation part."""
    part, scores = best_part(model.scores)
    return {
        "id": model.pk,
        "name": model.name,
        "question": question(model.recipe),
        "part": PARTS.get(part, display.NONE),
        **score_texts(scores),
        "threshold": display.number(model.threshold, 3),
        "rows": display.count(model.rows_train + model.rows_validation + model.rows_test),
        "created": display.clock(model.created_at),
        "at_work": any(one.is_active for one in model.active.all()),
    }


def best_part(scores: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The scores worth quoting: of the test part where there is one, else of the validation part."""
    part = "test" if "test" in scores else "validation"
    return part, scores.get(part, {})


def score_texts(scores: Mapping[str, Any]) -> dict[str, str]:
    """The measures of one sample as texts; a measure that is not defined is a dash."""
    base, precision = scores.get("base_rate"), scores.get("precision")
    return {
        "sample_rows": display.count(scores.get("rows", 0)),
        "positives": display.count(scores.get("positives", 0)),
        "base_rate": display.ratio_pct(base),
        "pr_auc": display.number(scores.get("pr_auc"), 3),
        "base": display.number(base, 3),
        "roc_auc": display.number(scores.get("roc_auc"), 3),
        "log_loss": display.number(scores.get("log_loss"), 4),
        "brier": display.number(scores.get("brier"), 4),
        "alerts": display.count(scores.get("alerts", 0)),
        "precision": display.ratio_pct(precision),
        "recall": display.ratio_pct(scores.get("recall")),
        "mcc": display.number(scores.get("mcc"), 3),
        "expected_value": display.signed_pct(_percent(scores.get("expected_value"))),
        "expected_of_all": display.signed_pct(_percent(scores.get("expected_value_of_all"))),
        "expected_tone": display.tone(scores.get("expected_value")),
        "suspicious": "1" if scores.get("suspicious") else "",
    }


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else ratio * 100


def question(recipe: Mapping[str, Any]) -> str:
    """What a model is asked, as a sentence: `+20 % within 5 min, before −10 %`."""
    label = recipe.get("label", {})
    change, span = display.signed_pct(label.get("change_pct"), 0), display.seconds(label.get("horizon_seconds"))
    if label.get("kind") == "close":
        return _("%(change)s after %(span)s") % {"change": change, "span": span}
    if stop := label.get("stop_pct"):
        away = display.signed_pct(-stop if label.get("change_pct", 0) > 0 else stop, 0)
        return _("%(change)s within %(span)s, before %(stop)s") % {"change": change, "span": span, "stop": away}
    return _("%(change)s within %(span)s") % {"change": change, "span": span}


def model_facts(model: Model) -> dict[str, Any]:
    """Everything on a model's page."""
    recipe, names = model.recipe, {phase.pk: phase.name for phase in Phase.objects.all()}
    phases = recipe.get("data", {}).get("phases", [])
    return {
        **model_row(model),
        "description": model.description,
        "samples": [sample(part, PARTS[part], model.scores[part]) for part in PARTS if part in model.scores],
        "importances": importances(model),
        "used": len(model.importances),
        "features": len(model.feature_names),
        "recipe": json.dumps(recipe, indent=2, ensure_ascii=False),
        "phases": ", ".join(names.get(phase, str(phase)) for phase in phases),
        "from": display.moment(model.train_from),
        "to": display.moment(model.train_to),
        "rows_by_part": [
            (_("Training"), display.count(model.rows_train)),
            (_("Validation"), display.count(model.rows_validation)),
            (_("Test"), display.count(model.rows_test)),
        ],
        "data_hash": model.data_hash,
        "sha256": model.artifact_sha256,
        "xgboost": model.xgboost_version,
        "trained": display.moment(model.created_at),
        "work": [{"id": one.pk, "name": one.custom_name, "on": one.is_active} for one in model.active.all()],
    }


def sample(key: str, title: Title, scores: Mapping[str, Any]) -> dict[str, Any]:
    """One judged sample: its measures as texts and its plots."""
    return {
        "key": key,
        "title": title,
        **score_texts(scores),
        "threshold": display.number(scores.get("threshold"), 3),
        "pr_plot": plots.precision_recall(scores),
        "roc_plot": plots.roc(scores),
        "calibration_plot": plots.calibration(scores),
    }


def importances(model: Model) -> list[dict[str, str]]:
    """The features that gave the most gain; `bar` is relative to the first."""
    ranked = sorted(model.importances.items(), key=lambda item: (-item[1], item[0]))[:MOST_IMPORTANT]
    top = ranked[0][1] if ranked else 1.0
    return [
        {"name": name, "share": display.ratio_pct(share), "bar": f"{share / top * 100:.1f}"} for name, share in ranked
    ]


# --- Jobs ----------------------------------------------------------------------------------------------
def jobs_found(request: HttpRequest) -> QuerySet[Job]:
    """The jobs that the filter chooses, newest first."""
    rows = Job.objects.defer("log").select_related("model").defer("model__artifact", "model__scores")
    status = request.GET.get("status", "")
    return rows.filter(status=status) if status in Job.Status.values else rows


def jobs_open() -> list[dict[str, Any]]:
    """Running and waiting jobs, the most urgent first."""
    rows = Job.objects.filter(status__in=OPEN).defer("log").select_related("model")
    rows = rows.defer("model__artifact", "model__scores").order_by("-status", "priority", "id")
    return [job_row(job) for job in rows[:ROWS_A_PAGE]]


def job_row(job: Job) -> dict[str, Any]:
    tone, status = STATUS[job.status]
    end = job.finished_at or (timezone.now() if job.started_at else None)
    took = (end - job.started_at).total_seconds() if end and job.started_at else None
    return {
        "id": job.pk,
        "type": TYPES[job.job_type],
        "subject": job_subject(job),
        "model_id": job.model_id if job.model and not job.model.is_deleted else None,
        "tone": tone,
        "status": _("stopping") if job.cancel_requested and job.status == Job.Status.RUNNING else status,
        "progress": f"{job.progress * 100:.0f}",
        "message": "" if job.message in ENDED else job.message,
        "priority": job.priority,
        "created": display.clock(job.created_at),
        "took": display.seconds(took),
        "is_open": job.status in OPEN,
        "can_cancel": job.status in OPEN and not job.cancel_requested,
    }


def job_subject(job: Job) -> str:
    """What the job is about: the model's name, or how many are compared."""
    if job.job_type == Job.Type.TRAIN:
        return str(job.params.get("recipe", {}).get("name", display.NONE))
    if job.job_type == Job.Type.COMPARE:
        return _("%(n)d models") % {"n": len(job.params.get("models", []))}
    return job.model.name if job.model else display.NONE


def job_facts(job: Job) -> dict[str, Any]:
    """Everything on a job's page."""
    result = job.result or {}
    return {
        **job_row(job),
        "log": job.log,
        "error_code": job.error_code,
        "error": job.error,
        "worker": job.worker or display.NONE,
        "started": display.moment(job.started_at),
        "finished": display.moment(job.finished_at),
        "heartbeat": display.clock(job.heartbeat_at),
        "params": json.dumps(job.params, indent=2, ensure_ascii=False),
        "counts": [(COUNTS.get(name, name), display.count(value)) for name, value in result.get("counts", {}).items()],
        "test_id": result.get("test_result_id"),
        "comparison_id": result.get("comparison_id"),
    }


COUNTS: dict[str, Title] = {
    "rows_found": gettext_lazy("Windows found"),
    "rows_nonstandard_curve": gettext_lazy("left out: other curve"),
    "rows_of_known_coins": gettext_lazy("left out: coins from the training time"),
    "rows_unknown": gettext_lazy("left out: what followed is not known"),
    "rows": gettext_lazy("Rows used"),
    "coins": gettext_lazy("Coins"),
    "positives": gettext_lazy("Positive rows"),
}


# --- Tests and comparisons -----------------------------------------------------------------------------
def time_span(start: datetime, end: datetime) -> str:
    """A stretch of time, the date once where both ends share it: `2026-03-01 00:40 – 01:00`."""
    first, last = timezone.localtime(start), timezone.localtime(end)
    form = "%H:%M" if first.date() == last.date() else "%Y-%m-%d %H:%M"
    return f"{first:%Y-%m-%d %H:%M} – {last.strftime(form)}"


def tests_found(request: HttpRequest) -> QuerySet[TestResult]:
    """Test results of the chosen model or of all, newest first."""
    rows = TestResult.objects.select_related("model").defer("model__artifact", "model__scores", "model__importances")
    model = request.GET.get("model", "")
    return rows.filter(model_id=int(model)) if model.isdecimal() and len(model) < 10 else rows


def tests_of(model: Model, count: int = 10) -> Table:
    """The newest tests of one model."""
    rows = model.test_results.select_related("model").defer("model__artifact")[:count]
    return replace(tests_table([test_row(result) for result in rows]), title=_("Tests"))


def model_choices() -> list[tuple[int, str]]:
    """Models to choose from, newest first, with their question."""
    rows = Model.objects.filter(is_deleted=False).only("pk", "name", "recipe")[:ROWS_A_PAGE]
    return [(model.pk, f"{model.name} · {question(model.recipe)}") for model in rows]


def newest_training_end() -> datetime | None:
    """Where the training data of the newest model ends: what comes after it is new to all."""
    return Model.objects.filter(is_deleted=False).values_list("train_to", flat=True).order_by("-train_to").first()


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
        Column(f"PR-AUC / {_('base rate')}", NUMBER),
        Column("ROC-AUC", NUMBER),
        Column(_("Precision"), NUMBER),
        Column(_("Alerts"), NUMBER),
        Column(_("Per alert"), NUMBER),
        Column(_("Rows"), WIDE_NUMBER),
        Column(_("Coins"), WIDE_NUMBER),
        Column(_("Done"), WIDE_NUMBER),
    ]
    hint = _("Open a model and test it on data it has not seen.")
    return Table(columns, [_test_cells(row) for row in rows], "", _("No test yet."), hint, "flask-conical")


def _test_cells(row: dict[str, Any]) -> Row:
    pills = [("wait", _("overlaps training"))] if row["overlaps"] else ()
    return Row(
        [
            Cell(row["model"], href=reverse("training:test", args=[row["id"]]), note=row["span"], pills=pills),
            Cell(row["pr_auc"], note=f"/ {row['base']}"),
            Cell(row["roc_auc"]),
            Cell(row["precision"]),
            Cell(row["alerts"]),
            Cell(row["expected_value"], css=row["expected_tone"]),
            Cell(row["rows"]),
            Cell(row["coins"]),
            Cell(row["created"]),
        ],
        f"test-{row['id']}",
    )


def test_facts(result: TestResult) -> dict[str, Any]:
    return {**test_row(result), "sample": sample("test", result.model.name, result.scores)}


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
        "reason": comparison.reason,
        "created": display.clock(comparison.created_at),
    }


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """The compared models side by side, the best first."""
    rows = comparison.results.get("models", [])
    rows = sorted(rows, key=lambda row: row["model_id"] != comparison.winner_id)
    counts = comparison.results.get("counts", {})
    alive = {model.pk for model in comparison.compared.all() if not model.is_deleted}
    return {
        **comparison_row(comparison),
        "results": [
            {
                "model_id": row["model_id"] if row["model_id"] in alive else None,
                "name": row["name"],
                "is_winner": row["model_id"] == comparison.winner_id,
                "overlaps": row["overlaps_training"],
                "threshold": display.number(row["scores"].get("threshold"), 3),
                **score_texts(row["scores"]),
            }
            for row in rows
        ],
        "counts": [(COUNTS.get(name, name), display.count(value)) for name, value in counts.items()],
        "plot": plots.precision_recall_of_many([(row["name"], row["scores"]) for row in rows]),
        "legend": [(place, row["name"]) for place, row in enumerate(rows)],
    }
