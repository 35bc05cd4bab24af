"""How the engine leaves positions, step by step in feed time."""

from __future__ import annotations

from typing import Any

import pytest

from apps.discovery.models import Coin, PinnedCoin, StreamGap
from apps.trading import engine, queries, services
from apps.trading.models import Order, TradeLog, Wallet
from apps.trading.tests.conftest import SOL, World, at
from apps.trading.tests.rounds import books_balance, held, run
from apps.trading.valuation import costs_of

pytestmark = pytest.mark.django_db


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


def test_held_coin_is_pinned_for_the_feed_until_it_is_sold(started: World) -> None:
    mint, position = held(started, take_profit_bps=None, stop_loss_bps=None, timeout_seconds=60)
    assert list(PinnedCoin.objects.values_list("mint", "holder")) == [(mint, f"position:{position.pk}")]
    run(started, 70)
    run(started, 75)
    position.refresh_from_db()
    assert (position.status, PinnedCoin.objects.count()) == ("CLOSED", 0)


def test_sale_inside_a_gap_waits_for_its_end(started: World) -> None:
    held(started)
    StreamGap.objects.create(started_at=at(90), ended_at=at(400), reason="closed")
    run(started, 500)
    first, second = Order.objects.filter(side="sell").order_by("id")
    assert (first.status, first.deny_code, first.due_at) == ("EXPIRED", "COIN_IN_GAP", at(97))
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
