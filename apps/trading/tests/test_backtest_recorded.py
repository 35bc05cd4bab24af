"""The real market as it was recorded: backtested, and the same time replayed through the websocket into paper trading.

The whole way is the real one: a server plays the recorded frames, the stream process receives, journals, folds and
commits them, the engine trades on what stands in the tables. Orders, fills with every fee, positions, the ledger and
the wallet are the same to the lamport. `SAMENESS_MINUTES=1440 pytest -s …` proves it for a whole day.

Once the trader waits for each stretch: then it decides at the feed time of each alert, as a backtest does. Once the
real process trades as it runs, as it does every day: how far it had come when it saw an alert is then a matter of
milliseconds and never twice the same. Each order says when it was decided; a backtest that decides then does the same.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.discovery.importer import Imported, import_file
from apps.discovery.models import CoinTransaction, StreamState
from apps.discovery.pumpportal import replay
from apps.discovery.pumpportal.server import Frame
from apps.discovery.recordings import open_recording
from apps.discovery.services import stream_config_load
from apps.discovery.tests.process import Feed, StreamProcess, wait_until
from apps.predictions.models import AlertEvaluation
from apps.trading import backtest, backtest_benchmarks, engine
from apps.trading.backtest import Run
from apps.trading.backtest_queries import history_load, signals_stored
from apps.trading.entries import Signal
from apps.trading.ledger import ACCOUNTS
from apps.trading.ledger_queries import difference_of
from apps.trading.models import LedgerEntry, Order, Position, Strategy, TradeLog, TraderProgress, Wallet
from apps.trading.rehearsal import TraderProcess
from apps.trading.tests.test_backtest import same_as_paper, told
from tests import emptying
from tests.warm import Process

pytestmark = [pytest.mark.recordings, pytest.mark.django_db(transaction=True)]  # other processes read what is written

BEGIN = datetime(2025, 9, 5, 20, 56, 19, tzinfo=UTC)
MINUTES = float(os.environ.get("SAMENESS_MINUTES", "6"))
END = BEGIN + timedelta(minutes=MINUTES)
STRETCH_SECONDS = 60.0  # of feed time between two rounds of the trader
MARKET = ("coin_transactions", "coin_metrics", "coin_streams", "discovered_coins", "stream_state", "alert_evaluations")
TERMS = {"TRADING_LATENCY_MS": 400, "TRADING_LATENCY_MAX_MS": 2000, "PAPER_FAILURE_RATE": 0.05,
         "MAX_ALERT_LAG_SECONDS": 3600.0}  # fmt: skip
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


def live(history: Path, folder: Path) -> Iterator[datetime]:
    """Stretch by stretch through the websocket into the tables; the time of the last frame of each."""
    with Feed(journal_form=True) as feed, StreamProcess(folder, feed.server.uri, FLUSH_MS="10"):
        for frames in stretches(history):
            feed.offer(frames)
            until = feed_at(frames[-1])
            wait_until(partial(is_received, until), f"the stream to come to {until}")
            yield until


def alerts_commit(alerts: Sequence[AlertEvaluation], until: datetime) -> list[AlertEvaluation]:
    """Write the alerts up to then, as the scorer does; those that are still to come."""
    known = [one for one in alerts if one.fired_at <= until]
    AlertEvaluation.objects.bulk_create(known)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('alerts', '{}')")
    return list(alerts[len(known) :])


def comparable(run: Run) -> None:
    """What had not ended when the recording did is EXPIRED in the backtest; paper has it still under way."""
    cut = [order for order in run.book.orders.values() if order.status == "EXPIRED" and not order.deny_code]
    for order in cut:
        order.status, order.finished_at = "SUBMITTED", None
        held_back = Order.objects.get(idempotency_key=order.idempotency_key).reserved_lamports
        run.book.wallet(0).virtual_balance_lamports -= held_back
    numbers = {order.pk for order in cut}
    run.book.ledger = [one for one in run.book.ledger if one.kind != "RELEASE" or one.order_id not in numbers]


def cut(recording: Path, into: Path) -> Path:
    """A history of the recording's first trades, those received before END."""
    end = END.strftime("%Y-%m-%dT%H:%M:%S").encode()
    with open_recording(recording) as lines:
        into.write_bytes(next(lines) + b"".join(takewhile(lambda line: line < end, lines)))
    return into


@pytest.fixture
def recorded(recordings: Path, settings: Any, tmp_path: Path) -> Path:
    """The recorded history, imported."""
    for name, value in TERMS.items():
        setattr(settings, name, value)
    history = cut(recordings / "trades_2025-09-05_to_07.csv.gz", tmp_path / "recorded.csv")
    import_file(history, stream_config_load(), Imported())
    return history


def begin_anew() -> None:
    """The tables before the first trade, with the wallet and the strategy."""
    emptying.restore(*MARKET)
    Strategy.objects.update(last_alert_id=0)
    TraderProgress.objects.update_or_create(id=1, defaults={"processed_at": BEGIN, "processed_seq": -1})


def same_in_every_book(run: Run) -> None:
    comparable(run)
    same_as_paper(run)
    booked = LedgerEntry.objects.exclude(kind="DEPOSIT")
    assert told(run.book.ledger, BOOKED) == told(booked, BOOKED)
    assert difference_of(Wallet.objects.get()).total == 0
    assert TradeLog.objects.filter(action="sell", status="SUCCESS").count() > 3
    orders = Counter(Order.objects.values_list("side", "status"))
    sys.stdout.write(f"{Position.objects.count()} positions, {dict(orders)}\n")


def test_recorded_market_is_traded_live_as_it_is_backtested(recorded: Path, tmp_path: Path) -> None:
    task = replace(backtest_benchmarks.stage(), since=BEGIN)
    alerts, imported = list(AlertEvaluation.objects.order_by("alert_id")), CoinTransaction.objects.count()
    run = backtest.backtest(task)
    begin_anew()
    for until in live(recorded, tmp_path):
        alerts = alerts_commit(alerts, until)
        while engine.round_once():
            pass
    assert CoinTransaction.objects.count() == imported
    same_in_every_book(run)


def decided(signals: Sequence[Signal]) -> list[Signal]:
    """The signals with the time at which the trader decided on each."""
    at = dict(Order.objects.filter(side="buy").values_list("alert_id", "decided_at"))
    return [replace(signal, fired_at=at[signal.alert_id]) for signal in signals]


def is_judged(until: datetime) -> bool:
    return TraderProgress.objects.filter(processed_at__gte=until - timedelta(microseconds=1)).exists()


def trade_freely(history: Path, folder: Path, alerts: list[AlertEvaluation]) -> None:
    """The trader's process comes round when it likes. Every other stretch's alerts come when it has passed them."""
    until = BEGIN
    for number, until in enumerate(live(history, folder)):
        if number % 2 == 0:
            wait_until(partial(is_judged, until), f"the trader to come to {until}")
        alerts = alerts_commit(alerts, until)
    wait_until(partial(is_judged, until), f"the trader to come to {until}")


def test_trader_that_runs_freely_does_what_a_backtest_does_that_decides_when_it_did(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(backtest_benchmarks.stage(), since=BEGIN)
    signals = signals_stored(task.strategy, task.since, task.until)
    history = history_load([signal.mint for signal in signals], task.since, task.until)
    alerts = list(AlertEvaluation.objects.order_by("alert_id"))
    begin_anew()
    monkeypatch.setattr(TraderProcess, "launch", staticmethod(Process))
    trader = TraderProcess(**{name: str(value) for name, value in TERMS.items()})
    trader.start()
    try:
        trade_freely(recorded, tmp_path, alerts)
    finally:
        trader.stop()
    played = decided(signals)
    late = sum(new.fired_at > old.fired_at for new, old in zip(played, signals, strict=True))
    assert late > 0
    same_in_every_book(backtest.backtest(task, signals=played, history=history))
    sys.stdout.write(f"{late} of {len(played)} decided late\n")
