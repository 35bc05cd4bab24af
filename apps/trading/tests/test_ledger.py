"""No lamport appears or vanishes, whatever is traded in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.discovery import curve
from apps.discovery.curve import INITIAL, Fees
from apps.trading.fills import NOTHING_STANDING, Costs, Fill, FillRejectedError, Standing, fill_buy, fill_sell
from apps.trading.ledger import COSTS, Entry, UnbalancedError, balances, deposit_entries, trade_entries

START = 10 * curve.LAMPORTS_PER_SOL


def entries_of(fill: Fill) -> list[Entry]:
    return trade_entries(
        action=fill.side,
        curve_lamports=fill.curve_lamports,
        balance_change_lamports=fill.balance_change,
        costs={part: getattr(fill, part) for part in COSTS},
    )


def bought(lamports: int, fees: Fees, costs: Costs) -> Fill:
    quoted = {"quoted_base_units": 1, "quoted_lamports": 10**18}
    return fill_buy(INITIAL, NOTHING_STANDING, lamports=lamports, slippage_bps=10_000, fees=fees, costs=costs,
                    pays_rent=True, **quoted)  # fmt: skip


def sold(fill: Fill, base_units: int, fees: Fees, costs: Costs) -> Fill:
    standing = Standing(fill.curve_lamports, fill.base_units)
    return fill_sell(INITIAL, standing, base_units=base_units, quoted_lamports=0, slippage_bps=0, fees=fees,
                     costs=costs, returns_rent=base_units == fill.base_units)  # fmt: skip


@settings(max_examples=60)
@given(
    amounts=st.lists(st.integers(10_000, 5 * curve.LAMPORTS_PER_SOL), min_size=1, max_size=6),
    share=st.integers(1, 100),
    fees=st.builds(Fees, st.integers(0, 200), st.integers(0, 200)),
    costs=st.builds(Costs, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 2000)),
)
def test_cash_is_what_was_put_in_less_what_stands_elsewhere(
    amounts: list[int], share: int, fees: Fees, costs: Costs
) -> None:
    entries, cash = deposit_entries(START), START
    for lamports in amounts:
        try:
            bid = bought(lamports, fees, costs)
            fills = [bid, sold(bid, max(1, bid.base_units * share // 100), fees, costs)]
        except FillRejectedError:
            continue
        for fill in fills:
            entries += entries_of(fill)
            cash += fill.balance_change
    found = balances(entries)
    assert sum(found.values()) == 0
    assert found["cash"] == cash
    assert found["deposits"] == -START


@pytest.mark.parametrize("off", [-1, 1])
@pytest.mark.parametrize("part", ["network_fee", "rent"])
def test_booking_that_does_not_balance_is_refused(part: str, off: int) -> None:
    with pytest.raises(UnbalancedError, match=f"off by {off}"):
        trade_entries(action="buy", curve_lamports=100, balance_change_lamports=-105, costs={part: 5 + off})


def test_failure_costs_the_network_fee_only() -> None:
    entries = trade_entries(action="sell", curve_lamports=0, balance_change_lamports=-7, costs={"network_fee": 7})
    assert balances(entries) == {"cash": -7, "network_fee": 7}
