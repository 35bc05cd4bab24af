"""Money that leaves a wallet without a trade, and the addresses outside it may go to."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.trading.models.wallets import Wallet


class TransferLog(models.Model):
    """Every transfer between wallets or out. Of test wallets it is done at once, of real ones it is followed."""

    class Status(models.TextChoices):
        SUBMITTED = "SUBMITTED"
        UNKNOWN = "UNKNOWN"
        SUCCESS = "SUCCESS"
        FAILED = "FAILED"
        EXPIRED = "EXPIRED"

    IN_FLIGHT = (Status.SUBMITTED, Status.UNKNOWN)

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="transfers")
    to_wallet = models.ForeignKey(Wallet, models.PROTECT, null=True, related_name="transfers_in")
    to_address = models.CharField(max_length=64)
    lamports = models.BigIntegerField()
    fee_lamports = models.BigIntegerField(default=0)
    is_sweep = models.BooleanField(null=True, help_text="everything that could go was asked for; null: not noted")
    status = models.CharField(max_length=10, choices=Status)
    code = models.CharField(max_length=64, default="", blank=True)
    message = models.TextField(default="", blank=True)
    is_simulation = models.BooleanField(default=True)
    idempotency_key = models.CharField(max_length=150, null=True, unique=True)
    requested_by = models.CharField(max_length=150, default="", blank=True)
    signature = models.CharField(max_length=100, null=True, help_text="of a real one, before it is sent")
    receipt = models.JSONField(
        default=dict, blank=True, help_text="the signed bytes and the height they are good until"
    )
    sent_at = models.DateTimeField(null=True, help_text="wall clock: claimed for sending, once for ever")
    at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, help_text="wall clock")

    class Meta:
        db_table = "transfer_logs"
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="transfers_in_flight", condition=Q(status__in=["SUBMITTED", "UNKNOWN"]))
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["signature"], name="transfer_signature_once", condition=Q(signature__isnull=False)
            )
        ]


class SavedAddress(models.Model):
    """An address that real wallets may send to, from `usable_at` on. Never changed: a mistake is removed."""

    name = models.SlugField(max_length=50)
    address = models.CharField(max_length=64)
    note = models.CharField(max_length=200, default="", blank=True)
    added_by = models.CharField(max_length=150)
    added_at = models.DateTimeField(help_text="wall clock")
    usable_at = models.DateTimeField(help_text="wall clock: added_at and the waiting time")
    removed_at = models.DateTimeField(null=True)
    removed_by = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        db_table = "address_book"
        ordering: ClassVar = ["name", "-id"]
        verbose_name_plural = "saved addresses"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name"], name="address_name_once", condition=Q(removed_at=None)),
            models.UniqueConstraint(fields=["address"], name="address_once", condition=Q(removed_at=None)),
        ]

    def __str__(self) -> str:
        return self.name
