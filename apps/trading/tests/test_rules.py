"""Exits and the risk gate as tables of rows, keys and sizes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import envelope
from apps.trading.exits import Levels, Mark, Trigger, deadline, decide, first_trigger, return_bps
from apps.trading.keys import binding
from apps.trading.positions import units_for_percent
from apps.trading.risk import (
    BuySnapshot,
    CoinState,
    DenyCode,
    SellSnapshot,
    WalletState,
    day_of,
    deny_buy,
    deny_sell,
)
from apps.trading.sizing import FixedStake
from apps.trading.venues.paper import fails

T0 = datetime(2026, 7, 4, 12, tzinfo=UTC)
LEVELS = Levels(stop_loss_bps=2000, take_profit_bps=3000, timeout_at=T0 + timedelta(seconds=90))


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("levels", "seconds", "value", "complete", "reason"),
    [
        (LEVELS, 10, 1000, False, None),
        (LEVELS, 10, 801, False, None),
        (LEVELS, 10, 800, False, "STOP_LOSS"),
        (LEVELS, 10, -50, False, "STOP_LOSS"),
        (LEVELS, 10, 1299, False, None),
        (LEVELS, 10, 1300, False, "TAKE_PROFIT"),
        (LEVELS, 89.999, 1000, False, None),
        (LEVELS, 90, 1000, False, "TIMEOUT"),
        (LEVELS, 90, 800, False, "STOP_LOSS"),
        (LEVELS, 90, 1300, False, "TAKE_PROFIT"),
        (LEVELS, 10, 5000, True, "GRADUATED"),
        (Levels(), 10_000, 1, False, None),
        (Levels(stop_loss_bps=0), 1, 1000, False, "STOP_LOSS"),
        (Levels(take_profit_bps=0), 1, 1000, False, "TAKE_PROFIT"),
    ],
)
def test_exit_follows_the_table(levels: Levels, seconds: float, value: int, complete: bool, reason: str | None) -> None:
    decision = decide(levels, Mark(at(seconds), 1000, value, 10_000 if complete else 9_999))
    assert (decision.reason if decision else None) == reason


@pytest.mark.parametrize(
    ("marks", "since", "to", "graduated", "expected"),
    [
        ([(10, 1000), (20, 700), (30, 1400)], 0, 60, None, Trigger("STOP_LOSS", at(20))),
        ([(10, 1000), (100, 700)], 0, 120, None, Trigger("TIMEOUT", at(90))),
        ([(90, 700)], 0, 120, None, Trigger("STOP_LOSS", at(90))),
        ([], 0, 89, None, None),
        ([], 0, 90, None, Trigger("TIMEOUT", at(90))),
        ([], 200, 300, None, Trigger("TIMEOUT", at(200))),
        ([], 400, 300, None, None),
        ([(10, 1000)], 0, 60, 30, Trigger("GRADUATED", at(30))),
        ([(10, 700)], 0, 60, 30, Trigger("STOP_LOSS", at(10))),
        ([], 0, 120, 100, Trigger("TIMEOUT", at(90))),
    ],
)
def test_first_trigger_follows_the_table(
    marks: list[tuple[float, int]], since: float, to: float, graduated: float | None, expected: Trigger | None
) -> None:
    rows = [Mark(at(seconds), 1000, value) for seconds, value in marks]
    graduated_at = at(graduated) if graduated is not None else None
    limit = deadline(LEVELS, since=at(since), to=at(to), graduated_at=graduated_at)
    assert first_trigger(LEVELS, rows, limit) == expected


COIN = CoinState(True, True, False, False, False, 1.0)
WALLET = WalletState(
    is_test=True,
    is_active=True,
    trading_enabled=True,
    cash_lamports=10_000,
    max_position_lamports=500,
    max_open_positions=3,
    max_consecutive_losses=5,
    max_daily_loss_bps=2000,
    consecutive_losses=0,
    day_start_equity_lamports=10_000,
)
BUY = BuySnapshot(
    trading_state="ACTIVE",
    wallet=WALLET,
    coin=COIN,
    feed_age_seconds=0.1,
    stake_lamports=400,
    needed_lamports=450,
    safety_buffer_lamports=100,
    equity_lamports=10_000,
    open_positions=0,
    invested_in_coin_lamports=0,
    holds_coin=False,
    may_add=False,
)


def wallet(**changes: object) -> dict[str, object]:
    return {"wallet": replace(WALLET, **changes)}  # type: ignore[arg-type]


def coin(**changes: object) -> dict[str, object]:
    return {"coin": replace(COIN, **changes)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"trading_state": "HALTED"}, DenyCode.TRADING_HALTED),
        ({"trading_state": "REDUCING"}, DenyCode.TRADING_REDUCING),
        (wallet(is_test=False), DenyCode.REAL_TRADING_LOCKED),
        (wallet(is_active=False), DenyCode.WALLET_NOT_ACTIVE),
        (wallet(trading_enabled=False), DenyCode.TRADING_DISABLED),
        ({"feed_age_seconds": 30.1}, DenyCode.FEED_STALE),
        ({"feed_age_seconds": float("inf")}, DenyCode.FEED_STALE),
        (coin(is_known=False), DenyCode.COIN_UNKNOWN),
        (coin(is_standard=False), DenyCode.COIN_NONSTANDARD),
        (coin(is_graduated=True), DenyCode.COIN_GRADUATED),
        (coin(is_complete=True), DenyCode.CURVE_COMPLETE),
        (coin(is_in_gap=True), DenyCode.COIN_IN_GAP),
        (coin(age_of_last_trade_seconds=300.0), None),
        (coin(age_of_last_trade_seconds=300.1), DenyCode.COIN_STALE),
        ({"holds_coin": True}, DenyCode.POSITION_OPEN),
        ({"holds_coin": True, "may_add": True}, None),
        ({"invested_in_coin_lamports": 100, "may_add": True}, None),
        ({"invested_in_coin_lamports": 101, "may_add": True}, DenyCode.MAX_POSITION),
        ({"stake_lamports": 501}, DenyCode.MAX_POSITION),
        ({"open_positions": 2}, None),
        ({"open_positions": 3}, DenyCode.MAX_OPEN_POSITIONS),
        ({"open_positions": 3, "holds_coin": True, "may_add": True}, None),
        (wallet(consecutive_losses=4), None),
        (wallet(consecutive_losses=5), DenyCode.CONSECUTIVE_LOSSES),
        (wallet(consecutive_losses=99, max_consecutive_losses=0), None),
        ({"equity_lamports": 8_001}, None),
        ({"equity_lamports": 8_000}, DenyCode.DAILY_LOSS),
        ({"equity_lamports": 1, **wallet(max_daily_loss_bps=0)}, None),
        (wallet(cash_lamports=550), None),
        (wallet(cash_lamports=549), DenyCode.INSUFFICIENT_BALANCE),
    ],
)
def test_buy_is_denied_by_the_table(changes: dict[str, object], code: DenyCode | None) -> None:
    assert deny_buy(replace(BUY, **changes)) == code  # type: ignore[arg-type]


SELL = SellSnapshot("ACTIVE", True, 100, 100, False, 50, 50)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"trading_state": "REDUCING"}, None),
        ({"trading_state": "HALTED"}, DenyCode.TRADING_HALTED),
        ({"is_test": False}, DenyCode.REAL_TRADING_LOCKED),
        ({"base_units": 0}, DenyCode.NOTHING_TO_SELL),
        ({"base_units": 101}, DenyCode.NOTHING_TO_SELL),
        ({"sale_in_flight": True}, DenyCode.ORDER_IN_FLIGHT),
        ({"cash_lamports": 49}, DenyCode.INSUFFICIENT_BALANCE),
    ],
)
def test_sale_is_denied_by_the_table(changes: dict[str, object], code: DenyCode | None) -> None:
    assert deny_sell(replace(SELL, **changes)) == code  # type: ignore[arg-type]


def test_risk_day_follows_its_timezone() -> None:
    moment = datetime(2026, 7, 4, 22, 30, tzinfo=UTC)
    assert day_of(moment, "UTC") == date(2026, 7, 4)
    assert day_of(moment, "Europe/Berlin") == date(2026, 7, 5)


@pytest.mark.parametrize(("quantity", "percent", "units"), [(101, 100, 101), (101, 50, 50), (3, 33.3333, 0), (7, 1, 0)])
def test_percentage_of_a_holding_is_rounded_down(quantity: int, percent: float, units: int) -> None:
    assert units_for_percent(quantity, percent) == units


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_impossible_percentage_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percent"):
        units_for_percent(100, percent)


def test_fixed_stake_is_always_the_same() -> None:
    assert {FixedStake(7).size(equity_lamports=equity, probability=0.5) for equity in (0, 10**12)} == {7}


def test_return_is_in_basis_points_of_the_cost() -> None:
    assert (return_bps(1000, 1300), return_bps(1000, 800), return_bps(0, 5)) == (3000, -2000, 0)


def test_same_key_fails_always_or_never() -> None:
    names = [f"alert:s:1:mint:{number}" for number in range(20_000)]
    failed = [name for name in names if fails(name, 0.02)]
    assert failed == [name for name in names if fails(name, 0.02)]
    assert len(failed) == pytest.approx(400, abs=80)
    assert not any(fails(name, 0.0) for name in names)
    assert all(fails(name, 1.0) for name in names)


MASTER, OTHER = bytes(range(32)), bytes(range(1, 33))


@given(st.binary(min_size=1, max_size=200), st.integers(1, 10**9), st.text(max_size=44))
def test_sealed_key_opens_for_its_wallet(secret: bytes, wallet_id: int, address: str) -> None:
    bound = binding(wallet_id, address)
    stored = envelope.seal(secret, bound=bound, master=MASTER)
    assert secret not in stored or len(secret) < 4
    assert envelope.unseal(stored, bound=bound, master=MASTER) == secret
    moved = envelope.rewrap(stored, bound=bound, master=MASTER, new_master=OTHER)
    assert envelope.unseal(moved, bound=bound, master=OTHER) == secret


@pytest.mark.parametrize("change", ["wallet", "address", "master", "bytes", "version", "cut"])
def test_sealed_key_opens_for_nobody_else(change: str) -> None:
    stored = envelope.seal(b"secret key", bound=binding(1, "A"), master=MASTER)
    if change in ("bytes", "version", "cut"):
        place = {"bytes": len(stored) - 1, "version": 0, "cut": 0}[change]
        stored = stored[:40] if change == "cut" else stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :]
    bound = binding(2 if change == "wallet" else 1, "B" if change == "address" else "A")
    with pytest.raises(envelope.SealedError) as error:
        envelope.unseal(stored, bound=bound, master=OTHER if change == "master" else MASTER)
    assert "secret" not in str(error.value)


def test_same_secret_is_sealed_differently_each_time() -> None:
    assert len({envelope.seal(b"x", bound=b"A", master=MASTER) for _ in range(5)}) == 5


@pytest.mark.parametrize("text", ["", "short", "!" * 44, "ab" * 31])
def test_wrong_master_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes") as error:
        envelope.master_key(text)
    assert not text or text not in str(error.value)
