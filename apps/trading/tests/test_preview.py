"""Dry runs: what an order would do, by the gate itself, with nothing written; break-even; paper against live."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.discovery import curve
from apps.discovery.models import CoinTransaction
from apps.trading import comparison, engine, services
from apps.trading.breakeven import break_even
from apps.trading.fills import Costs, Standing, buy_budget, liquidation_lamports, with_standing
from apps.trading.models import LedgerEntry, Order, Position, ShadowFill, TradeLog, TransferLog, Wallet
from apps.trading.preview import preview_buy, preview_sell
from apps.trading.tests.conftest import SOL, World, at
from apps.trading.tests.test_api import Caller

FEES = curve.Fees(95, 30)
COSTS = Costs(network_fee_lamports=105_000, tip_lamports=0)


# --- Break-even ----------------------------------------------------------------------------------------
@examples(max_examples=25, deadline=None)
@given(sol=st.integers(30 * SOL, 100 * SOL), lamports=st.integers(SOL // 100, 5 * SOL))
def test_break_even_is_the_lowest_price_that_brings_the_cost_back(sol: int, lamports: int) -> None:
    product = curve.INITIAL.virtual_sol * curve.INITIAL.virtual_token
    market = curve.Reserves(sol, -(-product // sol))
    quote = curve.buy_exact_in(market, lamports, FEES)
    ours = Standing(quote.net_lamports, quote.token_base_units)
    cost = buy_budget(quote.total_lamports, COSTS, pays_rent=True)
    found = break_even(market, ours, base_units=ours.base_units, cost_lamports=cost, fees=FEES, costs=COSTS)
    if found is None:
        return

    def brings(virtual_sol: int) -> int:
        others = curve.Reserves(virtual_sol, -(-sol * market.virtual_token // virtual_sol))
        return liquidation_lamports(others, ours, ours.base_units, FEES, COSTS)

    without = found.virtual_sol - ours.lamports
    assert brings(without) >= cost > brings(without - 1)
    assert curve.spot_price_sol(found) > curve.spot_price_sol(with_standing(market, ours))


def test_break_even_beyond_the_curve_is_none() -> None:
    market = curve.Reserves(100 * SOL, 321_900_000_000_000)
    asked = {"base_units": 10**6, "cost_lamports": SOL, "fees": FEES, "costs": COSTS}
    assert break_even(market, Standing(0, 10**6), **asked) is None


# --- Dry runs ------------------------------------------------------------------------------------------
def written() -> tuple[int, ...]:
    """How many rows there are of what trading writes, and the money."""
    tables = (Order, Position, TradeLog, TransferLog, LedgerEntry)
    cash = sum(Wallet.objects.values_list("virtual_balance_lamports", flat=True))
    return (*(table.objects.count() for table in tables), cash)


@pytest.fixture
def mint(started: World) -> str:
    mint = started.coin()
    started.wallet("w1", transfer_enabled=True)
    started.wallet("w2")
    started.feed(10)
    return mint


@pytest.mark.django_db
def test_dry_buy_says_what_the_order_then_does(mint: str, started: World) -> None:
    before = written()
    said = preview_buy(alias="w1", mint=mint, lamports=SOL // 5)
    assert said.is_allowed and said.fill is not None
    assert written() == before
    services.buy_manual(alias="w1", mint=mint, lamports=SOL // 5)
    started.feed(11)
    engine.round_once()
    trade, position = TradeLog.objects.get(), Position.objects.get()
    assert (trade.token_base_units, trade.balance_change_lamports, trade.price_impact_bps) == (
        said.fill.base_units, said.fill.balance_change, said.fill.price_impact_bps,
    )  # fmt: skip
    assert (position.quantity_base_units, position.cost_lamports) == (said.base_units_after, said.cost_lamports)
    assert said.break_even_sol is not None and said.spot_price_sol is not None
    assert said.break_even_sol > said.spot_price_sol
    sale = preview_sell(alias="w1", mint=mint)
    assert sale.realized_lamports is not None and sale.realized_lamports < 0
    assert (sale.base_units_after, sale.break_even_sol) == (0, None)


@pytest.mark.django_db
def test_dry_buy_hears_the_gate(mint: str, started: World) -> None:
    services.wallet_update(alias="w1", status="PAUSED")
    before = written()
    said = preview_buy(alias="w1", mint=mint, lamports=SOL // 5)
    assert (said.code, said.is_allowed) == ("WALLET_NOT_ACTIVE", False)
    assert said.message and said.fill is not None
    assert written() == before


@pytest.mark.django_db
def test_dry_run_of_every_operation_writes_nothing(mint: str, started: World) -> None:
    services.buy_manual(alias="w1", mint=mint, lamports=SOL // 5)
    started.feed(11)
    engine.round_once()
    api, before = Caller("trade"), written()
    bought = api("post", "execute-buy", {"wallet": "w1", "mint": mint, "amount_sol": "0.1", "dry_run": True})
    assert (bought["dry_run"], bought["would_submit"]) == (True, True)
    assert bought["fill"]["protocol_fee_lamports"] > 0
    sold = api("post", "execute-sell", {"wallet": "w1", "mint": mint, "percent": 50, "dry_run": True})
    assert sold["fill"]["balance_change_lamports"] > 0
    [everything] = api("post", "sell-all", {"wallet": "w1", "dry_run": True})
    assert everything["fill"]["rent_lamports"] < 0
    wish = {"from_wallet": "w1", "to_wallet": "w2", "amount_sol": "1", "dry_run": True}
    sent = api("post", "transfer", wish)
    assert (sent["id"], sent["dry_run"], sent["lamports"], sent["status"]) == (None, True, SOL, "SUCCESS")
    assert api("post", "transfer", {**wish, "amount_sol": "100"}, 409)["code"] == "INSUFFICIENT_BALANCE"
    assert written() == before


@pytest.mark.django_db
def test_page_of_the_manual_order_quotes_while_one_types(mint: str, started: World, client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("person"))
    page = client.get("/trading/order/").text
    assert 'hx-include="#order-form"' in page
    asked = {"wallet": "w1", "mint": mint, "side": "buy", "amount": "0.2", "slippage_percent": "5", "percent": "100"}
    before = written()
    quote = client.get("/trading/order/quote/", asked).text
    assert "would be submitted" in quote
    for word in ("Break-even", "PumpPortal fee", "Network fee", "moves the price"):
        assert word in quote
    assert "POSITION_NOT_FOUND" in client.get("/trading/order/quote/", {**asked, "side": "sell"}).text
    assert "MAX_POSITION" in client.get("/trading/order/quote/", {**asked, "amount": "2"}).text
    assert "Fill in" in client.get("/trading/order/quote/", {"wallet": "w1"}).text
    assert "COIN_UNKNOWN" in client.get("/trading/order/quote/", {**asked, "mint": "unknown"}).text
    assert written() == before


# --- Paper against live --------------------------------------------------------------------------------
def real_order(started: World, mint: str, **changed: Any) -> Order:
    """A buy of a real wallet at second 20 that has ended, as the engine leaves it."""
    wallet, _ = Wallet.objects.get_or_create(alias="real", defaults={"wallet_type": "REAL"})
    market = started.reserves[mint]
    quote = curve.buy_exact_in(market, SOL // 10, FEES)
    fields = {
        "idempotency_key": f"k{Order.objects.count()}", "wallet": wallet, "mint": mint, "side": "buy",
        "status": "FILLED", "lamports": SOL // 10, "slippage_bps": 500, "quoted_base_units": quote.token_base_units,
        "quoted_lamports": quote.total_lamports, "decided_at": at(20),
    }  # fmt: skip
    order = Order.objects.create(**{**fields, **changed})
    if order.status == "FILLED":
        TradeLog.objects.create(
            order=order, wallet=wallet, mint=mint, action="buy", status="SUCCESS", is_simulation=False,
            token_base_units=quote.token_base_units, curve_lamports=quote.net_lamports, rent_lamports=2_039_280,
            protocol_fee_lamports=quote.protocol_fee, creator_fee_lamports=quote.creator_fee,
            network_fee_lamports=200_000, balance_change_lamports=-SOL // 10, signature=f"sig{order.pk}",
            price_sol=quote.net_lamports / quote.token_base_units / 1000, at=at(20.4),
        )  # fmt: skip
    return order


@pytest.mark.django_db
def test_shadow_does_not_pay_for_our_own_trade(mint: str, started: World) -> None:
    order = real_order(started, mint)
    trade = order.trade  # type: ignore[attr-defined]
    started.trade(mint, trade.curve_lamports, 20.4)
    CoinTransaction.objects.filter(mint=mint, timestamp=at(20.4)).update(signature=trade.signature)
    started.feed(20.9)
    assert comparison.shadows_fill() == 0, "the feed has not come to its instant"
    started.feed(21)
    assert (comparison.shadows_fill(), comparison.shadows_fill()) == (1, 0)
    [pair] = [comparison.pair_of(one) for one in comparison.pairs_of()]
    assert pair.both_filled
    assert pair.price_bps == pytest.approx(0, abs=0.01)
    assert (pair.real_seconds, pair.paper_seconds) == (pytest.approx(0.4), 1.0)
    assert pair.real_fees - pair.paper_fees == pytest.approx(200_000 - 105_000 - 500_000, abs=60_000)
    assert not Position.objects.exists()


@pytest.mark.django_db
def test_price_that_rises_meanwhile_makes_paper_worse(mint: str, started: World) -> None:
    real_order(started, mint)
    started.trade(mint, SOL // 2, 20.8)
    started.feed(22)
    comparison.shadows_fill()
    [pair] = [comparison.pair_of(one) for one in comparison.pairs_of("real")]
    assert pair.price_bps is not None and pair.price_bps < -100


@pytest.mark.django_db
def test_failures_of_both_sides_are_counted(mint: str, started: World, client: Client) -> None:
    real_order(started, mint, status="REJECTED", deny_code="TOO_MUCH_SOL_REQUIRED")
    real_order(started, mint, status="EXPIRED", deny_code="BLOCKHASH_EXPIRED", slippage_bps=0)
    real_order(started, mint, status="UNKNOWN")
    real_order(started, mint, status="DENIED", deny_code="MAX_POSITION")
    other = started.coin(2, seconds=5)
    real_order(started, other, quoted_base_units=10**15)
    started.feed(22)
    assert comparison.shadows_fill() == 3
    summary = comparison.summary_of([comparison.pair_of(order) for order in comparison.pairs_of()])
    assert (summary.pairs, summary.only_paper, summary.only_real, summary.both_filled) == (3, 2, 1, 0)
    assert (summary.median_price_bps, summary.median_real_seconds) == (None, None)
    assert ShadowFill.objects.get(status="FAILED").code == "TOO_MUCH_SOL_REQUIRED"
    answer = Caller("read")("get", "paper-against-live?wallet=real")
    assert (answer["count"], answer["summary"]["only_paper"]) == (3, 2)
    client.force_login(get_user_model().objects.get(username="read"))
    page = client.get("/trading/paper-against-live/").text
    assert "TOO_MUCH_SOL_REQUIRED" in page and "BLOCKHASH_EXPIRED" in page


@pytest.mark.parametrize(
    ("side", "real", "paper", "bps"),
    [("buy", 1.01, 1.0, 100.0), ("sell", 0.99, 1.0, 101.01), ("buy", 0.5, 1.0, -5000.0), ("buy", None, 1.0, None)],
)
def test_worse_is_positive_on_both_sides(side: str, real: float | None, paper: float, bps: float | None) -> None:
    found = comparison.worse_bps(side, real, paper)
    assert found == (None if bps is None else pytest.approx(bps, abs=0.01))


# --- Performance ---------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_performance_of_a_wallet_from_its_closed_positions(started: World) -> None:
    wallet, other = started.wallet("w1"), started.wallet("w2")
    for number, (gain, reason) in enumerate(
        [(30, "TAKE_PROFIT"), (-20, "STOP_LOSS"), (-25, "STOP_LOSS"), (40, "TIMEOUT")]
    ):
        times = {"opened_at": at(number), "closed_at": at(number + 10)}
        Position.objects.create(
            wallet=wallet, mint=f"m{number}", status="CLOSED", exit_reason=reason, realized_pnl_lamports=gain, **times
        )
    api = Caller("read")
    answer = api("get", "wallets/w1/performance")
    row = answer["wallet"]
    assert (row["win_rate"], row["profit_factor"], row["max_drawdown_lamports"]) == (0.5, pytest.approx(70 / 45), 45)
    assert (row["closed_positions"], row["realized_pnl_lamports"], row["average_held_seconds"]) == (4, 25, 10.0)
    assert {one["exit_reason"]: one["realized_pnl_lamports"] for one in answer["exits"]}["STOP_LOSS"] == -45
    empty = api("get", f"wallets/{other.alias}/performance")["wallet"]
    assert (empty["win_rate"], empty["profit_factor"], empty["max_drawdown_lamports"]) == (None, None, 0)
