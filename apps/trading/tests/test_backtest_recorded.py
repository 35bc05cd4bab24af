"""The real market as it was recorded: backtested, and the same time replayed through the websocket into paper trading.

The whole way is the real one: a server plays the recorded frames, the stream process receives, journals, folds and
commits them, the engine trades on what stands in the tables. Orders, fills with every fee, positions, the ledger and
the wallet are the same to the lamport. `SAMENESS_MINUTES=1440 pytest -s …` proves it for a whole day.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from apps.discovery.importer import Imported, import_file
from apps.discovery.models import CoinTransaction, StreamState
from apps.discovery.pumpportal import replay
from apps.discovery.pumpportal.server import Frame
from apps.discovery.services import stream_config_load
from apps.discovery.tests.process import Feed, StreamProcess, wait_until
from apps.predictions.models import AlertEvaluation
from apps.trading import backtest, backtest_benchmarks, engine
from apps.trading.backtest import Run
from apps.trading.ledger import ACCOUNTS
from apps.trading.ledger_queries import difference_of
from apps.trading.models import LedgerEntry, Order, Position, Strategy, TradeLog, TraderProgress, Wallet
from apps.trading.tests.test_backtest import same_as_paper, told
from tests import emptying

pytestmark = [pytest.mark.recordings, pytest.mark.django_db(transaction=True)]  # other processes read what is written

BEGIN = datetime(2025, 9, 5, 20, 56, 19, tzinfo=UTC)
MINUTES = float(os.environ.get("SAMENESS_MINUTES", "8"))
END = BEGIN + timedelta(minutes=MINUTES)
STRETCH_SECONDS = 60.0  # of feed time between two rounds of the trader
MARKET = ("coin_transactions", "coin_metrics", "coin_streams", "discovered_coins", "stream_state", "alert_evaluations")
BOOKED = ["kind", "at", *ACCOUNTS, "cash_after"]


def stretches(history: Path) -> Iterator[list[Frame]]:
    """The recorded frames, cut into pieces of feed time."""
    frames = replay.read([history], since=BEGIN.timestamp(), until=END.timestamp())
    for _, group in groupby(frames, key=lambda frame: (frame.t_wall or 0.0) // STRETCH_SECONDS):
        yield list(group)


def feed_at(frame: Frame) -> datetime:
    return datetime.fromtimestamp(frame.t_wall or 0.0, UTC)


def is_received(until: datetime) -> bool:
    at = StreamState.objects.values_list("feed_at", flat=True).first()
    return at is not None and at >= until - timedelta(microseconds=1)


def trade_live(history: Path, folder: Path, alerts: Sequence[AlertEvaluation]) -> None:
    """Stretch by stretch through the websocket into the tables; then its alerts, then the trader."""
    waiting = list(alerts)
    with Feed(journal_form=True) as feed, StreamProcess(folder, feed.server.uri, FLUSH_MS="10"):
        for frames in stretches(history):
            feed.offer(frames)
            until = feed_at(frames[-1])
            wait_until(partial(is_received, until), f"the stream to come to {until}")
            known = [one for one in waiting if one.fired_at <= until]
            waiting = waiting[len(known) :]
            AlertEvaluation.objects.bulk_create(known)
            while engine.round_once():
                pass


def comparable(run: Run) -> None:
    """What had not ended when the recording did is EXPIRED in the backtest; paper has it still under way."""
    cut = [order for order in run.book.orders.values() if order.status == "EXPIRED" and not order.deny_code]
    for order in cut:
        order.status, order.finished_at = "SUBMITTED", None
        held_back = Order.objects.get(idempotency_key=order.idempotency_key).reserved_lamports
        run.book.wallet(0).virtual_balance_lamports -= held_back
    numbers = {order.pk for order in cut}
    run.book.ledger = [one for one in run.book.ledger if one.kind != "RELEASE" or one.order_id not in numbers]


def test_recorded_market_is_traded_live_as_it_is_backtested(recordings: Path, tmp_path: Path, settings: Any) -> None:
    settings.TRADING_LATENCY_MS, settings.TRADING_LATENCY_MAX_MS = 400, 2000
    settings.PAPER_FAILURE_RATE, settings.MAX_ALERT_LAG_SECONDS = 0.05, 3600.0
    history = recordings / "trades_2025-09-05_to_07.csv.gz"
    import_file(history, stream_config_load(), Imported(), until_ms=round(END.timestamp() * 1000))
    task = replace(backtest_benchmarks.stage(), since=BEGIN)
    alerts, imported = list(AlertEvaluation.objects.order_by("alert_id")), CoinTransaction.objects.count()
    run = backtest.backtest(task)
    emptying.restore(*MARKET)
    Strategy.objects.update(last_alert_id=0)
    TraderProgress.objects.update_or_create(id=1, defaults={"processed_at": BEGIN, "processed_seq": -1})
    trade_live(history, tmp_path, alerts)
    assert CoinTransaction.objects.count() == imported
    comparable(run)
    same_as_paper(run)
    booked = LedgerEntry.objects.exclude(kind="DEPOSIT")
    assert told(run.book.ledger, BOOKED) == told(booked, BOOKED)
    assert difference_of(Wallet.objects.get()).total == 0
    assert TradeLog.objects.filter(action="sell", status="SUCCESS").count() > 3
    orders = Counter(Order.objects.values_list("side", "status"))
    sys.stdout.write(f"{imported} trades, {len(alerts)} alerts, {Position.objects.count()} positions, {dict(orders)}\n")
