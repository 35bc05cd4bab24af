"""What the training pages show: rows of the database turned into ready texts."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import ROWS_A_PAGE
from apps.discovery.models import Phase
from apps.training import cautions, plots
from apps.training.judged_pages import COUNTS, Title, sample, score_texts
from apps.training.models import BULKY_OF_RELATED, Job, Model
from apps.training.questions import question

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
    Job.Type.TUNE: gettext_lazy("Study"),
    Job.Type.BACKTEST: gettext_lazy("Backtest"),
}
PARTS: dict[str, Title] = {
    "test": gettext_lazy("Test"),
    "later": gettext_lazy("Later test"),
    "validation": gettext_lazy("Validation"),
}
OPEN = (Job.Status.PENDING, Job.Status.RUNNING)
# Messages that only repeat the status.
ENDED = {str(status.label) for status in Job.Status} | {"waiting", "cancelled"}
MOST_IMPORTANT, MOST_SHUFFLED = 20, 12


# --- Models --------------------------------------------------------------------------------------------
def models_found(*, deleted: bool = False) -> QuerySet[Model]:
    """Models in use or deleted ones, newest first, each knowing where it is at work."""
    found = Model.objects.filter(is_deleted=deleted).light()
    return found.prefetch_related("active")


def model_detail_rows() -> QuerySet[Model]:
    return Model.objects.filter(is_deleted=False).defer("artifact").prefetch_related("active")


def model_row(model: Model) -> dict[str, Any]:
    """A row of the table of models; the scores are those of the test part, else of a later test where the list knows
    one (`Models.light`), else of the validation part."""
    known = model.brief if hasattr(model, "brief") else model.scores
    later = getattr(model, "later", None)
    part, scores = best_part({"later": later, **known} if later else known)
    return {
        "id": model.pk,
        "name": model.name,
        "alias": model.alias,
        "question": question(model.recipe),
        "part": PARTS.get(part, display.NONE),
        "caution": cautions.of_part(part) if scores else "",
        **score_texts(scores),
        "threshold": display.number(model.threshold, 3),
        "rows": display.count(model.rows_train + model.rows_validation + model.rows_test),
        "created": display.clock(model.created_at),
        "at_work": any(one.is_active for one in model.active.all()),
    }


def best_part(scores: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The scores worth quoting: of the test part where there is one, else of a later test (`Model.promising_scores`),
    else of the validation part."""
    part = next((name for name in ("test", "later") if scores.get(name)), "validation")
    return part, scores.get(part, {})


def model_choices() -> list[tuple[int, str]]:
    """Models to choose from, newest first, with their question."""
    rows = Model.objects.filter(is_deleted=False).only("pk", "name", "recipe")[:ROWS_A_PAGE]
    return [(model.pk, f"{model.name} · {question(model.recipe)}") for model in rows]


def newest_training_end() -> datetime | None:
    """Where the training data of the newest model ends: what comes after it is new to all."""
    return Model.objects.filter(is_deleted=False).values_list("train_to", flat=True).order_by("-train_to").first()


def model_facts(model: Model) -> dict[str, Any]:
    """Everything on a model's page."""
    recipe, names = model.recipe, {phase.pk: phase.name for phase in Phase.objects.all()}
    phases = recipe.get("data", {}).get("phases", [])
    return {
        **model_row(model),
        "description": model.description,
        "samples": [sample(part, PARTS[part], model.scores[part]) for part in PARTS if part in model.scores],
        "importances": importances(model),
        "falls_plot": plots.falls(_largest(model.judging.get("permutation", {}))[:MOST_SHUFFLED]),
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


def importances(model: Model) -> list[dict[str, str]]:
    """The features that gave the most gain; `bar` is relative to the first."""
    ranked = _largest(model.importances)[:MOST_IMPORTANT]
    top = ranked[0][1] if ranked else 1.0
    return [
        {"name": name, "share": display.ratio_pct(share), "bar": f"{share / top * 100:.1f}"} for name, share in ranked
    ]


def _largest(values: Mapping[str, float]) -> list[tuple[str, float]]:
    """Largest first; the database does not keep an order."""
    return sorted(values.items(), key=lambda item: (-item[1], item[0]))


# --- Jobs ----------------------------------------------------------------------------------------------
def jobs_found(request: HttpRequest) -> QuerySet[Job]:
    """The jobs that the filter chooses, newest first."""
    rows = Job.objects.defer("log").select_related("model").defer(*BULKY_OF_RELATED, "model__scores")
    status = request.GET.get("status", "")
    return rows.filter(status=status) if status in Job.Status.values else rows


def jobs_open() -> list[dict[str, Any]]:
    """Running and waiting jobs, the most urgent first."""
    rows = Job.objects.filter(status__in=OPEN).defer("log").select_related("model")
    rows = rows.defer(*BULKY_OF_RELATED, "model__scores").order_by("-status", "priority", "id")
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
        "message": "" if job.message in ENDED else display.error_text(job.message),
        "priority": job.priority,
        "created": display.clock(job.created_at),
        "took": display.seconds(took),
        "is_open": job.status in OPEN,
        "can_cancel": job.status in OPEN and not job.cancel_requested,
    }


def job_subject(job: Job) -> str:
    """What the job is about: the model's name, or how many are compared."""
    if job.job_type in (Job.Type.TRAIN, Job.Type.TUNE):
        return str(job.params.get("recipe", {}).get("name", display.NONE))
    if job.job_type == Job.Type.COMPARE:
        return _("%(n)d models") % {"n": len(job.params.get("models", []))}
    if job.job_type == Job.Type.BACKTEST:
        return str(job.params.get("strategy", display.NONE))
    return job.model.name if job.model else display.NONE


def job_facts(job: Job) -> dict[str, Any]:
    """Everything on a job's page."""
    result = job.result or {}
    return {
        **job_row(job),
        "log": job.log,
        "error_code": job.error_code,
        "error": display.error_text(job.error),
        "worker": job.worker or display.NONE,
        "started": display.moment(job.started_at),
        "finished": display.moment(job.finished_at),
        "heartbeat": display.clock(job.heartbeat_at),
        "params": json.dumps(job.params, indent=2, ensure_ascii=False),
        "counts": [(COUNTS.get(name, name), display.count(value)) for name, value in result.get("counts", {}).items()],
        "lost": cautions.of_counts(result.get("counts", {})),
        "test_id": result.get("test_result_id"),
        "comparison_id": result.get("comparison_id"),
        "backtest_id": result.get("backtest_id"),
    }
