"""Money that leaves a wallet without a trade."""

from django.db import models

from apps.trading.models.wallets import Wallet


class TransferLog(models.Model):
    """Every transfer between wallets or out."""

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="transfers")
    to_wallet = models.ForeignKey(Wallet, models.PROTECT, null=True, related_name="transfers_in")
    to_address = models.CharField(max_length=64)
    lamports = models.BigIntegerField()
    fee_lamports = models.BigIntegerField(default=0)
    status = models.CharField(max_length=7, choices=[("SUCCESS", "SUCCESS"), ("FAILED", "FAILED")])
    message = models.TextField(default="", blank=True)
    is_simulation = models.BooleanField(default=True)
    signature = models.CharField(max_length=100, null=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "transfer_logs"
        ordering = ["-at", "-id"]
