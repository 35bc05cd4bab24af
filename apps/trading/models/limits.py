"""Risk: the limits of a wallet and of all wallets of a kind together, what is never bought, equity over time."""

from django.db import models

KINDS = [("TEST", "TEST"), ("REAL", "REAL")]


class SharedLimits(models.Model):
    """Limits that a wallet has and that all wallets of a kind together have; 0 switches each off."""

    max_exposure_lamports = models.BigIntegerField(default=0, help_text="most that all open positions may have cost")
    max_reserves_bps = models.PositiveIntegerField(
        default=0, help_text="most that may stand in a coin, of the real SOL on its curve"
    )
    max_drawdown_bps = models.PositiveIntegerField(default=0, help_text="of the highest equity since the last reset")
    cooldown_losses = models.PositiveIntegerField(default=1, help_text="losses in a row that begin a cool-down")
    cooldown_seconds = models.PositiveIntegerField(default=0, help_text="feed time without buys after them")
    max_coin_loss_lamports = models.BigIntegerField(default=0, help_text="most that may be lost with one coin, net")
    max_creator_loss_lamports = models.BigIntegerField(default=0, help_text="the same over all coins of a creator")
    peak_equity_lamports = models.BigIntegerField(null=True, help_text="highest equity since the last reset")

    class Meta:
        abstract = True


class RiskLimits(SharedLimits):
    """What all wallets of one kind together may do: virtual and real SOL are never added up. 0 switches a limit off."""

    scope = models.CharField(max_length=4, primary_key=True, choices=KINDS)
    trading_enabled = models.BooleanField(default=True)
    transfer_enabled = models.BooleanField(default=True)
    max_position_lamports = models.BigIntegerField(default=0, help_text="in one coin")
    max_open_positions = models.PositiveIntegerField(default=0)
    max_daily_loss_bps = models.PositiveIntegerField(default=0, help_text="of the equity at day start")
    max_consecutive_losses = models.PositiveIntegerField(default=0)
    losses_from = models.DateTimeField(null=True, help_text="feed time: losses before it no longer count as a streak")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "risk_limits"
        verbose_name_plural = "risk limits"

    def __str__(self) -> str:
        return self.scope


class Blocked(models.Model):
    """A coin, or every coin of a creator, that is never bought; what is held can be left."""

    class Kind(models.TextChoices):
        MINT = "MINT"
        CREATOR = "CREATOR"

    kind = models.CharField(max_length=7, choices=Kind)
    address = models.CharField(max_length=64)
    reason = models.CharField(max_length=200, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "risk_blocked"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["address", "kind"], name="risk_blocked_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.address}"


class EquityPoint(models.Model):
    """What a wallet was worth at a feed time: cash and reservations, and positions at the sell quote."""

    wallet = models.ForeignKey("trading.Wallet", models.CASCADE, related_name="equity_points", db_index=False)
    at = models.DateTimeField(help_text="feed time")
    cash_lamports = models.BigIntegerField()
    positions_lamports = models.BigIntegerField()

    class Meta:
        db_table = "equity_points"
        ordering = ["at", "id"]
        constraints = [models.UniqueConstraint(fields=["at", "wallet"], name="equity_point_once")]
