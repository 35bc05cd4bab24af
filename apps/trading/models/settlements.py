"""Ends of real orders and transfers that a person has decided, because the chain could not be asked any more."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.trading.models.orders import Order
from apps.trading.models.transfers import TransferLog


class Settlement(models.Model):
    """One order or transfer settled by hand: who, when, why, what was said and what the chain said. Kept for ever."""

    class Outcome(models.TextChoices):
        NEVER = "never"
        FAILED = "failed"
        DONE = "done"

    order = models.OneToOneField(Order, models.PROTECT, null=True, blank=True, related_name="settlement")
    transfer = models.OneToOneField(TransferLog, models.PROTECT, null=True, blank=True, related_name="settlement")
    outcome = models.CharField(max_length=6, choices=Outcome)
    base_units = models.BigIntegerField(null=True, help_text="of a trade that took place")
    balance_change_lamports = models.BigIntegerField(help_text="of the wallet, all costs in it; negative: paid")
    reason = models.CharField(max_length=500)
    code_before = models.CharField(max_length=64, default="", blank=True, help_text="why its end was not known")
    chain = models.CharField(max_length=64, help_text="what the chain said then (settling.Chain)")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    username = models.CharField(max_length=150)
    at = models.DateTimeField(help_text="wall clock")

    class Meta:
        db_table = "settlements"
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="settlement_of_one",
                condition=Q(order__isnull=False, transfer__isnull=True) | Q(order__isnull=True, transfer__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.order_id or self.transfer_id} {self.outcome} by {self.username}"
