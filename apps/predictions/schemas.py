"""What `/api/server/` takes and gives: the shapes of its requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from apps.core.pagination import Page, PageQuery
from apps.core.schemas import Body
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


class LogLimitsIn(Body, LogLimits):
    """What is left out stays as it is."""


class IgnoreSettingsIn(Body, IgnoreSettings):
    """What is left out stays as it is."""


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
    shadow_of_id: int | None = Field(description="the model it challenges in the shadow; null for all others")
    model_since: datetime | None = Field(description="feed time since which this trained model holds the place")

    @staticmethod
    def resolve_model_name(active: ActiveModel) -> str:
        return active.model.name


class AlertConfigIn(Body):
    """What is left out stays as it is."""

    threshold: float | None = Field(None, ge=0, le=1)
    phases: list[int] | None = None
    coin_filter: CoinFilter | None = None
    whitelist: list[str] | None = None
    webhook_url: str | None = Field(None, max_length=200)
    send_mode: SendMode | None = None
    webhook_enabled: bool | None = None


class ImportIn(AlertConfigIn):
    """A trained model by its id, or a model file (the zip of GET training/models/{id}/download)."""

    model_id: int | None = None
    file: str | None = Field(
        None, description="base64, for files of up to 1.8 MB; send a larger one to POST training/models/import first"
    )
    custom_name: str = Field("", max_length=100, description="empty: the model's own name")


class RenameIn(Body):
    custom_name: str = Field(min_length=1, max_length=100)


class PredictIn(Body):
    mint: str = Field(min_length=1, max_length=64)
    active_model_ids: list[int] | None = Field(
        None, max_length=100, description="models at work, also stopped ones; left out: all that score now"
    )


class ReasonOut(Schema):
    """A feature's part in a score: log-odds, so exp(contribution) is what it multiplies the odds by."""

    feature: str
    value: float | None = Field(description="null where it is undefined")
    contribution: float


class ReasonsOut(Schema):
    """base + rest + contributions are the log-odds of the score; `rest` is the sum of the features not listed."""

    base: float
    rest: float
    top: list[ReasonOut]


class ScoreOut(Schema):
    active_model_id: int
    model_id: int
    custom_name: str
    is_shadow: bool = Field(description="a challenger that scores in the shadow and tells nobody")
    mint: str
    as_of: datetime
    probability: float
    threshold: float
    tag: Tag
    duration_ms: float
    reasons: ReasonsOut


class PredictOut(Page[ScoreOut]):
    """What models say of a coin as of the end of its newest closed window, `age_seconds` before the feed's time."""

    mint: str
    as_of: datetime
    age_seconds: float
    feed_at: datetime


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
    model_id: int | None
    is_shadow: bool = Field(description="a challenger that scores in the shadow and tells nobody")


class AlertOut(Schema):
    active_model_id: int
    mint: str
    as_of: datetime
    alert_id: int | None = Field(description="order of commit; null for a challenger that scores in the shadow")
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
    highest_at: datetime | None
    lowest_pct: float | None
    lowest_at: datetime | None
    reason: str
    touches_gap: bool = Field(description="the feed was away within the history that the score knows")
    reasons: ReasonsOut | None = Field(description="written a moment after the alert")


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
    is_shadow: bool
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
    rows_skipped: int = Field(description="windows that came more than ten minutes late")
    rows_off_curve: int = Field(description="windows of coins that are not on the standard curve")
    rows_untraded: int = Field(description="windows of finished or graduated coins")
    active_models: int


class N8nOut(Schema):
    enabled: bool
    url: str
    send_mode: SendMode
    status: Literal["disabled", "switched_off", "never_sent", "ok", "failing"]
    pending: int
    sent: int
    failed: int
    last_sent_at: datetime | None
    last_response_status: int | None
    last_error: str
    endpoint_id: int | None


class PreloadOut(Schema):
    """Names of the models at work; `unusable` are those whose artifact is not what it was (the log says more)."""

    loaded: list[str]
    unusable: list[str]


class LatestQuery(PageQuery):
    shadows: bool = Field(False, description="also challengers that score in the shadow")


class PredictionQuery(LatestQuery):
    mint: str | None = None
    active_model_id: int | None = Field(None, description="a shadow's own id shows its scores, too")
    tag: Tag | None = None


class AlertQuery(PageQuery):
    mint: str | None = None
    active_model_id: int | None = None
    status: EvaluationStatus | None = None
    shadows: bool = Field(False, description="also those of challengers that score in the shadow")


class FiguresQuery(PageQuery):
    hours: float = Field(24.0, gt=0, le=8760, description="of feed time")
    shadows: bool = Field(False, description="also challengers that score in the shadow")
