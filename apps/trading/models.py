"""Tables of trading. Every amount is an integer: lamports, base units, basis points."""

from django.db import models
from django.db.models import Q


class Wallet(models.Model):
    """Money to trade with: TEST wallets hold virtual SOL, REAL ones a key."""

    class Type(models.TextChoices):
        TEST = "TEST"
        REAL = "REAL"

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE"
        PAUSED = "PAUSED"
        DRAINED = "DRAINED"
        FROZEN = "FROZEN"

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
    consecutive_losses = models.PositiveIntegerField(default=0)
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
        ]

    def __str__(self) -> str:
        return self.alias


class Strategy(models.Model):
    """When to enter, how much, when to leave."""

    name = models.SlugField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="strategies")
    active_model_ids = models.JSONField(default=list, blank=True, help_text="whose alerts count; empty means all")
    min_probability = models.FloatField(default=0.0)
    stake_lamports = models.BigIntegerField()
    slippage_bps = models.PositiveIntegerField(default=500)
    stop_loss_bps = models.PositiveIntegerField(null=True, blank=True)
    take_profit_bps = models.PositiveIntegerField(null=True, blank=True)
    timeout_seconds = models.PositiveIntegerField(null=True, blank=True)
    last_alert_id = models.BigIntegerField(default=0, help_text="alerts up to this one have been decided")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "strategies"
        ordering = ["name"]
        constraints = [models.CheckConstraint(name="strategy_stake_positive", condition=Q(stake_lamports__gt=0))]
        verbose_name_plural = "strategies"

    def __str__(self) -> str:
        return self.name


class Position(models.Model):
    """What a wallet holds of a coin: the sum of its fills."""

    class Status(models.TextChoices):
        OPEN = "OPEN"
        CLOSED = "CLOSED"

    class ExitReason(models.TextChoices):
        TAKE_PROFIT = "TAKE_PROFIT"
        STOP_LOSS = "STOP_LOSS"
        TRAILING_STOP = "TRAILING_STOP"
        TIMEOUT = "TIMEOUT"
        MODEL = "MODEL"
        MANUAL = "MANUAL"
        GRADUATED = "GRADUATED"

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="positions")
    strategy = models.ForeignKey(Strategy, models.PROTECT, null=True, blank=True, related_name="positions")
    mint = models.CharField(max_length=64)
    status = models.CharField(max_length=6, choices=Status, default=Status.OPEN)
    quantity_base_units = models.BigIntegerField(default=0)
    bought_base_units = models.BigIntegerField(default=0)
    cost_lamports = models.BigIntegerField(default=0, help_text="all that was paid, fees and tips included")
    proceeds_lamports = models.BigIntegerField(default=0, help_text="all that came back, after fees")
    curve_lamports = models.BigIntegerField(default=0, help_text="what our fills have put on the curve, less sales")
    entry_price_sol = models.FloatField(null=True)
    peak_price_sol = models.FloatField(null=True)
    exit_price_sol = models.FloatField(null=True)
    stop_loss_bps = models.PositiveIntegerField(null=True)
    take_profit_bps = models.PositiveIntegerField(null=True)
    timeout_at = models.DateTimeField(null=True)
    slippage_bps = models.PositiveIntegerField(default=500, help_text="limit of its exits")
    blocked_code = models.CharField(
        max_length=64, default="", blank=True, help_text="why it cannot be left (COIN_GRADUATED); exits wait"
    )
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    exit_reason = models.CharField(max_length=16, choices=ExitReason, default="", blank=True)
    judged_at = models.DateTimeField(null=True, help_text="exits have been judged on every trade up to here")
    judged_seq = models.BigIntegerField(default=-1)
    realized_pnl_lamports = models.BigIntegerField(default=0)

    class Meta:
        db_table = "positions"
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["wallet", "mint"], name="position_open_once", condition=Q(status="OPEN")),
            models.CheckConstraint(name="position_quantity_not_negative", condition=Q(quantity_base_units__gte=0)),
        ]
        indexes = [models.Index(fields=["mint"], name="positions_open", condition=Q(status="OPEN"))]


class Order(models.Model):
    """Our intent, from its making to its end."""

    class Status(models.TextChoices):
        DENIED = "DENIED"
        SUBMITTED = "SUBMITTED"
        FILLED = "FILLED"
        REJECTED = "REJECTED"
        EXPIRED = "EXPIRED"
        UNKNOWN = "UNKNOWN"

    idempotency_key = models.CharField(max_length=150, unique=True)
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="orders")
    strategy = models.ForeignKey(Strategy, models.PROTECT, null=True, blank=True, related_name="orders")
    position = models.ForeignKey(Position, models.PROTECT, null=True, blank=True, related_name="orders")
    mint = models.CharField(max_length=64)
    side = models.CharField(max_length=4, choices=[("buy", "buy"), ("sell", "sell")])
    status = models.CharField(max_length=10, choices=Status)
    lamports = models.BigIntegerField(null=True, help_text="for a buy: the most to spend on the trade, fees included")
    base_units = models.BigIntegerField(null=True, help_text="for a sell")
    slippage_bps = models.PositiveIntegerField()
    quoted_base_units = models.BigIntegerField(null=True)
    quoted_lamports = models.BigIntegerField(null=True)
    reserved_lamports = models.BigIntegerField(default=0, help_text="taken from the balance until the order ends")
    alert_id = models.BigIntegerField(null=True)
    exit_reason = models.CharField(max_length=16, choices=Position.ExitReason, default="", blank=True)
    deny_code = models.CharField(max_length=64, default="", blank=True)
    message = models.TextField(default="", blank=True)
    decided_at = models.DateTimeField(help_text="feed time")
    due_at = models.DateTimeField(null=True, help_text="feed time at which the venue executes it (decision + latency)")
    finished_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "orders"
        ordering = ["-decided_at", "-id"]
        indexes = [
            models.Index(fields=["due_at", "id"], name="orders_in_flight", condition=Q(status="SUBMITTED")),
            models.Index(fields=["-decided_at", "-id"], name="orders_newest"),
        ]


class TradeLog(models.Model):
    """Every fill and every failure, with all its parts."""

    order = models.OneToOneField(Order, models.PROTECT, null=True, related_name="trade")
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="trades")
    position = models.ForeignKey(Position, models.PROTECT, null=True, related_name="trades")
    mint = models.CharField(max_length=64)
    action = models.CharField(max_length=4, choices=[("buy", "buy"), ("sell", "sell")])
    status = models.CharField(max_length=7, choices=[("SUCCESS", "SUCCESS"), ("FAILED", "FAILED")])
    code = models.CharField(max_length=64, default="", blank=True)
    message = models.TextField(default="", blank=True)
    is_simulation = models.BooleanField(default=True)
    token_base_units = models.BigIntegerField(default=0)
    curve_lamports = models.BigIntegerField(default=0, help_text="what moved on the curve, net of every fee")
    protocol_fee_lamports = models.BigIntegerField(default=0)
    creator_fee_lamports = models.BigIntegerField(default=0)
    venue_fee_lamports = models.BigIntegerField(default=0)
    network_fee_lamports = models.BigIntegerField(default=0)
    tip_lamports = models.BigIntegerField(default=0)
    rent_lamports = models.BigIntegerField(default=0)
    virtual_loss_lamports = models.BigIntegerField(default=0)
    balance_change_lamports = models.BigIntegerField(help_text="of the wallet: negative for a buy")
    price_sol = models.FloatField(null=True, help_text="average SOL per token of the fill, before fees")
    price_impact_bps = models.IntegerField(null=True)
    slippage_bps = models.IntegerField(null=True, help_text="filled against quoted; worse is positive")
    signature = models.CharField(max_length=100, null=True)
    at = models.DateTimeField(help_text="feed time of the fill")

    class Meta:
        db_table = "trade_logs"
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["-at", "-id"], name="trades_newest")]


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


class TradingState(models.Model):
    """The one row of the kill switch: ACTIVE trades, REDUCING only leaves positions, HALTED does nothing."""

    class State(models.TextChoices):
        ACTIVE = "ACTIVE"
        REDUCING = "REDUCING"
        HALTED = "HALTED"

    id = models.SmallIntegerField(primary_key=True, default=1)
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    reason = models.CharField(max_length=200, default="", blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "trading_state"
        constraints = [models.CheckConstraint(name="trading_state_single_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return self.state


class TraderProgress(models.Model):
    """The one row that says up to which feed time the trader has judged and executed everything."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    processed_at = models.DateTimeField(null=True, help_text="feed time")
    processed_seq = models.BigIntegerField(default=-1, help_text="last trade judged at exactly that instant")
    updated_at = models.DateTimeField(null=True, help_text="wall clock: the trader's sign of life")

    class Meta:
        db_table = "trader_progress"
        constraints = [models.CheckConstraint(name="trader_progress_single_row", condition=Q(id=1))]
