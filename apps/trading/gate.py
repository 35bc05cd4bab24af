"""What the gate judges a buy on: limits and their use, read under the wallet's lock and that of the limits of all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from apps.core.units import sol_to_lamports
from apps.discovery.curve import INITIAL
from apps.trading import risk, unlocking
from apps.trading.book import TABLES
from apps.trading.gate_queries import Origin
from apps.trading.market import Market
from apps.trading.models import RiskLimits, Wallet
from apps.trading.risk import Caps, Limits, Scope, Usage
from apps.trading.valuation import equity_lamports, positions_valued

if TYPE_CHECKING:
    from apps.trading.book import Book
    from apps.trading.orders import BuyIntent


def buy_snapshot(
    intent: BuyIntent, wallet: Wallet, market: Market, needed: int, feed_age_seconds: float, book: Book
) -> risk.BuySnapshot:
    """All that decides on a buy, as it is at the intent's feed time. The wallet is locked."""
    invested, open_positions = book.invested(wallet)
    origin, at = book.origin(intent.mint), intent.decided_at
    return risk.BuySnapshot(
        trading_state=book.trading_state(),
        is_unlocked=unlocking.may_buy(wallet),
        is_active=wallet.status == Wallet.Status.ACTIVE,
        wallet=_wallet_scope(wallet, intent.mint, invested, open_positions, origin, at, book),
        everyone=everyone_scope(book.limits_of_all(wallet), intent.mint, origin.creator, at, book=book),
        caps=_caps(wallet, at, book),
        coin=market.coin_state(),
        coin_is_blocked=origin.coin_is_blocked,
        creator_is_blocked=origin.creator_is_blocked,
        real_sol_lamports=max(0, market.reserves.virtual_sol - INITIAL.virtual_sol) if market.reserves else 0,
        feed_age_seconds=feed_age_seconds,
        stake_lamports=intent.lamports,
        needed_lamports=needed,
        safety_buffer_lamports=sol_to_lamports(str(settings.SAFETY_BUFFER_SOL)),
        cash_lamports=wallet.cash_lamports,
        holds_coin=intent.mint in invested,
        may_add=intent.may_add,
    )


# --- The wallet ----------------------------------------------------------------------------------------
def wallet_limits(wallet: Wallet) -> Limits:
    """The limits of a wallet; its largest position and most positions always hold, the others are off at 0."""
    return Limits(
        max_position_lamports=wallet.max_position_lamports,
        max_open_positions=wallet.max_open_positions,
        max_exposure_lamports=wallet.max_exposure_lamports or None,
        max_reserves_bps=wallet.max_reserves_bps or None,
        max_consecutive_losses=wallet.max_consecutive_losses or None,
        max_daily_loss_bps=wallet.max_daily_loss_bps or None,
        max_drawdown_bps=wallet.max_drawdown_bps or None,
        max_coin_loss_lamports=wallet.max_coin_loss_lamports or None,
        max_creator_loss_lamports=wallet.max_creator_loss_lamports or None,
    )


def _wallet_scope(
    wallet: Wallet,
    mint: str,
    invested: Mapping[str, int],
    open_positions: int,
    origin: Origin,
    at: datetime,
    book: Book,
) -> Scope:
    limits = wallet_limits(wallet)
    equity = 0
    if limits.max_daily_loss_bps is not None or limits.max_drawdown_bps is not None:
        equity = equity_lamports(wallet, at, book)
    if limits.max_drawdown_bps is not None:
        peak_raise(wallet, equity, book)
    usage = Usage(
        invested_in_coin_lamports=invested.get(mint, 0),
        open_positions=open_positions,
        exposure_lamports=sum(invested.values()),
        consecutive_losses=wallet.consecutive_losses,
        is_cooling_down=is_cooling_down(wallet, at),
        equity_lamports=equity,
        day_start_equity_lamports=wallet.day_start_equity_lamports or 0,
        peak_equity_lamports=wallet.peak_equity_lamports or 0,
        lost_in_coin_lamports=-book.result_of(wallet, mint=mint) if limits.max_coin_loss_lamports else 0,
        lost_with_creator_lamports=(
            -book.result_of(wallet, creator=origin.creator) if limits.max_creator_loss_lamports else 0
        ),
    )
    return Scope(limits, usage, wallet.trading_enabled)


def is_cooling_down(wallet: Wallet, at: datetime) -> bool:
    """Whether a wallet buys nothing for a while after losses."""
    return bool(wallet.cooldown_seconds) and wallet.cooldown_until is not None and at < wallet.cooldown_until


def peak_raise(wallet: Wallet, equity: int, book: Book) -> None:
    """Keep the highest equity of a locked wallet."""
    if wallet.peak_equity_lamports is None or equity > wallet.peak_equity_lamports:
        wallet.peak_equity_lamports = equity
        book.wallet_save(wallet, "peak_equity_lamports")


def _caps(wallet: Wallet, at: datetime, book: Book) -> Caps:
    """What the wallet may pay, and has paid; sums only where a cap asks for them."""
    day, total = wallet.max_day_lamports or None, wallet.max_total_lamports or None
    today = risk.day_start(at, settings.RISK_TIMEZONE)
    return Caps(
        trade_lamports=wallet.max_trade_lamports or None,
        day_lamports=day,
        total_lamports=total,
        spent_today_lamports=book.spent(wallet, today) if day is not None else 0,
        spent_lamports=book.spent(wallet, None) if total is not None else 0,
    )


# --- All wallets of a kind ------------------------------------------------------------------------------
def limits_together(row: RiskLimits) -> Limits:
    """The limits of all wallets of a kind; 0 is off."""
    return Limits(
        max_position_lamports=row.max_position_lamports or None,
        max_open_positions=row.max_open_positions or None,
        max_exposure_lamports=row.max_exposure_lamports or None,
        max_reserves_bps=row.max_reserves_bps or None,
        max_consecutive_losses=row.max_consecutive_losses or None,
        max_daily_loss_bps=row.max_daily_loss_bps or None,
        max_drawdown_bps=row.max_drawdown_bps or None,
        max_coin_loss_lamports=row.max_coin_loss_lamports or None,
        max_creator_loss_lamports=row.max_creator_loss_lamports or None,
    )


def everyone_scope(
    row: RiskLimits, mint: str, creator: str | None, at: datetime, *, keep_peak: bool = True, book: Book = TABLES
) -> Scope:
    """How far the limits of all are used; only what a limit asks for is read. `keep_peak`: the row is locked."""
    limits, kind = limits_together(row), row.scope
    exposure = in_coin = count = equity = day_start = 0
    if limits.max_position_lamports or limits.max_open_positions or row.max_exposure_lamports or row.max_reserves_bps:
        exposure, in_coin, count = book.invested_by_all(kind, mint)
    if limits.max_daily_loss_bps is not None or limits.max_drawdown_bps is not None:
        equity, day_start = equity_of_all(kind, at, book)
    if limits.max_drawdown_bps is not None and equity > (row.peak_equity_lamports or 0):
        row.peak_equity_lamports = equity
        if keep_peak:
            book.limits_save(row, "peak_equity_lamports")
    losses, is_cooling = _streak(row, at, book)
    coin_lost = -book.result_of_all(kind, mint=mint) if limits.max_coin_loss_lamports else 0
    creator_lost = -book.result_of_all(kind, creator=creator) if limits.max_creator_loss_lamports else 0
    usage = Usage(
        invested_in_coin_lamports=in_coin,
        open_positions=count,
        exposure_lamports=exposure,
        consecutive_losses=losses,
        is_cooling_down=is_cooling,
        equity_lamports=equity,
        day_start_equity_lamports=day_start,
        peak_equity_lamports=row.peak_equity_lamports or 0,
        lost_in_coin_lamports=coin_lost,
        lost_with_creator_lamports=creator_lost,
    )
    return Scope(limits, usage, row.trading_enabled)


def equity_of_all(kind: str, at: datetime, book: Book = TABLES) -> tuple[int, int]:
    """The equity of all wallets of a kind at `at`, and at the start of their day."""
    cash, day_start = book.money_of_all(kind)
    held = positions_valued(book.positions_of_all(kind), at, book)
    return cash + sum(one.value_lamports for one in held), day_start


def _streak(row: RiskLimits, at: datetime, book: Book) -> tuple[int, bool]:
    """Losses in a row of all wallets since the day began, or the last reset, and whether they cool down after them."""
    if not row.max_consecutive_losses and not row.cooldown_seconds:
        return 0, False
    since = risk.day_start(at, settings.RISK_TIMEZONE)
    losses, last = book.streak_of(row.scope, max(since, row.losses_from or since), at)
    pause = timedelta(seconds=risk.cooldown_of(losses, row.cooldown_losses, row.cooldown_seconds))
    return losses, last is not None and at < last + pause
