"""The curve against known vectors, its own laws and real decoded trades."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.discovery import curve
from apps.discovery.curve import INITIAL, Fees, Reserves

FEES = Fees(95, 30)
NOT_ON_THE_CURVE = [("4aLMRbiB", "buy"), ("1ZRnqAJ4", "sell"), ("2GxZbYYp", "sell")]


def test_buying_one_sol_at_the_start_gives_the_known_amounts() -> None:
    quote = curve.buy_exact_in(INITIAL, 10**9, FEES)
    assert (quote.net_lamports, quote.protocol_fee, quote.creator_fee) == (987_654_320, 9_382_717, 2_962_963)
    assert quote.token_base_units == 34_199_203_120_618
    assert quote.total_lamports == 10**9
    assert quote.after == Reserves(30_987_654_320, 1_038_800_796_879_382)


def test_selling_half_of_it_gives_the_known_amounts() -> None:
    quote = curve.sell(Reserves(30_987_654_320, 1_038_800_796_879_382), 17_099_601_560_309, FEES)
    assert (quote.net_lamports, quote.protocol_fee, quote.creator_fee) == (501_824_360, 4_767_332, 1_505_474)
    assert quote.total_lamports == 495_551_554


@pytest.mark.parametrize(("sol", "above_spot_pct"), [(0.05, 1.42), (0.5, 2.92), (1, 4.58), (5, 17.9)])
def test_first_buy_pays_the_known_premium_over_spot(sol: float, above_spot_pct: float) -> None:
    quote = curve.buy_exact_in(INITIAL, int(sol * 10**9), FEES)
    paid = quote.total_lamports / quote.token_base_units / 1000
    assert (paid / curve.spot_price_sol(INITIAL) - 1) * 100 == pytest.approx(above_spot_pct, abs=0.05)


@pytest.mark.parametrize(
    ("moment", "fees"),
    [
        (datetime(2025, 4, 30, tzinfo=UTC), Fees(100, 0)),
        (datetime(2025, 6, 1, tzinfo=UTC), Fees(95, 5)),
        (datetime(2025, 8, 31, 23, 59, 59, tzinfo=UTC), Fees(95, 5)),
        (datetime(2025, 9, 1, tzinfo=UTC), Fees(95, 30)),
    ],
)
def test_fees_follow_the_date(moment: datetime, fees: Fees) -> None:
    assert curve.fees_at(moment) == fees


def test_each_fee_is_rounded_up_by_itself() -> None:
    assert curve.fee(1, 95) == 1
    assert curve.fee(10_000, 95) == 95
    assert curve.fee(0, 95) == 0


def test_completion_is_where_the_documents_say() -> None:
    quote = curve.buy_exact_out(INITIAL, curve.REAL_TOKENS_INITIAL, FEES)
    assert curve.is_complete(quote.after)
    assert quote.after.virtual_sol == pytest.approx(curve.SOL_AT_COMPLETION, abs=2)
    assert curve.market_cap_sol(quote.after) == pytest.approx(410.88, abs=0.01)
    assert curve.curve_progress_pct(quote.after.virtual_sol) == pytest.approx(100, abs=1e-6)
    assert curve.market_cap_sol(INITIAL) == pytest.approx(27.96, abs=0.01)


def test_complete_curve_refuses_every_trade() -> None:
    complete = curve.buy_exact_out(INITIAL, curve.REAL_TOKENS_INITIAL, FEES).after
    with pytest.raises(curve.CurveCompleteError):
        curve.buy_exact_in(complete, 10**9, FEES)
    with pytest.raises(curve.CurveCompleteError):
        curve.buy_exact_out(complete, 1, FEES)
    with pytest.raises(curve.CurveCompleteError):
        curve.sell(complete, 1, FEES)


def test_buy_past_the_end_takes_the_rest_and_costs_less() -> None:
    quote = curve.buy_exact_in(INITIAL, 500 * 10**9, FEES)
    assert quote.token_base_units == curve.REAL_TOKENS_INITIAL
    assert quote.total_lamports < 500 * 10**9


@pytest.mark.parametrize("lamports", [-1, 0, 1, 2])
def test_buying_with_dust_is_refused(lamports: int) -> None:
    with pytest.raises(curve.CurveError):
        curve.buy_exact_in(INITIAL, lamports, FEES)


@pytest.mark.parametrize("base_units", [-1, 0, curve.REAL_TOKENS_INITIAL + 1])
def test_buying_more_than_the_curve_holds_is_refused(base_units: int) -> None:
    with pytest.raises(curve.CurveError):
        curve.buy_exact_out(INITIAL, base_units, FEES)


def test_selling_more_than_was_bought_is_refused() -> None:
    with pytest.raises(curve.CurveError):
        curve.sell(INITIAL, 1, FEES)


lamport_amounts = st.integers(min_value=10_000, max_value=120 * 10**9)
fee_schedules = st.sampled_from([Fees(95, 30), Fees(95, 5), Fees(100, 0), Fees(0, 0)])
steps = st.lists(st.tuples(st.booleans(), lamport_amounts, st.integers(1, 100)), min_size=1, max_size=30)


@given(steps=steps, fees=fee_schedules)
def test_product_of_the_reserves_never_falls_and_the_curve_never_overflows(
    steps: list[tuple[bool, int, int]], fees: Fees
) -> None:
    reserves = INITIAL
    for buying, lamports, percent in steps:
        held = INITIAL.virtual_token - reserves.virtual_token
        if curve.is_complete(reserves):
            break
        if not buying and held * percent // 100 == 0:
            continue
        quote = (
            curve.buy_exact_in(reserves, lamports, fees)
            if buying
            else curve.sell(reserves, held * percent // 100, fees)
        )
        after = quote.after
        assert after.virtual_sol * after.virtual_token >= reserves.virtual_sol * reserves.virtual_token
        assert curve.TOKENS_AT_COMPLETION <= after.virtual_token <= INITIAL.virtual_token
        assert after.virtual_sol >= INITIAL.virtual_sol
        reserves = after


@given(before=lamport_amounts, lamports=lamport_amounts, fees=fee_schedules)
def test_buying_and_selling_back_never_gains(before: int, lamports: int, fees: Fees) -> None:
    start = curve.buy_exact_in(INITIAL, before, fees).after
    if curve.is_complete(start):
        return
    bought = curve.buy_exact_in(start, lamports, fees)
    assert bought.total_lamports <= lamports
    if not curve.is_complete(bought.after):
        back = curve.sell(bought.after, bought.token_base_units, fees)
        assert back.total_lamports <= bought.total_lamports


@given(lamports=lamport_amounts, fees=fee_schedules, share=st.integers(1, 100))
def test_every_own_trade_is_reproduced_from_its_traces(lamports: int, fees: Fees, share: int) -> None:
    bought = curve.buy_exact_in(INITIAL, lamports, fees)
    assert curve.reproduces("buy", bought.net_lamports, bought.token_base_units, bought.after) in (
        "exact_in",
        "exact_out",
    )
    if curve.is_complete(bought.after) or not bought.token_base_units * share // 100:
        return
    sold = curve.sell(bought.after, bought.token_base_units * share // 100, fees)
    assert curve.reproduces("sell", sold.net_lamports, sold.token_base_units, sold.after) == "sell"


def test_one_lamport_more_is_not_reproduced() -> None:
    quote = curve.buy_exact_out(INITIAL, 10**12, FEES)
    after = Reserves(quote.after.virtual_sol + 1, quote.after.virtual_token)
    assert curve.reproduces("buy", quote.net_lamports + 1, 10**12, after) is None


def _units(value: Decimal, per: int) -> int:
    return int((value * per).to_integral_value())


@pytest.mark.recordings
def test_real_trades_are_reproduced_but_for_three_named_ones(recordings: Path) -> None:
    formulas: Counter[str] = Counter()
    strangers = []
    for line in (recordings / "trades_decoded_2026-07-04.jsonl").read_text().splitlines():
        trade = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        after = Reserves(_units(trade["vSolInBondingCurve"], 10**9), _units(trade["vTokensInBondingCurve"], 10**6))
        net, tokens = _units(trade["solAmount"], 10**9), _units(trade["tokenAmount"], 10**6)
        formula = curve.reproduces(trade["txType"], net, tokens, after)
        formulas[formula or "none"] += 1
        if formula is None:
            strangers.append((trade["signature"][:8], trade["txType"]))
    assert formulas == {"exact_out": 45, "exact_in": 8, "sell": 37, "none": 3}
    assert strangers == NOT_ON_THE_CURVE
