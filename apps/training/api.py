"""`/api/training/`: models, jobs, tests, comparisons, features. Every operation parses, makes one call, shapes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, TypeVar

from django.conf import settings
from django.db.models import Count, QuerySet
from django.db.models import Model as DjangoModel
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import AwareDatetime

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.process import processes_alive
from apps.core.tokens import admin, read
from apps.discovery.models import Phase
from apps.training import dataset, features, queries, selections, services
from apps.training.models import Comparison, Job, Model, TestResult
from apps.training.recipes import Recipe, range_parse

router = Router(tags=["training"])
Row = TypeVar("Row", bound=DjangoModel)
TABLES_OF_SCORES = ("curves", "calibration", "ev_curve", "slices", "baselines")


def leakcheck_link(samples: Iterable[dict[str, Any]]) -> str | None:
    """The page that tells how to look for a leak, if one of the judged samples is too good to be true."""
    return reverse("training:leakcheck") if any(scores.get("suspicious") for scores in samples) else None


class JobOut(Schema):
    """A job; `progress` is a ratio."""

    id: int
    job_type: str
    status: str
    priority: int
    progress: float
    message: str
    params: dict[str, Any]
    worker: str
    error_code: str
    error: str
    result: dict[str, Any] | None
    model_id: int | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


class JobDetail(JobOut):
    """A job with its log."""

    log: str


class ModelOut(Schema):
    """A model without its recipe and curves."""

    id: int
    name: str
    description: str
    label_name: str
    horizon_seconds: int
    train_from: datetime
    train_to: datetime
    rows_train: int
    rows_validation: int
    rows_test: int
    threshold: float
    scores: dict[str, Any]
    leakcheck: str | None
    created_at: datetime

    @staticmethod
    def resolve_scores(model: Model) -> dict[str, Any]:
        """The measures with their intervals alone."""
        return {
            part: {name: value for name, value in scores.items() if name not in TABLES_OF_SCORES}
            for part, scores in model.scores.items()
        }

    @staticmethod
    def resolve_leakcheck(model: Model) -> str | None:
        """Where to look for a leak, if a score is too good to be true."""
        return leakcheck_link(model.scores.values())


class ModelDetail(ModelOut):
    """Everything about a model but its artifact."""

    recipe: dict[str, Any]
    feature_names: list[str]
    importances: dict[str, float]
    judging: dict[str, Any]
    data_hash: str
    artifact_sha256: str
    xgboost_version: str

    @staticmethod
    def resolve_importances(model: Model) -> dict[str, float]:
        """Largest first (the database does not keep an order)."""
        return dict(sorted(model.importances.items(), key=lambda one: (-one[1], one[0])))

    @staticmethod
    def resolve_scores(model: Model) -> dict[str, Any]:
        """With curves and calibration."""
        return dict(model.scores)


class ModelPatch(Schema):
    """What may be changed of a model."""

    name: str | None = Field(None, min_length=1, max_length=100)
    description: str | None = Field(None, max_length=2000)


class TestResultOut(Schema):
    """A model judged on a stretch of data."""

    id: int
    model_id: int
    job_id: int | None
    test_from: datetime
    test_to: datetime
    overlaps_training: bool
    rows: int
    rows_unknown: int
    coins: int
    scores: dict[str, Any]
    leakcheck: str | None
    created_at: datetime

    @staticmethod
    def resolve_leakcheck(result: TestResult) -> str | None:
        """Where to look for a leak, if the score is too good to be true."""
        return leakcheck_link([result.scores])


class ComparisonOut(Schema):
    """Models judged on the same rows."""

    id: int
    model_ids: list[int]
    job_id: int | None
    test_from: datetime
    test_to: datetime
    results: dict[str, Any]
    winner_id: int | None
    reason: str
    created_at: datetime

    @staticmethod
    def resolve_model_ids(comparison: Comparison) -> list[int]:
        """Ids in order."""
        return sorted(model.pk for model in comparison.compared.all())


class TimeRange(Schema):
    """Windows that end in (from, to]."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    priority: int = Field(5, ge=1, le=9)


class CompareIn(TimeRange):
    """Two to four models and where to judge them."""

    model_ids: list[int] = Field(min_length=2, max_length=4)


class CreateIn(Recipe):
    """A recipe, and how urgent it is (1 first, 9 last)."""

    priority: int = Field(5, ge=1, le=9)


class FeatureOut(Schema):
    """One feature of the registry."""

    position: int
    name: str
    formula: str
    window_seconds: int | None
    inputs: list[str]
    unit: str
    phase: int


class PhaseOut(Schema):
    """A phase of a coin's life."""

    id: int
    name: str
    interval_seconds: int
    min_age_minutes: int
    max_age_minutes: int


class JobFilter(PageQuery):
    """A page of jobs, of one status or all."""

    status: Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"] | None = None


class ResultFilter(PageQuery):
    """A page of results, of one model or all."""

    model_id: int | None = None


# --- Models --------------------------------------------------------------------------------------------
@router.post("models/create/advanced", response={202: JobOut}, auth=admin)
def create_model(request: HttpRequest, body: CreateIn) -> Status[Job]:
    """Queue the training of a recipe."""
    recipe = Recipe.model_validate(body.model_dump(by_alias=True, exclude={"priority"}))
    return Status(202, services.train_request(recipe=recipe, priority=body.priority))


@router.post("models/preview", response=dict[str, int], auth=read)
def preview_model(request: HttpRequest, body: CreateIn) -> dict[str, int]:
    """How many rows, coins and positives a recipe would find, and how many it would leave out."""
    return dataset.preview(selections.selection_of(body)).as_json()


@router.get("models", response=Page[ModelOut], auth=read)
def list_models(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Models, newest first."""
    return paginate(Model.objects.filter(is_deleted=False).defer("artifact"), page)


@router.get("models/{int:model_id}", response=ModelDetail, auth=read)
def get_model(request: HttpRequest, model_id: int) -> Model:
    """One model with its recipe, scores and importances."""
    return services.model_get(model_id=model_id)


@router.patch("models/{int:model_id}", response=ModelDetail, auth=admin)
def update_model(request: HttpRequest, model_id: int, body: ModelPatch) -> Model:
    """Rename or describe a model."""
    model = services.model_get(model_id=model_id)
    return services.model_update(model=model, name=body.name, description=body.description)


@router.delete("models/{int:model_id}", response={204: None}, auth=admin)
def delete_model(request: HttpRequest, model_id: int) -> Status[None]:
    """Take a model out of sight; its results stay."""
    services.model_delete(model=services.model_get(model_id=model_id))
    return Status(204, None)


@router.get("models/{int:model_id}/download", auth=read)
def download_model(request: HttpRequest, model_id: int) -> HttpResponse:
    """The artifact: XGBoost's own UBJSON; its SHA-256 is in the header X-Artifact-SHA256."""
    model = services.model_get(model_id=model_id)
    response = HttpResponse(bytes(model.artifact), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="model-{model.pk}.ubj"'
    response["X-Artifact-SHA256"] = model.artifact_sha256
    return response


@router.post("models/compare", response={202: JobOut}, auth=admin)
def compare_models(request: HttpRequest, body: CompareIn) -> Status[Job]:
    """Queue a comparison on the same rows."""
    models = [services.model_get(model_id=model_id) for model_id in body.model_ids]
    start, end = range_parse(body.from_, body.to)
    return Status(202, services.compare_request(models=models, start=start, end=end, priority=body.priority))


@router.post("models/{int:model_id}/test", response={202: JobOut}, auth=admin)
def test_model(request: HttpRequest, model_id: int, body: TimeRange) -> Status[Job]:
    """Queue a test on another stretch of data."""
    start, end = range_parse(body.from_, body.to)
    model = services.model_get(model_id=model_id)
    return Status(202, services.test_request(model=model, start=start, end=end, priority=body.priority))


# --- The queue -----------------------------------------------------------------------------------------
@router.get("queue", response=Page[JobOut], auth=read)
def list_jobs(request: HttpRequest, page: Query[JobFilter]) -> dict[str, Any]:
    """Jobs, newest first."""
    jobs = Job.objects.filter(status=page.status) if page.status else Job.objects.all()
    return paginate(jobs.defer("log"), page)


@router.get("queue/{int:job_id}", response=JobDetail, auth=read)
def get_job(request: HttpRequest, job_id: int) -> Job:
    """One job with its log."""
    return _get(Job.objects.all(), job_id, "JOB_NOT_FOUND", "job")


@router.post("queue/{int:job_id}/cancel", response=JobOut, auth=admin)
def cancel_job(request: HttpRequest, job_id: int) -> Job:
    """Cancel a waiting job at once; a running one stops within seconds."""
    return services.job_cancel(job=_get(Job.objects.all(), job_id, "JOB_NOT_FOUND", "job"), now=timezone.now())


# --- Results -------------------------------------------------------------------------------------------
@router.get("test-results", response=Page[TestResultOut], auth=read)
def list_test_results(request: HttpRequest, page: Query[ResultFilter]) -> dict[str, Any]:
    """Tests, newest first."""
    results = TestResult.objects.all()
    return paginate(results.filter(model_id=page.model_id) if page.model_id else results, page)


@router.get("test-results/{int:result_id}", response=TestResultOut, auth=read)
def get_test_result(request: HttpRequest, result_id: int) -> TestResult:
    """One test."""
    return _get(TestResult.objects.all(), result_id, "TEST_RESULT_NOT_FOUND", "test result")


@router.delete("test-results/{int:result_id}", response={204: None}, auth=admin)
def delete_test_result(request: HttpRequest, result_id: int) -> Status[None]:
    """Remove a test."""
    services.test_result_delete(result_id=result_id)
    return Status(204, None)


@router.get("comparisons", response=Page[ComparisonOut], auth=read)
def list_comparisons(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Comparisons, newest first."""
    return paginate(Comparison.objects.prefetch_related("compared"), page)


@router.get("comparisons/{int:comparison_id}", response=ComparisonOut, auth=read)
def get_comparison(request: HttpRequest, comparison_id: int) -> Comparison:
    """One comparison."""
    return _get(Comparison.objects.all(), comparison_id, "COMPARISON_NOT_FOUND", "comparison")


@router.delete("comparisons/{int:comparison_id}", response={204: None}, auth=admin)
def delete_comparison(request: HttpRequest, comparison_id: int) -> Status[None]:
    """Remove a comparison."""
    services.comparison_delete(comparison_id=comparison_id)
    return Status(204, None)


# --- What there is to choose from ----------------------------------------------------------------------
@router.get("features", response=Page[FeatureOut], auth=read)
def list_features(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """The feature registry in the order of the columns."""
    return paginate(features.describe(), page)


@router.get("phases", response=Page[PhaseOut], auth=read)
def list_phases(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Phases whose rows can be trained on."""
    return paginate(Phase.objects.filter(interval_seconds__gt=0).order_by("id"), page)


@router.get("config", auth=read)
def get_config(request: HttpRequest) -> dict[str, Any]:
    """Settings of training and the recipe's defaults."""
    return {
        "max_concurrent_jobs": settings.MAX_CONCURRENT_JOBS,
        "polling_interval_seconds": settings.POLLING_INTERVAL_SECONDS,
        "history_seconds": features.HISTORY_SECONDS,
        "silence_seconds": queries.SILENCE_SECONDS,
        "recipe_defaults": Recipe(name="default").as_json(),
    }


@router.get("health", auth=read)
def get_health(request: HttpRequest) -> dict[str, Any]:
    """Whether a trainer lives, and how long the queue is."""
    counts = dict(Job.objects.values_list("status").annotate(n=Count("id")).order_by("status"))
    alive = "trainer" in processes_alive(now=timezone.now())
    return {
        "status": "ok" if alive else "no_trainer",
        "trainer_alive": alive,
        "jobs": {status: counts.get(status, 0) for status in Job.Status.values},
        "models": Model.objects.filter(is_deleted=False).count(),
    }


@router.get("data-availability", auth=read)
def get_data_availability(request: HttpRequest) -> dict[str, Any]:
    """From when to when there are metric rows, how many by day and phase, and what is unknown in between."""
    return queries.data_availability()


def _get(rows: QuerySet[Row], pk: int, code: str, what: str) -> Row:
    found = rows.filter(pk=pk).first()
    if found is None:
        raise NotFoundError(code, f"There is no {what} {pk}.")
    return found
