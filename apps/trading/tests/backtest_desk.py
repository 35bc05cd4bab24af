"""Backtests of the rehearsal's market, asked for and done as the trainer does them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from apps.trading import backtest, backtest_runs
from apps.trading.backtest_runs import Wish
from apps.trading.models import Backtest
from apps.trading.rehearsal import BEAT, START
from apps.training import runner
from apps.training import services as jobs
from apps.training.models import Job

COINS, BEATS = 6, 16
END = START + BEATS * BEAT


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
