"""`/api/training/`: models, jobs, tests, comparisons, features. Every operation parses, makes one call, shapes."""

from typing import Any, Literal, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Count, QuerySet
from django.db.models import Model as DjangoModel
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import File, Form, Query, Router, Status
from ninja.files import UploadedFile

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.process import processes_alive
from apps.core.tokens import admin, read
from apps.discovery.models import Phase
from apps.training import availability, containers, features, outlook, queries, services
from apps.training.models import BULKY, Comparison, Job, Model, TestResult
from apps.training.recipes import Recipe, Tune, range_parse
from apps.training.schemas import (
    CompareIn,
    ComparisonOut,
    CreateIn,
    FeatureOut,
    JobDetail,
    JobFilter,
    JobOut,
    ModelDetail,
    ModelFileIn,
    ModelFilter,
    ModelOut,
    ModelPatch,
    NameIn,
    PhaseOut,
    PreviewOut,
    ResultFilter,
    RetrainIn,
    TestResultOut,
    TimeRange,
    TrainBestIn,
    TrialOut,
    TuneIn,
    or_json,
)

router = Router(tags=["training"])
Row = TypeVar("Row", bound=DjangoModel)


# --- Models --------------------------------------------------------------------------------------------
@router.post("models/create/advanced", response={202: JobOut}, auth=admin)
def create_model(request: HttpRequest, body: CreateIn) -> Status[Job]:
    """Queue the training of a recipe; with a part `tune` the study of it."""
    return Status(202, services.recipe_request(recipe=_recipe(body), priority=body.priority))


@router.post("models/tune", response={202: JobOut}, auth=admin)
def tune_model(request: HttpRequest, body: TuneIn) -> Status[Job]:
    """Queue a study: many fits of a recipe, the best of which can be trained."""
    return Status(202, services.tune_request(recipe=_recipe(body), priority=body.priority))


@router.post("models/preview", response=PreviewOut, auth=read)
def preview_model(request: HttpRequest, body: CreateIn) -> dict[str, Any]:
    """How many rows, coins and positives a recipe would find, how many it would leave out and why; for very many rows
    projected from some of the coins (`exact` false)."""
    return outlook.outlook_of(body).as_json()


@router.get("models", response=Page[ModelOut], auth=read)
def list_models(request: HttpRequest, page: Query[ModelFilter]) -> dict[str, Any]:
    """Models, newest first."""
    wanted = {"alias": page.alias, "label_name": page.label_name}
    chosen = {name: value for name, value in wanted.items() if value}
    return paginate(Model.objects.filter(is_deleted=page.deleted, **chosen).defer(*BULKY), page)


@router.post("models/import", response={201: ModelDetail}, auth=admin, openapi_extra=or_json(ModelFileIn))
def import_model(request: HttpRequest, file: File[UploadedFile | None] = None, name: Form[str] = "") -> Status[Model]:
    """Store a model from a downloaded file, under its own name or another; what is wrong with a file is said. Sent as a
    form (files of up to 64 MB), or as JSON with the file in base64 (up to 1.8 MB; over MCP always so)."""
    if file is None:
        body = ModelFileIn.of(request)
        data, name = containers.from_base64(body.file), body.name
    else:
        data = file.read(containers.MOST_FILE_BYTES + 1)
    return Status(201, services.model_import(data=data, name=name.strip()[:100] or None))


@router.get("models/{int:model_id}", response=ModelDetail, auth=read)
def get_model(request: HttpRequest, model_id: int) -> Model:
    """One model with its recipe, scores and importances."""
    return services.model_get(model_id=model_id)


@router.patch("models/{int:model_id}", response=ModelDetail, auth=admin)
def update_model(request: HttpRequest, model_id: int, body: ModelPatch) -> Model:
    """Rename or describe a model, or give it an alias."""
    model = services.model_get(model_id=model_id)
    with transaction.atomic():
        if body.alias is not None:
            services.alias_set(model=model, alias=body.alias)
        return services.model_update(model=model, name=body.name, description=body.description)


@router.delete("models/{int:model_id}", response={204: None}, auth=admin)
def delete_model(request: HttpRequest, model_id: int) -> Status[None]:
    """Take a model out of sight; its results stay."""
    services.model_delete(model=services.model_get(model_id=model_id))
    return Status(204, None)


@router.get("models/{int:model_id}/download", auth=read)
def download_model(request: HttpRequest, model_id: int, format: Literal["zip", "ubj"] = "zip") -> HttpResponse:
    """The model as one file for `models/import`: a zip of model.json, model.ubj and SHA256SUMS. With `format=ubj`
    XGBoost's own UBJSON alone. The SHA-256 of the UBJSON is in the header X-Artifact-SHA256."""
    model = services.model_get(model_id=model_id)
    raw = format == "ubj"
    data, kind = (bytes(model.artifact), "application/octet-stream") if raw else (
        containers.pack(model), containers.MEDIA_TYPE
    )  # fmt: skip
    response = HttpResponse(data, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="model-{model.pk}.{format}"'
    response["X-Artifact-SHA256"] = model.artifact_sha256
    return response


@router.post("models/{int:model_id}/restore", response=ModelDetail, auth=admin)
def restore_model(request: HttpRequest, model_id: int, body: NameIn) -> Model:
    """Bring a deleted model back, under its own name or another."""
    return services.model_restore(model=_get(Model.objects.all(), model_id, "MODEL_NOT_FOUND", "model"), name=body.name)


@router.post("models/{int:model_id}/retrain", response={202: JobOut}, auth=admin)
def retrain_model(request: HttpRequest, model_id: int, body: RetrainIn) -> Status[Job]:
    """Queue the model's recipe on other data; the new model has this one as its parent."""
    model = services.model_get(model_id=model_id)
    job = services.retrain_request(
        model=model, start=body.from_, end=body.to, name=body.name, alias=body.alias, priority=body.priority
    )
    return Status(202, job)


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
    wanted = {"status": page.status, "job_type": page.job_type}
    jobs = Job.objects.filter(**{name: value for name, value in wanted.items() if value})
    return paginate(jobs.defer("log"), page)


@router.get("queue/{int:job_id}", response=JobDetail, auth=read)
def get_job(request: HttpRequest, job_id: int) -> Job:
    """One job with its log."""
    return _get(Job.objects.all(), job_id, "JOB_NOT_FOUND", "job")


@router.post("queue/{int:job_id}/cancel", response=JobOut, auth=admin)
def cancel_job(request: HttpRequest, job_id: int) -> Job:
    """Cancel a waiting job at once; a running one stops within seconds."""
    return services.job_cancel(job=_get(Job.objects.all(), job_id, "JOB_NOT_FOUND", "job"), now=timezone.now())


@router.get("queue/{int:job_id}/trials", response=Page[TrialOut], auth=read)
def list_trials(request: HttpRequest, job_id: int, page: Query[PageQuery]) -> dict[str, Any]:
    """The trials of a study, in order; empty for other jobs."""
    return paginate(_get(Job.objects.all(), job_id, "JOB_NOT_FOUND", "job").trials.order_by("number"), page)


@router.post("queue/{int:job_id}/train-best", response={202: JobOut}, auth=admin)
def train_best(request: HttpRequest, job_id: int, body: TrainBestIn) -> Status[Job]:
    """Queue the training of a study's best recipe."""
    study = _get(Job.objects.all(), job_id, "JOB_NOT_FOUND", "job")
    return Status(202, services.best_train(study=study, name=body.name, priority=body.priority))


# --- Results -------------------------------------------------------------------------------------------
@router.get("test-results", response=Page[TestResultOut], auth=read)
def list_test_results(request: HttpRequest, page: Query[ResultFilter]) -> dict[str, Any]:
    """Tests, newest first."""
    results = TestResult.objects.select_related("model", "job").defer(*(f"model__{name}" for name in BULKY), "job__log")
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
        "dask_scheduler_address": settings.DASK_SCHEDULER_ADDRESS,
        "tune_defaults": Tune().model_dump(mode="json"),
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
    return availability.data_availability()


def _recipe(body: CreateIn) -> Recipe:
    return Recipe.model_validate(body.model_dump(by_alias=True, exclude={"priority"}))


def _get(rows: QuerySet[Row], pk: int, code: str, what: str) -> Row:
    found = rows.filter(pk=pk).first()
    if found is None:
        raise NotFoundError(code, f"There is no {what} {pk}.")
    return found
