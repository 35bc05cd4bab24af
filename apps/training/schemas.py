"""What `/api/training/` takes and gives."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, Self

import pydantic
from django.http import HttpRequest
from django.urls import reverse
from ninja import Field, Schema
from ninja.errors import ValidationError

from apps.core.errors import PlatformError
from apps.core.pagination import PageQuery
from apps.core.schemas import Body
from apps.training import cautions
from apps.training.models import PARTS, TABLES_OF_SCORES, Comparison, Model, TestResult
from apps.training.recipe_parts import Moment
from apps.training.recipes import Recipe

CAUTIONS = "what keeps the figures from being a promise: validation, overlap, earlier, too_good, left_out"


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
    alias: str = Field(description="champion, challenger or nothing; unique among models of the same label_name")
    origin: str = Field(description="trained, retrained, tuned or imported")
    parent_id: int | None = Field(description="the model it was retrained from")
    study_id: int | None = Field(description="the job of the study whose best recipe it is")
    is_deleted: bool
    scores: dict[str, Any] = Field(
        description="by part; the rows of `validation` also chose rounds, scaling and threshold, not those of `test`"
    )
    cautions: dict[str, str] = Field(description=CAUTIONS)
    leakcheck: str | None
    created_at: datetime

    @staticmethod
    def resolve_cautions(model: Model) -> dict[str, str]:
        """Of the scores alone; `left_out` only with one model's details."""
        return cautions.of_model(model, {})

    @staticmethod
    def resolve_scores(model: Model) -> dict[str, Any]:
        """The measures of each part with their intervals alone."""
        return {
            part: {name: value for name, value in model.scores[part].items() if name not in TABLES_OF_SCORES}
            for part in PARTS
            if part in model.scores
        }

    @staticmethod
    def resolve_leakcheck(model: Model) -> str | None:
        """Where to look for a leak, if a score is too good to be true."""
        return leakcheck_link(model.scores[part] for part in PARTS if part in model.scores)


class ModelDetail(ModelOut):
    """Everything about a model but its artifact. `made_with`: seed, threads, cluster, or the file it came from."""

    made_with: dict[str, Any]
    children: list[int] = Field(description="the models that were retrained from it")

    @staticmethod
    def resolve_cautions(model: Model) -> dict[str, str]:
        """With what the training left out."""
        return cautions.of_model(model, cautions.counts_of_training(model))

    @staticmethod
    def resolve_children(model: Model) -> list[int]:
        """Ids in order."""
        return list(model.children.order_by("pk").values_list("pk", flat=True))

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
        """With curves, slices and walks forward."""
        return dict(model.scores)


class ModelPatch(Body):
    """What may be changed of a model."""

    name: str | None = Field(None, min_length=1, max_length=100)
    description: str | None = Field(None, max_length=2000, description="notes")
    alias: Literal["", "champion", "challenger"] | None = Field(
        None, description="taken from the model that has it for the same question; empty: taken away"
    )


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
    cautions: dict[str, str] = Field(description=CAUTIONS)
    leakcheck: str | None
    created_at: datetime

    @staticmethod
    def resolve_cautions(result: TestResult) -> dict[str, str]:
        """Sentences by their names."""
        return cautions.of_test(result)

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
    cautions: dict[str, str] = Field(description=CAUTIONS)
    created_at: datetime

    @staticmethod
    def resolve_cautions(comparison: Comparison) -> dict[str, str]:
        """Sentences by their names, of all models together."""
        return cautions.of_comparison(comparison)

    @staticmethod
    def resolve_model_ids(comparison: Comparison) -> list[int]:
        """Ids in order."""
        return sorted(model.pk for model in comparison.compared.all())


class PartOut(Schema):
    """One part of a split."""

    rows: int
    positives: int


class PreviewOut(Schema):
    """What a recipe would find: rows_found is all there are, the rest what is left of them and why."""

    rows_found: int
    rows_nonstandard_curve: int
    rows_of_known_coins: int
    rows_filtered: int
    rows_unknown: int
    rows_unknown_no_entry: int
    rows_unknown_tracking_ended: int
    rows_unknown_gap: int
    rows_unknown_data_end: int
    rows_unknown_graduated: int
    rows_unknown_undefined: int
    rows: int
    coins: int
    positives: int
    purged: int
    embargoed: int
    sampled_out: int
    exact: bool
    share: float
    parts: dict[str, PartOut]
    folds: int
    lacking: str


class TimeRange(Body):
    """Windows that end in (from, to]."""

    from_: Moment = Field(alias="from")
    to: Moment
    priority: int = Field(5, ge=1, le=9)


class CompareIn(TimeRange):
    """Two to four models and where to judge them."""

    model_ids: list[int] = Field(min_length=2, max_length=4)


class CreateIn(Recipe):
    """A recipe, and how urgent it is (1 first, 9 last)."""

    priority: int = Field(5, ge=1, le=9)


class TuneIn(CreateIn):
    """A recipe to vary: its part `tune` says what between what; without it, everything in the usual ranges."""


class RetrainIn(Body):
    """The same recipe on other data; open ends mean all there is."""

    from_: Moment | None = Field(None, alias="from")
    to: Moment | None = None
    name: str | None = Field(None, min_length=1, max_length=100, description="left out: the old one with a number")
    alias: Literal["", "challenger"] = Field("", description="given to the new model")
    priority: int = Field(5, ge=1, le=9)


class ModelFileIn(Body):
    """A model file for callers that send no forms."""

    file: str = Field(description="the zip of GET models/{id}/download, in base64")
    name: str = Field("", max_length=100, description="empty: the model's own")

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        """The body of a request that brought no form. Raises MODEL_FILE_MISSING, ninja's ValidationError."""
        if request.content_type != "application/json":
            raise PlatformError(
                "MODEL_FILE_MISSING", "Send the model file in the form's field `file`, or as JSON in base64."
            )
        try:
            return cls.model_validate_json(request.body)
        except pydantic.ValidationError as error:
            problems = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
            raise ValidationError(problems) from None


def or_json(body: type[Body]) -> dict[str, Any]:
    """For `openapi_extra`: the form of an operation may also come as this JSON, which MCP clients send."""
    schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


class NameIn(Body):
    """Another name, where the own one is taken."""

    name: str | None = Field(None, min_length=1, max_length=100)


class TrainBestIn(NameIn):
    """Under which name a study's best recipe is trained."""

    priority: int = Field(5, ge=1, le=9)


class TrialOut(Schema):
    """One fit of a study; `value` is the study's measure on validation."""

    number: int
    state: str
    params: dict[str, float]
    value: float | None
    measures: dict[str, Any]
    steps: list[list[float]] = Field(description="[round, PR-AUC on validation]")
    started_at: datetime
    finished_at: datetime | None


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


class ModelFilter(PageQuery):
    """A page of models: those in use, or those that were deleted; of one alias, of one question."""

    deleted: bool = False
    alias: Literal["champion", "challenger"] | None = None
    label_name: str | None = Field(None, max_length=100)


class JobFilter(PageQuery):
    """A page of jobs, of one status or type or all."""

    job_type: Literal["TRAIN", "TUNE", "TEST", "COMPARE", "BACKTEST"] | None = None

    status: Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"] | None = None


class ResultFilter(PageQuery):
    """A page of results, of one model or all."""

    model_id: int | None = None
