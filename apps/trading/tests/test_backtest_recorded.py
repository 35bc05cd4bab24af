"""A recorded stretch of the real market: backtested, and traded on paper round by round, to the lamport the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.discovery.importer import Imported, import_file
from apps.discovery.models import StreamState
from apps.discovery.services import stream_config_load
from apps.predictions.models import AlertEvaluation
from apps.trading import backtest, backtest_benchmarks, engine
from apps.trading.backtest import Task
from apps.trading.models import Order, Strategy, TradeLog, TraderProgress
from apps.trading.tests.test_backtest import same_as_paper

pytestmark = [pytest.mark.recordings, pytest.mark.django_db(transaction=True)]  # the importer commits

BEGIN = datetime(2025, 9, 5, 20, 56, 19, tzinfo=UTC)
END = BEGIN + timedelta(minutes=12)
ROUND = timedelta(seconds=7)


def play(task: Task) -> None:
    """The alerts come one round after another, and the trader after each; the trades are in the tables already."""
    waiting = list(AlertEvaluation.objects.order_by("alert_id"))
    AlertEvaluation.objects.all().delete()
    Strategy.objects.update(last_alert_id=0)
    TraderProgress.objects.update_or_create(id=1, defaults={"processed_at": task.since, "processed_seq": -1})
    feed_at = task.since
    while feed_at < task.until:
        feed_at = min(feed_at + ROUND, task.until)
        StreamState.objects.update_or_create(id=1, defaults={"feed_at": feed_at, "mode": "replay", "connected": True})
        AlertEvaluation.objects.bulk_create([one for one in waiting if feed_at - ROUND < one.fired_at <= feed_at])
        while engine.round_once():
            pass


def test_recorded_stretch_is_traded_on_paper_as_it_is_backtested(recordings: Path, settings: Any) -> None:
    settings.TRADING_LATENCY_MS, settings.TRADING_LATENCY_MAX_MS = 400, 2000
    settings.PAPER_FAILURE_RATE, settings.MAX_ALERT_LAG_SECONDS = 0.05, 3600.0
    imported = Imported()
    history = recordings / "trades_2025-09-05_to_07.csv.gz"
    import_file(history, stream_config_load(), imported, until_ms=round(END.timestamp() * 1000))
    task = replace(backtest_benchmarks.stage(), since=BEGIN, until=END)
    run = backtest.backtest(task)
    play(task)
    assert TradeLog.objects.filter(action="sell", status="SUCCESS").count() > 3
    running = [order for order in run.book.orders.values() if order.status == "EXPIRED"]
    for order in running:  # paper has them still under way
        order.status, order.finished_at = "SUBMITTED", None
        run.book.wallet(0).virtual_balance_lamports -= Order.objects.get(
            idempotency_key=order.idempotency_key
        ).reserved_lamports
    same_as_paper(run)
