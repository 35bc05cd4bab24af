"""Backtests by API and on pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from apps.trading import backtest, wording
from apps.trading.models import Backtest, BacktestTrade, Strategy
from apps.trading.rehearsal import START, Beat
from apps.trading.tests.backtest_desk import BEATS, END, done, work
from apps.trading.tests.test_api import Caller

pytestmark = pytest.mark.django_db


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
    assert f'href="{reverse("trading:strategy_new")}">New strategy' in shown(browser, "backtest_new")
    for name in ("order", "transfers"):  # no form whose wallet nobody can choose
        page = shown(browser, name)
        assert f'href="{reverse("trading:wallets")}">Wallets</a></div>' in page
        assert 'name="wallet"' not in page and 'name="transfer-source"' not in page


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
    with translation.override(language):
        assert any(wording.sentence(code) in page for code in ("STOP_LOSS", "TIMEOUT", "TAKE_PROFIT"))
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
