"""`/api/buy/`: wallets, orders by hand, positions, trades, transfers, figures.

Orders are asynchronous, like on the chain: a buy or sale is answered with 202 and the order (SUBMITTED); the trader
executes it after the latency, and `GET orders/{id}` shows what became of it. What our own risk gate denies is a 409
with the code of the denial. Amounts are lamports (1 SOL = 10^9) and base units (1 token = 10^6).
"""

from datetime import datetime, timedelta
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from ninja.responses import Status

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, page_of, paginate
from apps.core.process import processes_alive
from apps.core.tokens import admin, read, trade
from apps.core.units import sol_to_lamports
from apps.trading import (
    api_backtests,
    api_ledger,
    api_real,
    api_risk,
    api_settling,
    api_strategies,
    equity,
    figures,
    ledger_queries,
    preview,
    queries,
    reconciliation,
    services,
)
from apps.trading.models import Order, Position, TradeLog, TransferLog, Wallet
from apps.trading.schemas import (
    BalanceIn,
    BuyIn,
    HealthOut,
    OrderOut,
    PerformanceOut,
    PositionOut,
    SellAllIn,
    SellIn,
    StateIn,
    StateOut,
    StatsOut,
    TradeOut,
    TransferIn,
    TransferOut,
    WalletIn,
    WalletOut,
    WalletPatch,
    transfer_out,
)
from apps.trading.schemas_real import PreviewOut, preview_out
from apps.trading.transfers import transfer as sol_transfer
from apps.trading.transfers import transfer_preview
from apps.trading.valuation import Valued, positions_valued

router = Router(tags=["buy"])
REACHES_OUT = {"x-mcp": {"destructive": True, "open_world": True}}
router.add_router("/ledger", api_ledger.router)
router.add_router("/backtests", api_backtests.router)
router.add_router("/strategies", api_strategies.router)
router.add_router("", api_real.router)
router.add_router("", api_risk.router)
router.add_router("", api_settling.router)


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
    differences = reconciliation.differences_count()
    ok = alive and feed_at is not None and not differences
    return {
        "ok": ok,
        "trader_alive": alive,
        "feed_at": feed_at,
        "processed_at": progress.processed_at,
        "trading_state": state,
        "ledger_difference_lamports": ledger_queries.difference_now(),
        "chain_differences": differences,
    }


@router.get("/state", response=StateOut, auth=read)
def state(request: HttpRequest) -> Any:
    """The kill switch."""
    return queries.trading_state()


@router.put("/state", response=StateOut, auth=trade)
def set_state(request: HttpRequest, data: StateIn) -> Any:
    """Turn the kill switch: ACTIVE trades, REDUCING only leaves positions, HALTED does nothing."""
    return services.trading_state_set(state=data.state, reason=data.reason)


@router.post("/execute-buy", response={200: PreviewOut, 202: OrderOut}, auth=trade, openapi_extra=REACHES_OUT)
def execute_buy(request: HttpRequest, data: BuyIn) -> Any:
    """Order a buy; the trader executes it after the latency (follow it at orders/{id}). With `dry_run` 200 and what it
    would do: price, every fee, break-even, the risk gate's verdict."""
    if data.dry_run:
        wish = preview.preview_buy(
            alias=data.wallet, mint=data.mint, lamports=data.lamports() or 0, slippage_bps=data.slippage_bps
        )
        return Status(200, preview_out(wish))
    order = services.buy_manual(
        alias=data.wallet,
        mint=data.mint,
        lamports=data.lamports() or 0,
        slippage_bps=data.slippage_bps,
        idempotency_key=data.idempotency_key,
    )
    return Status(202, order)


@router.post("/execute-sell", response={200: PreviewOut, 202: OrderOut}, auth=trade, openapi_extra=REACHES_OUT)
def execute_sell(request: HttpRequest, data: SellIn) -> Any:
    """Order the sale of a percentage of a holding; with `dry_run` 200 and what it would do."""
    if data.dry_run:
        wish = preview.preview_sell(
            alias=data.wallet, mint=data.mint, percent=data.percent, slippage_bps=data.slippage_bps
        )
        return Status(200, preview_out(wish))
    order = services.sell_manual(
        alias=data.wallet,
        mint=data.mint,
        percent=data.percent,
        slippage_bps=data.slippage_bps,
        idempotency_key=data.idempotency_key,
    )
    return Status(202, order)


@router.post("/sell-all", response={200: list[PreviewOut], 202: list[OrderOut]}, auth=trade, openapi_extra=REACHES_OUT)
def sell_all(request: HttpRequest, data: SellAllIn) -> Any:
    """Order the sale of every open position (of one wallet, or of all test wallets); each order says whether it was
    submitted or denied. With `dry_run` 200 and what they would do."""
    if data.dry_run:
        found = preview.preview_sell_all(alias=data.wallet, slippage_bps=data.slippage_bps)
        return Status(200, [preview_out(one) for one in found])
    return Status(202, services.sell_all(alias=data.wallet, slippage_bps=data.slippage_bps))


@router.post("/transfer", response={200: TransferOut, 202: TransferOut}, auth=trade, openapi_extra=REACHES_OUT)
def transfer(request: HttpRequest, data: TransferIn) -> Any:
    """Move SOL, an amount or everything: between test wallets at once (200), from real ones by the chain (202, follow
    it in `transfers`). With `dry_run` 200 and what would be sent."""
    send = transfer_preview if data.dry_run else sol_transfer
    row = send(
        from_alias=data.from_wallet,
        to_alias=data.to_wallet,
        to_saved=data.to_saved,
        lamports=data.lamports(),
        requested_by=api_real.username_of(request),
        idempotency_key=data.idempotency_key,
    )
    is_done = data.dry_run or row.is_simulation
    return Status(200 if is_done else 202, transfer_out(row, dry_run=data.dry_run))


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
    """Results by wallet, day and exit, costs by part, orders by code; equity of all test wallets over 30 days."""
    return {
        "wallets": figures.wallet_performance(),
        "days": figures.pnl_by_day(),
        "exits": figures.pnl_by_exit(),
        "costs_lamports": figures.costs_by_part(),
        "orders": figures.orders_by_code(),
        "equity": equity.equity_points(_feed_now() - timedelta(days=30), _feed_now()),
    }
