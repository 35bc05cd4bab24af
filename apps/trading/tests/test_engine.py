"""From an alert to a closed position, step by step in feed time."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.errors import PlatformError
from apps.discovery import curve
from apps.discovery.models import Coin, PinnedCoin, StreamGap
from apps.trading import engine, queries, services
from apps.trading.fills import NOTHING_STANDING, buy_budget, fill_buy
from apps.trading.models import Order, Position, Strategy, TradeLog, Wallet
from apps.trading.tests.conftest import SOL, World, at
from apps.trading.valuation import costs_of

pytestmark = pytest.mark.django_db


def run(world: World, seconds: float) -> None:
    world.feed(seconds)
    engine.round_once()


def books_balance() -> None:
    for wallet in Wallet.objects.all():
        assert queries.ledger_of(wallet).difference == 0
        for position in wallet.positions.all():
            fills = position.trades.filter(status="SUCCESS")
            bought = sum(trade.token_base_units for trade in fills if trade.action == "buy")
            sold = sum(trade.token_base_units for trade in fills if trade.action == "sell")
            assert position.quantity_base_units == bought - sold
            changes = sum(trade.balance_change_lamports for trade in position.trades.all())
            assert changes == position.proceeds_lamports - position.cost_lamports


def held(world: World, **strategy: object) -> tuple[str, Position]:
    """A coin that the strategy holds since second 6."""
    mint = world.coin()
    world.wallet()
    world.strategy(**strategy)
    world.alert(mint, 5)
    run(world, 5)
    run(world, 6)
    return mint, Position.objects.get()


def test_alert_becomes_an_order_that_waits_for_the_latency(started: World) -> None:
    mint = started.coin()
    wallet = started.wallet()
    started.strategy()
    started.alert(mint, 5)
    run(started, 5.9)
    order = Order.objects.get()
    assert (order.status, order.decided_at, order.due_at) == ("SUBMITTED", at(5), at(6))
    wallet.refresh_from_db()
    needed = buy_budget(SOL // 10, costs_of(wallet), pays_rent=True)
    assert (order.reserved_lamports, wallet.virtual_balance_lamports) == (needed, 10 * SOL - needed)
    books_balance()


def test_fill_uses_the_reserves_of_the_last_trade_before_it_arrives(started: World) -> None:
    mint = started.coin()
    wallet = started.wallet()
    started.strategy(slippage_bps=2000)
    started.alert(mint, 5)
    arrived = started.trade(mint, SOL, 5.9)
    started.trade(mint, SOL, 6.1)
    run(started, 7)
    order, trade = Order.objects.get(), TradeLog.objects.get()
    expected = fill_buy(
        arrived,
        NOTHING_STANDING,
        lamports=SOL // 10,
        quoted_base_units=order.quoted_base_units,
        quoted_lamports=order.quoted_lamports,
        slippage_bps=2000,
        fees=curve.fees_at(at(6)),
        costs=costs_of(wallet),
        pays_rent=True,
    )
    assert trade.token_base_units == expected.base_units
    assert trade.balance_change_lamports == expected.balance_change
    assert trade.slippage_bps > 0
    assert (order.status, trade.at, Position.objects.get().opened_at) == ("FILLED", at(6), at(6))
    books_balance()


def test_price_that_ran_away_is_refused_and_costs_the_network_fee(started: World) -> None:
    mint = started.coin()
    wallet = started.wallet()
    started.strategy(slippage_bps=100)
    started.alert(mint, 5)
    started.trade(mint, 10 * SOL, 5.5)
    run(started, 7)
    order = Order.objects.get()
    assert (order.status, order.deny_code) == ("REJECTED", "TOO_MUCH_SOL_REQUIRED")
    wallet.refresh_from_db()
    assert wallet.virtual_balance_lamports == 10 * SOL - costs_of(wallet).network_fee_lamports
    books_balance()


@pytest.mark.parametrize(
    ("lamports", "reason"), [(12 * SOL, "TAKE_PROFIT"), (-8 * SOL, "STOP_LOSS"), (SOL // 100, "TIMEOUT")]
)
def test_position_is_left_by_its_rules(started: World, lamports: int, reason: str) -> None:
    mint, position = held(started)
    started.trade(mint, lamports, 20)
    run(started, 21)
    run(started, 200)
    position.refresh_from_db()
    decided = at(96) if reason == "TIMEOUT" else at(20)
    sale = Order.objects.get(side="sell")
    assert (sale.decided_at, sale.exit_reason, sale.status) == (decided, reason, "FILLED")
    assert (position.status, position.exit_reason, position.quantity_base_units) == ("CLOSED", reason, 0)
    assert (position.realized_pnl_lamports > 0) == (reason == "TAKE_PROFIT")
    assert TradeLog.objects.get(action="sell").rent_lamports < 0
    books_balance()


def test_one_round_after_an_outage_gives_what_many_rounds_give(started: World) -> None:
    mint, position = held(started)
    started.trade(mint, SOL, 15)
    started.trade(mint, 12 * SOL, 20)
    started.trade(mint, -11 * SOL, 20.9)
    run(started, 3000)
    position.refresh_from_db()
    sales = Order.objects.filter(side="sell")
    first = sales.order_by("id")[0]
    assert (first.decided_at, first.status, first.deny_code) == (at(20), "REJECTED", "TOO_LITTLE_SOL_RECEIVED")
    assert position.status == "CLOSED"
    assert queries.progress().processed_at == at(3000)
    books_balance()


def test_refused_exit_is_tried_again_at_once_with_a_fresh_quote(started: World) -> None:
    mint, position = held(started, stop_loss_bps=1000)
    started.trade(mint, -4 * SOL, 20)
    started.trade(mint, -3 * SOL, 20.5)
    run(started, 30)
    first, second = Order.objects.filter(side="sell").order_by("id")
    assert (first.status, first.deny_code) == ("REJECTED", "TOO_LITTLE_SOL_RECEIVED")
    assert (second.status, second.decided_at, second.exit_reason) == ("FILLED", at(21), "STOP_LOSS")
    position.refresh_from_db()
    failed = costs_of(position.wallet).network_fee_lamports
    sale = TradeLog.objects.get(action="sell", status="SUCCESS")
    assert position.proceeds_lamports == sale.balance_change_lamports - failed
    books_balance()


def test_exit_in_flight_is_not_doubled(started: World) -> None:
    mint, _ = held(started)
    for second in (20, 20.2, 20.4):
        started.trade(mint, -8 * SOL if second == 20 else -SOL // 10, second)
        run(started, second)
    assert Order.objects.filter(side="sell").count() == 1


def test_same_alert_never_buys_twice(started: World) -> None:
    held(started)
    Strategy.objects.update(last_alert_id=0)
    run(started, 7)
    assert Order.objects.count() == 1
    assert TradeLog.objects.count() == 1


def test_second_alert_on_a_held_coin_is_denied(started: World) -> None:
    mint, _ = held(started)
    started.alert(mint, 8)
    run(started, 8)
    assert Order.objects.get(status="DENIED").deny_code == "POSITION_OPEN"


def test_alert_that_came_too_late_is_denied_with_its_code(started: World) -> None:
    mint = started.coin()
    started.wallet()
    strategy = started.strategy()
    started.alert(mint, 5)
    run(started, 60)
    order = Order.objects.get()
    assert (order.status, order.deny_code) == ("DENIED", "ALERT_TOO_OLD")
    strategy.refresh_from_db()
    assert strategy.last_alert_id == 1


@pytest.mark.parametrize("fields", [{"active_model_ids": [2]}, {"min_probability": 0.95}])
def test_alert_that_the_strategy_does_not_want_leaves_no_order(started: World, fields: dict[str, object]) -> None:
    mint = started.coin()
    started.wallet()
    strategy = started.strategy(**fields)
    started.alert(mint, 5)
    run(started, 5)
    strategy.refresh_from_db()
    assert (Order.objects.count(), strategy.last_alert_id) == (0, 1)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"curve": "nonstandard"}, "COIN_NONSTANDARD"),
        ({"is_mayhem": True}, "COIN_NONSTANDARD"),
        ({"graduated": True, "graduated_at": at(3)}, "COIN_GRADUATED"),
    ],
)
def test_coin_that_cannot_be_priced_is_denied(started: World, fields: dict[str, object], code: str) -> None:
    mint = started.coin(**fields)
    started.wallet()
    started.strategy()
    started.alert(mint, 5)
    run(started, 5)
    assert Order.objects.get().deny_code == code


def test_held_coin_is_pinned_for_the_feed_until_it_is_sold(started: World) -> None:
    mint, position = held(started, take_profit_bps=None, stop_loss_bps=None, timeout_seconds=60)
    assert list(PinnedCoin.objects.values_list("mint", "holder")) == [(mint, f"position:{position.pk}")]
    run(started, 70)
    run(started, 75)
    position.refresh_from_db()
    assert (position.status, PinnedCoin.objects.count()) == ("CLOSED", 0)


def test_coin_is_denied_until_it_trades_after_a_gap(started: World) -> None:
    mint = started.coin()
    started.wallet()
    started.strategy()
    StreamGap.objects.create(started_at=at(2), ended_at=at(4), reason="closed")
    started.alert(mint, 5)
    run(started, 5)
    assert Order.objects.get().deny_code == "COIN_IN_GAP"
    started.trade(mint, SOL, 6)
    started.alert(mint, 7)
    run(started, 7)
    assert Order.objects.filter(status="SUBMITTED").count() == 1


def test_sale_inside_a_gap_waits_for_its_end(started: World) -> None:
    held(started)
    StreamGap.objects.create(started_at=at(90), ended_at=at(400), reason="closed")
    run(started, 500)
    first, second = Order.objects.filter(side="sell").order_by("id")
    assert (first.status, first.deny_code, first.due_at) == ("REJECTED", "COIN_IN_GAP", at(97))
    assert (second.status, second.decided_at) == ("FILLED", at(400))
    books_balance()


def test_coin_that_graduates_while_held_keeps_the_position_flagged(started: World) -> None:
    mint, position = held(started)
    started.trade(mint, 200 * SOL, 20)
    run(started, 21)
    run(started, 400)
    position.refresh_from_db()
    sale = Order.objects.get(side="sell")
    assert (sale.exit_reason, sale.status, sale.deny_code) == ("GRADUATED", "REJECTED", "COIN_GRADUATED")
    assert (position.status, position.blocked_code) == ("OPEN", "COIN_GRADUATED")
    books_balance()


def test_migration_of_a_held_coin_is_seen_without_a_trade(started: World) -> None:
    mint, _ = held(started)
    Coin.objects.filter(mint=mint).update(graduated=True, graduated_at=at(30))
    run(started, 40)
    sale = Order.objects.get(side="sell")
    assert (sale.exit_reason, sale.decided_at, sale.deny_code) == ("GRADUATED", at(30), "COIN_GRADUATED")


def test_halted_trading_leaves_positions_alone_until_it_goes_on(started: World) -> None:
    mint, _ = held(started)
    services.trading_state_set(state="HALTED", reason="test")
    started.trade(mint, -8 * SOL, 20)
    run(started, 21)
    assert not Order.objects.filter(side="sell").exists()
    services.trading_state_set(state="REDUCING")
    started.trade(mint, -SOL // 10, 22)
    run(started, 24)
    assert Order.objects.get(side="sell").status == "FILLED"


def test_two_wallets_on_one_coin_see_each_other_on_the_curve(started: World) -> None:
    mint = started.coin()
    for alias in ("a", "b"):
        started.wallet(alias)
        started.strategy(name=alias, alias=alias)
    started.alert(mint, 5)
    run(started, 6)
    first, second = TradeLog.objects.order_by("id")
    assert second.token_base_units < first.token_base_units
    after_first = curve.buy_exact_in(started.reserves[mint], SOL // 10, curve.fees_at(at(6))).after
    expected = curve.buy_exact_in(after_first, SOL // 10, curve.fees_at(at(6)))
    assert second.token_base_units == expected.token_base_units
    books_balance()


def test_feed_that_starts_anew_earlier_is_followed(started: World) -> None:
    run(started, 1000)
    mint = started.coin(2, seconds=10)
    started.wallet()
    started.strategy()
    run(started, 12)
    started.alert(mint, 14)
    run(started, 16)
    assert Order.objects.get().status == "FILLED"


def test_new_day_begins_with_the_equity_of_midnight(started: World) -> None:
    wallet = started.wallet(max_consecutive_losses=1)
    Wallet.objects.update(day_start_on=at(0).date(), day_start_equity_lamports=1, consecutive_losses=3)
    run(started, 13 * 3600)
    wallet.refresh_from_db()
    assert (wallet.day_start_equity_lamports, wallet.consecutive_losses) == (10 * SOL, 0)


def test_lost_connection_stops_the_clock_until_the_gap_is_noted(started: World) -> None:
    _, position = held(started)
    started.feed(300, mode="live", connected=False)
    engine.round_once()
    assert not Order.objects.filter(side="sell").exists()
    StreamGap.objects.create(started_at=at(50), ended_at=at(301), reason="closed")
    started.feed(303, mode="live", connected=True)
    engine.round_once()
    refused, sale = Order.objects.filter(side="sell").order_by("id")
    assert (refused.deny_code, sale.status, sale.decided_at) == ("COIN_IN_GAP", "FILLED", at(301))
    position.refresh_from_db()
    assert position.exit_reason == "TIMEOUT"
    books_balance()


def test_wallet_without_money_for_fees_waits_until_it_has_some(started: World) -> None:
    mint, position = held(started)
    Wallet.objects.update(virtual_balance_lamports=0)
    started.trade(mint, -8 * SOL, 20)
    run(started, 21)
    position.refresh_from_db()
    assert (Order.objects.get(side="sell").deny_code, position.blocked_code) == (("INSUFFICIENT_BALANCE",) * 2)
    services.wallet_add_balance(alias="test", lamports=SOL)
    started.trade(mint, -SOL // 10, 22)
    run(started, 24)
    position.refresh_from_db()
    assert position.status == "CLOSED"


def test_failed_transactions_cost_the_network_fee_and_exits_are_repeated(started: World, settings: Any) -> None:
    mint, position = held(started)
    settings.PAPER_FAILURE_RATE = 1.0
    started.trade(mint, -8 * SOL, 20)
    run(started, 22.5)
    settings.PAPER_FAILURE_RATE = 0.0
    run(started, 30)
    position.refresh_from_db()
    failures = TradeLog.objects.filter(code="TRANSACTION_FAILED").count()
    assert (position.status, failures) == ("CLOSED", 2)
    books_balance()


def test_losing_streak_stops_entries(started: World) -> None:
    mint, _ = held(started)
    Wallet.objects.update(max_consecutive_losses=1)
    started.trade(mint, -8 * SOL, 20)
    run(started, 22)
    started.alert(mint, 23)
    run(started, 23)
    assert Order.objects.get(status="DENIED").deny_code == "CONSECUTIVE_LOSSES"


def test_daily_loss_counts_open_positions_at_the_sell_quote(started: World) -> None:
    mint, _ = held(started, stop_loss_bps=None, timeout_seconds=None)
    Wallet.objects.update(max_daily_loss_bps=30)
    other = started.coin(2, seconds=7)
    started.alert(other, 8)
    run(started, 8)
    assert Order.objects.filter(mint=other).get().status == "SUBMITTED"
    started.trade(mint, -9 * SOL, 20)
    third = started.coin(3, seconds=21)
    started.alert(third, 22)
    run(started, 22)
    assert Order.objects.filter(mint=third).get().deny_code == "DAILY_LOSS"


def test_virtual_loss_of_the_wallet_is_put_on_every_fill(started: World) -> None:
    mint = started.coin()
    started.wallet(virtual_loss_percent=2)
    started.strategy()
    started.alert(mint, 5)
    run(started, 6)
    run(started, 200)
    for trade in TradeLog.objects.all():
        base = SOL // 10 if trade.action == "buy" else trade.curve_lamports
        assert trade.virtual_loss_lamports == pytest.approx(base * 0.02, abs=1)
    books_balance()


def test_demo_has_its_wallet_and_strategy_once(started: World) -> None:
    first, second = services.demo_setup(), services.demo_setup()
    assert (first.pk, first.name, first.stake_lamports) == (second.pk, "demo", SOL // 10)
    assert Wallet.objects.get(alias="demo").virtual_balance_lamports == 10 * SOL


def test_strategy_change_leaves_open_positions_alone(started: World) -> None:
    _, position = held(started)
    services.strategy_update(name="s", stop_loss_bps=1, timeout_seconds=1)
    position.refresh_from_db()
    assert (position.stop_loss_bps, position.timeout_at) == (2000, at(96))


def test_strategy_switched_on_again_skips_the_alerts_of_the_meantime(started: World) -> None:
    mint = started.coin()
    started.wallet()
    started.strategy()
    services.strategy_update(name="s", is_active=False)
    started.alert(mint, 5)
    services.strategy_update(name="s", is_active=True)
    run(started, 6)
    assert not Order.objects.exists()


def test_wallet_with_a_history_is_kept(started: World) -> None:
    held(started)
    with pytest.raises(PlatformError) as error:
        services.wallet_delete(alias="test")
    assert error.value.code == "WALLET_IN_USE"


def test_real_wallet_is_refused_by_every_service(started: World) -> None:
    mint = started.coin()
    Wallet.objects.create(alias="real", wallet_type="REAL", transfer_enabled=True, real_balance_lamports=SOL)
    started.wallet("test", transfer_enabled=True)
    for act in (
        lambda: services.buy_manual(alias="real", mint=mint, lamports=SOL // 10),
        lambda: services.wallet_add_balance(alias="real", lamports=SOL),
        lambda: services.transfer(from_alias="real", to_alias="test", lamports=1),
        lambda: services.transfer(from_alias="test", to_alias="real", lamports=1),
        lambda: services.sell_all(alias="real"),
        lambda: services.strategy_create(name="r", wallet_alias="real", stake_lamports=1),
    ):
        with pytest.raises(PlatformError) as error:
            act()
        assert error.value.code == "REAL_TRADING_LOCKED"


def test_admin_form_does_not_write_back_a_balance_that_moved(started: World, admin_client: Any) -> None:
    wallet = started.wallet()
    page = admin_client.get(f"/admin/trading/wallet/{wallet.pk}/change/")
    form = page.context["adminform"].form
    data = {name: form.initial.get(name, "") for name in form.fields}
    Wallet.objects.update(virtual_balance_lamports=5)
    answer = admin_client.post(f"/admin/trading/wallet/{wallet.pk}/change/", {**data, "tag": "new"})
    assert answer.status_code == 302
    wallet.refresh_from_db()
    assert (wallet.tag, wallet.virtual_balance_lamports) == ("new", 5)
