"""Backtests as stored runs: asked for, done by the trainer's runner, cancelled, compared; by API and on pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.discovery.models import Coin, CoinTransaction, StreamGap
from apps.predictions.models import AlertEvaluation
from apps.trading import backtest, backtest_compare, backtest_runs, rehearsal
from apps.trading.backtest_queries import history_load
from apps.trading.backtest_runs import Wish
from apps.trading.models import Backtest, BacktestTrade, Order, Strategy, Wallet
from apps.trading.rehearsal import BEAT, START, Beat, beat_write
from apps.trading.tests.test_api import Caller
from apps.training import runner
from apps.training import services as jobs
from apps.training.models import Job

pytestmark = pytest.mark.django_db
COINS, BEATS = 6, 16
END = START + BEATS * BEAT


@pytest.fixture
def market(settings: Any) -> list[Beat]:
    """A market with alerts in the tables; nobody has traded on it."""
    settings.TRADING_LATENCY_MS, settings.TRADING_LATENCY_MAX_MS, settings.PAPER_FAILURE_RATE = 400, 2000, 0.1
    rehearsal.stage(coins=COINS)
    beats = rehearsal.script(seed=7, beats=BEATS, coins=COINS, alerts_a_beat=2)
    for beat in beats:
        beat_write(beat)
    return beats


def wish(**fields: Any) -> Wish:
    return Wish(strategy=backtest.strategy_get("rehearsal"), since=START, until=END, **fields)


def asked(**fields: Any) -> Backtest:
    return backtest_runs.run_request(wish=wish(**fields))


def work(run: Backtest, show: Callable[[float, str], None] = lambda share, text: None) -> Backtest:
    """Do the job of a run as the trainer does; the run as it is then."""
    assert jobs.job_take(job=run.job, worker="test", now=timezone.now())
    runner.run(run.job, show)
    return backtest_runs.run_get(backtest_id=run.pk)


def done(**fields: Any) -> Backtest:
    run = work(asked(**fields))
    assert run.job.status == Job.Status.COMPLETED, run.job.error
    return run


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
    same = work(run)
    assert same.figures["pnl_lamports"] == before.figures["pnl_lamports"] != 0
    assert done().figures["fills"] == 0


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
def test_wrong_wish_is_refused_with_a_code(db: None, fields: dict[str, Any], code: str) -> None:
    rehearsal.stage(coins=1)
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


def no_room() -> None:
    Wallet.objects.update(max_position_lamports=1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (nothing_recorded, "NO_TRADES_RECORDED"),
        (no_alerts, "NO_ALERTS"),
        (of_another_model, "NO_ALERTS_OF_MODELS"),
        (too_sure, "PROBABILITY_TOO_HIGH"),
        (no_room, "ALL_DENIED"),
    ],
)
def test_run_without_a_trade_says_why(market: list[Beat], change: Callable[[], None], code: str) -> None:
    change()
    run = done(sensitivity=True)
    assert run.figures["why"] == [code]
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


# --- API ------------------------------------------------------------------------------------------------
def test_api_asks_follows_reads_compares_and_removes(market: list[Beat]) -> None:
    api, reader = Caller("trade"), Caller("read")
    body = {"strategy": "rehearsal", "from": START.isoformat(), "to": END.isoformat()}
    assert reader("post", "backtests", body, 403)["code"] == "SCOPE_MISSING"
    assert reader("post", "backtests/preview", body)["coverage"]["alerts_wanted"] == 2 * BEATS
    made = api("post", "backtests", {**body, "note": "by a program", "seed": 3}, 202)
    assert (made["status"], made["from"], made["figures"], made["seed"]) == (
        "PENDING",
        body["from"].replace("+00:00", "Z"),
        None,
        3,
    )
    ran = work(Backtest.objects.get(pk=made["id"]))
    one = reader("get", f"backtests/{made['id']}")
    assert (one["status"], one["progress"], one["pnl_lamports"]) == ("COMPLETED", 1.0, ran.figures["pnl_lamports"])
    assert one["figures"]["exits"] and one["definition"]["strategy"]["name"] == "rehearsal"
    trades = reader("get", f"backtests/{made['id']}/trades?limit=2&offset=1")
    assert (trades["count"], [row["number"] for row in trades["items"]]) == (ran.trades.count(), [2, 3])
    equity = reader("get", f"backtests/{made['id']}/equity?limit=1")
    assert (equity["count"], equity["items"][0]["lamports"]) == (backtest.POINTS + 1, ran.balance_lamports)
    second = work(
        Backtest.objects.get(pk=api("post", "backtests", {**body, "latency_ms": 0, "latency_max_ms": 0}, 202)["id"])
    )
    found = reader("get", f"backtests/compare?ids={made['id']}&ids={second.pk}")
    assert found["pairs"][0]["difference_lamports"] == one["pnl_lamports"] - second.figures["pnl_lamports"]
    assert [run["id"] for run in reader("get", "backtests?status=COMPLETED&strategy=rehearsal")["items"]] == [
        second.pk,
        made["id"],
    ]
    assert api("post", f"backtests/{made['id']}/cancel", {}, 409)["code"] == "JOB_ALREADY_ENDED"
    api("delete", f"backtests/{made['id']}", status=204)
    assert reader("get", f"backtests/{made['id']}", status=404)["code"] == "BACKTEST_NOT_FOUND"
    assert not BacktestTrade.objects.filter(backtest_id=made["id"]).exists()


def test_api_says_what_is_wrong_with_a_wish(market: list[Beat]) -> None:
    api = Caller("trade")
    body = {"strategy": "rehearsal", "from": START.isoformat(), "to": END.isoformat()}
    assert api("post", "backtests", {**body, "strategy": "none"}, 404)["code"] == "STRATEGY_NOT_FOUND"
    assert api("post", "backtests", {**body, "to": body["from"]}, 400)["code"] == "RANGE_EMPTY"
    assert api("post", "backtests", {**body, "failure_rate": 2}, 422)["code"] == "VALIDATION_FAILED"
    assert api("post", "backtests", {**body, "from": "2026-07-04T12:00:00"}, 422)["code"] == "VALIDATION_FAILED"
    assert api("post", "backtests", {**body, "scores": "recomputed"}, 409)["code"] == "NO_MODEL_TO_RECOMPUTE"
    assert api("get", "backtests/compare?ids=1", status=400)["code"] == "BACKTEST_NUMBER"


# --- Pages ----------------------------------------------------------------------------------------------
@pytest.fixture
def browser(client: Client, db: None) -> Client:
    client.force_login(get_user_model().objects.create_user("person"))
    return client


def shown(browser: Client, name: str, *arguments: Any, query: str = "", language: str = "en") -> str:
    address = reverse(f"trading:{name}", args=arguments) + query
    response = browser.get(address, headers={"accept-language": language})
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_pages_without_anything_say_what_to_do(browser: Client) -> None:
    assert "No backtest yet." in shown(browser, "backtests")
    assert "There is no strategy to try." in shown(browser, "backtest_new")


def test_form_previews_queues_and_leads_to_the_run(browser: Client, market: list[Beat]) -> None:
    page = shown(browser, "backtest_new", query="?strategy=rehearsal")
    assert 'name="failure_percent" value="10.0"' in page
    local = [timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M:%S") for moment in (START, END)]
    fields = {"strategy": Strategy.objects.get().pk, "scores": "stored", "time_from": local[0], "time_to": local[1],
              "alert_delay_ms": 0, "seed": 2, "sensitivity": "on"}  # fmt: skip
    preview = browser.post(reverse("trading:backtest_preview"), fields).content.decode()
    assert re.search(rf"from its least probability on</dt>\s*<dd>{2 * BEATS}</dd>", preview)
    refused = browser.post(reverse("trading:backtest_preview"), {**fields, "scores": "recomputed"}).content.decode()
    assert "No model at work is there to score with" in refused
    answer = browser.post(reverse("trading:backtest_new"), fields)
    run = Backtest.objects.get()
    assert answer["Location"] == reverse("trading:backtest", args=[run.pk])
    assert (run.since, run.until, run.seed, run.terms["sensitivity"]) == (START, END, 2, True)
    waiting = shown(browser, "backtest", run.pk)
    assert "<progress" in waiting and "Cancel" in waiting
    browser.post(reverse("trading:backtest_cancel", args=[run.pk]))
    assert "cancelled" in shown(browser, "backtest", run.pk)


@pytest.mark.parametrize("language", ["en", "de"])
def test_pages_of_a_finished_run_show_it(browser: Client, market: list[Beat], language: str) -> None:
    first, second = done(sensitivity=True), done(slippage_bps=50)
    page = shown(browser, "backtest", first.pk, language=language)
    assert page.count('<svg class="plot"') == 2
    assert "STOP_LOSS" in page or "TIMEOUT" in page or "TAKE_PROFIT" in page
    assert "+0.000000000" in page.replace(",", ".")
    assert first.trades.first().mint in shown(browser, "backtest_trades", first.pk, language=language)
    assert f"{first.pk} – {second.pk}" in shown(
        browser, "backtest_compare", query=f"?ids={first.pk}&ids={second.pk}", language=language
    )
    assert f'value="{first.pk}"' in shown(browser, "backtests", language=language)
    assert browser.get(reverse("trading:backtest_compare") + "?ids=x&ids=1").status_code == 302
    job = reverse("training:job", args=[first.job_id])
    assert reverse("trading:backtest", args=[first.pk]) in browser.get(job).content.decode()
    browser.post(reverse("trading:backtest_delete", args=[first.pk]))
    assert reverse("trading:backtest", args=[first.pk]) not in browser.get(job).content.decode()
    assert browser.get(reverse("trading:backtest", args=[first.pk])).status_code == 404


def test_page_of_a_run_in_training_data_warns_in_red(browser: Client, market: list[Beat]) -> None:
    run = done()
    seen = [
        {"model_id": 1, "name": "knew it", "train_from": START.isoformat(), "train_to": END.isoformat(), "alerts": 3}
    ]
    Backtest.objects.update(figures={**run.figures, "overlaps_training": seen})
    page = shown(browser, "backtest", run.pk)
    assert re.search(r'note-box bad[^>]*" role="alert">.*This promises nothing.*knew it', page)
    assert "overlaps training" in shown(browser, "backtests")
