"""Exits and the risk gate as tables of rows, keys and sizes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import envelope
from apps.trading.denials import DENIALS
from apps.trading.exits import Levels, Mark, Trigger, deadline, decide, first_trigger, return_bps
from apps.trading.keys import binding
from apps.trading.positions import units_for_percent
from apps.trading.risk import (
    BuySnapshot,
    Caps,
    CoinState,
    DenyCode,
    Limits,
    Scope,
    SellSnapshot,
    Usage,
    cooldown_of,
    day_of,
    day_start,
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
LIMITS = Limits(
    max_position_lamports=500, max_open_positions=3, max_consecutive_losses=5, max_daily_loss_bps=2_000,
    max_exposure_lamports=1_000, max_reserves_bps=1_000, max_drawdown_bps=3_000, max_coin_loss_lamports=50,
    max_creator_loss_lamports=70,
)  # fmt: skip
USAGE = Usage(
    equity_lamports=10_000, day_start_equity_lamports=10_000, peak_equity_lamports=10_000, exposure_lamports=600
)
BUY = BuySnapshot(
    trading_state="ACTIVE", is_unlocked=True, is_active=True, wallet=Scope(LIMITS, USAGE),
    everyone=Scope(LIMITS, USAGE), caps=Caps(450, 900, 1_800, spent_today_lamports=450, spent_lamports=1_350),
    coin=COIN, coin_is_blocked=False, creator_is_blocked=False, real_sol_lamports=4_000, feed_age_seconds=0.1,
    stake_lamports=400, needed_lamports=450, safety_buffer_lamports=100, cash_lamports=550, holds_coin=False,
    may_add=False,
)  # fmt: skip


def wallet(**changes: object) -> dict[str, object]:
    return {"wallet": replace(BUY.wallet, **changes)}  # type: ignore[arg-type]


def usage(**changes: object) -> dict[str, object]:
    return wallet(usage=replace(USAGE, **changes))  # type: ignore[arg-type]


def caps(**changes: object) -> dict[str, object]:
    return {"caps": replace(BUY.caps, **changes)}  # type: ignore[arg-type]


def coin(**changes: object) -> dict[str, object]:
    return {"coin": replace(COIN, **changes)}  # type: ignore[arg-type]


USES = [
    ({"invested_in_coin_lamports": 100}, {"max_reserves_bps": None}, None),
    ({"invested_in_coin_lamports": 101}, {"max_reserves_bps": None}, DenyCode.MAX_POSITION),
    ({"open_positions": 2}, {}, None),
    ({"open_positions": 3}, {}, DenyCode.MAX_OPEN_POSITIONS),
    ({"exposure_lamports": 601}, {}, DenyCode.MAX_EXPOSURE),
    ({"invested_in_coin_lamports": 1}, {}, DenyCode.MAX_RESERVES),
    ({"consecutive_losses": 4}, {}, None),
    ({"consecutive_losses": 5}, {}, DenyCode.CONSECUTIVE_LOSSES),
    ({"is_cooling_down": True}, {}, DenyCode.COOLDOWN),
    ({"equity_lamports": 8_001}, {}, None),
    ({"equity_lamports": 8_000}, {}, DenyCode.DAILY_LOSS),
    ({"equity_lamports": 7_001}, {"max_daily_loss_bps": None}, None),
    ({"equity_lamports": 7_000}, {"max_daily_loss_bps": None}, DenyCode.DRAWDOWN),
    ({"peak_equity_lamports": 14_286}, {}, DenyCode.DRAWDOWN),
    ({"lost_in_coin_lamports": 49, "lost_with_creator_lamports": 69}, {}, None),
    ({"lost_in_coin_lamports": 50}, {}, DenyCode.COIN_LOSS),
    ({"lost_with_creator_lamports": 70}, {}, DenyCode.CREATOR_LOSS),
]


@pytest.mark.parametrize(("used", "limits", "code"), USES)
def test_limits_of_a_wallet_and_of_all_deny_alike(
    used: dict[str, object], limits: dict[str, object], code: DenyCode | None
) -> None:
    scope = Scope(replace(LIMITS, **limits), replace(USAGE, **used))  # type: ignore[arg-type]
    assert deny_buy(replace(BUY, wallet=scope)) == code
    assert deny_buy(replace(BUY, everyone=scope)) == (code and f"GLOBAL_{code}")
    assert deny_buy(replace(BUY, wallet=Scope(Limits(), scope.usage), everyone=None)) in (None, DenyCode.COOLDOWN)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"everyone": None}, None),
        ({"trading_state": "HALTED"}, DenyCode.TRADING_HALTED),
        ({"trading_state": "REDUCING"}, DenyCode.TRADING_REDUCING),
        ({"is_unlocked": False}, DenyCode.REAL_TRADING_LOCKED),
        ({"is_active": False}, DenyCode.WALLET_NOT_ACTIVE),
        (wallet(trading_enabled=False), DenyCode.TRADING_DISABLED),
        ({"everyone": Scope(LIMITS, USAGE, trading_enabled=False)}, DenyCode.GLOBAL_TRADING_DISABLED),
        ({"feed_age_seconds": 30.1}, DenyCode.FEED_STALE),
        ({"feed_age_seconds": float("inf")}, DenyCode.FEED_STALE),
        ({"coin_is_blocked": True}, DenyCode.COIN_BLOCKED),
        ({"creator_is_blocked": True}, DenyCode.CREATOR_BLOCKED),
        (coin(is_known=False), DenyCode.COIN_UNKNOWN),
        (coin(is_standard=False), DenyCode.COIN_NONSTANDARD),
        (coin(is_graduated=True), DenyCode.COIN_GRADUATED),
        (coin(is_complete=True), DenyCode.CURVE_COMPLETE),
        (coin(is_in_gap=True), DenyCode.COIN_IN_GAP),
        (coin(age_of_last_trade_seconds=300.0), None),
        (coin(age_of_last_trade_seconds=300.1), DenyCode.COIN_STALE),
        ({"holds_coin": True}, DenyCode.POSITION_OPEN),
        ({"holds_coin": True, "may_add": True}, None),
        ({"holds_coin": True, "may_add": True, **usage(open_positions=3)}, None),
        ({"stake_lamports": 501}, DenyCode.MAX_POSITION),
        ({"real_sol_lamports": 3_999}, DenyCode.MAX_RESERVES),
        ({"needed_lamports": 451}, DenyCode.CAP_TRADE),
        (caps(spent_today_lamports=451), DenyCode.CAP_DAY),
        (caps(spent_lamports=1_351), DenyCode.CAP_TOTAL),
        ({"caps": Caps(spent_today_lamports=10**9, spent_lamports=10**9)}, None),
        ({"cash_lamports": 549}, DenyCode.INSUFFICIENT_BALANCE),
    ],
)
def test_buy_is_denied_by_the_table(changes: dict[str, object], code: DenyCode | None) -> None:
    assert deny_buy(replace(BUY, **changes)) == code  # type: ignore[arg-type]


def test_every_code_has_its_sentence_and_every_limit_of_a_wallet_has_one_of_all() -> None:
    assert set(DENIALS) == set(DenyCode)
    assert len(set(DENIALS.values())) == len(DENIALS)
    assert all(sentence.endswith(".") for sentence in DENIALS.values())
    denied = {code for _, _, code in USES if code}
    assert {f"GLOBAL_{code}" for code in denied} <= set(DenyCode)


@pytest.mark.parametrize(
    ("losses", "from_losses", "seconds"), [(1, 1, 60), (1, 2, 0), (2, 2, 60), (3, 2, 60), (1, 0, 60), (0, 0, 0)]
)
def test_cool_down_begins_with_the_last_loss_of_enough(losses: int, from_losses: int, seconds: int) -> None:
    assert cooldown_of(losses, from_losses, 60) == seconds


SELL = SellSnapshot("ACTIVE", True, 100, 100, False, 50, 50)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"trading_state": "REDUCING"}, None),
        ({"trading_state": "HALTED"}, DenyCode.TRADING_HALTED),
        ({"is_unlocked": False}, DenyCode.REAL_TRADING_LOCKED),
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
    assert day_start(moment, "Europe/Berlin") == datetime(2026, 7, 4, 22, 0, tzinfo=UTC)
    assert day_start(datetime(2026, 10, 25, 12, tzinfo=UTC), "Europe/Berlin") == datetime(2026, 10, 24, 22, tzinfo=UTC)


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
