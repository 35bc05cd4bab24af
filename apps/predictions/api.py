"""`/api/server/`: models at work and their settings, scores, alerts and what became of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.process import processes_alive
from apps.core.tokens import admin, read
from apps.predictions import queries, services
from apps.predictions.models import ActiveModel, AlertEvaluation, EvaluationStatus, Prediction, ScorerState, Tag
from apps.training.models import Model

router = Router(tags=["server"])

CoinFilter = Literal["all", "whitelist"]
SendMode = Literal["all", "alerts_only", "positive_only", "negative_only"]
Seconds = Field(0, ge=0, le=86_400)


class AvailableOut(Schema):
    """A trained model that can be put to work."""

    id: int
    name: str
    description: str
    label_name: str
    horizon_seconds: int
    threshold: float
    scores: dict[str, Any]
    features: int
    created_at: datetime
    active_model_ids: list[int]


class LogLimits(Schema):
    """Most scores kept per coin and day, by tag; 0 is no limit. What is not kept does not alert."""

    negative: int = Field(0, ge=0, le=services.MOST_LOGGED)
    positive: int = Field(0, ge=0, le=services.MOST_LOGGED)
    alert: int = Field(0, ge=0, le=services.MOST_LOGGED)


class IgnoreSettings(Schema):
    """How many seconds of feed time a coin is left alone after a score, and at least between two scores."""

    ignore_bad_seconds: int = Seconds
    ignore_positive_seconds: int = Seconds
    ignore_alert_seconds: int = Seconds
    min_scan_interval_seconds: int = Seconds


class ActiveOut(IgnoreSettings):
    id: int
    model_id: int
    model_name: str
    custom_name: str
    is_active: bool
    threshold: float
    phases: list[int]
    coin_filter: CoinFilter
    whitelist: list[str]
    max_log_entries: LogLimits
    webhook_url: str
    send_mode: SendMode
    webhook_enabled: bool
    activated_at: datetime

    @staticmethod
    def resolve_model_name(active: ActiveModel) -> str:
        return active.model.name


class AlertConfigIn(Schema):
    """What is left out stays as it is."""

    threshold: float | None = Field(None, ge=0, le=1)
    phases: list[int] | None = None
    coin_filter: CoinFilter | None = None
    whitelist: list[str] | None = None
    webhook_url: str | None = Field(None, max_length=200)
    send_mode: SendMode | None = None
    webhook_enabled: bool | None = None


class ImportIn(AlertConfigIn):
    model_id: int
    custom_name: str = Field("", max_length=100, description="empty: the model's own name")


class RenameIn(Schema):
    custom_name: str = Field(min_length=1, max_length=100)


class PredictIn(Schema):
    mint: str = Field(min_length=1, max_length=64)


class ScoreOut(Schema):
    active_model_id: int
    custom_name: str
    mint: str
    as_of: datetime
    probability: float
    threshold: float
    tag: Tag
    duration_ms: float


class PredictionOut(Schema):
    active_model_id: int
    mint: str
    as_of: datetime
    scored_at: datetime
    probability: float
    tag: Tag
    price_sol: float
    virtual_sol_lamports: int | None
    phase_id: int
    is_late: bool
    duration_ms: float


class AlertOut(Schema):
    active_model_id: int
    mint: str
    as_of: datetime
    alert_id: int
    fired_at: datetime
    probability: float
    price_sol: float
    market_cap_sol: float | None
    phase_id: int
    horizon_at: datetime
    status: EvaluationStatus
    judged_at: datetime | None
    judged_price_sol: float | None
    change_pct: float | None
    highest_pct: float | None
    lowest_pct: float | None
    reason: str


class AlertFiguresOut(Schema):
    """`precision` is success / (success + failed); changes are means of the judged, in percent from the entry."""

    active_model_id: int
    custom_name: str | None
    alerts: int
    pending: int
    success: int
    failed: int
    expired: int
    not_applicable: int
    precision: float | None
    mean_change_pct: float | None
    mean_highest_pct: float | None
    mean_lowest_pct: float | None


class ModelStatsOut(Schema):
    active_model_id: int
    predictions: int
    coins: int
    negative: int
    positive: int
    alert: int
    mean_probability: float | None
    mean_duration_ms: float | None
    late: int
    newest_as_of: datetime | None


class StatsOut(Schema):
    """Scores of the last `hours` of feed time."""

    feed_at: datetime | None
    hours: float
    models: list[ModelStatsOut]


class HealthOut(Schema):
    status: Literal["ok", "degraded"]
    scorer_alive: bool
    feed_at: datetime | None
    scored_to: datetime | None
    judged_to: datetime | None
    lag_seconds: float | None
    rows_skipped: int
    active_models: int


class N8nOut(Schema):
    enabled: bool
    url: str
    send_mode: SendMode
    status: Literal["disabled", "never_sent", "ok", "failing"]
    pending: int
    sent: int
    failed: int
    last_sent_at: datetime | None
    last_response_status: int | None
    last_error: str


class PreloadOut(Schema):
    loaded: list[str]


class PredictionQuery(PageQuery):
    mint: str | None = None
    active_model_id: int | None = None
    tag: Tag | None = None


class AlertQuery(PageQuery):
    mint: str | None = None
    active_model_id: int | None = None
    status: EvaluationStatus | None = None


# --- Models --------------------------------------------------------------------------------------------
@router.get("/models/available", response=Page[AvailableOut], auth=read)
def models_available(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Trained models, newest first."""
    return paginate(_available(), page, _available_out)


@router.get("/models/available/{model_id}", response=AvailableOut, auth=read)
def model_available(request: HttpRequest, model_id: int) -> dict[str, Any]:
    """One trained model."""
    return _available_out(_trained(model_id))


@router.post("/models/import", response={201: ActiveOut}, auth=admin)
def model_import(request: HttpRequest, body: ImportIn) -> tuple[int, ActiveModel]:
    """Put a trained model to work."""
    fields = body.model_dump(exclude_none=True, exclude={"model_id", "custom_name", "threshold"})
    active = services.model_import(
        model=_trained(body.model_id), custom_name=body.custom_name, threshold=body.threshold, fields=fields
    )
    return 201, active


@router.get("/models", response=Page[ActiveOut], auth=read)
def models(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """All models put to work, also stopped ones."""
    return paginate(ActiveModel.objects.select_related("model"), page)


@router.get("/models/active", response=Page[ActiveOut], auth=read)
def models_active(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """The models that score now."""
    return paginate(ActiveModel.objects.filter(is_active=True).select_related("model"), page)


@router.get("/models/{active_id}", response=ActiveOut, auth=read)
def model(request: HttpRequest, active_id: int) -> ActiveModel:
    """One model with its settings."""
    return _active(active_id)


@router.post("/models/{active_id}/activate", response=ActiveOut, auth=admin)
def model_activate(request: HttpRequest, active_id: int) -> ActiveModel:
    """Let it score."""
    return services.model_activate(active=_active(active_id))


@router.post("/models/{active_id}/deactivate", response=ActiveOut, auth=admin)
def model_deactivate(request: HttpRequest, active_id: int) -> ActiveModel:
    """Stop it; what it has said is still judged."""
    return services.model_deactivate(active=_active(active_id))


@router.patch("/models/{active_id}/rename", response=ActiveOut, auth=admin)
def model_rename(request: HttpRequest, active_id: int, body: RenameIn) -> ActiveModel:
    """Give it another name."""
    return services.model_rename(active=_active(active_id), custom_name=body.custom_name)


@router.patch("/models/{active_id}/alert-config", response=ActiveOut, auth=admin)
def model_alert_config(request: HttpRequest, active_id: int, body: AlertConfigIn) -> ActiveModel:
    """When it alerts, on which coins, and whom it tells."""
    return services.model_configure(active=_active(active_id), fields=body.model_dump(exclude_none=True))


@router.get("/models/{active_id}/ignore-settings", response=IgnoreSettings, auth=read)
def model_ignore_settings(request: HttpRequest, active_id: int) -> ActiveModel:
    """How long it leaves coins alone."""
    return _active(active_id)


@router.patch("/models/{active_id}/ignore-settings", response=IgnoreSettings, auth=admin)
def model_ignore_settings_change(request: HttpRequest, active_id: int, body: IgnoreSettings) -> ActiveModel:
    """Change how long it leaves coins alone; what is left out stays."""
    return services.model_configure(active=_active(active_id), fields=body.model_dump(exclude_unset=True))


@router.get("/models/{active_id}/max-log-entries", response=LogLimits, auth=read)
def model_max_log_entries(request: HttpRequest, active_id: int) -> dict[str, int]:
    """How many scores it keeps per coin."""
    return _active(active_id).max_log_entries


@router.patch("/models/{active_id}/max-log-entries", response=LogLimits, auth=admin)
def model_max_log_entries_change(request: HttpRequest, active_id: int, body: LogLimits) -> dict[str, int]:
    """Change how many scores it keeps per coin; what is left out stays."""
    active = _active(active_id)
    limits = {**active.max_log_entries, **body.model_dump(exclude_unset=True)}
    return services.model_configure(active=active, fields={"max_log_entries": limits}).max_log_entries


@router.get("/models/{active_id}/n8n-status", response=N8nOut, auth=read)
def model_n8n_status(request: HttpRequest, active_id: int) -> dict[str, Any]:
    """Whether and how well its webhook works."""
    return services.n8n_status(active=_active(active_id))


@router.delete("/models/{active_id}", response={204: None}, auth=admin)
def model_delete(request: HttpRequest, active_id: int) -> tuple[int, None]:
    """Take a stopped model out of the list; its scores and alerts stay."""
    services.model_delete(active=_active(active_id))
    return 204, None


# --- Scores and alerts ---------------------------------------------------------------------------------
@router.post("/predict", response=list[ScoreOut], auth=read)
def predict(request: HttpRequest, body: PredictIn) -> list[dict[str, Any]]:
    """Score one coin now, as of its newest closed window, with every model at work; nothing is stored."""
    return services.coin_predict(mint=body.mint)


@router.get("/predictions", response=Page[PredictionOut], auth=read)
def predictions(request: HttpRequest, page: Query[PredictionQuery]) -> dict[str, Any]:
    """Scores, newest first."""
    rows = Prediction.objects.order_by("-as_of", "mint", "active_model_id")
    return paginate(_filtered(rows, page), page)


@router.get("/predictions/latest/{mint}", response=list[PredictionOut], auth=read)
def predictions_latest(request: HttpRequest, mint: str) -> list[dict[str, Any]]:
    """The newest score of a coin by each model."""
    return queries.latest_of_coin(mint)


@router.get("/alerts", response=Page[AlertOut], auth=read)
def alerts(request: HttpRequest, page: Query[AlertQuery]) -> dict[str, Any]:
    """Alerts and what became of them, newest first."""
    rows = AlertEvaluation.objects.order_by("-as_of", "-alert_id", "mint", "active_model_id")
    return paginate(_filtered(rows, page), page)


@router.get("/alerts/statistics", response=list[AlertFiguresOut], auth=read)
def alerts_statistics(request: HttpRequest, hours: float = Query(24.0, gt=0, le=8760)) -> list[dict[str, Any]]:
    """What became of the alerts of the last hours of feed time, per model."""
    return [_figures(row) for row in queries.alert_statistics(_now() - timedelta(hours=hours))]


@router.get("/stats", response=StatsOut, auth=read)
def stats(request: HttpRequest, hours: float = Query(1.0, gt=0, le=168)) -> dict[str, Any]:
    """How much was scored in the last hours of feed time, per model."""
    found = queries.score_statistics(_now() - timedelta(hours=hours))
    names = list(ModelStatsOut.model_fields)
    return {
        "feed_at": queries.feed_time(),
        "hours": hours,
        "models": [dict(zip(names, row, strict=True)) for row in found],
    }


@router.get("/health", response=HealthOut, auth=read)
def health(request: HttpRequest) -> dict[str, Any]:
    """Whether the scorer lives and how far behind the feed it is."""
    state = ScorerState.objects.filter(pk=1).first() or ScorerState()
    feed_at = queries.feed_time()
    alive = "scorer" in processes_alive(now=timezone.now())
    return {
        "status": "ok" if alive else "degraded",
        "scorer_alive": alive,
        "feed_at": feed_at,
        "scored_to": state.scored_to,
        "judged_to": state.judged_to,
        "lag_seconds": (feed_at - state.scored_to).total_seconds() if feed_at and state.scored_to else None,
        "rows_skipped": state.skipped_total,
        "active_models": ActiveModel.objects.filter(is_active=True).count(),
    }


@router.post("/system/preload-models", response=PreloadOut, auth=admin)
def preload_models(request: HttpRequest) -> dict[str, Any]:
    """Load and check every model at work, here and in the scorer."""
    return {"loaded": services.models_preload()}


# --- Shapes --------------------------------------------------------------------------------------------
def _available() -> QuerySet[Model]:
    return Model.objects.filter(is_deleted=False).defer("artifact").prefetch_related("active")


def _trained(model_id: int) -> Model:
    found = _available().filter(pk=model_id).first()
    if found is None:
        raise NotFoundError("MODEL_NOT_FOUND", f"There is no trained model {model_id}: see GET models/available.")
    return found


def _active(active_id: int) -> ActiveModel:
    found = ActiveModel.objects.select_related("model").defer("model__artifact").filter(pk=active_id).first()
    if found is None:
        raise NotFoundError("ACTIVE_MODEL_NOT_FOUND", f"There is no model {active_id} at work: see GET models.")
    return found


def _available_out(model: Model) -> dict[str, Any]:
    plain = ("id", "name", "description", "label_name", "horizon_seconds", "threshold", "scores", "created_at")
    return {
        **{name: getattr(model, name) for name in plain},
        "features": len(model.feature_names),
        "active_model_ids": sorted(active.pk for active in model.active.all()),
    }


def _filtered(rows: QuerySet[Any], page: PredictionQuery | AlertQuery) -> QuerySet[Any]:
    wanted = page.model_dump(exclude_none=True, exclude={"limit", "offset"})
    return rows.filter(**wanted)


def _figures(row: tuple[Any, ...]) -> dict[str, Any]:
    names = [name for name in AlertFiguresOut.model_fields if name != "precision"]
    figures = dict(zip(names, row, strict=True))
    decided = figures["success"] + figures["failed"]
    return {**figures, "precision": figures["success"] / decided if decided else None}


def _now() -> datetime:
    """Feed time; the wall clock before the first frame."""
    return queries.feed_time() or timezone.now()
