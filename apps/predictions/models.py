"""Tables of predictions: models at work, every score, every alert and what became of it."""

from django.db import models

from apps.training.models import Job, Model


class ActiveModels(models.QuerySet["ActiveModel"]):
    def scoring(self) -> "ActiveModels":
        """Those that score now; a shadow rests with the model it challenges."""
        return self.filter(is_active=True, model__is_deleted=False).exclude(shadow_of__is_active=False)


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
    shadow_of = models.OneToOneField(
        "self", models.CASCADE, null=True, blank=True, related_name="shadow",
        help_text="the place whose model this one challenges: it scores beside it and tells nobody",
    )  # fmt: skip
    model_since = models.DateTimeField(null=True, blank=True, help_text="feed time from which `model` holds the place")

    objects = ActiveModels.as_manager()

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

    @property
    def leaves_out(self) -> bool:
        """Whether a score can keep later alerts on its coin from being one."""
        return bool(
            self.ignore_bad_seconds
            or self.ignore_positive_seconds
            or self.ignore_alert_seconds
            or self.min_scan_interval_seconds
            or self.max_log_entries.get("alert")
        )


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
    model_id = models.IntegerField(null=True, help_text="the trained model; a place at work may change its own")

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
    model_id = models.IntegerField(null=True, help_text="the trained model that made the score")
    quoted_price_sol = models.FloatField(null=True, help_text="seen when the score was made")
    exit_price_sol = models.FloatField(null=True, help_text="one latency after the target, the stop or the horizon")
    exit_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "model_predictions"


class AlertEvaluation(models.Model):
    """An alert: the market when it fired and when it was judged (hypertable by `as_of`)."""

    pk = models.CompositePrimaryKey("active_model_id", "mint", "as_of")
    active_model_id = models.BigIntegerField()
    mint = models.CharField(max_length=64)
    as_of = models.DateTimeField()
    alert_id = models.BigIntegerField(
        null=True, editable=False, help_text="order of commit, from a sequence (sql/030); NULL for a shadow's alert"
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
    highest_at = models.DateTimeField(null=True)
    lowest_pct = models.FloatField(null=True)
    lowest_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=64, default="", blank=True)
    touches_gap = models.BooleanField(db_default=False, help_text="the feed was away within the history it knows")
    reasons = models.JSONField(null=True, help_text="what moved the score most (apps.predictions.reasons)")

    class Meta:
        db_table = "alert_evaluations"


class RetrainingPlan(models.Model):
    """How a place at work renews its model. `every_hours` 0: only when asked."""

    active_model = models.OneToOneField(ActiveModel, models.CASCADE, primary_key=True, related_name="plan")
    every_hours = models.PositiveIntegerField(default=0, help_text="of feed time; 0 is off")
    window_hours = models.PositiveIntegerField(default=0, help_text="of data; 0: as long as the model's own stretch")
    promote_automatically = models.BooleanField(default=False, help_text="else a passed gate is only proposed")
    min_alerts = models.PositiveIntegerField(default=100, help_text="of each model before the gate is looked at")
    shadow_hours = models.PositiveIntegerField(default=168, help_text="after which an undecided challenger is ended")
    requested_at = models.DateTimeField(null=True, blank=True, help_text="feed time of the last request")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+", help_text="not yet taken up")
    note = models.CharField(max_length=300, default="", blank=True, help_text="what became of the last request")

    class Meta:
        db_table = "retraining_plans"


class ChampionEvent(models.Model):
    """The history of a place at work: challenges, looks of the gate, promotions, ways back, its end. Append-only."""

    class Kind(models.TextChoices):
        CHALLENGED = "challenged"
        GATE = "gate"
        PROMOTED = "promoted"
        ROLLED_BACK = "rolled_back"
        ENDED = "ended"
        DELETED = "deleted"

    active_model_id = models.BigIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    at = models.DateTimeField(help_text="feed time")
    champion = models.ForeignKey(Model, models.SET_NULL, null=True, related_name="+", help_text="held the place before")
    challenger = models.ForeignKey(Model, models.SET_NULL, null=True, related_name="+")
    champion_name = models.CharField(max_length=100)
    challenger_name = models.CharField(max_length=100, default="", blank=True)
    verdict = models.CharField(max_length=24, default="", blank=True, help_text="of the gate (championship.Verdict)")
    figures = models.JSONField(default=dict, blank=True)
    by = models.CharField(max_length=150, default="", blank=True, help_text="user name; empty: by itself")
    note = models.CharField(max_length=300, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "champion_events"
        ordering = ["-id"]


class ModelDay(models.Model):
    """One trained model at one place on one UTC day of feed time: what it kept of its promise, and its drift.

    `day` NULL is the stretch over which the state is judged (living.SPAN_DAYS)."""

    active_model_id = models.BigIntegerField()
    model = models.ForeignKey(Model, models.CASCADE, related_name="days")
    day = models.DateField(null=True)
    life = models.JSONField(default=dict, help_text="living.Life as JSON")
    state = models.CharField(max_length=16, default="", blank=True, help_text="living.State")
    drift = models.JSONField(default=dict, help_text="drift.Drift as JSON")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "model_days"
        ordering = ["-day", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["active_model_id", "model", "day"], name="model_day_once", nulls_distinct=False
            )
        ]


class ScorerState(models.Model):
    """The one row that says which metric rows have been scored."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    last_row_id = models.BigIntegerField(default=0)
    scored_to = models.DateTimeField(null=True)
    skipped_total = models.BigIntegerField(default=0, help_text="rows that came too late to be scored")
    skipped_untraded = models.BigIntegerField(db_default=0, help_text="rows of finished or graduated coins")
    skipped_curve = models.BigIntegerField(db_default=0, help_text="rows of coins off the standard curve")
    judged_to = models.DateTimeField(null=True, help_text="outcomes are complete for horizons up to here (feed time)")
    updated_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "scorer_state"
        constraints = [models.CheckConstraint(name="scorer_state_single_row", condition=models.Q(id=1))]
