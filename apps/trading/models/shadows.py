"""What paper would have made of each real order."""

from typing import ClassVar

from django.db import models

from apps.trading.models.orders import Order


class ShadowFill(models.Model):
    """The paper venue's answer to the intent of a real order; it moves no balance and no position."""

    order = models.OneToOneField(Order, models.CASCADE, related_name="shadow")
    status = models.CharField(max_length=7, choices=[("SUCCESS", "SUCCESS"), ("FAILED", "FAILED")])
    code = models.CharField(max_length=64, default="", blank=True)
    at = models.DateTimeField(help_text="feed time at which paper executes it")
    token_base_units = models.BigIntegerField(default=0)
    curve_lamports = models.BigIntegerField(default=0)
    protocol_fee_lamports = models.BigIntegerField(default=0)
    creator_fee_lamports = models.BigIntegerField(default=0)
    venue_fee_lamports = models.BigIntegerField(default=0)
    network_fee_lamports = models.BigIntegerField(default=0)
    tip_lamports = models.BigIntegerField(default=0)
    rent_lamports = models.BigIntegerField(default=0)
    balance_change_lamports = models.BigIntegerField(default=0)
    price_sol = models.FloatField(null=True)
    price_impact_bps = models.IntegerField(null=True)
    slippage_bps = models.IntegerField(null=True)

    class Meta:
        db_table = "shadow_fills"
        ordering: ClassVar = ["-at", "-id"]
