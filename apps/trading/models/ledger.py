"""The books: every lamport that a wallet ever had, where it came from and where it went."""

from functools import reduce
from operator import add
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from apps.trading.ledger import ACCOUNTS
from apps.trading.models.orders import Order
from apps.trading.models.transfers import TransferLog
from apps.trading.models.wallets import Wallet


def _account(help_text: str) -> "models.BigIntegerField[int, int]":
    return models.BigIntegerField(default=0, help_text=help_text)


class LedgerEntry(models.Model):
    """One balanced booking of a wallet: lamports into each account (negative: out of it); together always 0.

    Written with what it books, in the same transaction, and never changed.
    """

    class Kind(models.TextChoices):
        OPENING = "OPENING"
        DEPOSIT = "DEPOSIT"
        RESERVE = "RESERVE"
        RELEASE = "RELEASE"
        TRADE = "TRADE"
        TRANSFER = "TRANSFER"
        ADJUSTMENT = "ADJUSTMENT"

    wallet = models.ForeignKey(Wallet, models.CASCADE, related_name="ledger", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    order = models.ForeignKey(Order, models.PROTECT, null=True, related_name="ledger", db_index=False)
    transfer = models.ForeignKey(TransferLog, models.PROTECT, null=True, related_name="ledger", db_index=False)
    note = models.CharField(max_length=200, default="", blank=True)
    at = models.DateTimeField(help_text="feed time")
    cash = _account("what the wallet can spend")
    reserved = _account("set aside for orders under way")
    curve = _account("paid into coins' curves and pools, less what was taken out of them")
    protocol_fee = _account("")
    creator_fee = _account("")
    venue_fee = _account("")
    network_fee = _account("")
    tip = _account("")
    rent = _account("of token accounts, less what came back")
    virtual_loss = _account("taken off test wallets on purpose")
    deposits = _account("put into the wallet (negative)")
    outside = _account("other wallets and addresses")
    cash_after = models.BigIntegerField(help_text="the wallet's cash right after it")

    class Meta:
        db_table = "ledger_entries"
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "ledger entries"
        indexes: ClassVar = [models.Index(fields=["wallet", "-id"], name="ledger_newest")]
        constraints: ClassVar = [
            models.CheckConstraint(name="ledger_balanced", condition=Q(cash=-reduce(add, map(F, ACCOUNTS[1:])))),
            models.UniqueConstraint(
                fields=["order", "kind"], name="ledger_order_once", condition=Q(order__isnull=False)
            ),
        ]

    def amounts(self) -> dict[str, int]:
        """The accounts that it moves."""
        return {name: amount for name in ACCOUNTS if (amount := getattr(self, name))}
