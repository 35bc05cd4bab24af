"""The gate every order passes: a pure function over a snapshot that was taken under the wallet's lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

BPS = 10_000
COIN_STALE_SECONDS = 300.0
FEED_STALE_SECONDS = 30.0


class DenyCode(StrEnum):
    """Why we did not send an order."""

    TRADING_HALTED = "TRADING_HALTED"
    TRADING_REDUCING = "TRADING_REDUCING"
    REAL_TRADING_LOCKED = "REAL_TRADING_LOCKED"
    WALLET_NOT_ACTIVE = "WALLET_NOT_ACTIVE"
    TRADING_DISABLED = "TRADING_DISABLED"
    GLOBAL_TRADING_DISABLED = "GLOBAL_TRADING_DISABLED"
    FEED_STALE = "FEED_STALE"
    ALERT_TOO_OLD = "ALERT_TOO_OLD"
    COIN_BLOCKED = "COIN_BLOCKED"
    CREATOR_BLOCKED = "CREATOR_BLOCKED"
    COIN_UNKNOWN = "COIN_UNKNOWN"
    COIN_NONSTANDARD = "COIN_NONSTANDARD"
    COIN_GRADUATED = "COIN_GRADUATED"
    CURVE_COMPLETE = "CURVE_COMPLETE"
    COIN_IN_GAP = "COIN_IN_GAP"
    COIN_STALE = "COIN_STALE"
    TRADE_REFUSED = "TRADE_REFUSED"
    POSITION_OPEN = "POSITION_OPEN"
    ORDER_IN_FLIGHT = "ORDER_IN_FLIGHT"
    MAX_POSITION = "MAX_POSITION"
    MAX_OPEN_POSITIONS = "MAX_OPEN_POSITIONS"
    MAX_EXPOSURE = "MAX_EXPOSURE"
    MAX_RESERVES = "MAX_RESERVES"
    CONSECUTIVE_LOSSES = "CONSECUTIVE_LOSSES"
    COOLDOWN = "COOLDOWN"
    DAILY_LOSS = "DAILY_LOSS"
    DRAWDOWN = "DRAWDOWN"
    COIN_LOSS = "COIN_LOSS"
    CREATOR_LOSS = "CREATOR_LOSS"
    GLOBAL_MAX_POSITION = "GLOBAL_MAX_POSITION"
    GLOBAL_MAX_OPEN_POSITIONS = "GLOBAL_MAX_OPEN_POSITIONS"
    GLOBAL_MAX_EXPOSURE = "GLOBAL_MAX_EXPOSURE"
    GLOBAL_MAX_RESERVES = "GLOBAL_MAX_RESERVES"
    GLOBAL_CONSECUTIVE_LOSSES = "GLOBAL_CONSECUTIVE_LOSSES"
    GLOBAL_COOLDOWN = "GLOBAL_COOLDOWN"
    GLOBAL_DAILY_LOSS = "GLOBAL_DAILY_LOSS"
    GLOBAL_DRAWDOWN = "GLOBAL_DRAWDOWN"
    GLOBAL_COIN_LOSS = "GLOBAL_COIN_LOSS"
    GLOBAL_CREATOR_LOSS = "GLOBAL_CREATOR_LOSS"
    CAP_TRADE = "CAP_TRADE"
    CAP_DAY = "CAP_DAY"
    CAP_TOTAL = "CAP_TOTAL"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    NOTHING_TO_SELL = "NOTHING_TO_SELL"


@dataclass(frozen=True, slots=True)
class CoinState:
    """What the gate must know of a coin at the moment of decision."""

    is_known: bool
    is_standard: bool
    is_graduated: bool
    is_complete: bool
    is_in_gap: bool
    age_of_last_trade_seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a wallet, or of all wallets of its kind together; None is no limit."""

    max_position_lamports: int | None = None
    max_open_positions: int | None = None
    max_exposure_lamports: int | None = None
    max_reserves_bps: int | None = None
    max_consecutive_losses: int | None = None
    max_daily_loss_bps: int | None = None
    max_drawdown_bps: int | None = None
    max_coin_loss_lamports: int | None = None
    max_creator_loss_lamports: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """How far the limits are used before the order. What no limit asks for may be left at 0.

    Open positions are those that can be left, and coins with a buy in flight; `lost_*` are net losses (negative: a
    gain) of what was sold.
    """

    invested_in_coin_lamports: int = 0
    open_positions: int = 0
    exposure_lamports: int = 0
    consecutive_losses: int = 0
    is_cooling_down: bool = False
    equity_lamports: int = 0
    day_start_equity_lamports: int = 0
    peak_equity_lamports: int = 0
    lost_in_coin_lamports: int = 0
    lost_with_creator_lamports: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """One set of limits with its use, and its trading switch."""

    limits: Limits
    usage: Usage
    trading_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Caps:
    """What a wallet may ever pay, costs included, and has paid for its buys; None is no cap."""

    trade_lamports: int | None = None
    day_lamports: int | None = None
    total_lamports: int | None = None
    spent_today_lamports: int = 0
    spent_lamports: int = 0


@dataclass(frozen=True, slots=True)
class BuySnapshot:
    """Everything a buy is judged on. `everyone` are all wallets of the kind; None: there is only this one."""

    trading_state: str
    is_unlocked: bool
    is_active: bool
    wallet: Scope
    everyone: Scope | None
    caps: Caps
    coin: CoinState
    coin_is_blocked: bool
    creator_is_blocked: bool
    real_sol_lamports: int
    feed_age_seconds: float
    stake_lamports: int
    needed_lamports: int
    safety_buffer_lamports: int
    cash_lamports: int
    holds_coin: bool
    may_add: bool


@dataclass(frozen=True, slots=True)
class SellSnapshot:
    """Everything a sale is judged on: exits are always allowed unless trading is halted."""

    trading_state: str
    is_unlocked: bool
    held_base_units: int
    base_units: int
    sale_in_flight: bool
    cash_lamports: int
    needed_lamports: int


def deny_buy(snapshot: BuySnapshot) -> DenyCode | None:
    """The first reason not to buy, or None."""
    return (
        _deny_switches(snapshot)
        or _deny_coin(snapshot)
        or _deny_scope(snapshot, snapshot.wallet)
        or _deny_everyone(snapshot)
        or _deny_caps(snapshot.caps, snapshot.needed_lamports)
        or _deny_cash(snapshot)
    )


def deny_sell(snapshot: SellSnapshot) -> DenyCode | None:
    """The first reason not to sell, or None."""
    if snapshot.trading_state == "HALTED":
        return DenyCode.TRADING_HALTED
    if not snapshot.is_unlocked:
        return DenyCode.REAL_TRADING_LOCKED
    if not 0 < snapshot.base_units <= snapshot.held_base_units:
        return DenyCode.NOTHING_TO_SELL
    if snapshot.sale_in_flight:
        return DenyCode.ORDER_IN_FLIGHT
    if snapshot.cash_lamports < snapshot.needed_lamports:
        return DenyCode.INSUFFICIENT_BALANCE
    return None


def _deny_switches(snapshot: BuySnapshot) -> DenyCode | None:
    if snapshot.trading_state == "HALTED":
        return DenyCode.TRADING_HALTED
    if snapshot.trading_state != "ACTIVE":
        return DenyCode.TRADING_REDUCING
    if not snapshot.is_unlocked:
        return DenyCode.REAL_TRADING_LOCKED
    if not snapshot.is_active:
        return DenyCode.WALLET_NOT_ACTIVE
    if not snapshot.wallet.trading_enabled:
        return DenyCode.TRADING_DISABLED
    if snapshot.everyone is not None and not snapshot.everyone.trading_enabled:
        return DenyCode.GLOBAL_TRADING_DISABLED
    if snapshot.feed_age_seconds > FEED_STALE_SECONDS:
        return DenyCode.FEED_STALE
    return None


def _deny_coin(snapshot: BuySnapshot) -> DenyCode | None:
    if snapshot.coin_is_blocked:
        return DenyCode.COIN_BLOCKED
    if snapshot.creator_is_blocked:
        return DenyCode.CREATOR_BLOCKED
    coin = snapshot.coin
    if not coin.is_known:
        return DenyCode.COIN_UNKNOWN
    if not coin.is_standard:
        return DenyCode.COIN_NONSTANDARD
    if coin.is_graduated:
        return DenyCode.COIN_GRADUATED
    if coin.is_complete:
        return DenyCode.CURVE_COMPLETE
    if coin.is_in_gap:
        return DenyCode.COIN_IN_GAP
    if coin.age_of_last_trade_seconds > COIN_STALE_SECONDS:
        return DenyCode.COIN_STALE
    return None


def _deny_everyone(snapshot: BuySnapshot) -> DenyCode | None:
    """As for the wallet, over all wallets of its kind; the codes say so."""
    if snapshot.everyone is None:
        return None
    code = _deny_scope(snapshot, snapshot.everyone)
    if code is None or code is DenyCode.POSITION_OPEN:
        return None
    return DenyCode(f"GLOBAL_{code}")


def _deny_scope(snapshot: BuySnapshot, scope: Scope) -> DenyCode | None:
    return _deny_size(snapshot, scope.limits, scope.usage) or _deny_losses(scope.limits, scope.usage)


def _deny_size(snapshot: BuySnapshot, limits: Limits, usage: Usage) -> DenyCode | None:
    if snapshot.holds_coin and not snapshot.may_add:
        return DenyCode.POSITION_OPEN
    in_coin = usage.invested_in_coin_lamports + snapshot.stake_lamports
    if _above(in_coin, limits.max_position_lamports):
        return DenyCode.MAX_POSITION
    if not snapshot.holds_coin and _reached(usage.open_positions, limits.max_open_positions):
        return DenyCode.MAX_OPEN_POSITIONS
    if _above(usage.exposure_lamports + snapshot.stake_lamports, limits.max_exposure_lamports):
        return DenyCode.MAX_EXPOSURE
    if limits.max_reserves_bps is not None and in_coin * BPS > snapshot.real_sol_lamports * limits.max_reserves_bps:
        return DenyCode.MAX_RESERVES
    return None


def _deny_losses(limits: Limits, usage: Usage) -> DenyCode | None:
    if _reached(usage.consecutive_losses, limits.max_consecutive_losses):
        return DenyCode.CONSECUTIVE_LOSSES
    if usage.is_cooling_down:
        return DenyCode.COOLDOWN
    if _fallen(usage.equity_lamports, usage.day_start_equity_lamports, limits.max_daily_loss_bps):
        return DenyCode.DAILY_LOSS
    if _fallen(usage.equity_lamports, usage.peak_equity_lamports, limits.max_drawdown_bps):
        return DenyCode.DRAWDOWN
    if _reached(usage.lost_in_coin_lamports, limits.max_coin_loss_lamports):
        return DenyCode.COIN_LOSS
    if _reached(usage.lost_with_creator_lamports, limits.max_creator_loss_lamports):
        return DenyCode.CREATOR_LOSS
    return None


def losses_reached(scope: Scope) -> bool:
    """Whether losses stop every buy now."""
    return _deny_losses(scope.limits, scope.usage) is not None


def _above(value: int, limit: int | None) -> bool:
    return limit is not None and value > limit


def _reached(value: int, limit: int | None) -> bool:
    return limit is not None and value >= limit


def _fallen(equity: int, from_lamports: int, bps: int | None) -> bool:
    """Whether the equity has fallen by `bps` from what it was."""
    return bps is not None and equity * BPS <= from_lamports * (BPS - bps)


def _deny_caps(caps: Caps, needed_lamports: int) -> DenyCode | None:
    if _above(needed_lamports, caps.trade_lamports):
        return DenyCode.CAP_TRADE
    if _above(caps.spent_today_lamports + needed_lamports, caps.day_lamports):
        return DenyCode.CAP_DAY
    if _above(caps.spent_lamports + needed_lamports, caps.total_lamports):
        return DenyCode.CAP_TOTAL
    return None


def _deny_cash(snapshot: BuySnapshot) -> DenyCode | None:
    if snapshot.needed_lamports + snapshot.safety_buffer_lamports > snapshot.cash_lamports:
        return DenyCode.INSUFFICIENT_BALANCE
    return None


def cooldown_of(losses_in_a_row: int, cooldown_losses: int, cooldown_seconds: int) -> int:
    """Seconds without buys that a loss begins, being the last of so many in a row; 0 is none."""
    return cooldown_seconds if losses_in_a_row >= max(cooldown_losses, 1) else 0


def day_of(moment: datetime, timezone: str) -> date:
    """The risk day that `moment` (aware) belongs to. Raises ZoneInfoNotFoundError for an unknown zone."""
    return moment.astimezone(ZoneInfo(timezone)).date()


def day_start(moment: datetime, timezone: str) -> datetime:
    """When the risk day of `moment` (aware) began."""
    return datetime.combine(day_of(moment, timezone), time(), tzinfo=ZoneInfo(timezone))
