"""Backtests as stored runs: asked for, done by the trainer's runner, cancelled, compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.discovery.models import Coin, CoinTransaction, StreamGap
from apps.predictions.models import AlertEvaluation
from apps.trading import backtest, backtest_compare, backtest_runs, limits, rehearsal, services
from apps.trading.backtest_queries import history_load
from apps.trading.models import Backtest, Order, Strategy, Wallet
from apps.trading.rehearsal import BEAT, START, Beat
from apps.trading.tests.backtest_desk import BEATS, END, asked, done, wish, work
from apps.training import services as jobs
from apps.training.models import Job

pytestmark = pytest.mark.django_db


# --- The run --------------------------------------------------------------------------------------------
def test_run_stores_what_the_backtest_gives(market: list[Beat]) -> None:
    run = done(sensitivity=True, seed=5, note="first")
    direct = backtest.backtest(backtest_runs.wish_check(wish(seed=5)))
    expected = json.loads(json.dumps(backtest.summary(direct)))
    assert run.equity == expected.pop("equity")
    assert {name: run.figures[name] for name in expected} == expected
    assert [backtest.trade_told(one) for one in run.trades.all()] == [
        {"number": number, **one} for number, one in enumerate(backtest.trades_told(direct.book), 1)
    ]
    assert sum(run.figures["ledger"].values()) == 0
    assert run.figures["sensitivity"] == json.loads(json.dumps(backtest.sensitivity(direct.task)))
    assert run.figures["monte_carlo"]["seed"] == 5
    assert run.trades_covered == CoinTransaction.objects.filter(timestamp__gt=START).count()
    assert run.seconds > 0 and run.trades_per_second > 0
    assert (run.job.progress, run.job.result["backtest_id"], run.figures["why"]) == (1.0, run.pk, [])
    assert (Order.objects.count(), Wallet.objects.get().virtual_balance_lamports) == (0, 10_000 * rehearsal.SOL)


def test_what_was_asked_for_is_not_changed_by_later_changes(market: list[Beat]) -> None:
    before, run = done(), asked()
    Strategy.objects.update(stake_lamports=1, slippage_bps=0, min_probability=1.0)
    Wallet.objects.update(max_open_positions=0, virtual_loss_percent=50, status="FROZEN", trading_enabled=False)
    limits.limits_update(kind="TEST", max_position_lamports=1)
    same = work(run)
    assert same.figures["pnl_lamports"] == before.figures["pnl_lamports"] != 0
    assert done().figures["fills"] == 0


def test_run_obeys_what_holds_for_all_wallets_when_it_is_asked_for_but_no_switch(market: list[Beat]) -> None:
    limits.limits_update(kind="TEST", max_open_positions=1, trading_enabled=False)
    limits.blocked_add(kind="MINT", address=rehearsal.mint_of(1))
    services.trading_state_set(state="HALTED", reason="")
    run = asked()
    limits.limits_update(kind="TEST", max_open_positions=0)
    limits.blocked_add(kind="MINT", address=rehearsal.mint_of(2))
    codes = {row["code"]: row["orders"] for row in work(run).figures["orders"] if row["status"] == "DENIED"}
    assert {"GLOBAL_MAX_OPEN_POSITIONS", "COIN_BLOCKED"} < codes.keys()
    assert not {"GLOBAL_TRADING_DISABLED", "TRADING_HALTED"} & codes.keys()
    assert codes["COIN_BLOCKED"] == AlertEvaluation.objects.filter(mint=rehearsal.mint_of(1)).count()


def test_terms_of_a_run_are_its_own(market: list[Beat]) -> None:
    quick = done(latency_ms=0, latency_max_ms=0, failure_rate=0.0, slippage_bps=10_000, balance_lamports=rehearsal.SOL)
    failing = done(failure_rate=1.0)
    assert quick.figures["terms"] == {"latency_ms": 0, "latency_max_ms": 0, "failure_rate": 0.0}
    assert (quick.figures["slippage_bps"], quick.figures["start_lamports"]) == (10_000, rehearsal.SOL)
    assert {row["status"] for row in quick.figures["orders"]} <= {"FILLED", "DENIED", "EXPIRED"}
    assert failing.figures["fills"] == 0
    assert failing.figures["why"] == ["NOTHING_FILLED"]
    assert failing.figures["pnl_lamports"] == -failing.figures["costs_lamports"]["network_fee"] < 0


def test_what_a_wallet_has_lived_through_does_not_enter_its_backtest(market: list[Beat]) -> None:
    before = done()
    Wallet.objects.update(
        consecutive_losses=99, cooldown_until=END, peak_equity_lamports=10**15,
        virtual_balance_lamports=1, day_start_on=START.date(), day_start_equity_lamports=10**15,
    )  # fmt: skip
    run = done()
    assert run.figures["pnl_lamports"] == before.figures["pnl_lamports"]
    assert run.definition == before.definition
    assert not {"encrypted_key", "cooldown_until", "virtual_balance_lamports"} & run.definition["wallet"].keys()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"since": END, "until": START}, "RANGE_EMPTY"),
        ({"since": datetime.fromisoformat("0001-01-01T00:00+14:00")}, "RANGE_INVALID"),
        ({"until": datetime.fromisoformat("9999-12-31T23:59-14:00")}, "RANGE_INVALID"),
        ({"balance_lamports": 0}, "BALANCE_MISSING"),
        ({"balance_lamports": 10**18 + 1}, "AMOUNT_OUT_OF_RANGE"),
        ({"latency_ms": 9, "latency_max_ms": 5}, "LATENCY_OUT_OF_RANGE"),
        ({"failure_rate": 1.5}, "FAILURE_RATE_OUT_OF_RANGE"),
        ({"slippage_bps": 10_001}, "SLIPPAGE_OUT_OF_RANGE"),
        ({"alert_delay_ms": -1}, "DELAY_OUT_OF_RANGE"),
        ({"seed": 2**31}, "SEED_OUT_OF_RANGE"),
        ({"scores": "recomputed"}, "NO_MODEL_TO_RECOMPUTE"),
    ],
)
def test_wrong_wish_is_refused_with_a_code(market: list[Beat], fields: dict[str, Any], code: str) -> None:
    with pytest.raises(PlatformError) as refused:
        backtest_runs.run_request(wish=replace(wish(), **fields))
    assert refused.value.code == code
    assert (Backtest.objects.count(), Job.objects.count()) == (0, 0)


# --- Nothing came of it ---------------------------------------------------------------------------------
def nothing_recorded() -> None:
    CoinTransaction.objects.all().delete()


def no_alerts() -> None:
    AlertEvaluation.objects.all().delete()


def of_another_model() -> None:
    Strategy.objects.update(active_model_ids=[77])


def too_sure() -> None:
    Strategy.objects.update(min_probability=0.95)


def of_another_phase() -> None:
    condition = {"fact": "phase", "operator": "=", "value": 2}
    Strategy.objects.update(conditions=[condition])


def no_room() -> None:
    Wallet.objects.update(max_position_lamports=1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (nothing_recorded, "NO_TRADES_RECORDED"),
        (no_alerts, "NO_ALERTS"),
        (of_another_model, "NO_ALERTS_OF_MODELS"),
        (too_sure, "PROBABILITY_TOO_HIGH"),
        (of_another_phase, "ALL_FILTERED"),
        (no_room, "ALL_DENIED"),
    ],
)
def test_run_without_a_trade_says_why(market: list[Beat], change: Callable[[], None], code: str) -> None:
    change()
    run = done(sensitivity=True)
    assert run.figures["why"] == [code]
    assert run.figures["filtered"] == ({"phase = 2": 2 * BEATS} if code == "ALL_FILTERED" else {})
    assert run.figures["end_equity_lamports"] == run.balance_lamports
    assert (run.figures["monte_carlo"], run.figures["drawdown_ratio"], run.trades.count()) == (None, 0.0, 0)


def test_run_past_the_end_of_the_recording_and_over_a_gap_says_so(market: list[Beat]) -> None:
    Coin.objects.update(first_seen_at=market[0].at)  # nothing was recorded before
    StreamGap.objects.create(started_at=START + BEAT * 4, ended_at=START + BEAT * 6, reason="closed")
    run = work(backtest_runs.run_request(wish=replace(wish(), until=END + timedelta(hours=1))))
    seen = run.figures["coverage"]
    assert run.figures["why"] == ["RANGE_NOT_OVER"]
    assert seen["gaps"] >= 1 and seen["gap_seconds"] >= (BEAT * 2).total_seconds()
    assert 0 < seen["signals_touching_gaps"] < seen["signals"] == 2 * BEATS


# --- Cancelled, killed, taken away ----------------------------------------------------------------------
def results(run: Backtest) -> tuple[Any, ...]:
    return run.figures, run.equity, run.seconds, run.trades.count()


NOTHING = (None, [], None, 0)


def test_waiting_run_is_cancelled_at_once_and_can_then_be_deleted(market: list[Beat]) -> None:
    run = asked()
    with pytest.raises(PlatformError, match="cancel it first"):
        backtest_runs.run_delete(backtest_id=run.pk)
    assert backtest_runs.run_cancel(backtest_id=run.pk).job.status == Job.Status.CANCELLED
    backtest_runs.run_delete(backtest_id=run.pk)
    assert not Backtest.objects.exists()
    assert Job.objects.count() == 1


def test_running_run_stops_where_it_is_cancelled(market: list[Beat]) -> None:
    run = asked()
    Job.objects.update(cancel_requested=True)
    stopped = work(run)
    assert (stopped.job.status, results(stopped)) == (Job.Status.CANCELLED, NOTHING)


def test_run_of_a_dead_worker_is_done_again_once_and_stored_once(market: list[Beat]) -> None:
    run = asked()
    assert jobs.job_take(job=run.job, worker="dead", now=timezone.now() - timedelta(hours=1))
    assert jobs.jobs_reap(now=timezone.now()) == 1
    run.job.refresh_from_db()
    again = work(run)
    assert (again.job.status, again.job.params["restarts"]) == (Job.Status.COMPLETED, 1)
    assert again.trades.count() == len({one.number for one in again.trades.all()}) > 2


def test_worker_that_lost_its_run_stores_nothing(market: list[Beat]) -> None:
    run = asked()
    lost = work(run, lambda share, text: Job.objects.update(worker="another") and None)
    assert (lost.job.status, results(lost)) == (Job.Status.RUNNING, NOTHING)


# --- What could not be known ----------------------------------------------------------------------------
@pytest.mark.parametrize("cut", [4, 9, 13])
def test_stored_run_is_the_same_before_a_cut_of_all_that_is_recorded(market: list[Beat], cut: int) -> None:
    whole, until = done(), market[cut].at
    with transaction.atomic():
        CoinTransaction.objects.filter(timestamp__gt=until).delete()
        AlertEvaluation.objects.filter(fired_at__gt=until).delete()
        Coin.objects.filter(first_seen_at__gt=until).delete()
    part = done()
    told = [backtest.trade_told(one) for one in whole.trades.filter(at__lte=until)]
    assert len(told) > 1
    assert [backtest.trade_told(one) for one in part.trades.filter(at__lte=until)] == told
    early = [point for point in whole.equity if datetime.fromisoformat(point[0]) <= until]
    assert part.equity[: len(early)] == early


def test_coin_that_leaves_the_curve_later_was_on_it_before(market: list[Beat]) -> None:
    whole, cut = done(), market[9].at
    mint = whole.trades.filter(at__lte=cut).first().mint
    Coin.objects.filter(mint=mint).update(curve="nonstandard")
    CoinTransaction.objects.filter(mint=mint, timestamp__gt=cut).update(virtual_token_base_units=1)
    left = CoinTransaction.objects.filter(mint=mint, timestamp__gt=cut).order_by("timestamp").first().timestamp
    coin = history_load([mint], START, END)
    assert coin.market_at(mint, cut).is_standard
    assert not coin.market_at(mint, left).is_standard
    told = [backtest.trade_told(one) for one in whole.trades.filter(at__lte=cut)]
    assert [backtest.trade_told(one) for one in done().trades.filter(at__lte=cut)] == told


# --- Beside each other ----------------------------------------------------------------------------------
def test_results_by_coin_add_up_to_the_result_and_pairs_to_the_difference(market: list[Beat]) -> None:
    first, second = done(), done(slippage_bps=50, failure_rate=0.0)
    for run in (first, second):
        assert sum(backtest_compare.result_by_coin(run).values()) == run.figures["pnl_lamports"]
    found = backtest_compare.compare([first, second])
    pair = found["pairs"][0]
    assert pair["difference_lamports"] == first.figures["pnl_lamports"] - second.figures["pnl_lamports"] != 0
    assert found["differ"] == ["definition", "terms"]
    same = backtest_compare.compare([first, done()])
    assert (same["differ"], same["pairs"][0]["difference_lamports"]) == ([], 0)


def test_only_finished_runs_of_one_range_are_compared(market: list[Beat]) -> None:
    first, waiting = done(), asked()
    other = work(backtest_runs.run_request(wish=replace(wish(), until=END - BEAT)))
    for ids, code in (
        ([first.pk], "BACKTEST_NUMBER"),
        ([first.pk, first.pk], "BACKTEST_NUMBER"),
        ([first.pk, 10**6], "BACKTEST_NOT_FOUND"),
        ([first.pk, waiting.pk], "BACKTEST_NOT_COMPLETED"),
        ([first.pk, other.pk], "BACKTEST_RANGES_DIFFER"),
    ):
        with pytest.raises(PlatformError) as refused:
            backtest_compare.runs_chosen(ids)
        assert refused.value.code == code
