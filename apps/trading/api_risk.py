"""`/api/buy/` risk: limits of all wallets, how far limits are used, the block-list, and why strategies do not trade."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from apps.core.pagination import Page, PageQuery, paginate
from apps.core.schemas import Body
from apps.core.tokens import read, trade
from apps.trading import gate_queries, limits, limits_used, queries, services
from apps.trading.funnel import funnels
from apps.trading.models import Blocked, Wallet
from apps.trading.schemas import WalletOut

router = Router(tags=["buy"])


class SharedLimits(Body):
    """Limits; 0 switches one off, what is left out stays."""

    max_exposure_lamports: int | None = Field(None, ge=0, le=10**18)
    max_reserves_bps: int | None = Field(None, ge=0, le=10_000, description="of the real SOL on a coin's curve")
    max_drawdown_bps: int | None = Field(None, ge=0, le=10_000, description="from the highest equity")
    cooldown_losses: int | None = Field(None, ge=0, le=1_000_000, description="losses in a row that begin a cool-down")
    cooldown_seconds: int | None = Field(None, ge=0, le=10**9)
    max_coin_loss_lamports: int | None = Field(None, ge=0, le=10**18)
    max_creator_loss_lamports: int | None = Field(None, ge=0, le=10**18)

    def given(self) -> dict[str, Any]:
        """The fields that were sent with a value."""
        return {name: value for name, value in self.dict(exclude_unset=True).items() if value is not None}


class WalletLimitsPatch(SharedLimits):
    """Further limits of one wallet, and its caps; costs of a buy count against caps."""

    max_trade_lamports: int | None = Field(None, ge=0, le=10**18, description="cap of one buy")
    max_day_lamports: int | None = Field(None, ge=0, le=10**18, description="cap of the buys of a risk day")
    max_total_lamports: int | None = Field(None, ge=0, le=10**18, description="cap of all buys ever")


class LimitsPatch(SharedLimits):
    """Limits of all wallets of a kind together."""

    trading_enabled: bool | None = None
    transfer_enabled: bool | None = None
    max_position_lamports: int | None = Field(None, ge=0, le=10**18, description="in one coin")
    max_open_positions: int | None = Field(None, ge=0, le=100_000)
    max_daily_loss_bps: int | None = Field(None, ge=0, le=10_000)
    max_consecutive_losses: int | None = Field(None, ge=0, le=1_000_000)


class LimitsOut(Schema):
    """Limits of all wallets of a kind (`scope`) together; 0 is off."""

    scope: str
    trading_enabled: bool
    transfer_enabled: bool
    max_position_lamports: int
    max_open_positions: int
    max_exposure_lamports: int
    max_reserves_bps: int
    max_daily_loss_bps: int
    max_drawdown_bps: int
    max_consecutive_losses: int
    cooldown_losses: int
    cooldown_seconds: int
    max_coin_loss_lamports: int
    max_creator_loss_lamports: int
    peak_equity_lamports: int | None


class UsedOut(Schema):
    """A limit that is set, and how far it is used (`ratio` 0 to 1)."""

    limit: str
    unit: str
    used: int
    most: int
    ratio: float


class RiskOut(Schema):
    """Risk of a wallet, or (`name` empty) of all wallets of a kind."""

    name: str
    kind: str
    trading_enabled: bool
    transfer_enabled: bool
    is_cooling_down: bool
    limits: list[UsedOut]


class BlockIn(Body):
    """A coin, or every coin of a creator, that is never bought."""

    kind: Literal["MINT", "CREATOR"]
    address: str = Field(pattern=r"^[1-9A-HJ-NP-Za-km-z]{32,64}$")
    reason: str = Field("", max_length=200)


class BlockOut(Schema):
    """An entry of the block-list."""

    id: int
    kind: str
    address: str
    reason: str
    created_at: datetime


class CountOut(Schema):
    """How many for a reason."""

    reason: str
    count: int


class WarningOut(Schema):
    """Why nothing can be traded, and what to do."""

    code: str
    message: str


class FunnelOut(Schema):
    """What became of a strategy's alerts: `alerts` = filtered + denied + submitted; `ended`: not filled, by code."""

    strategy: str
    wallet: str
    since: datetime
    until: datetime
    alerts: int
    filtered: list[CountOut]
    denied: list[CountOut]
    submitted: int
    in_flight: int
    filled: int
    ended: list[CountOut]
    warnings: list[WarningOut]


@router.get("/risk", response=list[RiskOut], auth=read)
def risk(request: HttpRequest) -> list[Any]:
    """How far every limit is used: of all wallets of a kind together, then wallet by wallet (the first 100)."""
    return states()


def states() -> list[limits_used.RiskState]:
    """The state of all kinds that have wallets, and of the wallets."""
    at = queries.feed_at() or timezone.now()
    wallets = list(Wallet.objects.order_by("alias")[:100])
    kinds = sorted({wallet.wallet_type for wallet in wallets}, reverse=True)
    together = [limits_used.state_of_all(kind, at) for kind in kinds]
    return together + [limits_used.wallet_state(wallet, at) for wallet in wallets]


@router.get("/risk/limits/{kind}", response=LimitsOut, auth=read)
def get_limits(request: HttpRequest, kind: str) -> Any:
    """The limits of all TEST or all REAL wallets together."""
    return gate_queries.limits_of(limits.require_kind(kind))


@router.patch("/risk/limits/{kind}", response=LimitsOut, auth=trade)
def set_limits(request: HttpRequest, kind: str, data: LimitsPatch) -> Any:
    """Change the limits of all TEST or all REAL wallets together."""
    return limits.limits_update(kind=kind, **data.given())


@router.post("/risk/limits/{kind}/reset", response=LimitsOut, auth=trade)
def reset_limits(request: HttpRequest, kind: str) -> Any:
    """Forget losing streak, cool-down and peak of all wallets of the kind together."""
    return limits.limits_reset(kind=kind)


@router.patch("/wallets/{alias}/limits", response=WalletOut, auth=trade)
def set_wallet_limits(request: HttpRequest, alias: str, data: WalletLimitsPatch) -> Any:
    """Change the further limits and caps of one wallet."""
    return services.wallet_update(alias=alias, **data.given())


@router.post("/wallets/{alias}/reset-risk", response=WalletOut, auth=trade)
def reset_wallet(request: HttpRequest, alias: str) -> Any:
    """Forget losing streak, cool-down and peak of a wallet."""
    return limits.wallet_reset(alias=alias)


@router.get("/risk/blocked", response=Page[BlockOut], auth=read)
def blocked(request: HttpRequest, page: Query[PageQuery]) -> Any:
    """The block-list, newest first."""
    return paginate(Blocked.objects.all(), page)


@router.post("/risk/blocked", response={201: BlockOut}, auth=trade)
def block(request: HttpRequest, data: BlockIn) -> Any:
    """Never buy a coin, or a creator's coins."""
    return Status(201, limits.blocked_add(kind=data.kind, address=data.address, reason=data.reason))


@router.delete("/risk/blocked/{blocked_id}", response={204: None}, auth=trade)
def unblock(request: HttpRequest, blocked_id: int) -> Any:
    """Take something off the block-list."""
    limits.blocked_remove(blocked_id=blocked_id)
    return Status(204, None)


class FunnelQuery(Schema):
    """Which strategy (all where none is named), over how many hours of feed time."""

    strategy: str | None = None
    hours: int = Field(24, ge=1, le=24 * 90)


@router.get("/funnel", response=list[FunnelOut], auth=read)
def why_no_trade(request: HttpRequest, query: Query[FunnelQuery]) -> list[dict[str, Any]]:
    """What became of the alerts of each strategy, and why one may never trade."""
    return [asdict(one) for one in funnels(hours=query.hours, name=query.strategy)]
