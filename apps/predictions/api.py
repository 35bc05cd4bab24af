"""`/api/server/`: models at work and their settings, scores, alerts and what became of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router

from apps.core.errors import NotFoundError, PlatformError
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.process import processes_alive
from apps.core.tokens import admin, read
from apps.predictions import api_champions, api_webhooks, champions, on_request, queries, services
from apps.predictions.models import ActiveModel, AlertEvaluation, Prediction, ScorerState
from apps.predictions.schemas import (
    ActiveOut,
    AlertConfigIn,
    AlertFiguresOut,
    AlertOut,
    AlertQuery,
    AvailableOut,
    FiguresQuery,
    HealthOut,
    IgnoreSettings,
    IgnoreSettingsIn,
    ImportIn,
    LatestQuery,
    LogLimits,
    LogLimitsIn,
    ModelStatsOut,
    N8nOut,
    PredictIn,
    PredictionOut,
    PredictionQuery,
    PredictOut,
    PreloadOut,
    RenameIn,
    StatsOut,
)
from apps.training import containers
from apps.training import services as training_services
from apps.training.models import Model

router = Router(tags=["server"])
router.add_router("/models", api_champions.router)
router.add_router("/webhooks", api_webhooks.router)


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
    """Put a trained model to work, or one out of a model file; with a file, both are stored or neither."""
    fields = body.model_dump(exclude_none=True, exclude={"model_id", "file", "custom_name", "threshold"})
    with transaction.atomic():
        active = services.model_import(
            model=_model_of(body), custom_name=body.custom_name, threshold=body.threshold, fields=fields
        )
    return 201, active


@router.get("/models", response=Page[ActiveOut], auth=read)
def models(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """All models put to work, also stopped ones, and the shadows of those that are challenged (`shadow_of_id`)."""
    return paginate(ActiveModel.objects.select_related("model"), page)


@router.get("/models/active", response=Page[ActiveOut], auth=read)
def models_active(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """The models that score now, and their challengers in the shadow (`shadow_of_id`)."""
    return paginate(ActiveModel.objects.scoring().select_related("model"), page)


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
def model_ignore_settings_change(request: HttpRequest, active_id: int, body: IgnoreSettingsIn) -> ActiveModel:
    """Change how long it leaves coins alone; what is left out stays."""
    return services.model_configure(active=_active(active_id), fields=body.model_dump(exclude_unset=True))


@router.get("/models/{active_id}/max-log-entries", response=LogLimits, auth=read)
def model_max_log_entries(request: HttpRequest, active_id: int) -> dict[str, int]:
    """How many scores it keeps per coin."""
    return _active(active_id).max_log_entries


@router.patch("/models/{active_id}/max-log-entries", response=LogLimits, auth=admin)
def model_max_log_entries_change(request: HttpRequest, active_id: int, body: LogLimitsIn) -> dict[str, int]:
    """Change how many scores it keeps per coin; what is left out stays."""
    limits = body.model_dump(exclude_unset=True)
    return services.log_limits_change(active=_active(active_id), limits=limits).max_log_entries


@router.get("/models/{active_id}/n8n-status", response=N8nOut, auth=read)
def model_n8n_status(request: HttpRequest, active_id: int) -> dict[str, Any]:
    """Whether and how well its webhook works."""
    return services.n8n_status(active=_active(active_id))


@router.delete("/models/{active_id}", response={204: None}, auth=admin)
def model_delete(request: HttpRequest, active_id: int) -> tuple[int, None]:
    """Take a stopped model out of the list; its scores and alerts stay, what is pending is still judged, and an open
    challenge ends."""
    champions.place_delete(place=_active(active_id), by=api_champions.who(request))
    return 204, None


# --- Scores and alerts ---------------------------------------------------------------------------------
@router.post("/predict", response=PredictOut, auth=read)
def predict(request: HttpRequest, body: PredictIn, page: Query[PageQuery]) -> dict[str, Any]:
    """Score one coin now, as of its newest closed window, with all models at work or chosen ones (also a shadow);
    nothing is stored."""
    said = on_request.coin_predict(mint=body.mint, active_model_ids=body.active_model_ids)
    return {**said, **paginate(said["scores"], page)}


@router.get("/predictions", response=Page[PredictionOut], auth=read)
def predictions(request: HttpRequest, page: Query[PredictionQuery]) -> dict[str, Any]:
    """Scores, newest first."""
    rows, shadows = Prediction.objects.order_by("-as_of", "mint", "active_model_id"), queries.shadow_ids()
    if not page.shadows and page.active_model_id not in shadows:
        rows = rows.exclude(active_model_id__in=shadows)
    return paginate(_filtered(rows, page), page, lambda row: _score(row, shadows))


@router.get("/predictions/latest/{mint}", response=Page[PredictionOut], auth=read)
def predictions_latest(request: HttpRequest, mint: str, page: Query[LatestQuery]) -> dict[str, Any]:
    """The newest score of a coin by each model."""
    shadows = queries.shadow_ids()
    rows = [{**row, "is_shadow": row["active_model_id"] in shadows} for row in queries.latest_of_coin(mint)]
    return paginate([row for row in rows if page.shadows or not row["is_shadow"]], page)


@router.get("/alerts", response=Page[AlertOut], auth=read)
def alerts(request: HttpRequest, page: Query[AlertQuery]) -> dict[str, Any]:
    """Alerts and what became of them, newest first."""
    rows = AlertEvaluation.objects.order_by("-as_of", "-alert_id", "mint", "active_model_id")
    return paginate(_filtered(rows if page.shadows else rows.exclude(alert_id=None), page), page)


@router.get("/alerts/statistics", response=Page[AlertFiguresOut], auth=read)
def alerts_statistics(request: HttpRequest, page: Query[FiguresQuery]) -> dict[str, Any]:
    """What became of the alerts of the last hours of feed time, per model."""
    since = _now() - timedelta(hours=page.hours)
    return paginate(queries.alert_statistics(since, shadows=page.shadows), page, _figures)


@router.get("/stats", response=StatsOut, auth=read)
def stats(request: HttpRequest, hours: float = Query(1.0, gt=0, le=168)) -> dict[str, Any]:
    """How much was scored in the last hours of feed time, per model."""
    found, shadows = queries.score_statistics(_now() - timedelta(hours=hours)), queries.shadow_ids()
    names = [name for name in ModelStatsOut.model_fields if name != "is_shadow"]
    return {
        "feed_at": queries.feed_time(),
        "hours": hours,
        "models": [{**dict(zip(names, row, strict=True)), "is_shadow": row[0] in shadows} for row in found],
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
        "rows_off_curve": state.skipped_curve,
        "rows_untraded": state.skipped_untraded,
        "active_models": ActiveModel.objects.scoring().filter(shadow_of=None).count(),
    }


@router.post("/system/preload-models", response=PreloadOut, auth=admin)
def preload_models(request: HttpRequest) -> dict[str, Any]:
    """Load and check every model at work, here and in the scorer."""
    loaded, unusable = on_request.models_preload()
    return {"loaded": loaded, "unusable": unusable}


# --- Shapes --------------------------------------------------------------------------------------------
def _available() -> QuerySet[Model]:
    return Model.objects.filter(is_deleted=False).defer("artifact").prefetch_related("active")


def _trained(model_id: int) -> Model:
    found = _available().filter(pk=model_id).first()
    if found is None:
        raise NotFoundError("MODEL_NOT_FOUND", f"There is no trained model {model_id}: see GET models/available.")
    return found


def _model_of(body: ImportIn) -> Model:
    """The trained model that a request names, or brings."""
    if (body.model_id is None) == (body.file is None):
        raise PlatformError("MODEL_NOT_NAMED", "Send either model_id, or file with a model file in base64.")
    if body.model_id is not None:
        return _trained(body.model_id)
    return training_services.model_import(data=containers.from_base64(body.file or ""))


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
    wanted = page.model_dump(exclude_none=True, exclude={"limit", "offset", "shadows"})
    return rows.filter(**wanted)


def _score(row: Prediction, shadows: set[int]) -> dict[str, Any]:
    plain = [name for name in PredictionOut.model_fields if name != "is_shadow"]
    return {**{name: getattr(row, name) for name in plain}, "is_shadow": row.active_model_id in shadows}


def _figures(row: tuple[Any, ...]) -> dict[str, Any]:
    names = [name for name in AlertFiguresOut.model_fields if name != "precision"]
    figures = dict(zip(names, row, strict=True))
    decided = figures["success"] + figures["failed"]
    return {**figures, "precision": figures["success"] / decided if decided else None}


def _now() -> datetime:
    """Feed time; the wall clock before the first frame."""
    return queries.feed_time() or timezone.now()
