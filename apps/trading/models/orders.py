"""Positions, the orders that make them, and every fill."""

from django.db import models
from django.db.models import Q

from apps.trading.models.strategies import Strategy
from apps.trading.models.wallets import Wallet


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
        CREATOR = "CREATOR"

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="positions")
    strategy = models.ForeignKey(Strategy, models.PROTECT, null=True, blank=True, related_name="positions")
    strategy_version = models.PositiveIntegerField(null=True, help_text="whose exits it carries")
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
    rules = models.JSONField(default=dict, blank=True, help_text="its other exits, kept from its opening on")
    leave_at = models.DateTimeField(null=True, help_text="feed time since which a model says sell")
    rungs_done = models.PositiveSmallIntegerField(default=0, help_text="rungs of its ladder that were sold")
    sales = models.PositiveIntegerField(default=0, help_text="sales ever ordered of it; part of their keys")
    creator_sold_lamports = models.BigIntegerField(default=0, help_text="by the coin's creator since the opening")
    creator_sold_base_units = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True, help_text="peak and creator's sales are counted up to this trade")
    seen_seq = models.BigIntegerField(default=-1)
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
        indexes = [
            models.Index(fields=["mint"], name="positions_open", condition=Q(status="OPEN")),
            models.Index(fields=["mint", "wallet"], name="positions_of_coin"),
            models.Index(fields=["closed_at"], name="positions_closed", condition=Q(status="CLOSED")),
        ]


class Order(models.Model):
    """Our intent, from its making to its end."""

    class Status(models.TextChoices):
        DENIED = "DENIED"
        SUBMITTED = "SUBMITTED"
        FILLED = "FILLED"
        REJECTED = "REJECTED"
        EXPIRED = "EXPIRED"
        UNKNOWN = "UNKNOWN"

    IN_FLIGHT = (Status.SUBMITTED, Status.UNKNOWN)

    idempotency_key = models.CharField(max_length=150, unique=True)
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="orders")
    strategy = models.ForeignKey(Strategy, models.PROTECT, null=True, blank=True, related_name="orders")
    strategy_version = models.PositiveIntegerField(null=True)
    position = models.ForeignKey(Position, models.PROTECT, null=True, blank=True, related_name="orders")
    mint = models.CharField(max_length=64)
    side = models.CharField(max_length=4, choices=[("buy", "buy"), ("sell", "sell")])
    status = models.CharField(max_length=10, choices=Status)
    lamports = models.BigIntegerField(null=True, help_text="for a buy: the most to spend on the trade, fees included")
    base_units = models.BigIntegerField(null=True, help_text="for a sell")
    percent = models.FloatField(null=True, help_text="for a sale by hand: the share of the position that was asked for")
    slippage_bps = models.PositiveIntegerField()
    quoted_base_units = models.BigIntegerField(null=True)
    quoted_lamports = models.BigIntegerField(null=True)
    reserved_lamports = models.BigIntegerField(default=0, help_text="taken from the balance until the order ends")
    alert_id = models.BigIntegerField(null=True)
    exit_reason = models.CharField(max_length=16, choices=Position.ExitReason, default="", blank=True)
    rungs = models.PositiveSmallIntegerField(
        null=True, help_text="of a sale by the ladder: how many rungs are done with it"
    )
    deny_code = models.CharField(max_length=64, default="", blank=True)
    message = models.TextField(default="", blank=True)
    decided_at = models.DateTimeField(help_text="feed time")
    due_at = models.DateTimeField(null=True, help_text="feed time at which the venue executes it (decision + latency)")
    sent_at = models.DateTimeField(
        null=True, help_text="wall clock: a real order was claimed for sending, once for ever"
    )
    signature = models.CharField(
        max_length=100, null=True, help_text="of a real order's transaction, before it is sent"
    )
    receipt = models.JSONField(default=dict, blank=True, help_text="what its venue needs to find it again")
    finished_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "orders"
        ordering = ["-decided_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["signature"], name="order_signature_once", condition=Q(signature__isnull=False)
            )
        ]
        indexes = [
            models.Index(fields=["due_at", "id"], name="orders_in_flight", condition=Q(status="SUBMITTED")),
            models.Index(fields=["id"], name="orders_unknown", condition=Q(status="UNKNOWN")),
            models.Index(fields=["-decided_at", "-id"], name="orders_newest"),
            models.Index(fields=["strategy", "decided_at"], name="orders_of_strategy"),
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
