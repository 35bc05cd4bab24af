"""Where the chain says something else than the books."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.trading.models.wallets import Wallet


class ChainCheck(models.Model):
    """When a real wallet was last compared with the chain, and what the chain said."""

    wallet = models.OneToOneField(Wallet, models.CASCADE, related_name="chain_check")
    checked_at = models.DateTimeField(null=True, help_text="wall clock: the last comparison that succeeded")
    tried_at = models.DateTimeField(help_text="wall clock")
    error = models.CharField(max_length=300, default="", blank=True, help_text="why the last try failed")
    balance_lamports = models.BigIntegerField(null=True, help_text="on the chain")

    class Meta:
        db_table = "chain_checks"


class Difference(models.Model):
    """Something that the chain holds and the books do not, or the other way round; shown until gone or adopted."""

    class Kind(models.TextChoices):
        BALANCE = "BALANCE"
        POSITION = "POSITION"

    class End(models.TextChoices):
        GONE = "GONE"
        ADOPTED = "ADOPTED"

    wallet = models.ForeignKey(Wallet, models.CASCADE, related_name="differences")
    kind = models.CharField(max_length=8, choices=Kind)
    mint = models.CharField(max_length=64, default="", blank=True, help_text="empty for SOL")
    booked = models.BigIntegerField(help_text="lamports or base units, by our books")
    on_chain = models.BigIntegerField(help_text="lamports or base units, on the chain")
    first_seen_at = models.DateTimeField(help_text="wall clock")
    seen_at = models.DateTimeField(help_text="wall clock")
    ended_at = models.DateTimeField(null=True)
    end = models.CharField(max_length=7, choices=End, default="", blank=True)
    ended_by = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        db_table = "chain_differences"
        ordering: ClassVar = ["-first_seen_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["wallet", "kind", "mint"], name="difference_open_once", condition=Q(ended_at=None)
            )
        ]

    @property
    def amount(self) -> int:
        """On the chain less in the books."""
        return self.on_chain - self.booked
