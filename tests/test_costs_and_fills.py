"""What training says an alert is worth is what trading's fills would have paid out."""

from datetime import UTC, datetime

import numpy as np
import pytest
from django.conf import settings

from apps.discovery import curve
from apps.discovery.curve import Reserves
from apps.trading.fills import NOTHING_STANDING, FillRejectedError, Standing, fill_buy, fill_sell, quote_buy
from apps.trading.fills import Costs as FillCosts
from apps.training.evaluation.costs import Costs, values
from apps.training.recipes import TradeCosts

K = curve.INITIAL.virtual_sol * curve.INITIAL.virtual_token
NETWORK = 105_000


def at(sol: float) -> Reserves:
    """A curve with so many virtual SOL."""
    lamports = round(sol * curve.LAMPORTS_PER_SOL)
    return Reserves(lamports, K // lamports)


def traded(entry: Reserves, leave: Reserves, stake: int, moment: datetime) -> float:
    """Ratio of the stake that a buy and the sale of all of it add to the wallet, by trading's own fills."""
    fees, costs = curve.fees_at(moment), FillCosts(NETWORK, 0)
    quote = quote_buy(entry, NOTHING_STANDING, stake, fees)
    common = {"slippage_bps": 10_000, "fees": fees, "costs": costs}
    buy = fill_buy(
        entry, NOTHING_STANDING, lamports=stake, quoted_base_units=quote.token_base_units,
        quoted_lamports=quote.total_lamports, pays_rent=True, **common,
    )  # fmt: skip
    standing = Standing(buy.curve_lamports, buy.base_units)
    sale = fill_sell(leave, standing, base_units=buy.base_units, quoted_lamports=0, returns_rent=True, **common)
    return (buy.balance_change + sale.balance_change) / stake


@pytest.mark.parametrize("moment", [datetime(2025, 6, 1, tzinfo=UTC), datetime(2026, 3, 1, 23, 59, tzinfo=UTC)])
@pytest.mark.parametrize("stake_sol", [0.01, 0.1, 2.0])
@pytest.mark.parametrize(("entry", "leave"), [(30.0, 30.0), (31, 45), (60, 33), (80, 110), (110, 70), (114.9, 40)])
def test_an_alert_is_worth_what_its_fills_pay_out(entry, leave, stake_sol, moment):
    us = np.array([int(moment.timestamp() * 1e6)])
    price = [np.array([curve.spot_price_sol(at(sol))]) for sol in (entry, leave)]
    found = values(*price, us, us, Costs(stake_sol=stake_sol, failure_rate=0.0))
    expected = traded(at(entry), at(leave), round(stake_sol * curve.LAMPORTS_PER_SOL), moment)
    assert found[0] == pytest.approx(expected, abs=2e-6)


def test_a_curve_without_tokens_left_costs_the_network_fee_in_both():
    full = Reserves(curve.SOL_AT_COMPLETION, curve.TOKENS_AT_COMPLETION)
    with pytest.raises(FillRejectedError):
        traded(full, full, 10**8, datetime(2026, 3, 1, tzinfo=UTC))
    price, us = np.array([curve.spot_price_sol(full) * 1.01]), np.array([1_780_000_000_000_000])
    assert values(price, price, us, us, Costs())[0] == pytest.approx(-NETWORK / 10**8)


def test_an_entry_that_ran_away_is_refused_by_both():
    us, moment = np.array([1_780_000_000_000_000]), datetime(2026, 5, 1, tzinfo=UTC)
    quoted, limit, fees = at(40), 500, curve.fees_at(moment)
    quote = quote_buy(quoted, NOTHING_STANDING, 10**8, fees)
    prices = {sol: np.array([curve.spot_price_sol(at(sol))]) for sol in (40, 40.9, 41.1)}
    for sol, refused in ((40.9, False), (41.1, True)):
        common = {"slippage_bps": limit, "fees": fees, "costs": FillCosts(NETWORK, 0), "pays_rent": True}
        amounts = {"quoted_base_units": quote.token_base_units, "quoted_lamports": quote.total_lamports}
        try:
            fill_buy(at(sol), NOTHING_STANDING, lamports=10**8, **amounts, **common)
            said = False
        except FillRejectedError:
            said = True
        value = values(prices[sol], prices[sol] * 2, us, us, Costs(max_slippage_bps=limit), quoted_price=prices[40])
        assert said == refused == bool(value[0] < 0)


def test_recipes_trade_like_the_paper_venue_unless_told_otherwise():
    costs = TradeCosts()
    assert costs.network_fee_sol == settings.NETWORK_FEE_SOL
    assert costs.failure_rate == settings.PAPER_FAILURE_RATE
    assert costs.max_slippage_bps == settings.DEFAULT_SLIPPAGE_BPS
    assert costs.tip_sol * curve.LAMPORTS_PER_SOL == settings.DEFAULT_JITO_TIP_LAMPORTS
    assert costs.venue_fee_bps == FillCosts(0, 0).venue_fee_bps
    assert costs.rule() == Costs()
