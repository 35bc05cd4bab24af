"""What `/api/buy/` takes and gives: the shapes of its requests and answers."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from ninja import Schema
from pydantic import Field, model_validator

from apps.core.schemas import Body
from apps.core.units import sol_to_lamports
from apps.trading.models import Order, TradeLog, TransferLog

ALIAS = r"^[-a-zA-Z0-9_]{1,50}$"
MINT = r"^[1-9A-HJ-NP-Za-km-z]{32,64}$"
MOST_SOL = Decimal(10**9)


class Amount(Body):
    """An amount in one of two units."""

    amount_sol: Decimal | None = Field(None, gt=0, le=MOST_SOL, description="decimal SOL")
    amount_lamports: int | None = Field(None, gt=0, le=10**18, description="lamports, instead of amount_sol")

    def lamports(self) -> int | None:
        """The amount in lamports; None where none was given."""
        return sol_to_lamports(self.amount_sol) if self.amount_sol is not None else self.amount_lamports


class RequiredAmount(Amount):
    """Exactly one of the two units."""

    @model_validator(mode="after")
    def exactly_one(self) -> "RequiredAmount":
        if (self.amount_sol is None) == (self.amount_lamports is None):
            raise ValueError("give either amount_sol or amount_lamports")
        return self


class BuyIn(RequiredAmount):
    """A buy: the amount is spent on the curve, its fees included; further costs come on top."""

    wallet: str = Field(pattern=ALIAS)
    mint: str = Field(pattern=MINT)
    slippage_bps: int | None = Field(None, ge=0, le=10_000)
    idempotency_key: str | None = Field(None, max_length=80, description="the same key never orders twice")
    dry_run: bool = Field(False, description="only say what would happen now; nothing is written")


class SellIn(Body):
    """A sale of a share of what the wallet holds."""

    wallet: str = Field(pattern=ALIAS)
    mint: str = Field(pattern=MINT)
    percent: float = Field(100.0, gt=0, le=100)
    slippage_bps: int | None = Field(None, ge=0, le=10_000)
    idempotency_key: str | None = Field(None, max_length=80)
    dry_run: bool = Field(False, description="only say what would happen now; nothing is written")


class SellAllIn(Body):
    """Everything of one wallet, or of every test wallet."""

    wallet: str | None = Field(None, pattern=ALIAS)
    slippage_bps: int | None = Field(None, ge=0, le=10_000)
    dry_run: bool = Field(False, description="only say what would happen now; nothing is written")


class TransferIn(Amount):
    """An amount, or everything that can go (`sweep`), to a wallet of the same kind or to a saved address."""

    from_wallet: str = Field(pattern=ALIAS)
    to_wallet: str | None = Field(None, pattern=ALIAS)
    to_saved: str | None = Field(None, pattern=ALIAS, description="name in the address book; from real wallets only")
    sweep: bool = False
    idempotency_key: str | None = Field(None, max_length=80, description="the same key never sends twice")
    dry_run: bool = Field(False, description="only say what would happen now; nothing is written")

    @model_validator(mode="after")
    def one_way(self) -> "TransferIn":
        if sum((self.amount_sol is not None, self.amount_lamports is not None, self.sweep)) != 1:
            raise ValueError("give one of amount_sol, amount_lamports or sweep")
        if (self.to_wallet is None) == (self.to_saved is None):
            raise ValueError("give either to_wallet or to_saved")
        return self


class WalletLimits(Body):
    """What may be set on a wallet; what is left out stays."""

    tag: str | None = Field(None, max_length=50)
    trading_enabled: bool | None = None
    transfer_enabled: bool | None = None
    max_consecutive_losses: int | None = Field(None, ge=0, le=1_000_000, description="0 switches it off")
    max_daily_loss_bps: int | None = Field(None, ge=0, le=10_000, description="of the equity at day start; 0 is off")
    max_position_lamports: int | None = Field(None, ge=0, le=10**18)
    max_open_positions: int | None = Field(None, ge=0, le=100_000)
    max_trade_lamports: int | None = Field(None, ge=0, le=10**18)
    max_day_lamports: int | None = Field(None, ge=0, le=10**18)
    max_total_lamports: int | None = Field(None, ge=0, le=10**18)
    max_transfer_lamports: int | None = Field(None, ge=0, le=10**18)
    max_transfer_day_lamports: int | None = Field(None, ge=0, le=10**18)
    virtual_loss_percent: Decimal | None = Field(None, ge=0, le=50)

    def given(self) -> dict[str, Any]:
        """The fields that were sent with a value."""
        return {name: value for name, value in self.dict(exclude_unset=True).items() if value is not None}


class WalletIn(WalletLimits):
    """A new wallet."""

    alias: str = Field(pattern=ALIAS)
    wallet_type: Literal["TEST", "REAL"] = "TEST"
    balance_sol: Decimal = Field(Decimal(0), ge=0, le=MOST_SOL)


class WalletPatch(WalletLimits):
    """Changes of a wallet."""

    status: Literal["ACTIVE", "PAUSED", "DRAINED", "FROZEN"] | None = None
    consecutive_losses: int | None = Field(None, ge=0, le=0, description="0 forgets the losing streak")


class WalletOut(Schema):
    """A wallet; its key never leaves the database."""

    alias: str
    address: str
    wallet_type: str
    status: str
    tag: str
    trading_enabled: bool
    transfer_enabled: bool
    virtual_balance_lamports: int
    real_balance_lamports: int
    deposited_lamports: int
    max_consecutive_losses: int
    max_daily_loss_bps: int
    max_position_lamports: int
    max_open_positions: int
    max_transfer_lamports: int
    max_transfer_day_lamports: int
    consecutive_losses: int
    max_exposure_lamports: int
    max_reserves_bps: int
    max_drawdown_bps: int
    cooldown_losses: int
    cooldown_seconds: int
    cooldown_until: datetime | None
    max_coin_loss_lamports: int
    max_creator_loss_lamports: int
    max_trade_lamports: int
    max_day_lamports: int
    max_total_lamports: int
    peak_equity_lamports: int | None
    day_start_on: Any
    day_start_equity_lamports: int | None
    virtual_loss_percent: Decimal
    created_at: datetime


class OrderOut(Schema):
    """An intent and what became of it; times are feed times."""

    id: int
    idempotency_key: str
    wallet: str
    strategy: str | None
    strategy_version: int | None
    mint: str
    side: str
    status: str
    code: str
    message: str
    exit_reason: str
    lamports: int | None
    base_units: int | None
    quoted_lamports: int | None
    quoted_base_units: int | None
    reserved_lamports: int
    slippage_bps: int
    alert_id: int | None
    position_id: int | None
    decided_at: datetime
    due_at: datetime | None
    finished_at: datetime | None

    @staticmethod
    def resolve_wallet(order: Order) -> str:
        return order.wallet.alias

    @staticmethod
    def resolve_strategy(order: Order) -> str | None:
        return order.strategy.name if order.strategy else None

    @staticmethod
    def resolve_code(order: Order) -> str:
        return order.deny_code


class PositionOut(Schema):
    """A position; an open one with its value at the sell quote (`null` for a closed one)."""

    id: int
    wallet: str
    strategy: str | None
    strategy_version: int | None
    mint: str
    status: str
    quantity_base_units: int
    bought_base_units: int
    cost_lamports: int
    proceeds_lamports: int
    realized_pnl_lamports: int
    value_lamports: int | None
    unrealized_pnl_lamports: int | None
    entry_price_sol: float | None
    peak_price_sol: float | None
    exit_price_sol: float | None
    price_sol: float | None
    stop_loss_bps: int | None
    take_profit_bps: int | None
    timeout_at: datetime | None
    leave_at: datetime | None
    rules: dict[str, Any]
    rungs_done: int
    blocked_code: str
    opened_at: datetime
    closed_at: datetime | None
    exit_reason: str


class TradeOut(Schema):
    """A fill or failure with all its parts (costs positive; a returned rent is negative)."""

    id: int
    order_id: int | None
    position_id: int | None
    wallet: str
    mint: str
    action: str
    status: str
    code: str
    message: str
    is_simulation: bool
    token_base_units: int
    curve_lamports: int
    protocol_fee_lamports: int
    creator_fee_lamports: int
    venue_fee_lamports: int
    network_fee_lamports: int
    tip_lamports: int
    rent_lamports: int
    virtual_loss_lamports: int
    balance_change_lamports: int
    price_sol: float | None
    price_impact_bps: int | None
    slippage_bps: int | None
    signature: str | None
    at: datetime

    @staticmethod
    def resolve_wallet(row: TradeLog) -> str:
        return row.wallet.alias


class TransferOut(Schema):
    """A transfer. `id` is null for a dry run, whose status is the one that the transfer would begin with."""

    id: int | None
    dry_run: bool = False
    wallet: str
    to_address: str
    lamports: int
    fee_lamports: int
    status: str
    code: str
    message: str
    is_simulation: bool
    signature: str | None
    at: datetime
    finished_at: datetime | None

    @staticmethod
    def resolve_wallet(row: Any) -> str:
        return str(row["wallet"] if isinstance(row, dict) else row.wallet.alias)


def transfer_out(row: TransferLog, *, dry_run: bool) -> dict[str, Any]:
    """A transfer as the API shows it; one that was not made has no id."""
    own = {name: getattr(row, name) for name in TransferOut.model_fields if hasattr(row, name)}
    return {**own, "id": None if dry_run else row.pk, "dry_run": dry_run, "wallet": row.wallet.alias}


class StateIn(Body):
    """The kill switch."""

    state: Literal["ACTIVE", "REDUCING", "HALTED"]
    reason: str = Field("", max_length=200)


class StateOut(StateIn):
    """The kill switch and since when."""

    changed_at: datetime | None


class BalanceIn(RequiredAmount):
    """Virtual SOL for a test wallet."""


class HealthOut(Schema):
    """Whether trading can work: the trader's sign of life, the feed, the kill switch."""

    ok: bool
    trader_alive: bool
    feed_at: datetime | None
    processed_at: datetime | None
    trading_state: str
    chain_differences: int = Field(description="open differences between the books of real wallets and the chain")
    ledger_difference_lamports: int


class StatsOut(Schema):
    """All test wallets together; positions at the sell quote."""

    at: datetime
    trading_state: str
    wallets: int
    cash_lamports: int
    positions_lamports: int
    equity_lamports: int
    open_positions: int
    orders_in_flight: int
    unrealized_pnl_lamports: int
    realized_pnl_lamports: int
    realized_today_lamports: int
    closed_positions: int
    winners: int
    day_start_equity_lamports: int
    drawdown_ratio: float | None


class PerformanceOut(Schema):
    """Results by wallet, day and exit; what trading has cost; how orders ended."""

    wallets: list[dict[str, Any]]
    days: list[dict[str, Any]]
    exits: list[dict[str, Any]]
    costs_lamports: dict[str, int]
    orders: list[dict[str, Any]]
    equity: list[tuple[datetime, int]]
