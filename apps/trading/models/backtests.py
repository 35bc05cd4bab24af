"""Backtests that were asked for, and what came of them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from apps.trading.models.strategies import Strategy
from apps.training.models import Job


class Backtest(models.Model):
    """A strategy as it was when it was asked for, over (`since`, `until`]; its job says how far it is.

    The results are written with the end of the job, in one transaction: they are there where it is COMPLETED.
    """

    class Scores(models.TextChoices):
        STORED = "stored"
        RECOMPUTED = "recomputed"

    job = models.OneToOneField(Job, models.PROTECT, related_name="backtest")
    strategy = models.ForeignKey(Strategy, models.SET_NULL, null=True, blank=True, related_name="backtests")
    strategy_name = models.CharField(max_length=50)
    strategy_version = models.PositiveIntegerField(null=True)
    definition = models.JSONField(help_text="strategy and wallet limits as they were (backtest_runs.definition_of)")
    since = models.DateTimeField()
    until = models.DateTimeField()
    balance_lamports = models.BigIntegerField()
    terms = models.JSONField(help_text="backtest.Terms and what else makes prices (backtest_runs.Wish)")
    scores = models.CharField(max_length=10, choices=Scores, default=Scores.STORED)
    seed = models.PositiveIntegerField(default=1, help_text="of Monte Carlo and of drawn coins; trading has no dice")
    note = models.CharField(max_length=200, default="", blank=True)
    figures = models.JSONField(null=True, blank=True, help_text="backtest.summary without the curve")
    equity = models.JSONField(default=list, blank=True, help_text="[time ISO 8601, lamports], evenly apart")
    trades_covered = models.BigIntegerField(null=True, help_text="recorded trades of all coins in the range")
    seconds = models.FloatField(null=True, help_text="of the run itself, reading included, sensitivity left out")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "backtests"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(name="backtest_range_runs_forward", condition=Q(until__gt=F("since"))),
            models.CheckConstraint(name="backtest_balance_positive", condition=Q(balance_lamports__gt=0)),
        ]

    def __str__(self) -> str:
        return f"backtest {self.pk} of {self.strategy_name}"

    @property
    def trades_per_second(self) -> float | None:
        """Recorded trades covered in a second; None before the end."""
        return self.trades_covered / self.seconds if self.trades_covered and self.seconds else None


class BacktestTrade(models.Model):
    """A fill or a failure of a backtest, in order, with all its parts (as TradeLog)."""

    backtest = models.ForeignKey(Backtest, models.CASCADE, related_name="trades")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(help_text="feed time")
    mint = models.CharField(max_length=64)
    action = models.CharField(max_length=4)
    status = models.CharField(max_length=7)
    code = models.CharField(max_length=64, default="", blank=True)
    exit_reason = models.CharField(max_length=16, default="", blank=True)
    token_base_units = models.BigIntegerField()
    curve_lamports = models.BigIntegerField()
    protocol_fee_lamports = models.BigIntegerField()
    creator_fee_lamports = models.BigIntegerField()
    venue_fee_lamports = models.BigIntegerField()
    network_fee_lamports = models.BigIntegerField()
    tip_lamports = models.BigIntegerField()
    rent_lamports = models.BigIntegerField()
    virtual_loss_lamports = models.BigIntegerField()
    balance_change_lamports = models.BigIntegerField()
    price_sol = models.FloatField(null=True)
    price_impact_bps = models.IntegerField(null=True)
    slippage_bps = models.IntegerField(null=True)

    class Meta:
        db_table = "backtest_trades"
        ordering = ["number", "id"]
        constraints = [models.UniqueConstraint(fields=["backtest", "number"], name="backtest_trade_once")]
