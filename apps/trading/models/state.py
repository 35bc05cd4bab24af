"""What holds for all of trading: the kill switch and how far the trader is."""

from django.db import models
from django.db.models import Q


class TradingState(models.Model):
    """The one row of the kill switch: ACTIVE trades, REDUCING only leaves positions, HALTED does nothing."""

    class State(models.TextChoices):
        ACTIVE = "ACTIVE"
        REDUCING = "REDUCING"
        HALTED = "HALTED"

    id = models.SmallIntegerField(primary_key=True, default=1)
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    reason = models.CharField(max_length=200, default="", blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "trading_state"
        constraints = [models.CheckConstraint(name="trading_state_single_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return self.state


class TraderProgress(models.Model):
    """The one row that says up to which feed time the trader has judged and executed everything."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    processed_at = models.DateTimeField(null=True, help_text="feed time")
    processed_seq = models.BigIntegerField(default=-1, help_text="last trade judged at exactly that instant")
    updated_at = models.DateTimeField(null=True, help_text="wall clock: the trader's sign of life")

    class Meta:
        db_table = "trader_progress"
        constraints = [models.CheckConstraint(name="trader_progress_single_row", condition=Q(id=1))]


class VenueFeeAccount(models.Model):
    """The one account that PumpPortal's fee goes to, as the first real order named it."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    address = models.CharField(max_length=64)
    order_id = models.BigIntegerField(help_text="the order whose transaction named it first")
    noted_at = models.DateTimeField(help_text="wall clock")

    class Meta:
        db_table = "venue_fee_account"
        constraints = [models.CheckConstraint(name="venue_fee_account_single_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return self.address
