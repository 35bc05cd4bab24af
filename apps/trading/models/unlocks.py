"""Who let real money be traded, with which caps, and when it ended; and tries to prove who one is."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.trading.models.wallets import Wallet


class RealUnlock(models.Model):
    """One unlocking of one real wallet; kept for ever. It counts while it has not ended and not expired."""

    wallet = models.ForeignKey(Wallet, models.CASCADE, related_name="unlocks")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    username = models.CharField(max_length=150)
    caps = models.JSONField(help_text="the caps as they were confirmed, lamports by name (unlocking.CAPS)")
    unlocked_at = models.DateTimeField(help_text="wall clock")
    expires_at = models.DateTimeField(help_text="wall clock")
    ended_at = models.DateTimeField(null=True, help_text="wall clock: locked by hand, or followed by another unlocking")
    ended_by = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        db_table = "real_unlocks"
        ordering: ClassVar = ["-unlocked_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["wallet"], name="real_unlock_one", condition=Q(ended_at=None)),
            models.CheckConstraint(name="real_unlock_expires", condition=Q(expires_at__gt=F("unlocked_at"))),
        ]

    def __str__(self) -> str:
        return f"{self.wallet_id} by {self.username}"


class IdentityCheck(models.Model):
    """How often a person has failed of late to prove who they are, and the last code that counted: it counts once."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+")
    tries = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(help_text="wall clock: when the counted tries began")
    used_code = models.CharField(max_length=12, default="", blank=True)

    class Meta:
        db_table = "identity_checks"

    def __str__(self) -> str:
        return f"{self.user_id}: {self.tries}"
