"""Strategies: when to enter, how much, when to leave; every state they were ever in; which alerts they let pass."""

from django.db import models
from django.db.models import Q

from apps.trading.models.wallets import Wallet


class Strategy(models.Model):
    """When to enter, how much, when to leave: the definition that holds now (see `definitions.py`) and its switch."""

    name = models.SlugField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="strategies")
    active_model_ids = models.JSONField(default=list, blank=True, help_text="whose alerts count; empty means all")
    min_probability = models.FloatField(default=0.0)
    conditions = models.JSONField(default=list, blank=True, help_text="what must hold besides: definitions.Condition")
    stake_lamports = models.BigIntegerField(help_text="of each entry; with a sizing other than fixed the most of it")
    sizing = models.JSONField(default=dict, blank=True, help_text="definitions.Sizing; empty means the fixed stake")
    slippage_bps = models.PositiveIntegerField(default=500)
    stop_loss_bps = models.PositiveIntegerField(null=True, blank=True)
    take_profit_bps = models.PositiveIntegerField(null=True, blank=True)
    timeout_seconds = models.PositiveIntegerField(null=True, blank=True)
    exits = models.JSONField(default=dict, blank=True, help_text="the other rules: definitions.Rules")
    version = models.PositiveIntegerField(default=1, help_text="number of the version that holds now")
    last_alert_id = models.BigIntegerField(default=0, help_text="alerts up to this one have been decided")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "strategies"
        ordering = ["name"]
        constraints = [models.CheckConstraint(name="strategy_stake_positive", condition=Q(stake_lamports__gt=0))]
        verbose_name_plural = "strategies"

    def __str__(self) -> str:
        return self.name


class StrategyVersion(models.Model):
    """A definition that a strategy had; written once, never changed."""

    strategy = models.ForeignKey(Strategy, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField(help_text="definitions.Definition")
    sha256 = models.CharField(max_length=64, help_text="of the definition as canonical JSON")
    note = models.CharField(max_length=200, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "strategy_versions"
        ordering = ["-number", "-id"]
        constraints = [models.UniqueConstraint(fields=["strategy", "number"], name="strategy_version_once")]

    def __str__(self) -> str:
        return f"{self.strategy_id} v{self.number}"


class StrategyFiltered(models.Model):
    """How many alerts a strategy let pass within an hour of feed time, and by which condition."""

    strategy = models.ForeignKey(Strategy, models.CASCADE, related_name="filtered")
    hour = models.DateTimeField()
    reason = models.CharField(max_length=150, help_text="model, probability, sizing, or a condition as it is written")
    alerts = models.BigIntegerField()

    class Meta:
        db_table = "strategy_filtered"
        ordering = ["-hour", "reason", "id"]
        constraints = [models.UniqueConstraint(fields=["strategy", "hour", "reason"], name="strategy_filtered_once")]
