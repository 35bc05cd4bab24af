"""What was done with the keys of real wallets, by whom. Never the keys themselves."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.trading.models.wallets import Wallet


class KeyEvent(models.Model):
    """One thing done with a wallet's key; kept for ever."""

    class Kind(models.TextChoices):
        CREATED = "CREATED"
        IMPORTED = "IMPORTED"
        SHOWN = "SHOWN"
        REFUSED = "REFUSED"
        ROTATED = "ROTATED"

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="key_events", db_index=False)
    kind = models.CharField(max_length=8, choices=Kind)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False)
    username = models.CharField(max_length=150, default="", blank=True, help_text="empty: a command")
    why = models.CharField(max_length=64, default="", blank=True, help_text="code of a refusal")
    at = models.DateTimeField(help_text="wall clock")

    class Meta:
        db_table = "key_events"
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [models.Index(fields=["wallet", "-at"], name="key_events_newest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.wallet_id} by {self.username}"
