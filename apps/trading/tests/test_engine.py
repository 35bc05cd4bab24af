"""From an alert to a position, step by step in feed time."""

from __future__ import annotations

import re

import pytest
from django.db import connection

from apps.discovery import curve
from apps.discovery.models import StreamGap
from apps.trading import engine, rows
from apps.trading.fills import NOTHING_STANDING, buy_budget, fill_buy
from apps.trading.models import Order, Position, Strategy, StrategyFiltered, TradeLog, Wallet
from apps.trading.tests.conftest import SOL, World, at, models_at_work
from apps.trading.tests.rounds import books_balance, held, run
from apps.trading.valuation import costs_of

pytestmark = pytest.mark.django_db

DAY = 86_400


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


def test_alerts_of_days_in_which_the_trader_was_away_are_denied_one_by_one(started: World) -> None:
    mints = [started.coin(number) for number in range(4)]
    started.wallet()
    started.strategy()
    run(started, 5)
    for day, mint in enumerate(mints):
        started.alert(mint, 8 + day * DAY)
    run(started, 5 * DAY)
    assert list(Order.objects.values_list("deny_code", flat=True)) == ["ALERT_TOO_OLD"] * 4


def test_alerts_after_a_feed_that_began_anew_long_before_are_decided_on(started: World) -> None:
    mint = started.coin()
    started.wallet()
    started.strategy()
    run(started, 30 * DAY)
    started.alert(mint, 5)
    started.feed(5)
    assert engine.round_once()  # the place was set back: look again before time goes on
    assert not engine.round_once()
    assert Order.objects.get().status == "SUBMITTED"


def test_a_round_looks_at_the_alerts_of_the_last_days_only(started: World) -> None:
    mint = started.coin()
    for day in range(10):
        started.alert(mint, day * DAY)
    asked = {"after": 0, "since": at(8 * DAY), "limit": 9}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN SELECT * FROM alert_evaluations {rows.AFTER}", asked)
        plan = "".join(line for (line,) in cursor.fetchall())
    assert len(set(re.findall(r" on (_hyper\w+)", plan))) <= 2, plan


def test_model_that_said_sell_while_the_trader_was_away_is_followed(started: World) -> None:
    models_at_work(1, 2)
    mint, position = held(
        started, active_model_ids=[1], min_probability=0.5, exits={"exit_model_ids": [2]}, timeout_seconds=None
    )
    started.alert(mint, 8, model=2)
    started.alert(mint, 8.5, probability=0.4)
    run(started, 60)
    run(started, 62)
    position.refresh_from_db()
    assert (position.exit_reason, position.leave_at) == ("MODEL", at(60))
    assert list(StrategyFiltered.objects.values_list("reason", "alerts")) == [("probability", 1)]
    assert not Order.objects.filter(deny_code="ALERT_TOO_OLD").exists()


@pytest.mark.parametrize("fields", [{"active_model_ids": [2]}, {"min_probability": 0.95}])
def test_alert_that_the_strategy_does_not_want_leaves_no_order(started: World, fields: dict[str, object]) -> None:
    mint = started.coin()
    models_at_work(2)
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
