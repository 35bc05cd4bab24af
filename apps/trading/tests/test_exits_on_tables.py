"""Exits on the tables: sold in parts to the lamport, the same in a backtest, once whoever judges twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.discovery.models import Coin, CoinTransaction
from apps.predictions.models import AlertEvaluation, Prediction
from apps.trading import backtest, engine, execution, judging, rehearsal, services, strategies
from apps.trading.book import TABLES
from apps.trading.definitions import definition_parse
from apps.trading.exits import Trigger
from apps.trading.models import Order, Position, Strategy, StrategyFiltered, TradeLog, TraderProgress
from apps.trading.rehearsal import START, Beat, beat_write
from apps.trading.tests.conftest import SOL, World, at, models_at_work
from apps.trading.tests.rounds import books_balance, held, run
from apps.trading.tests.test_backtest import COINS, same_as_paper, told
from apps.trading.venues import Expired

pytestmark = pytest.mark.django_db

LADDER = {"ladder": [{"gain_bps": 1000, "share_bps": 4000}, {"gain_bps": 3000, "share_bps": 6000}]}
OFF: dict[str, Any] = {"stop_loss_bps": None, "take_profit_bps": None, "timeout_seconds": None}


def sales(position: Position) -> list[tuple[str, int | None, str]]:
    return list(position.orders.filter(side="sell").order_by("id").values_list("exit_reason", "rungs", "status"))


def test_ladder_sells_in_parts_and_its_books_balance(started: World) -> None:
    mint, position = held(started, **OFF, exits=LADDER)
    bought = position.bought_base_units
    started.trade(mint, 6 * SOL, 10)
    for seconds in (10, 12):
        run(started, seconds)
        books_balance()
    position.refresh_from_db()
    assert (position.status, position.rungs_done, position.sales) == ("OPEN", 1, 1)
    assert position.quantity_base_units == bought - bought * 4000 // 10_000
    started.trade(mint, 10 * SOL, 20)
    run(started, 20)
    run(started, 22)
    position.refresh_from_db()
    assert (position.status, position.quantity_base_units, position.rungs_done) == ("CLOSED", 0, 2)
    assert sales(position) == [("TAKE_PROFIT", 1, "FILLED"), ("TAKE_PROFIT", 2, "FILLED")]
    assert position.realized_pnl_lamports == sum(trade.balance_change_lamports for trade in position.trades.all()) > 0
    rents = list(position.trades.order_by("id").values_list("rent_lamports", flat=True))
    assert rents == [2_039_280, 0, -2_039_280]
    books_balance()


@pytest.mark.parametrize("is_sold", [True, False])
def test_rung_that_is_sold_or_on_its_way_is_not_sold_again_by_another_ladder(started: World, is_sold: bool) -> None:
    mint, position = held(started, **OFF, exits=LADDER)
    started.trade(mint, 6 * SOL, 10)
    run(started, 10)
    if is_sold:
        run(started, 12)
    lower = {"gain_bps": 500, "share_bps": 1000}
    definition = strategies.definition_of(Strategy.objects.get()).as_json()
    definition["exits"]["ladder"] = [lower, *LADDER["ladder"][:1], {"gain_bps": 9000, "share_bps": 1000}]
    strategies.strategy_change(name="s", definition=definition_parse(definition))
    strategies.strategy_apply(name="s")
    started.trade(mint, SOL // 100, 14)
    run(started, 16)
    position.refresh_from_db()
    assert (position.rungs_done, len(sales(position))) == (2, 1)


@pytest.mark.parametrize("is_sold", [True, False])
@pytest.mark.parametrize("between", [None, [{"gain_bps": 2500, "share_bps": 1000}]])
def test_rung_sold_is_remembered_over_a_change_and_back(
    started: World, is_sold: bool, between: list[dict[str, int]] | None
) -> None:
    """The ladder is taken away or changed, applied, and put back as it was: its first rung is not sold again."""
    mint, position = held(started, **OFF, exits=LADDER)
    started.trade(mint, 6 * SOL, 10)
    run(started, 10)
    if is_sold:
        run(started, 12)
    for ladder in (between, LADDER["ladder"]):
        definition = strategies.definition_of(Strategy.objects.get()).as_json()
        definition["exits"].pop("ladder", None)
        definition["exits"] |= {"ladder": ladder} if ladder else {"timeout_seconds": 900}
        strategies.strategy_change(name="s", definition=definition_parse(definition))
        strategies.strategy_apply(name="s")
        run(started, 14)
    started.trade(mint, SOL // 100, 16)
    run(started, 18)
    position.refresh_from_db()
    assert (position.rungs_done, len(sales(position))) == (1, 1)
    started.trade(mint, 10 * SOL, 20)
    run(started, 22)
    position.refresh_from_db()
    assert (position.status, position.rungs_done) == ("CLOSED", 2)
    books_balance()


def test_rung_whose_sale_expired_after_a_change_is_sold_again(started: World) -> None:
    mint, position = held(started, **OFF, exits=LADDER)
    started.trade(mint, 6 * SOL, 10)
    run(started, 10)
    strategies.strategy_apply(name="s")
    Position.objects.filter(pk=position.pk).update(judged_seq=-1)
    order = Order.objects.get(side="sell")
    execution.order_settle(order_id=order.pk, answer=Expired("LOST", "never executed"), at=at(12))
    started.trade(mint, SOL // 100, 16)
    run(started, 20)
    position.refresh_from_db()
    assert (position.rungs_done, [one[2] for one in sales(position)]) == (1, ["EXPIRED", "FILLED"])


def test_price_that_leaps_over_rungs_sells_them_at_once(started: World) -> None:
    mint, position = held(started, **OFF, exits=LADDER)
    started.trade(mint, 20 * SOL, 10)
    run(started, 10)
    run(started, 12)
    position.refresh_from_db()
    assert (position.status, sales(position)) == ("CLOSED", [("TAKE_PROFIT", 2, "FILLED")])


def test_who_judges_the_same_state_again_sells_nothing_more(started: World) -> None:
    mint, position = held(started, **OFF, exits=LADDER)
    stale = Position.objects.select_related("wallet").get(pk=position.pk)
    started.trade(mint, 6 * SOL, 10)
    run(started, 10)
    run(started, 12)
    judging.leave(stale, Trigger("TAKE_PROFIT", at(10), 1), TABLES)
    run(started, 20)
    assert Order.objects.filter(side="sell").count() == 1
    position.refresh_from_db()
    assert position.quantity_base_units == position.bought_base_units - position.bought_base_units * 4000 // 10_000


def test_trailing_stop_follows_the_highest_price(started: World) -> None:
    mint, position = held(started, **OFF, exits={"trailing_bps": 1000, "trailing_from_bps": 500})
    for seconds, moved in ((10, 8 * SOL), (12, -SOL), (14, 8 * SOL), (16, -4 * SOL)):
        started.trade(mint, moved, seconds)
    run(started, 30)
    position.refresh_from_db()
    assert (position.status, position.exit_reason) == ("CLOSED", "TRAILING_STOP")
    assert Order.objects.get(side="sell").decided_at == at(16)


@pytest.mark.parametrize(
    ("exits", "left_at"),
    [
        ({"creator_sold_bps": 5000}, 12),
        ({"creator_sold_bps": 10_000}, 14),
        ({"creator_sold_lamports": SOL // 2}, 10),
        ({"creator_sold_lamports": SOL}, 12),
        ({"creator_sold_lamports": 100 * SOL}, None),
    ],
)
def test_creator_that_sells_since_our_entry_is_followed(
    started: World, exits: dict[str, Any], left_at: int | None
) -> None:
    mint, position = held(started, **OFF)
    Coin.objects.filter(mint=mint).update(creator="maker", initial_buy_base_units=1000)
    Strategy.objects.update(exits=exits)
    strategies.strategy_apply(name="s")
    for seconds, units in ((4, 900), (10, 300), (12, 300), (14, 400)):
        started.trade(mint, -SOL // 2 - 1, seconds)
        row = CoinTransaction.objects.filter(mint=mint).order_by("-seq")[:1]
        CoinTransaction.objects.filter(seq__in=row.values("seq")).update(
            trader_public_key="maker", token_amount=units, sol_amount=SOL // 2
        )
        run(started, max(7, seconds))
    run(started, 30)
    position.refresh_from_db()
    order = Order.objects.filter(side="sell").first()
    assert (order.decided_at if order else None) == (at(left_at) if left_at else None)
    assert position.exit_reason == ("CREATOR" if left_at else "")
    if left_at is None:
        assert (position.creator_sold_lamports, position.creator_sold_base_units) == (3 * SOL // 2, 1000)


def score(mint: str, seconds: float, probability: float, model: int = 1) -> Prediction:
    return Prediction(
        active_model_id=model, mint=mint, as_of=at(seconds), scored_at=timezone.now(), probability=probability,
        tag="negative", price_sol=1.0, phase_id=1, duration_ms=1.0,
    )  # fmt: skip


def test_score_that_falls_is_acted_on_a_fixed_time_after_its_window(started: World) -> None:
    models_at_work(1)
    mint, position = held(started, **OFF, exits={"model_below": 0.3, "model_below_ids": [1]})
    rows = [score(mint, 5, 0.1), score(mint, 8, 0.29, 2), score(mint, 9, 0.3), score(mint, 10, 0.29)]
    Prediction.objects.bulk_create(rows)
    run(started, 11.9)
    assert not Order.objects.filter(side="sell").exists()
    run(started, 12)
    run(started, 14)
    position.refresh_from_db()
    assert (position.status, position.exit_reason, position.leave_at) == ("CLOSED", "MODEL", at(12))


def test_model_that_says_sell_while_a_rung_is_sold_is_not_forgotten(started: World) -> None:
    models_at_work(1, 7)
    mint, position = held(started, **OFF, exits={**LADDER, "exit_model_ids": [7]}, active_model_ids=[1])
    started.trade(mint, 6 * SOL, 10)
    started.alert(mint, 10.5, model=7)
    run(started, 10.5)
    run(started, 14)
    position.refresh_from_db()
    assert (position.status, position.exit_reason) == ("CLOSED", "MODEL")
    assert sales(position) == [("TAKE_PROFIT", 1, "FILLED"), ("MODEL", None, "FILLED")]
    books_balance()


# --- The same in a backtest ---------------------------------------------------------------------------


def marked(beat: Beat, number: int) -> None:
    """A beat as the stream and the scorer write it, with sales of creators, scores and windows."""
    beat_write(beat)
    rows = CoinTransaction.objects.filter(timestamp=beat.at)
    if number % 3 == 0 and beat.trades:
        rows.filter(mint__in=[beat.trades[0][0], beat.trades[-1][0]]).update(
            tx_type="sell", trader_public_key="maker", token_amount=40, sol_amount=SOL // 4
        )
    Prediction.objects.bulk_create(
        Prediction(active_model_id=3, mint=mint, as_of=beat.at - timedelta(seconds=1), scored_at=timezone.now(),
                   probability=(number * 7 + place * 3) % 10 / 10, tag="negative", price_sol=1.0, phase_id=1,
                   duration_ms=1.0)
        for place, (mint, _) in enumerate(beat.trades)
    )  # fmt: skip
    if number % 4 == 0:
        AlertEvaluation.objects.filter(as_of=beat.at).exclude(mint=beat.alerts[0] if beat.alerts else "").update(
            active_model_id=2
        )


RICH: dict[str, Any] = {
    "entry": {
        "models": [1],
        "conditions": [
            {"fact": "coin.age_seconds", "operator": ">=", "value": 3},
            {"fact": "coin.curve_pct", "operator": "<", "value": 60},
            {"fact": "phase", "value": 1},
            {"fact": "creator", "operator": "=", "value": "maker"},
        ],
    },
    "exits": {"stop_loss_bps": 2500, "timeout_seconds": 40, "graduation_bps": 9000},
    "slippage_bps": 1500,
}
BY_PRICE = {"trailing_bps": 1200, "trailing_from_bps": 300, **LADDER}
BY_OTHERS = {"creator_sold_bps": 6000, "model_below": 0.2, "exit_model_ids": [2]}


SHARE = {"kind": "share", "share_bps": 1, "most_lamports": SOL}
KELLY = {"kind": "kelly", "fraction_bps": 100, "most_bps": 1, "most_lamports": SOL}


@pytest.mark.parametrize(("every", "exits", "sizing"), [(1, BY_PRICE | BY_OTHERS, SHARE), (4, BY_PRICE, KELLY)])
def test_backtest_leaves_as_paper_does(
    settings: Any, every: int, exits: dict[str, Any], sizing: dict[str, Any]
) -> None:
    settings.TRADING_LATENCY_MS, settings.TRADING_LATENCY_MAX_MS = 400, 3000
    settings.PAPER_FAILURE_RATE, settings.MAX_ALERT_LAG_SECONDS = 0.1, 3600.0
    rehearsal.stage(coins=COINS)
    Coin.objects.update(creator="maker", initial_buy_base_units=100)
    models_at_work(1, 2)
    source = {**RICH, "exits": RICH["exits"] | exits, "sizing": sizing}
    strategies.strategy_change(name="rehearsal", definition=definition_parse(source))
    beats = rehearsal.script(seed=3, beats=12, coins=COINS, alerts_a_beat=3)
    for number, beat in enumerate(beats, 1):
        marked(beat, number)
        if number % every == 0 or number == len(beats):
            before = TraderProgress.objects.values("processed_at", "processed_seq").get()
            while engine.round_once():
                pass
            TraderProgress.objects.update(**before)  # as if killed before the progress was written
            engine.round_once()
    reasons = set(TradeLog.objects.filter(action="sell").values_list("order__exit_reason", flat=True))
    assert len(reasons) > 2
    task = backtest.task_of(strategy=backtest.strategy_get("rehearsal"), since=START, until=beats[-1].at)
    whole = backtest.backtest(task)
    same_as_paper(whole)
    names = ["mint", "rungs_done", "sales", "leave_at", "strategy_version", "rules"]
    names += ["creator_sold_base_units"] if "creator_sold_bps" in exits else []
    assert told(whole.book.positions, names) == told(Position.objects.all(), names)
    passed = dict(StrategyFiltered.objects.values_list("reason", "alerts"))
    assert dict(whole.book.filtered) == passed
    assert passed
    until = beats[7].at
    CoinTransaction.objects.filter(timestamp__gt=until).delete()
    Prediction.objects.filter(as_of__gt=until).delete()
    AlertEvaluation.objects.filter(fired_at__gt=until).delete()
    part = backtest.backtest(replace(task, until=until))
    before, cut = ([key for key, one in run.book.orders.items() if one.decided_at < until] for run in (whole, part))
    assert cut == before


@pytest.mark.django_db(transaction=True)
def test_sale_by_hand_does_not_wait_for_who_decides_on_the_strategy(started: World) -> None:
    """Whoever holds the wallet names the strategy in an order, while the trader holds the strategy and wants the
    wallet: that must be no deadlock."""
    mint, _ = held(started)

    def sell() -> str:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
            return services.sell_manual(alias="test", mint=mint).status
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        strategies.strategy_switch(name="s", is_active=True)
        assert pool.submit(sell).result(timeout=20) == "SUBMITTED"
