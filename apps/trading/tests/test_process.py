"""The real trader process: crashes, two at once, clean stops, and many threads at one wallet."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections

from apps.core.listener import Listener
from apps.trading import engine, queries, rehearsal
from apps.trading.crashes import crash_run
from apps.trading.execution import order_execute
from apps.trading.management.commands.trader import ADVISORY_LOCK
from apps.trading.models import Order, Position, TradeLog, Wallet
from apps.trading.orders import BuyIntent, order_buy
from apps.trading.rehearsal import SOL, START, Beat, TraderProcess, beat_write, mint_of, reserves_at, wait_until
from tests.warm import Process

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 8


@pytest.fixture(autouse=True)
def _warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TraderProcess, "launch", staticmethod(Process))


@pytest.fixture
def processes() -> Iterator[list[TraderProcess]]:
    """Trader processes that are ended whatever happens."""
    made: list[TraderProcess] = []
    yield made
    for process in made:
        process.kill()


def trader(made: list[TraderProcess]) -> TraderProcess:
    process = TraderProcess(MAX_ALERT_LAG_SECONDS="1000000", PAPER_FAILURE_RATE="0")
    made.append(process)
    process.start()
    return process


def in_threads(work: Any, items: list[Any]) -> list[Any]:
    """What the work gives, in any order; each thread keeps its connection for all of its items."""

    def every(part: list[Any]) -> list[Any]:
        try:
            return [work(item) for item in part]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(every, [items[number::THREADS] for number in range(THREADS)])
        return [one for part in parts for one in part]


def intent(number: int, **changes: Any) -> BuyIntent:
    fields = {
        "key": f"k{number}",
        "wallet_id": Wallet.objects.get().pk,
        "mint": mint_of(number),
        "lamports": SOL // 10,
        "slippage_bps": 500,
        "decided_at": START + timedelta(seconds=1),
    }
    return BuyIntent(**{**fields, **changes})


def test_killed_trader_neither_doubles_nor_loses_an_order(processes: list[TraderProcess]) -> None:
    found = crash_run(kills=3, orders=60, coins=9)
    assert found.orders > 20
    assert (found.doubled, found.lost, found.ledger_difference, found.different) == (0, 0, 0, 0)


class CrashError(Exception):
    """What a power cut would be."""


class Fuse:
    """Lets so many statements pass, then nothing."""

    def __init__(self, statements: int) -> None:
        self.left = statements

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise CrashError
        return execute(*arguments)


@pytest.mark.parametrize("seed", range(2))
def test_round_cut_off_before_any_statement_is_made_up_for(settings: Any, monkeypatch: Any, seed: int) -> None:
    settings.PAPER_FAILURE_RATE = 0.2
    settings.MAX_ALERT_LAG_SECONDS = 1e9
    monkeypatch.setattr(engine, "ALERTS_A_ROUND", 3)
    beats = rehearsal.script(seed=seed, beats=8, coins=9, alerts_a_beat=3)
    rehearsal.stage(coins=9)
    for beat in beats:
        beat_write(beat)
        while engine.round_once():
            pass
    expected = rehearsal.outcome()
    rehearsal.unstage()
    rehearsal.stage(coins=9)
    dice, crashes = random.Random(seed), 0
    for number, beat in enumerate(beats):
        beat_write(beat)
        for _ in range(2 if number % 3 else 0):
            try:
                with connection.execute_wrapper(Fuse(dice.randrange(150))):
                    engine.round_once()
            except CrashError:
                crashes += 1
    while engine.round_once():
        pass
    assert crashes > 3
    found = rehearsal.damage(expected)
    assert (found.doubled, found.lost, found.ledger_difference, found.different) == (0, 0, 0, 0)


def test_second_trader_takes_over_when_the_first_dies_stops_cleanly_on_sigterm_and_frees_its_lock(
    processes: list[TraderProcess],
) -> None:
    rehearsal.stage(coins=4)
    first = trader(processes)
    beat_write(Beat(START + timedelta(seconds=1), [], [mint_of(0)]))
    wait_until(lambda: Order.objects.count() == 1, "the first trader's order")
    second = trader(processes)
    beat_write(Beat(START + timedelta(seconds=2), [], [mint_of(1)]))
    wait_until(lambda: Order.objects.count() == 2, "the second order")
    first.kill()
    beat_write(Beat(START + timedelta(seconds=3), [], [mint_of(2)]))
    wait_until(lambda: Order.objects.count() == 3, "the second trader's order")
    assert TradeLog.objects.count() == TradeLog.objects.values("order").distinct().count()
    assert second.stop() == 0
    with Listener(()) as listener:
        assert listener.lock(ADVISORY_LOCK)


def test_trader_outlives_the_loss_of_its_connections(processes: list[TraderProcess]) -> None:
    rehearsal.stage(coins=2)
    trader(processes)
    beat_write(Beat(START + timedelta(seconds=1), [], [mint_of(0)]))
    wait_until(lambda: Order.objects.count() == 1, "an order")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    beat_write(Beat(START + timedelta(seconds=2), [], [mint_of(1)]))
    wait_until(lambda: Order.objects.count() == 2, "an order after the outage")


def test_hundred_parallel_buys_never_pass_a_limit(settings: Any) -> None:
    rehearsal.stage(coins=100, wallet_sol=1)
    Wallet.objects.update(max_open_positions=7)
    orders = in_threads(lambda number: order_buy(intent=intent(number)), list(range(100)))
    assert sum(order.status == "SUBMITTED" for order in orders) == 7
    assert {order.deny_code for order in orders if order.status == "DENIED"} == {"MAX_OPEN_POSITIONS"}
    wallet = Wallet.objects.get()
    assert wallet.virtual_balance_lamports >= 0
    assert queries.ledger_of(wallet).difference == 0


def test_parallel_buys_never_spend_more_than_there_is() -> None:
    rehearsal.stage(coins=40, wallet_sol=1)
    orders = in_threads(lambda number: order_buy(intent=intent(number)), list(range(40)))
    wallet = Wallet.objects.get()
    assert 0 < sum(order.status == "SUBMITTED" for order in orders) < 10
    assert wallet.virtual_balance_lamports >= 10_000_000
    assert queries.ledger_of(wallet).difference == 0


def test_same_intent_from_many_threads_is_one_order() -> None:
    rehearsal.stage(coins=1)
    orders = in_threads(lambda _: order_buy(intent=intent(0)), list(range(24)))
    assert len({order.pk for order in orders}) == Order.objects.count() == 1


def test_order_executed_by_many_threads_is_filled_once(settings: Any) -> None:
    settings.PAPER_FAILURE_RATE = 0.0
    rehearsal.stage(coins=1)
    order = order_buy(intent=intent(0))
    in_threads(lambda _: order_execute(order_id=order.pk), list(range(24)))
    assert TradeLog.objects.count() == Position.objects.count() == 1
    assert queries.ledger_of(Wallet.objects.get()).difference == 0


def test_two_engines_side_by_side_do_not_double_anything(settings: Any) -> None:
    """Should the advisory lock ever fail: locks on rows and idempotency keys still hold."""
    settings.PAPER_FAILURE_RATE = 0.0
    rehearsal.stage(coins=12)
    trades = [(mint_of(number), reserves_at(41 * SOL)) for number in range(12)]
    barrier = threading.Barrier(2)
    for second in (1, 3, 60, 90):
        alerts = [mint_of(number) for number in range(12)] if second == 1 else []
        beat_write(Beat(START + timedelta(seconds=second), trades, alerts))

        def play(_: int) -> None:
            barrier.wait(timeout=30)
            engine.round_once()

        in_threads(play, [1, 2])
    assert Order.objects.filter(side="buy").count() == 12
    assert Position.objects.filter(status="CLOSED").count() == 12
    assert Order.objects.filter(side="sell", status="FILLED").count() == 12
    assert queries.ledger_of(Wallet.objects.get()).difference == 0
