"""Wallets: whose money, and how much of it may be risked."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.trading.models.limits import SharedLimits


class Wallet(SharedLimits):
    """Money to trade with: TEST wallets hold virtual SOL, REAL ones a key."""

    class Type(models.TextChoices):
        TEST = "TEST"
        REAL = "REAL"

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", _("Active")
        PAUSED = "PAUSED", _("Paused")
        DRAINED = "DRAINED", _("Drained")
        FROZEN = "FROZEN", _("Frozen")

    alias = models.SlugField(max_length=50, unique=True)
    address = models.CharField(max_length=64, default="", blank=True)
    wallet_type = models.CharField(max_length=4, choices=Type, default=Type.TEST)
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    tag = models.CharField(max_length=50, default="", blank=True)
    trading_enabled = models.BooleanField(default=True)
    transfer_enabled = models.BooleanField(default=False)
    virtual_balance_lamports = models.BigIntegerField(default=0)
    deposited_lamports = models.BigIntegerField(
        default=0, help_text="virtual SOL ever put in; balance = deposited + trades + transfers - reserved"
    )
    real_balance_lamports = models.BigIntegerField(default=0)
    encrypted_key = models.BinaryField(null=True, editable=False)
    max_consecutive_losses = models.PositiveIntegerField(default=10, help_text="0 switches the limit off")
    max_daily_loss_bps = models.PositiveIntegerField(
        default=2000, help_text="of the equity at day start; 0 switches it off"
    )
    max_position_lamports = models.BigIntegerField(default=500_000_000)
    max_open_positions = models.PositiveIntegerField(default=10)
    max_transfer_lamports = models.BigIntegerField(
        default=0, help_text="of one transfer; 0: none is set, and a real wallet then sends nothing"
    )
    max_transfer_day_lamports = models.BigIntegerField(
        default=0, help_text="of all transfers of 24 hours; 0: none is set, and a real wallet then sends nothing"
    )
    max_trade_lamports = models.BigIntegerField(default=0, help_text="most that one buy may cost in all; 0: no cap")
    max_day_lamports = models.BigIntegerField(
        default=0, help_text="most that the buys of a risk day may cost; 0: no cap"
    )
    max_total_lamports = models.BigIntegerField(default=0, help_text="most that all buys ever may cost; 0: no cap")
    consecutive_losses = models.PositiveIntegerField(default=0)
    cooldown_until = models.DateTimeField(null=True, help_text="feed time until which it buys nothing")
    day_start_on = models.DateField(null=True)
    day_start_equity_lamports = models.BigIntegerField(null=True)
    virtual_loss_percent = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "wallets"
        ordering = ["alias"]
        constraints = [
            models.CheckConstraint(name="wallet_balance_not_negative", condition=Q(virtual_balance_lamports__gte=0)),
            models.CheckConstraint(
                name="wallet_test_has_no_key", condition=Q(wallet_type="REAL") | Q(encrypted_key__isnull=True)
            ),
            models.UniqueConstraint(
                fields=["address"], name="wallet_address_once", condition=Q(wallet_type="REAL") & ~Q(address="")
            ),
        ]

    def __str__(self) -> str:
        return self.alias

    @property
    def is_test(self) -> bool:
        """Whether it holds virtual SOL."""
        return self.wallet_type == self.Type.TEST

    @property
    def cash_field(self) -> str:
        """The column that holds what the wallet can spend."""
        return "virtual_balance_lamports" if self.is_test else "real_balance_lamports"

    @property
    def cash_lamports(self) -> int:
        """What the wallet can spend: virtual SOL of a test wallet, the booked balance of a real one."""
        return int(getattr(self, self.cash_field))

    @cash_lamports.setter
    def cash_lamports(self, lamports: int) -> None:
        setattr(self, self.cash_field, lamports)
