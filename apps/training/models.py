"""Tables of training: jobs, models with their whole recipe, test results, comparisons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.db import models
from django.db.models.expressions import RawSQL

# The parts of a split on which a model is judged when it is made.
PARTS = ("validation", "test")
# Of the scores of a sample: what is too bulky for lists.
TABLES_OF_SCORES = ("curves", "calibration", "ev_curve", "slices", "baselines")
# Of a model: what lists have no use for. Together a hundred kilobytes each.
BULKY = ("artifact", "judging", "profile", "importances", "feature_names")
BULKY_OF_RELATED = tuple(f"model__{name}" for name in BULKY)


class Job(models.Model):
    """Work for the trainer. The row is the queue: a worker claims it by a conditional update."""

    class Type(models.TextChoices):
        TRAIN = "TRAIN"
        TEST = "TEST"
        COMPARE = "COMPARE"
        TUNE = "TUNE"
        BACKTEST = "BACKTEST"

    class Status(models.TextChoices):
        PENDING = "PENDING"
        RUNNING = "RUNNING"
        COMPLETED = "COMPLETED"
        FAILED = "FAILED"
        CANCELLED = "CANCELLED"

    job_type = models.CharField(max_length=8, choices=Type)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    priority = models.SmallIntegerField(default=5, help_text="1 first, 9 last")
    params = models.JSONField(default=dict)
    progress = models.FloatField(default=0.0, help_text="ratio 0..1")
    message = models.CharField(max_length=200, default="", blank=True)
    log = models.TextField(default="", blank=True)
    worker = models.CharField(max_length=100, default="", blank=True)
    error_code = models.CharField(max_length=64, default="", blank=True)
    error = models.TextField(default="", blank=True)
    result = models.JSONField(null=True, blank=True)
    model = models.ForeignKey("Model", models.SET_NULL, null=True, blank=True, related_name="jobs")
    cancel_requested = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "ml_jobs"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["priority", "id"], name="jobs_waiting", condition=models.Q(status="PENDING")),
        ]

    def __str__(self) -> str:
        return f"{self.job_type} {self.pk}"


class Models(models.QuerySet["Model"]):
    BRIEF = """(SELECT coalesce(jsonb_object_agg(key, value - %s::text[]), '{}') FROM jsonb_each("ml_models"."scores")
                WHERE jsonb_typeof(value) = 'object')"""
    LATER = """(SELECT t.scores - %s::text[] FROM ml_test_results t
                WHERE t.model_id = "ml_models"."id" AND NOT t.overlaps_training
                    AND t.test_from >= "ml_models"."train_to"
                ORDER BY t.rows DESC, t.id DESC LIMIT 1)"""

    def light(self) -> Models:
        """For lists: without what is bulky; `brief` are the scores of the judged parts without their tables, `later`
        those of the largest test on what came after the model's data (None: there is none)."""
        brief, later = (
            RawSQL(sql, (list(TABLES_OF_SCORES),), output_field=models.JSONField()) for sql in (self.BRIEF, self.LATER)
        )
        return self.defer(*BULKY, "scores").annotate(brief=brief, later=later)


class Model(models.Model):
    """A fitted model: recipe, data, scores and artifact (XGBoost UBJSON with its sha256).

    `description` holds its notes. Aliases are unique among the models that ask the same question (`label_name`).
    """

    class Alias(models.TextChoices):
        NONE = ""
        CHAMPION = "champion"
        CHALLENGER = "challenger"

    class Origin(models.TextChoices):
        """How it came to be; `parent` is the model it came from (retrained) or the study's job (tuned)."""

        TRAINED = "trained"
        RETRAINED = "retrained"
        TUNED = "tuned"
        IMPORTED = "imported"

    name = models.CharField(max_length=100, unique=True)
    description = models.TextField(default="", blank=True)
    recipe = models.JSONField()
    feature_names = models.JSONField(help_text="in the order of the columns")
    label_name = models.CharField(max_length=100)
    horizon_seconds = models.PositiveIntegerField()
    train_from = models.DateTimeField()
    train_to = models.DateTimeField()
    data_hash = models.CharField(max_length=64)
    rows_train = models.PositiveIntegerField()
    rows_validation = models.PositiveIntegerField()
    rows_test = models.PositiveIntegerField()
    scores = models.JSONField(help_text="per part (validation, test): measures with their base rate")
    threshold = models.FloatField(help_text="chosen on validation")
    importances = models.JSONField(default=dict)
    judging = models.JSONField(
        default=dict, blank=True, help_text="kept for later judging: baselines, regime, permutation (see judging)"
    )
    profile = models.JSONField(
        default=dict, blank=True, help_text="how its features and scores were spread at the fit (profiles.Profile)"
    )
    artifact = models.BinaryField()
    artifact_sha256 = models.CharField(max_length=64)
    xgboost_version = models.CharField(max_length=20)
    alias = models.CharField(max_length=10, choices=Alias, default=Alias.NONE, blank=True)
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.TRAINED)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")
    study = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="tuned_models")
    made_with = models.JSONField(
        default=dict, blank=True, help_text="seed, threads, cluster: what else fixes the bytes"
    )
    is_deleted = models.BooleanField(default=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = Models.as_manager()

    class Meta:
        db_table = "ml_models"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                name="one_model_per_alias", fields=["label_name", "alias"], condition=~models.Q(alias="")
            ),
            models.CheckConstraint(
                name="deleted_models_have_no_alias", condition=models.Q(is_deleted=False) | models.Q(alias="")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def promising_scores(self) -> dict[str, Any]:
        """Its scores by part for those who quote them: where it kept no test part, under `later` those of its largest
        test on what came after its data."""
        if self.scores.get("test"):
            return self.scores
        after = self.test_results.filter(overlaps_training=False, test_from__gte=self.train_to)
        later = after.order_by("-rows", "-pk").values_list("scores", flat=True).first()
        return {**self.scores, "later": later} if later else self.scores


class Trial(models.Model):
    """One fit of a study (a TUNE job). The rows are the study: a restarted job goes on from them."""

    class State(models.TextChoices):
        RUNNING = "running"
        COMPLETE = "complete"
        PRUNED = "pruned"
        FAILED = "failed"

    job = models.ForeignKey(Job, models.CASCADE, related_name="trials")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    params = models.JSONField(help_text="XGBoost parameters of the trial, by their names in the recipe")
    value = models.FloatField(null=True, help_text="the study's measure on validation; null where it is not defined")
    steps = models.JSONField(
        default=list, blank=True, help_text="[round, PR-AUC on validation] as reported for pruning"
    )
    measures = models.JSONField(default=dict, blank=True, help_text="rounds, threshold, expected value and the like")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "ml_trials"
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(name="one_trial_per_number", fields=["job", "number"])]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model that a job will make comes from, and the alias it gets when it is stored."""

    origin: str = Model.Origin.TRAINED
    parent_id: int | None = None
    study_id: int | None = None
    alias: str = ""

    def as_json(self) -> dict[str, Any]:
        """For a job's parameters."""
        return asdict(self)


class TestResult(models.Model):
    """A model judged on a stretch of data."""

    __test__ = False  # not a pytest class

    model = models.ForeignKey(Model, models.CASCADE, related_name="test_results")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    test_from = models.DateTimeField()
    test_to = models.DateTimeField()
    overlaps_training = models.BooleanField()
    rows = models.PositiveIntegerField()
    rows_unknown = models.PositiveIntegerField()
    coins = models.PositiveIntegerField()
    scores = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "ml_test_results"
        ordering = ["-created_at", "-id"]


class Comparison(models.Model):
    """Two to four models judged on the same rows."""

    compared = models.ManyToManyField(Model, related_name="comparisons")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    test_from = models.DateTimeField()
    test_to = models.DateTimeField()
    results = models.JSONField(default=dict)
    winner = models.ForeignKey(Model, models.SET_NULL, null=True, related_name="+")
    reason = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "ml_comparisons"
        ordering = ["-created_at", "-id"]
