"""Warnings of settings that can never trade, and the use of limits, as tables of rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.trading.conditions import Condition, Value, exclude
from apps.trading.exit_levels import exit_levels
from apps.trading.exits import Levels, Rung
from apps.trading.funnel_rules import Never, Setting, warnings_of
from apps.trading.funnel_warnings import WARNINGS
from apps.trading.limits_used import used_of
from apps.trading.risk import Limits, Usage

FINE = Setting(
    is_active=True, trading_state="ACTIVE", is_unlocked=True, wallet_is_active=True, trading_enabled=True,
    all_trading_enabled=True, stake_lamports=100, most_stake_lamports=100, needed_lamports=130, equity_lamports=130,
    limits=Limits(max_position_lamports=100, max_open_positions=1, max_exposure_lamports=100), limits_of_all=Limits(),
    least_cap_lamports=None, losses_reached=False, losses_reached_by_all=False, conditions_exclude=False,
    models_at_work=1, models_usable=1, alerts=3, best_probability=0.8, min_probability=0.8,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"is_active": False}, [Never.STRATEGY_PAUSED]),
        ({"trading_state": "REDUCING"}, [Never.TRADING_NOT_ACTIVE]),
        ({"is_unlocked": False}, [Never.REAL_TRADING_LOCKED]),
        ({"wallet_is_active": False}, [Never.WALLET_NOT_ACTIVE]),
        ({"trading_enabled": False}, [Never.TRADING_DISABLED]),
        ({"all_trading_enabled": False}, [Never.GLOBAL_TRADING_DISABLED]),
        ({"limits": Limits(max_position_lamports=99)}, [Never.STAKE_ABOVE_LIMIT]),
        ({"limits": Limits(max_exposure_lamports=99)}, [Never.STAKE_ABOVE_LIMIT]),
        ({"limits": Limits(max_open_positions=0)}, [Never.NO_POSITION_ALLOWED]),
        ({"limits": Limits(max_position_lamports=99), "stake_lamports": None}, []),
        ({"limits_of_all": Limits(max_exposure_lamports=99)}, [Never.STAKE_ABOVE_GLOBAL_LIMIT]),
        ({"least_cap_lamports": 129}, [Never.STAKE_ABOVE_CAP]),
        ({"least_cap_lamports": 130}, []),
        ({"equity_lamports": 129}, [Never.STAKE_ABOVE_EQUITY]),
        ({"losses_reached": True}, [Never.LOSSES_REACHED]),
        ({"losses_reached_by_all": True}, [Never.GLOBAL_LOSSES_REACHED]),
        ({"most_stake_lamports": 0, "stake_lamports": None}, [Never.SIZING_ZERO]),
        ({"conditions_exclude": True}, [Never.CONDITIONS_EXCLUDE]),
        ({"models_usable": 0}, [Never.MODELS_NOT_CALIBRATED]),
        ({"models_at_work": 0, "models_usable": 0, "alerts": 0, "best_probability": None}, [Never.MODELS_AT_REST]),
        ({"alerts": 0, "best_probability": None}, [Never.NO_ALERT]),
        ({"min_probability": 0.81}, [Never.THRESHOLD_ABOVE_ALERTS]),
        ({"is_active": False, "equity_lamports": 0}, [Never.STRATEGY_PAUSED, Never.STAKE_ABOVE_EQUITY]),
    ],
)
def test_setting_warns_of_every_reason(changes: dict[str, object], codes: list[Never]) -> None:
    assert warnings_of(replace(FINE, **changes)) == codes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "excluded"),
    [
        ([], False),
        ([("coin.age_seconds", ">=", 30), ("coin.age_seconds", "<", 30)], True),
        ([("coin.age_seconds", ">=", 30), ("coin.age_seconds", "<=", 30)], False),
        ([("coin.age_seconds", ">=", 30), ("coin.age_seconds", "<=", 30), ("coin.age_seconds", "!=", 30)], True),
        ([("coin.age_seconds", ">", 60), ("coin.curve_pct", "<", 30)], False),
        ([("coin.age_seconds", ">", 1), ("coin.age_seconds", "<", 2)], False),
        ([("phase", "in", (1.0, 2.0)), ("phase", "not_in", (2.0, 1.0))], True),
        ([("phase", "in", (1.0, 2.0)), ("phase", ">", 1.0)], False),
        ([("creator", "in", ("a", "b")), ("creator", "!=", "a")], False),
        ([("creator", "=", "a"), ("creator", "=", "b")], True),
        ([("creator", "!=", "a"), ("creator", "not_in", ("b", "ab"))], False),
    ],
)
def test_conditions_that_exclude_each_other_are_found(rows: list[tuple[str, str, Value]], excluded: bool) -> None:
    assert exclude([Condition(*row) for row in rows]) is excluded


def test_every_warning_has_its_sentence() -> None:
    assert set(WARNINGS) == set(Never)


def test_use_of_limits_is_a_share_of_those_that_are_set() -> None:
    usage = Usage(
        open_positions=2, equity_lamports=80, day_start_equity_lamports=100, peak_equity_lamports=160,
        consecutive_losses=9,
    )  # fmt: skip
    limits = Limits(max_open_positions=4, max_daily_loss_bps=2_500, max_drawdown_bps=5_000, max_consecutive_losses=3)
    found = {one.limit: (one.used, round(one.ratio, 3)) for one in used_of(limits, usage)}
    assert found == {
        "max_open_positions": (2, 0.5),
        "max_daily_loss_bps": (2_000, 0.8),
        "max_drawdown_bps": (5_000, 1.0),
        "max_consecutive_losses": (9, 1.0),
    }
    assert used_of(Limits(max_open_positions=0), Usage())[0].ratio == 1.0


@pytest.mark.parametrize(
    ("levels", "peak", "told"),
    [
        (Levels(), 2.0, []),
        (Levels(stop_loss_bps=2_000), 2.0, [("STOP_LOSS", -0.2, 0.3)]),
        (Levels(take_profit_bps=3_000), 2.0, [("TAKE_PROFIT", 0.3, 0.2)]),
        (Levels(ladder=(Rung(500, 1), Rung(4_000, 1)), rungs_done=1), 2.0, [("LADDER", 0.4, 0.3)]),
        (Levels(ladder=(Rung(500, 1),), rungs_done=1), 2.0, []),
        (Levels(trailing_bps=5_000, entry_price_sol=1.0), 2.0, [("TRAILING_STOP", 1.0, 0.2)]),
        (Levels(trailing_bps=5_000, trailing_from_bps=10_001, entry_price_sol=1.0), 2.0, []),
    ],
)
def test_exits_are_so_far(levels: Levels, peak: float, told: list[tuple[str, float, float]]) -> None:
    found = exit_levels(levels, net_return=0.1, price_sol=1.25, peak_sol=peak)
    assert [(one.name, round(one.level, 9), round(one.distance, 9)) for one in found] == told
