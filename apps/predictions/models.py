"""Tables of predictions: models at work, every score, every alert and what became of it."""

from django.db import models

from apps.core.models import Delivery
from apps.training.models import Model


class ActiveModel(models.Model):
    """A model put to work, with its own settings."""

    class CoinFilter(models.TextChoices):
        ALL = "all"
        WHITELIST = "whitelist"

    class SendMode(models.TextChoices):
        ALL = "all"
        ALERTS = "alerts_only"
        POSITIVE = "positive_only"
        NEGATIVE = "negative_only"

    model = models.ForeignKey(Model, models.PROTECT, related_name="active")
    custom_name = models.CharField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)
    threshold = models.FloatField(help_text="a score at or above it is an alert")
    phases = models.JSONField(default=list, blank=True, help_text="phase ids; empty means all")
    coin_filter = models.CharField(max_length=10, choices=CoinFilter, default=CoinFilter.ALL)
    whitelist = models.JSONField(default=list, blank=True)
    ignore_bad_seconds = models.PositiveIntegerField(default=0)
    ignore_positive_seconds = models.PositiveIntegerField(default=0)
    ignore_alert_seconds = models.PositiveIntegerField(default=0)
    min_scan_interval_seconds = models.PositiveIntegerField(default=0)
    max_log_entries = models.JSONField(
        default=dict, blank=True, help_text="per tag negative/positive/alert; 0 is no limit"
    )
    webhook_url = models.URLField(default="", blank=True)
    send_mode = models.CharField(max_length=16, choices=SendMode, default=SendMode.ALERTS)
    webhook_enabled = models.BooleanField(default=False)
    activated_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "active_models"
        ordering = ["-activated_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="threshold_is_ratio", condition=models.Q(threshold__gte=0) & models.Q(threshold__lte=1)
            ),
        ]

    def __str__(self) -> str:
        return self.custom_name


class Tag(models.TextChoices):
    """negative: below one half; positive: from one half, below the threshold; alert: at or above the threshold."""

    NEGATIVE = "negative"
    POSITIVE = "positive"
    ALERT = "alert"


class Prediction(models.Model):
    """One score (hypertable by `as_of`, append-only)."""

    pk = models.CompositePrimaryKey("active_model_id", "mint", "as_of")
    active_model_id = models.BigIntegerField()
    mint = models.CharField(max_length=64)
    as_of = models.DateTimeField(help_text="end of the newest window the features know")
    scored_at = models.DateTimeField(help_text="wall clock")
    probability = models.FloatField()
    tag = models.CharField(max_length=8, choices=Tag)
    price_sol = models.FloatField()
    virtual_sol_lamports = models.BigIntegerField(null=True)
    phase_id = models.SmallIntegerField()
    is_late = models.BooleanField(default=False, help_text="scored too long after `as_of` to act on")
    duration_ms = models.FloatField()

    class Meta:
        db_table = "predictions"


class EvaluationStatus(models.TextChoices):
    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"
    EXPIRED = "expired"
    NOT_APPLICABLE = "not_applicable"


class ModelPrediction(models.Model):
    """A prediction beside its outcome, written once the horizon has passed."""

    pk = models.CompositePrimaryKey("active_model_id", "mint", "as_of")
    active_model_id = models.BigIntegerField()
    mint = models.CharField(max_length=64)
    as_of = models.DateTimeField()
    horizon_at = models.DateTimeField()
    probability = models.FloatField()
    tag = models.CharField(max_length=8, choices=Tag)
    entry_price_sol = models.FloatField(null=True, help_text="at the feasible entry, not when the score was made")
    change_pct = models.FloatField(null=True, help_text="at the horizon, from the entry")
    highest_pct = models.FloatField(null=True)
    highest_at = models.DateTimeField(null=True)
    lowest_pct = models.FloatField(null=True)
    lowest_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=16, choices=EvaluationStatus)
    reason = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        db_table = "model_predictions"


class AlertEvaluation(models.Model):
    """An alert: the market when it fired and when it was judged (hypertable by `as_of`)."""

    pk = models.CompositePrimaryKey("active_model_id", "mint", "as_of")
    active_model_id = models.BigIntegerField()
    mint = models.CharField(max_length=64)
    as_of = models.DateTimeField()
    alert_id = models.BigIntegerField(
        null=True, editable=False, help_text="order of commit; default from a sequence (sql/030)"
    )
    fired_at = models.DateTimeField(help_text="feed time at which it was committed")
    probability = models.FloatField()
    price_sol = models.FloatField()
    market_cap_sol = models.FloatField(null=True)
    virtual_sol_lamports = models.BigIntegerField(null=True)
    phase_id = models.SmallIntegerField()
    horizon_at = models.DateTimeField(help_text="when it can be judged")
    status = models.CharField(max_length=16, choices=EvaluationStatus, default=EvaluationStatus.PENDING)
    judged_at = models.DateTimeField(null=True)
    judged_price_sol = models.FloatField(null=True)
    change_pct = models.FloatField(null=True)
    highest_pct = models.FloatField(null=True)
    lowest_pct = models.FloatField(null=True)
    reason = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        db_table = "alert_evaluations"


class ScorerState(models.Model):
    """The one row that says which metric rows have been scored."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    last_row_id = models.BigIntegerField(default=0)
    scored_to = models.DateTimeField(null=True)
    skipped_total = models.BigIntegerField(default=0)
    judged_to = models.DateTimeField(null=True, help_text="outcomes are complete for horizons up to here (feed time)")
    updated_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "scorer_state"
        constraints = [models.CheckConstraint(name="scorer_state_single_row", condition=models.Q(id=1))]


class WebhookDelivery(Delivery):
    """The outbox of webhooks: written with what it tells, delivered by a task."""

    active_model = models.ForeignKey(ActiveModel, models.SET_NULL, null=True, related_name="deliveries")
    kind = models.CharField(max_length=32)

    class Meta:
        db_table = "webhook_deliveries"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], name="deliveries_due", condition=models.Q(status="pending")),
        ]
