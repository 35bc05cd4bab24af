"""What `/api/server/` takes and gives: the shapes of its requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from apps.core.pagination import PageQuery
from apps.predictions import services
from apps.predictions.models import ActiveModel, EvaluationStatus, Tag

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
