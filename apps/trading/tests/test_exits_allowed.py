"""Whatever forbids buying, positions are left: by their exits, by hand and all at once. Only HALTED holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from apps.core.errors import PlatformError
from apps.discovery.models import Coin
from apps.trading import limits, services
from apps.trading.models import Order, RiskLimits, Wallet
from apps.trading.preview import nothing_written
from apps.trading.risk import DenyCode
from apps.trading.tests.conftest import SOL, World, at, mint_of
from apps.trading.tests.rounds import held, run
from apps.trading.tests.test_gate import buy, closed

pytestmark = pytest.mark.django_db


def of_wallet(**values: Any) -> Callable[[], object]:
    return lambda: Wallet.objects.update(**values)


def of_all(**values: Any) -> Callable[[], object]:
    return lambda: limits.limits_update(kind="TEST", **values)


def lost(amount: int = 1_000, **values: Any) -> Callable[[], object]:
    """A loss with both coins, and limits that mind it."""

    def trip() -> None:
        closed("test", mint_of(1), -amount, 4)
        closed("test", mint_of(2), -amount, 4)
        of_wallet(**values)()

    return trip


def fallen(**values: Any) -> Callable[[], object]:
    return of_wallet(
        day_start_on=at(0).date(), day_start_equity_lamports=99 * SOL, peak_equity_lamports=99 * SOL, **values
    )


def fallen_all(**values: Any) -> Callable[[], object]:
    def trip() -> None:
        fallen()()
        of_all(**values)()
        RiskLimits.objects.update(peak_equity_lamports=99 * SOL)

    return trip


OFF = {"max_daily_loss_bps": 0, "max_drawdown_bps": 0}
TRIPPED: dict[str, Callable[[], object]] = {
    "TRADING_REDUCING": lambda: services.trading_state_set(state="REDUCING"),
    "WALLET_NOT_ACTIVE": of_wallet(status="FROZEN"),
    "TRADING_DISABLED": of_wallet(trading_enabled=False),
    "GLOBAL_TRADING_DISABLED": of_all(trading_enabled=False),
    "COIN_BLOCKED": lambda: [limits.blocked_add(kind="MINT", address=mint_of(n)) for n in (1, 2)],
    "CREATOR_BLOCKED": lambda: limits.blocked_add(kind="CREATOR", address="maker"),
    "COIN_STALE": lambda: None,
    "MAX_POSITION": of_wallet(max_position_lamports=1),
    "MAX_OPEN_POSITIONS": of_wallet(max_open_positions=0),
    "MAX_EXPOSURE": of_wallet(max_exposure_lamports=1),
    "MAX_RESERVES": of_wallet(max_reserves_bps=1),
    "CONSECUTIVE_LOSSES": of_wallet(max_consecutive_losses=1, consecutive_losses=1),
    "COOLDOWN": of_wallet(cooldown_seconds=1_000, cooldown_until=at(1_000)),
    "DAILY_LOSS": fallen(max_daily_loss_bps=1),
    "DRAWDOWN": fallen(max_daily_loss_bps=0, max_drawdown_bps=1),
    "COIN_LOSS": lost(max_coin_loss_lamports=1),
    "CREATOR_LOSS": lost(max_creator_loss_lamports=1),
    "GLOBAL_MAX_POSITION": of_all(max_position_lamports=1),
    "GLOBAL_MAX_OPEN_POSITIONS": of_all(max_open_positions=1),
    "GLOBAL_MAX_EXPOSURE": of_all(max_exposure_lamports=1),
    "GLOBAL_MAX_RESERVES": of_all(max_reserves_bps=1),
    "GLOBAL_CONSECUTIVE_LOSSES": lambda: (lost()(), of_all(max_consecutive_losses=1)()),
    "GLOBAL_COOLDOWN": lambda: (lost()(), of_all(cooldown_losses=1, cooldown_seconds=10**6)()),
    "GLOBAL_DAILY_LOSS": lambda: (of_wallet(**OFF)(), fallen_all(max_daily_loss_bps=1)()),
    "GLOBAL_DRAWDOWN": lambda: (of_wallet(**OFF)(), fallen_all(max_drawdown_bps=1)()),
    "GLOBAL_COIN_LOSS": lambda: (lost()(), of_all(max_coin_loss_lamports=1)()),
    "GLOBAL_CREATOR_LOSS": lambda: (lost()(), of_all(max_creator_loss_lamports=1)()),
    "CAP_TRADE": of_wallet(max_trade_lamports=1),
    "CAP_DAY": of_wallet(max_day_lamports=1),
    "CAP_TOTAL": of_wallet(max_total_lamports=1),
}


def buy_of_another_coin(code: str) -> str:
    late = 5 + 400 * (code == "COIN_STALE")
    return buy("test", mint_of(2), "another", late).deny_code


def test_what_forbids_to_buy_forbids_no_exit(started: World) -> None:
    mint, _ = held(started, stop_loss_bps=None, take_profit_bps=None, timeout_seconds=90)
    started.coin(2)
    Coin.objects.update(creator="maker")
    for code, trip in TRIPPED.items():
        before = transaction.savepoint()
        trip()
        assert buy_of_another_coin(code) == code
        with nothing_written():
            assert services.sell_manual(alias="test", mint=mint).status == "SUBMITTED", code
        run(started, 96)
        sale = Order.objects.get(side="sell")
        assert (sale.exit_reason, sale.status) == ("TIMEOUT", "SUBMITTED"), code
        transaction.savepoint_rollback(before)


def test_halted_holds_exits_and_lets_them_go_on_afterwards(started: World) -> None:
    mint, position = held(started, stop_loss_bps=None, take_profit_bps=None, timeout_seconds=90)
    services.trading_state_set(state="HALTED")
    with pytest.raises(PlatformError) as refused:
        services.sell_manual(alias="test", mint=mint)
    assert refused.value.code == "TRADING_HALTED"
    run(started, 120)
    assert not Order.objects.filter(side="sell", status="SUBMITTED").exists()
    services.trading_state_set(state="REDUCING")
    started.trade(mint, SOL // 100, 130)
    run(started, 140)
    position.refresh_from_db()
    assert (position.status, position.exit_reason) == ("CLOSED", "TIMEOUT")


def test_the_table_has_every_limit() -> None:
    """A denial that is no limit says something of the coin, the feed, the alert, the order or the lock."""
    others = {
        "TRADING_HALTED", "REAL_TRADING_LOCKED", "FEED_STALE", "ALERT_TOO_OLD", "COIN_UNKNOWN", "COIN_NONSTANDARD",
        "COIN_GRADUATED", "CURVE_COMPLETE", "COIN_IN_GAP", "TRADE_REFUSED", "POSITION_OPEN", "ORDER_IN_FLIGHT",
        "INSUFFICIENT_BALANCE", "NOTHING_TO_SELL",
    }  # fmt: skip
    assert set(TRIPPED) | others == set(DenyCode)
