"""Fills on the curve: vectors, limits, and laws that hold for every trade."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.discovery import curve
from apps.discovery.curve import INITIAL, REAL_TOKENS_INITIAL, Fees, Reserves
from apps.trading.fills import (
    NOTHING_STANDING,
    Costs,
    Fill,
    FillRejectedError,
    RejectCode,
    Standing,
    buy_budget,
    fill_buy,
    fill_sell,
    liquidation_lamports,
    quote_buy,
    quote_sell,
    with_standing,
)
from apps.trading.positions import Holding, after_failed_exit, after_fill, cost_of_remaining, realized_pnl

SOL = curve.LAMPORTS_PER_SOL
FEES = Fees(95, 30)
COSTS = Costs(network_fee_lamports=105_000, tip_lamports=10_000, virtual_loss_bps=150)
COMPLETE = curve.buy_exact_out(INITIAL, REAL_TOKENS_INITIAL, FEES).after


def on_curve(virtual_sol: int) -> Reserves:
    return Reserves(virtual_sol, -(-INITIAL.virtual_sol * INITIAL.virtual_token // virtual_sol))


markets = st.integers(INITIAL.virtual_sol + SOL, 114 * SOL).map(on_curve)
stakes = st.integers(10_000, 20 * SOL)
costs_any = st.builds(
    Costs,
    network_fee_lamports=st.integers(5_000, 10**7),
    tip_lamports=st.integers(0, 10**7),
    virtual_loss_bps=st.integers(0, 5_000),
)


def buy(
    market: Reserves, lamports: int, costs: Costs = COSTS, standing: Standing = NOTHING_STANDING, **over: int
) -> Fill:
    quote = quote_buy(market, standing, lamports, FEES)
    limits = {"quoted_base_units": quote.token_base_units, "quoted_lamports": quote.total_lamports, "slippage_bps": 0}
    return fill_buy(market, standing, lamports=lamports, fees=FEES, costs=costs, pays_rent=True, **{**limits, **over})


def sell(
    market: Reserves, standing: Standing, base_units: int, costs: Costs = COSTS, quoted: int = 0, slippage: int = 0
) -> Fill:
    return fill_sell(
        market,
        standing,
        base_units=base_units,
        quoted_lamports=quoted,
        slippage_bps=slippage,
        fees=FEES,
        costs=costs,
        returns_rent=True,
    )


def test_buy_of_one_sol_at_the_start_shows_every_part() -> None:
    fill = buy(INITIAL, SOL)
    assert (fill.curve_lamports, fill.protocol_fee, fill.creator_fee) == (987_654_320, 9_382_717, 2_962_963)
    assert (fill.base_units, fill.venue_fee, fill.virtual_loss) == (34_199_203_120_618, 5_000_000, 15_000_000)
    assert (fill.network_fee, fill.tip, fill.rent) == (105_000, 10_000, 2_039_280)
    assert fill.balance_change == -1_022_154_280
    assert fill.price_impact_bps == 669


def test_selling_half_of_it_shows_every_part() -> None:
    bought = buy(INITIAL, SOL)
    standing = Standing(bought.curve_lamports, bought.base_units)
    fill = sell(INITIAL, standing, 17_099_601_560_309)
    assert (fill.curve_lamports, fill.protocol_fee, fill.creator_fee) == (501_824_360, 4_767_332, 1_505_474)
    assert fill.balance_change == 495_551_554 - 2_509_122 - 7_527_366 - 115_000 + 2_039_280


@pytest.mark.parametrize(
    ("moved_to", "slippage_bps", "code"),
    [
        (40 * SOL, 0, None),
        (41 * SOL, 0, RejectCode.TOO_MUCH_SOL_REQUIRED),
        (41 * SOL, 500, RejectCode.TOO_MUCH_SOL_REQUIRED),
        (41 * SOL, 510, None),
        (39 * SOL, 0, None),
    ],
)
def test_buy_holds_its_slippage_limit(moved_to: int, slippage_bps: int, code: RejectCode | None) -> None:
    quote = quote_buy(on_curve(40 * SOL), NOTHING_STANDING, SOL // 10, FEES)
    over = {"quoted_base_units": quote.token_base_units, "quoted_lamports": quote.total_lamports}
    if code is None:
        assert buy(on_curve(moved_to), SOL // 10, slippage_bps=slippage_bps, **over).slippage_bps <= slippage_bps
        return
    with pytest.raises(FillRejectedError) as refusal:
        buy(on_curve(moved_to), SOL // 10, slippage_bps=slippage_bps, **over)
    assert refusal.value.code == code


def test_sale_holds_its_slippage_limit() -> None:
    standing = Standing(SOL, 20 * 10**12)
    quoted = quote_sell(on_curve(40 * SOL), standing, 20 * 10**12, FEES).total_lamports
    assert sell(on_curve(39 * SOL), standing, 20 * 10**12, quoted=quoted, slippage=600).slippage_bps > 0
    with pytest.raises(FillRejectedError) as refusal:
        sell(on_curve(39 * SOL), standing, 20 * 10**12, quoted=quoted, slippage=400)
    assert refusal.value.code == RejectCode.TOO_LITTLE_SOL_RECEIVED


def test_complete_curve_refuses_to_trade() -> None:
    for refused in (lambda: buy(COMPLETE, SOL), lambda: sell(COMPLETE, NOTHING_STANDING, 10**12)):
        with pytest.raises(FillRejectedError) as refusal:
            refused()
        assert refusal.value.code == RejectCode.CURVE_COMPLETE


def test_our_own_fills_never_lock_us_in() -> None:
    nearly = on_curve(115 * SOL - 1_000_000)
    held = Standing(5 * SOL, 15 * 10**12)
    assert curve.is_complete(with_standing(nearly, held))
    assert sell(nearly, held, held.base_units).curve_lamports > 0


@given(markets, stakes, costs_any)
def test_cost_parts_of_a_buy_add_up_to_the_change_of_the_balance(market: Reserves, stake: int, costs: Costs) -> None:
    fill = buy(market, stake, costs)
    parts = fill.protocol_fee + fill.creator_fee + fill.venue_fee + fill.network_fee + fill.tip + fill.rent
    assert -fill.balance_change == fill.curve_lamports + parts + fill.virtual_loss
    assert -fill.balance_change <= buy_budget(stake, costs, pays_rent=True)
    assert min(fill.protocol_fee, fill.creator_fee, fill.venue_fee, fill.virtual_loss) >= 0
    assert fill.curve_lamports + fill.protocol_fee + fill.creator_fee <= stake


@given(markets, stakes, st.integers(-20 * SOL, 20 * SOL), costs_any)
def test_cost_parts_of_a_sale_add_up_to_the_change_of_the_balance(
    market: Reserves, stake: int, moved: int, costs: Costs
) -> None:
    bought = buy(market, stake, costs)
    later = on_curve(min(114 * SOL, max(INITIAL.virtual_sol, market.virtual_sol + moved)))
    try:
        fill = sell(later, Standing(bought.curve_lamports, bought.base_units), bought.base_units, costs)
    except FillRejectedError as refusal:
        assert refusal.code == RejectCode.TRADE_REFUSED
        return
    parts = fill.protocol_fee + fill.creator_fee + fill.venue_fee + fill.network_fee + fill.tip + fill.rent
    assert fill.balance_change == fill.curve_lamports - parts - fill.virtual_loss
    assert fill.balance_change >= -(costs.network_fee_lamports + costs.tip_lamports) + costs.rent_lamports
    assert liquidation_lamports(
        later, Standing(bought.curve_lamports, bought.base_units), bought.base_units, FEES, costs
    ) == (fill.balance_change)


@given(markets, stakes)
def test_buying_and_selling_back_at_once_never_gains(market: Reserves, stake: int) -> None:
    free = Costs(network_fee_lamports=0, tip_lamports=0, venue_fee_bps=0, rent_lamports=0)
    bought = buy(market, stake, free)
    standing = Standing(bought.curve_lamports, bought.base_units)
    assume(not curve.is_complete(with_standing(market, standing)))
    sold = quote_sell(market, standing, bought.base_units, Fees(0, 0))
    assert sold.net_lamports <= bought.curve_lamports


@given(markets, stakes)
def test_standing_fill_leaves_exactly_what_the_curve_formula_leaves(market: Reserves, stake: int) -> None:
    quote = quote_buy(market, NOTHING_STANDING, stake, FEES)
    assume(quote.total_lamports >= stake - 2)
    ours = with_standing(market, Standing(quote.net_lamports, quote.token_base_units))
    assert ours == quote.after


@given(markets, st.integers(INITIAL.virtual_sol, 114 * SOL), stakes)
def test_what_we_hold_can_be_sold_wherever_the_market_goes(market: Reserves, later_sol: int, stake: int) -> None:
    bought = quote_buy(market, NOTHING_STANDING, stake, FEES)
    later = on_curve(later_sol)
    sold = quote_sell(later, Standing(bought.net_lamports, bought.token_base_units), bought.token_base_units, FEES)
    ours = with_standing(later, Standing(bought.net_lamports, bought.token_base_units))
    assert sold.net_lamports <= ours.virtual_sol
    assert sold.after.virtual_token <= INITIAL.virtual_token


moves = st.lists(st.tuples(st.booleans(), stakes, st.integers(1, 100)), min_size=1, max_size=12)


@given(markets, moves)
def test_position_is_the_sum_of_its_fills(market: Reserves, steps: list[tuple[bool, int, int]]) -> None:
    holding, fills, failed = Holding(), [], 0
    for is_buy, stake, percent in steps:
        standing = Standing(holding.curve_lamports, holding.quantity)
        units = holding.quantity * percent // 100
        try:
            fill = buy(market, stake, standing=standing) if is_buy else sell(market, standing, units)
        except FillRejectedError:
            failed += COSTS.network_fee_lamports
            holding = after_failed_exit(holding, COSTS.network_fee_lamports)
            continue
        fills.append(fill)
        holding = after_fill(holding, fill)
    bought = sum(fill.base_units for fill in fills if fill.side == "buy")
    sold = sum(fill.base_units for fill in fills if fill.side == "sell")
    assert (holding.bought, holding.quantity) == (bought, bought - sold)
    assert holding.quantity >= 0
    assert holding.proceeds - holding.cost == sum(fill.balance_change for fill in fills) - failed
    assert cost_of_remaining(holding) <= max(0, holding.cost)
    if holding.quantity == 0:
        assert realized_pnl(holding) == holding.proceeds - holding.cost


def test_selling_more_than_is_held_is_an_error() -> None:
    with pytest.raises(ValueError, match="held"):
        after_fill(Holding(quantity=1, bought=1), replace(buy(INITIAL, SOL), side="sell"))


def test_fills_reproduce_recorded_trades(recordings: Path) -> None:
    """Of 93 decoded trades those made exactly-in or as sales come out of our fills to the last unit."""
    counts = {"exact_in": 0, "sell": 0}
    at = datetime(2026, 7, 4, tzinfo=UTC)
    for line in (recordings / "trades_decoded_2026-07-04.jsonl").read_text().splitlines():
        row = json.loads(line, parse_float=Decimal)
        net, tokens = int(Decimal(row["solAmount"]) * SOL), round(Decimal(row["tokenAmount"]) * 10**6)
        after = Reserves(
            int(Decimal(row["vSolInBondingCurve"]) * SOL), round(Decimal(row["vTokensInBondingCurve"]) * 10**6)
        )
        formula = curve.reproduces(row["txType"], net, tokens, after)
        if formula not in counts:
            continue
        before = curve.reserves_before(row["txType"], net, tokens, after)
        fees = curve.fees_at(at)
        if formula == "sell":
            fill = sell(before, NOTHING_STANDING, tokens)
        else:
            fill = buy(before, net + curve.fee(net, fees.protocol_bps) + curve.fee(net, fees.creator_bps))
        counts[formula] += (fill.curve_lamports, fill.base_units) == (net, tokens)
    assert counts == {"exact_in": 8, "sell": 37}
