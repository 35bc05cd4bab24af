"""Exits beyond stop, target and time, stakes and conditions: each a table of rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.core.errors import PlatformError
from apps.trading.conditions import Condition, first_failed, holds
from apps.trading.definitions import definition_parse
from apps.trading.exits import (
    Decision,
    Levels,
    Mark,
    Rung,
    Trigger,
    deadline,
    decide,
    first_trigger,
    rungs_reached,
    units_of_rungs,
)
from apps.trading.sizing import EquityShare, FixedStake, KellyShare, kelly_ratio, sizing_of

T0 = datetime(2026, 7, 4, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


TRAIL = Levels(trailing_bps=2000, trailing_from_bps=1000, entry_price_sol=100.0)
LADDER = Levels(ladder=(Rung(1000, 3000), Rung(2000, 3000), Rung(5000, 2000)))
ALL = Levels(
    stop_loss_bps=2000, trailing_bps=1000, creator_sold_lamports=1, leave_at=T0, take_profit_bps=5000, timeout_at=T0,
    ladder=(Rung(100, 10_000),), graduation_bps=9000,
)  # fmt: skip


def mark(value: int = 1000, **fields: Any) -> Mark:
    return Mark(at(10), 1000, value, **fields)


@pytest.mark.parametrize(
    ("levels", "seen", "expected"),
    [
        # trailing stop: armed 10 % above the entry, 20 % below the peak
        (TRAIL, mark(price_sol=80.0, peak_price_sol=100.0), None),
        (TRAIL, mark(price_sol=80.0, peak_price_sol=109.9), None),
        (TRAIL, mark(price_sol=88.1, peak_price_sol=110.1), None),
        (TRAIL, mark(price_sol=88.0, peak_price_sol=110.1), Decision("TRAILING_STOP")),
        (replace(TRAIL, trailing_from_bps=0), mark(price_sol=80.0, peak_price_sol=100.0), Decision("TRAILING_STOP")),
        # ladder: part by part, several at once, never twice
        (LADDER, mark(1099), None),
        (LADDER, mark(1100), Decision("TAKE_PROFIT", 1)),
        (LADDER, mark(1250), Decision("TAKE_PROFIT", 2)),
        (replace(LADDER, rungs_done=1), mark(1199), None),
        (replace(LADDER, rungs_done=1), mark(1600), Decision("TAKE_PROFIT", 3)),
        (replace(LADDER, rungs_done=3), mark(9000), None),
        (replace(LADDER, take_profit_bps=6000), mark(1599), Decision("TAKE_PROFIT", 3)),
        (replace(LADDER, take_profit_bps=6000), mark(1600), Decision("TAKE_PROFIT")),
        # creator sells: an amount, or base units
        (Levels(creator_sold_lamports=500), mark(creator_sold_lamports=499, creator_sold_base_units=10**9), None),
        (Levels(creator_sold_lamports=500), mark(creator_sold_lamports=500), Decision("CREATOR")),
        (Levels(creator_sold_base_units=7), mark(creator_sold_base_units=6), None),
        (Levels(creator_sold_base_units=7), mark(creator_sold_base_units=7), Decision("CREATOR")),
        # model says sell
        (Levels(leave_at=at(10)), mark(), Decision("MODEL")),
        (Levels(leave_at=at(10.001)), mark(), None),
        # graduation, or near it
        (Levels(), mark(curve_bps=9999), None),
        (Levels(), mark(curve_bps=10_000), Decision("GRADUATED")),
        (Levels(graduation_bps=9500), mark(curve_bps=9500), Decision("GRADUATED")),
        (Levels(graduation_bps=None), mark(curve_bps=10_000), None),
        # what sells everything comes before what sells a part, in this order
        (ALL, mark(1100, curve_bps=9000), Decision("GRADUATED")),
        (ALL, mark(100, price_sol=1.0, peak_price_sol=9.0), Decision("STOP_LOSS")),
        (ALL, mark(1100, price_sol=1.0, peak_price_sol=9.0, creator_sold_lamports=5), Decision("TRAILING_STOP")),
        (ALL, mark(1100, price_sol=9.0, peak_price_sol=9.0, creator_sold_lamports=5), Decision("CREATOR")),
        (ALL, mark(1600, price_sol=9.0, peak_price_sol=9.0), Decision("MODEL")),
        (replace(ALL, leave_at=None), mark(1600, price_sol=9.0, peak_price_sol=9.0), Decision("TAKE_PROFIT")),
        (replace(ALL, leave_at=None), mark(1100, price_sol=9.0, peak_price_sol=9.0), Decision("TIMEOUT")),
        (replace(ALL, leave_at=None, timeout_at=None), mark(1100, price_sol=9.0, peak_price_sol=9.0),
         Decision("TAKE_PROFIT", 1)),
    ],
)  # fmt: skip
def test_exit_follows_the_table(levels: Levels, seen: Mark, expected: Decision | None) -> None:
    assert decide(levels, seen) == expected


@pytest.mark.parametrize(
    ("levels", "graduated", "model", "expected"),
    [
        (Levels(), None, None, None),
        (Levels(leave_at=at(5)), None, None, Trigger("MODEL", at(5))),
        (Levels(leave_at=at(-5)), None, None, Trigger("MODEL", at(0))),
        (Levels(leave_at=at(61)), None, None, None),
        (Levels(), None, 7, Trigger("MODEL", at(7))),
        (Levels(timeout_at=at(6)), 8, 7, Trigger("TIMEOUT", at(6))),
        (Levels(), 6, 7, Trigger("GRADUATED", at(6))),
        (Levels(graduation_bps=None), 6, None, None),
    ],
)
def test_deadline_follows_the_table(
    levels: Levels, graduated: float | None, model: float | None, expected: Trigger | None
) -> None:
    moments = {"graduated_at": graduated, "model_at": model}
    given = {name: at(value) for name, value in moments.items() if value is not None}
    assert deadline(levels, since=at(0), to=at(60), **given) == expected


def test_trigger_carries_its_rungs_and_comes_before_a_later_deadline() -> None:
    marks = [Mark(at(1), 1000, 1000), Mark(at(2), 1000, 1250), Mark(at(9), 1000, 100)]
    assert first_trigger(LADDER, marks, Trigger("MODEL", at(5))) == Trigger("TAKE_PROFIT", at(2), 2)
    assert first_trigger(LADDER, marks, Trigger("MODEL", at(1))) == Trigger("MODEL", at(1))


@pytest.mark.parametrize(
    ("shares", "done", "rungs", "held", "units"),
    [
        ([3000, 3000], 0, 1, 1001, 300),
        ([3000, 3000], 1, 2, 701, 300),
        ([3000, 3000], 0, 2, 1001, 600),
        ([5000, 5000], 0, 1, 1001, 500),
        ([5000, 5000], 1, 2, 501, 501),  # the last of a whole ladder takes the rounding along
        ([5000, 5000], 0, 2, 1001, 1001),
        ([9000, 500], 0, 1, 17, 17),  # less is held than the share: by hand some was sold
        ([1, 1], 0, 1, 1001, 1),
    ],
)
def test_rungs_sell_their_shares_of_what_was_bought(
    shares: list[int], done: int, rungs: int, held: int, units: int
) -> None:
    ladder = tuple(Rung(1000 * (number + 1), share) for number, share in enumerate(shares))
    assert units_of_rungs(Levels(ladder=ladder, rungs_done=done), rungs, bought=1001, held=held) == units
    assert rungs_reached(Levels(ladder=ladder), Mark(T0, 100, 111)) == 1


@pytest.mark.parametrize(
    ("sizing", "equity", "probability", "lamports"),
    [
        (FixedStake(7), 0, 0.0, 7),
        (EquityShare(100, 10**9), 10_000, 0.5, 100),
        (EquityShare(100, 60), 10_000, 0.5, 60),
        (EquityShare(100, 60), -5, 0.5, 0),
        (KellyShare(10_000, 10_000, 10**9, 10_000, 10_000), 1000, 0.6, 199),  # 0.2 of it, floats rounded down
        (KellyShare(5_000, 10_000, 10**9, 10_000, 10_000), 1000, 0.75, 250),
        (KellyShare(10_000, 500, 10**9, 10_000, 10_000), 1000, 0.75, 50),
        (KellyShare(10_000, 10_000, 33, 10_000, 10_000), 1000, 0.75, 33),
        (KellyShare(10_000, 10_000, 10**9, 10_000, 10_000), 1000, 0.5, 0),
        (KellyShare(10_000, 10_000, 10**9, 3_000, 2_000), 1000, 0.4, 0),
        (KellyShare(10_000, 10_000, 10**9, 3_000, 2_000), 1000, 1.0, 1000),  # 5 times all of it: capped
        (KellyShare(10_000, 10_000, 10**9, 10_000, 10_000), 0, 0.9, 0),
    ],
)
def test_stake_follows_the_table(sizing: Any, equity: int, probability: float, lamports: int) -> None:
    assert sizing.size(equity_lamports=equity, probability=probability) == lamports


def test_kelly_is_nothing_where_nothing_is_gained_on_average() -> None:
    breakeven = 2_000 / 5_000  # loss / (loss + gain)
    assert kelly_ratio(breakeven, 3_000, 2_000) == pytest.approx(0)
    assert kelly_ratio(breakeven - 0.01, 3_000, 2_000) == 0
    assert kelly_ratio(breakeven + 0.01, 3_000, 2_000) > 0


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, FixedStake(9)),
        ({"kind": "share", "share_bps": 5}, EquityShare(5, 9)),
        ({"kind": "kelly", "fraction_bps": 1, "most_bps": 2, "payoff_bps": [3, 4]}, KellyShare(1, 2, 9, 3, 4)),
    ],
)
def test_sizing_is_made_of_what_was_chosen(chosen: dict[str, Any], expected: Any) -> None:
    assert sizing_of(9, chosen) == expected


@pytest.mark.parametrize(
    ("sign", "value", "known", "expected"),
    [
        (">=", 5, 5.0, True),
        (">", 5, 5.0, False),
        ("<=", 5, 5.0, True),
        ("<", 5, 4.9, True),
        ("=", 5.0, 5, True),
        ("!=", 5.0, 5, False),
        ("!=", 5.0, 6, True),
        ("in", (1.0, 2.0), 2, True),
        ("not_in", (1.0, 2.0), 2, False),
        ("in", ("a", "b"), "b", True),
        ("not_in", ("a", "b"), "c", True),
        ("not_in", ("a", "b"), None, False),
        (">=", 5, None, False),
        ("<", 5, float("nan"), False),
        ("!=", 5, float("nan"), False),
    ],
)
def test_condition_holds_by_the_table(sign: str, value: Any, known: Any, expected: bool) -> None:
    assert holds(Condition("phase", sign, value), known) is expected


def test_first_condition_that_fails_is_named() -> None:
    rows = [Condition("phase", ">=", 1), Condition("coin.age_seconds", "<", 60.0), Condition("creator", "in", ("a",))]
    failed = first_failed(rows, {"phase": 1, "coin.age_seconds": 60.0})
    assert failed is not None
    assert failed.text == "coin.age_seconds < 60"
    assert first_failed(rows, {"phase": 1, "coin.age_seconds": 59.0, "creator": "a"}) is None


FIXED = {"kind": "fixed", "stake_lamports": 5}
KELLY = {"kind": "kelly", "most_lamports": 5}


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({}, "sizing"),
        ({"sizing": {"kind": "fixed", "stake_lamports": 0}}, "sizing.fixed.stake_lamports"),
        ({"sizing": {"kind": "none"}}, "sizing"),
        ({"sizing": KELLY}, "strategy"),
        ({"sizing": FIXED, "more": 1}, "more"),
        ({"sizing": FIXED, "exits": {"stop_loss_bps": 10_001}}, "exits.stop_loss_bps"),
        ({"sizing": FIXED, "exits": {"trailing_bps": 10_000}}, "exits.trailing_bps"),
        ({"sizing": FIXED, "exits": {"ladder": [{"gain_bps": 2, "share_bps": 1}] * 2}}, "exits.ladder"),
        ({"sizing": FIXED, "exits": {"ladder": [{"gain_bps": n, "share_bps": 6000} for n in (1, 2)]}}, "exits.ladder"),
        ({"sizing": FIXED, "exits": {"ladder": [{"gain_bps": 9, "share_bps": 1}], "take_profit_bps": 9}}, "exits"),
        ({"sizing": FIXED, "exits": {"model_below_ids": [1]}}, "exits"),
        ({"sizing": FIXED, "entry": {"min_probability": float("nan")}}, "entry.min_probability"),
        *(
            ({"sizing": FIXED, "entry": {"conditions": [row]}}, "entry.conditions.0")
            for row in (
                {"fact": "coin.colour", "value": 1},
                {"fact": "feature.", "value": 1},
                {"fact": "creator", "operator": ">", "value": "a"},
                {"fact": "creator", "operator": "=", "value": 5},
                {"fact": "phase", "operator": "in", "value": 1},
                {"fact": "phase", "operator": "=", "value": [1]},
                {"fact": "phase", "operator": "=", "value": "two"},
            )
        ),
    ],
)
def test_impossible_definition_is_refused_with_its_field(source: dict[str, Any], field: str) -> None:
    with pytest.raises(PlatformError) as refused:
        definition_parse(source)
    assert (refused.value.code, refused.value.details["field"]) == ("STRATEGY_INVALID", field)


@pytest.mark.parametrize(
    ("exits", "sizing", "payoff"),
    [
        ({"take_profit_bps": 3000, "stop_loss_bps": 1000}, {}, (3000, 1000)),
        ({"take_profit_bps": 3000}, {}, (3000, 10_000)),
        ({"take_profit_bps": 4000, "ladder": [{"gain_bps": 2000, "share_bps": 5000}]}, {}, (3000, 10_000)),
        ({"ladder": [{"gain_bps": 1000, "share_bps": 5000}, {"gain_bps": 3000, "share_bps": 2500}]}, {},
         (2000, 10_000)),
        ({"take_profit_bps": 3000, "stop_loss_bps": 1000}, {"gain_bps": 10, "loss_bps": 20}, (10, 20)),
    ],
)  # fmt: skip
def test_pay_off_comes_from_the_exits(exits: dict[str, Any], sizing: dict[str, Any], payoff: tuple[int, int]) -> None:
    definition = definition_parse({"sizing": KELLY | sizing, "exits": exits})
    assert (definition.gain_bps(), definition.loss_bps()) == payoff
