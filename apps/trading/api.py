"""`/api/buy/`: wallets, orders by hand, positions, trades, transfers, figures.

Orders are asynchronous, like on the chain: a buy or sale is answered with 202 and the order (SUBMITTED); the trader
executes it after the latency, and `GET orders/{id}` shows what became of it. What our own risk gate denies is a 409
with the code of the denial. Amounts are lamports (1 SOL = 10^9) and base units (1 token = 10^6).
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field, model_validator

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, page_of, paginate
from apps.core.process import processes_alive
from apps.core.tokens import admin, read, trade
from apps.core.units import sol_to_lamports
from apps.trading import figures, queries, services
from apps.trading.models import Order, Position, TradeLog, TransferLog, Wallet
from apps.trading.valuation import Valued, positions_valued

router = Router(tags=["buy"])

ALIAS = r"^[-a-zA-Z0-9_]{1,50}$"
MINT = r"^[1-9A-HJ-NP-Za-km-z]{32,64}$"
MOST_SOL = Decimal(10**9)


class Amount(Schema):
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


class SellIn(Schema):
    """A sale of a share of what the wallet holds."""

    wallet: str = Field(pattern=ALIAS)
    mint: str = Field(pattern=MINT)
    percent: float = Field(100.0, gt=0, le=100)
    slippage_bps: int | None = Field(None, ge=0, le=10_000)
    idempotency_key: str | None = Field(None, max_length=80)


class SellAllIn(Schema):
    """Everything of one wallet, or of every test wallet."""

    wallet: str | None = Field(None, pattern=ALIAS)
    slippage_bps: int | None = Field(None, ge=0, le=10_000)


class TransferIn(Amount):
    """An amount, or everything that can go (`sweep`)."""

    from_wallet: str = Field(pattern=ALIAS)
    to_wallet: str = Field(pattern=ALIAS)
    sweep: bool = False

    @model_validator(mode="after")
    def one_way(self) -> "TransferIn":
        if sum((self.amount_sol is not None, self.amount_lamports is not None, self.sweep)) != 1:
            raise ValueError("give one of amount_sol, amount_lamports or sweep")
        return self


class WalletLimits(Schema):
    """What may be set on a wallet; what is left out stays."""

    tag: str | None = Field(None, max_length=50)
    trading_enabled: bool | None = None
    transfer_enabled: bool | None = None
    max_consecutive_losses: int | None = Field(None, ge=0, le=1_000_000, description="0 switches it off")
    max_daily_loss_bps: int | None = Field(None, ge=0, le=10_000, description="of the equity at day start; 0 is off")
    max_position_lamports: int | None = Field(None, ge=0, le=10**18)
    max_open_positions: int | None = Field(None, ge=0, le=100_000)
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
    consecutive_losses: int
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
    """A transfer."""

    id: int
    wallet: str
    to_address: str
    lamports: int
    fee_lamports: int
    status: str
    message: str
    is_simulation: bool
    signature: str | None
    at: datetime

    @staticmethod
    def resolve_wallet(row: TransferLog) -> str:
        return row.wallet.alias


class StateIn(Schema):
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


class PerformanceOut(Schema):
    """Results by wallet, day and exit; what trading has cost; how orders ended."""

    wallets: list[dict[str, Any]]
    days: list[dict[str, Any]]
    exits: list[dict[str, Any]]
    costs_lamports: dict[str, int]
    orders: list[dict[str, Any]]


def _feed_now() -> datetime:
    return queries.feed_at() or timezone.now()


def position_out(position: Position, valued: Valued | None) -> dict[str, Any]:
    """A position as the API shows it."""
    own = {name: getattr(position, name) for name in PositionOut.model_fields if hasattr(position, name)}
    return {
        **own,
        "wallet": position.wallet.alias,
        "strategy": position.strategy.name if position.strategy else None,
        "value_lamports": valued.value_lamports if valued else None,
        "unrealized_pnl_lamports": valued.unrealized_pnl_lamports if valued else None,
        "price_sol": valued.price_sol if valued else None,
    }


def positions_out(positions: list[Position]) -> list[dict[str, Any]]:
    """Positions as the API shows them, the open ones valued now."""
    open_ones = [position for position in positions if position.status == Position.Status.OPEN]
    values = {one.position.pk: one for one in positions_valued(open_ones, _feed_now())}
    return [position_out(position, values.get(position.pk)) for position in positions]


@router.get("/health", response=HealthOut, auth=read)
def health(request: HttpRequest) -> dict[str, Any]:
    """Is the trader alive, and how far has it come."""
    alive = "trader" in processes_alive(now=timezone.now())
    state, feed_at = queries.trading_state().state, queries.feed_at()
    progress = queries.progress()
    ok = alive and feed_at is not None
    return {
        "ok": ok,
        "trader_alive": alive,
        "feed_at": feed_at,
        "processed_at": progress.processed_at,
        "trading_state": state,
    }


@router.get("/state", response=StateOut, auth=read)
def state(request: HttpRequest) -> Any:
    """The kill switch."""
    return queries.trading_state()


@router.put("/state", response=StateOut, auth=trade)
def set_state(request: HttpRequest, data: StateIn) -> Any:
    """Turn the kill switch: ACTIVE trades, REDUCING only leaves positions, HALTED does nothing."""
    return services.trading_state_set(state=data.state, reason=data.reason)


@router.post("/execute-buy", response={202: OrderOut}, auth=trade)
def execute_buy(request: HttpRequest, data: BuyIn) -> Any:
    """Order a buy; the trader executes it after the latency (follow it at orders/{id})."""
    order = services.buy_manual(
        alias=data.wallet,
        mint=data.mint,
        lamports=data.lamports() or 0,
        slippage_bps=data.slippage_bps,
        idempotency_key=data.idempotency_key,
    )
    return Status(202, order)


@router.post("/execute-sell", response={202: OrderOut}, auth=trade)
def execute_sell(request: HttpRequest, data: SellIn) -> Any:
    """Order the sale of a percentage of a holding."""
    order = services.sell_manual(
        alias=data.wallet,
        mint=data.mint,
        percent=data.percent,
        slippage_bps=data.slippage_bps,
        idempotency_key=data.idempotency_key,
    )
    return Status(202, order)


@router.post("/sell-all", response={202: list[OrderOut]}, auth=trade)
def sell_all(request: HttpRequest, data: SellAllIn) -> Any:
    """Order the sale of every open position; each order says whether it was submitted or denied."""
    return Status(202, services.sell_all(alias=data.wallet, slippage_bps=data.slippage_bps))


@router.post("/transfer", response=TransferOut, auth=trade)
def transfer(request: HttpRequest, data: TransferIn) -> Any:
    """Move SOL between test wallets, an amount or everything."""
    return services.transfer(from_alias=data.from_wallet, to_alias=data.to_wallet, lamports=data.lamports())


@router.get("/wallets", response=Page[WalletOut], auth=read)
def wallets(request: HttpRequest, page: Query[PageQuery]) -> Any:
    """All wallets, by alias."""
    return paginate(Wallet.objects.order_by("alias"), page)


@router.post("/wallets", response={201: WalletOut}, auth=trade)
def create_wallet(request: HttpRequest, data: WalletIn) -> Any:
    """A new test wallet with virtual SOL; REAL is refused (REAL_TRADING_LOCKED)."""
    fields = data.given()
    for name in ("alias", "wallet_type", "balance_sol"):
        fields.pop(name, None)
    balance = sol_to_lamports(data.balance_sol)
    wallet = services.wallet_create(alias=data.alias, wallet_type=data.wallet_type, balance_lamports=balance, **fields)
    return Status(201, wallet)


@router.get("/wallets/{alias}", response=WalletOut, auth=read)
def wallet(request: HttpRequest, alias: str) -> Any:
    """One wallet."""
    return services.wallet_get(alias=alias)


@router.patch("/wallets/{alias}", response=WalletOut, auth=trade)
def update_wallet(request: HttpRequest, alias: str, data: WalletPatch) -> Any:
    """Change switches, status and limits."""
    return services.wallet_update(alias=alias, **data.given())


@router.delete("/wallets/{alias}", response={204: None}, auth=admin)
def delete_wallet(request: HttpRequest, alias: str) -> Any:
    """Remove a wallet that was never used."""
    services.wallet_delete(alias=alias)
    return Status(204, None)


@router.patch("/wallets/{alias}/toggle-trading", response=WalletOut, auth=trade)
def toggle_trading(request: HttpRequest, alias: str) -> Any:
    """Switch trading on or off."""
    return services.wallet_toggle_trading(alias=alias)


@router.patch("/wallets/{alias}/toggle-transfer", response=WalletOut, auth=trade)
def toggle_transfer(request: HttpRequest, alias: str) -> Any:
    """Switch transfers on or off."""
    return services.wallet_toggle_transfer(alias=alias)


@router.patch("/wallets/{alias}/add-balance", response=WalletOut, auth=trade)
def add_balance(request: HttpRequest, alias: str, data: BalanceIn) -> Any:
    """Put virtual SOL into a test wallet."""
    return services.wallet_add_balance(alias=alias, lamports=data.lamports() or 0)


@router.get("/orders", response=Page[OrderOut], auth=read)
def orders(request: HttpRequest, page: Query[PageQuery], wallet: str | None = None, status: str | None = None) -> Any:
    """Orders, newest first."""
    filters = {"wallet__alias": wallet, "status": status}
    given = {name: value for name, value in filters.items() if value is not None}
    return paginate(Order.objects.filter(**given).select_related("wallet", "strategy"), page)


@router.get("/orders/{order_id}", response=OrderOut, auth=read)
def order(request: HttpRequest, order_id: int) -> Any:
    """One order."""
    row = Order.objects.select_related("wallet", "strategy").filter(pk=order_id).first()
    if row is None:
        raise NotFoundError("ORDER_NOT_FOUND", "There is no such order.", order_id=order_id)
    return row


@router.get("/positions", response=Page[PositionOut], auth=read)
def positions(
    request: HttpRequest,
    page: Query[PageQuery],
    wallet: str | None = None,
    status: Literal["OPEN", "CLOSED"] | None = None,
) -> Any:
    """Positions, newest first; open ones valued at the sell quote."""
    filters = {"wallet__alias": wallet, "status": status}
    given = {name: value for name, value in filters.items() if value is not None}
    rows = Position.objects.filter(**given).select_related("wallet", "strategy")
    shown = list(rows[page.offset : page.offset + page.limit])
    return page_of(positions_out(shown), count=rows.count(), page=page)


@router.get("/positions/{alias}/{mint}", response=PositionOut, auth=read)
def position(request: HttpRequest, alias: str, mint: str) -> Any:
    """What a wallet holds of a coin; the last position where none is open."""
    owner = services.wallet_get(alias=alias)
    found = Position.objects.filter(wallet=owner, mint=mint).select_related("wallet", "strategy")
    row = found.filter(status="OPEN").first() or found.first()
    if row is None:
        raise NotFoundError("POSITION_NOT_FOUND", "The wallet has never held this coin.", alias=alias, mint=mint)
    return positions_out([row])[0]


@router.get("/trades", response=Page[TradeOut], auth=read)
def trades(request: HttpRequest, page: Query[PageQuery], wallet: str | None = None, mint: str | None = None) -> Any:
    """Fills and failures, newest first."""
    filters = {"wallet__alias": wallet, "mint": mint}
    given = {name: value for name, value in filters.items() if value is not None}
    return paginate(TradeLog.objects.filter(**given).select_related("wallet"), page)


@router.get("/transfers", response=Page[TransferOut], auth=read)
def transfers(request: HttpRequest, page: Query[PageQuery], wallet: str | None = None) -> Any:
    """Transfers out of wallets, newest first."""
    given = {"wallet__alias": wallet} if wallet is not None else {}
    return paginate(TransferLog.objects.filter(**given).select_related("wallet"), page)


@router.get("/dashboard/stats", response=StatsOut, auth=read)
def dashboard_stats(request: HttpRequest) -> Any:
    """What the test wallets own, hold and have made."""
    return figures.stats(_feed_now())


@router.get("/dashboard/performance", response=PerformanceOut, auth=read)
def dashboard_performance(request: HttpRequest) -> dict[str, Any]:
    """Results by wallet, day and exit, costs by part, orders by code."""
    return {
        "wallets": figures.wallet_performance(),
        "days": figures.pnl_by_day(),
        "exits": figures.pnl_by_exit(),
        "costs_lamports": figures.costs_by_part(),
        "orders": figures.orders_by_code(),
    }
