"""Strategies: when to enter, how much, when to leave."""

from django.db import models
from django.db.models import Q

from apps.trading.models.wallets import Wallet


class Strategy(models.Model):
    """When to enter, how much, when to leave."""

    name = models.SlugField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="strategies")
    active_model_ids = models.JSONField(default=list, blank=True, help_text="whose alerts count; empty means all")
    min_probability = models.FloatField(default=0.0)
    stake_lamports = models.BigIntegerField()
    slippage_bps = models.PositiveIntegerField(default=500)
    stop_loss_bps = models.PositiveIntegerField(null=True, blank=True)
    take_profit_bps = models.PositiveIntegerField(null=True, blank=True)
    timeout_seconds = models.PositiveIntegerField(null=True, blank=True)
    last_alert_id = models.BigIntegerField(default=0, help_text="alerts up to this one have been decided")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "strategies"
        ordering = ["name"]
        constraints = [models.CheckConstraint(name="strategy_stake_positive", condition=Q(stake_lamports__gt=0))]
        verbose_name_plural = "strategies"

    def __str__(self) -> str:
        return self.name
