"""`manage.py scorer` as a process of its own: killed, stopped, cut off from the database."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from django.db import connection

from apps.predictions.models import AlertEvaluation, Prediction, ScorerState
from apps.predictions.tests.feed import Feed, at, at_work
from tests import warm

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 90.0


def wait_for(condition: Callable[[], bool]) -> None:
    """Fails when the condition does not come about."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)  # asking without pause takes a core from the scorer


def database_url() -> str:
    """The address of the database that this test runs on."""
    one = connection.settings_dict
    return f"postgresql://{one['USER']}:{quote(one['PASSWORD'])}@{one['HOST']}:{one['PORT']}/{one['NAME']}"


class Process:
    """Starts and ends scorers, one at a time."""

    def __init__(self) -> None:
        self.running: warm.Process | None = None

    def start(self) -> None:
        environment = {**os.environ, "DATABASE_URL": database_url()}
        self.running = warm.Process([sys.executable, "manage.py", "scorer"], environment)

    def ended(self) -> bool:
        return self.running is None or self.running.poll() is not None

    def end(self, how: signal.Signals) -> int:
        assert self.running is not None
        self.running.send_signal(how)
        return self.running.wait(SECONDS)


@pytest.fixture
def process(transactional_db: None) -> Iterator[Process]:
    one = Process()
    yield one
    if not one.ended():
        one.end(signal.SIGKILL)


@pytest.fixture
def standby(transactional_db: None) -> Iterator[Process]:
    """A second one, ended whatever happens."""
    one = Process()
    yield one
    if not one.ended():
        one.end(signal.SIGKILL)


def rows_waiting() -> int:
    """Metric rows that the scorer has not dealt with."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM coin_metrics WHERE row_id > (SELECT last_row_id FROM scorer_state)")
        return cursor.fetchone()[0]


def metric_count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM coin_metrics")
        return cursor.fetchone()[0]


def test_kills_at_any_moment_lose_and_double_nothing_also_where_a_second_one_waits(
    process: Process, standby: Process
) -> None:
    feed = Feed()
    for number in range(12):
        feed.coin(number, born=number)
    models = [at_work("first", threshold=0.5), at_work("second", threshold=0.5, seed=2)]
    process.start()
    for number, seconds in enumerate(range(5, 400, 5)):
        feed.run_to(seconds)
        if number == 30:
            standby.start()
        if number % 25 == 24:
            scored = Prediction.objects.count()
            wait_for(lambda before=scored: Prediction.objects.count() > before or rows_waiting() == 0)
            process.end(signal.SIGKILL)
            if number == 49:
                process, standby = standby, process
            else:
                process.start()
    wait_for(lambda: rows_waiting() == 0)
    for active in models:
        scores = Prediction.objects.filter(active_model_id=active.pk)
        assert scores.count() == metric_count()
        timely = scores.filter(tag="alert", is_late=False)
        assert AlertEvaluation.objects.filter(active_model_id=active.pk).count() == timely.count()
    assert ScorerState.objects.get().last_row_id > 0
    assert process.end(signal.SIGTERM) == 0


def cut_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_cut_connection_is_made_anew_and_what_a_restart_missed_is_scored_as_late_without_alerts(
    process: Process,
) -> None:
    feed = Feed()
    feed.coin(1)
    at_work(threshold=0.0)
    process.start()
    feed.run_to(30)
    wait_for(lambda: Prediction.objects.exists() and rows_waiting() == 0)
    cut_connections()
    feed.run_to(60)
    wait_for(lambda: rows_waiting() == 0)
    assert Prediction.objects.count() == metric_count()
    assert process.end(signal.SIGTERM) == 0
    late = Prediction.objects.filter(is_late=True).count()
    alerts = AlertEvaluation.objects.count()
    feed.run_to(100)
    feed.run_to(300)
    process.start()
    wait_for(lambda: rows_waiting() == 0)
    assert Prediction.objects.count() == metric_count()
    assert Prediction.objects.filter(is_late=True).count() > late + 30
    fired = AlertEvaluation.objects.filter(fired_at=at(300))
    assert alerts + fired.count() == AlertEvaluation.objects.count()
    assert not fired.filter(as_of__lt=at(290)).exists()
