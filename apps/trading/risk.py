"""The gate every order passes: a pure function over a snapshot that was taken under the wallet's lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
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
    FEED_STALE = "FEED_STALE"
    ALERT_TOO_OLD = "ALERT_TOO_OLD"
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
    CONSECUTIVE_LOSSES = "CONSECUTIVE_LOSSES"
    DAILY_LOSS = "DAILY_LOSS"
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
class WalletState:
    """A wallet's switches, limits and counters. A limit of 0 is off where the model says so."""

    is_test: bool
    is_active: bool
    trading_enabled: bool
    cash_lamports: int
    max_position_lamports: int
    max_open_positions: int
    max_consecutive_losses: int
    max_daily_loss_bps: int
    consecutive_losses: int
    day_start_equity_lamports: int


@dataclass(frozen=True, slots=True)
class BuySnapshot:
    """Everything a buy is judged on. Open positions include coins with a buy in flight."""

    trading_state: str
    wallet: WalletState
    coin: CoinState
    feed_age_seconds: float
    stake_lamports: int
    needed_lamports: int
    safety_buffer_lamports: int
    equity_lamports: int
    open_positions: int
    invested_in_coin_lamports: int
    holds_coin: bool
    may_add: bool


@dataclass(frozen=True, slots=True)
class SellSnapshot:
    """Everything a sale is judged on: exits are always allowed unless trading is halted."""

    trading_state: str
    is_test: bool
    held_base_units: int
    base_units: int
    sale_in_flight: bool
    cash_lamports: int
    needed_lamports: int


def deny_buy(snapshot: BuySnapshot) -> DenyCode | None:
    """The first reason not to buy, or None."""
    return (
        _deny_switches(snapshot)
        or _deny_coin(snapshot.coin)
        or _deny_position(snapshot)
        or _deny_losses(snapshot.wallet, snapshot.equity_lamports)
        or _deny_cash(snapshot)
    )


def deny_sell(snapshot: SellSnapshot) -> DenyCode | None:
    """The first reason not to sell, or None."""
    if snapshot.trading_state == "HALTED":
        return DenyCode.TRADING_HALTED
    if not snapshot.is_test:
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
    if not snapshot.wallet.is_test:
        return DenyCode.REAL_TRADING_LOCKED
    if not snapshot.wallet.is_active:
        return DenyCode.WALLET_NOT_ACTIVE
    if not snapshot.wallet.trading_enabled:
        return DenyCode.TRADING_DISABLED
    if snapshot.feed_age_seconds > FEED_STALE_SECONDS:
        return DenyCode.FEED_STALE
    return None


def _deny_coin(coin: CoinState) -> DenyCode | None:
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


def _deny_position(snapshot: BuySnapshot) -> DenyCode | None:
    if snapshot.holds_coin and not snapshot.may_add:
        return DenyCode.POSITION_OPEN
    if snapshot.invested_in_coin_lamports + snapshot.stake_lamports > snapshot.wallet.max_position_lamports:
        return DenyCode.MAX_POSITION
    if not snapshot.holds_coin and snapshot.open_positions >= snapshot.wallet.max_open_positions:
        return DenyCode.MAX_OPEN_POSITIONS
    return None


def _deny_losses(wallet: WalletState, equity_lamports: int) -> DenyCode | None:
    if 0 < wallet.max_consecutive_losses <= wallet.consecutive_losses:
        return DenyCode.CONSECUTIVE_LOSSES
    floor = wallet.day_start_equity_lamports * (BPS - wallet.max_daily_loss_bps)
    if wallet.max_daily_loss_bps and equity_lamports * BPS <= floor:
        return DenyCode.DAILY_LOSS
    return None


def _deny_cash(snapshot: BuySnapshot) -> DenyCode | None:
    if snapshot.needed_lamports + snapshot.safety_buffer_lamports > snapshot.wallet.cash_lamports:
        return DenyCode.INSUFFICIENT_BALANCE
    return None


def day_of(moment: datetime, timezone: str) -> date:
    """The risk day that `moment` (aware) belongs to. Raises ZoneInfoNotFoundError for an unknown zone."""
    return moment.astimezone(ZoneInfo(timezone)).date()
