"""The job BACKTEST: reads, plays, stores. Done in the trainer's process, or in that of `manage.py backtest`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.sentences import worded
from apps.trading import backtest, backtest_coverage, backtest_runs
from apps.trading.backtest import Run, Task
from apps.trading.backtest_queries import history_load, signals_stored
from apps.trading.entries import Signal, concerns
from apps.trading.memory import History
from apps.trading.models import Backtest, BacktestTrade
from apps.training import services as jobs
from apps.training.models import Job
from apps.training.report import JobStopped, Report

ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to play: signals, the market, and what is said of the scores."""

    signals: Sequence[Signal]
    history: History
    scores: backtest.Scores | None = None
    recomputed: dict[str, Any] | None = None


def run(job: Job, report: Report) -> None:
    """Do the job."""
    row = Backtest.objects.get(job=job)
    task = backtest_runs.task_from(row)
    seen = _seen(row, task)
    clock = time.perf_counter()
    found = _load(row, task, report)
    report.log(f"{len(found.signals):,} signals on {len(found.history.coins):,} coins")
    high = 0.5 if row.terms["sensitivity"] else 0.95
    done = backtest.backtest(
        task,
        signals=found.signals,
        history=found.history,
        scores=found.scores,
        progress=lambda share: report.progress(0.3 + (high - 0.3) * share, worded("trading")),
    )
    seconds = time.perf_counter() - clock
    figures = _figures(row, done, found) | {"overlaps_training": seen}
    if row.terms["sensitivity"]:
        figures["sensitivity"] = backtest.sensitivity(
            task, signals=found.signals, history=found.history, scores=found.scores,
            progress=lambda share: report.progress(
                0.5 + 0.45 * share, worded("other latencies and slippage limits")
            ),
        )  # fmt: skip
    _store(job, row, done, figures, seconds)


def _seen(row: Backtest, task: Task) -> backtest_coverage.Seen:
    """The models that know the range from training; looked at again, since a model may have changed in between."""
    if not row.terms["allow_overlap"]:
        backtest_runs.seen_check(task.strategy, row.since, row.until, row.scores)
        return []
    return backtest_runs.seen_by_training(task.strategy, row.since, row.until, row.scores)


def _load(row: Backtest, task: Task, report: Report) -> Found:
    """Signals, stored or recomputed, and all that is recorded of their coins."""
    report.progress(0.0, worded("reading alerts"))
    scores, recomputed = None, None
    if row.scores == Backtest.Scores.STORED:
        signals = signals_stored(task.strategy, task.since, task.until)
    else:
        from apps.trading.backtest_scores import signals_recomputed  # loads XGBoost

        delay = timedelta(milliseconds=row.terms["alert_delay_ms"])
        again = signals_recomputed(task.strategy, task.since, task.until, delay, report.part(0.0, 0.25))
        signals = [signal for signal in again.signals if concerns(task.strategy, signal)]
        scores, recomputed = again.scores, again.as_json()
        report.log(f"recomputed {len(again.signals):,} alerts from {again.counts['rows_scored']:,} windows")
    report.progress(0.25, worded("reading trades"))
    history = history_load([signal.mint for signal in signals], task.since, task.until)
    return Found(signals, history, scores, recomputed)


def _figures(row: Backtest, done: Run, found: Found) -> dict[str, Any]:
    """The summary with what it rests on."""
    task = done.task
    figures = backtest.summary(done)
    figures["fills"] = sum(one.status == "SUCCESS" for one in done.book.trades)
    figures["coverage"] = {
        **backtest_coverage.coverage(task.strategy, task.since, task.until),
        **backtest_coverage.signals_counted(found.signals, found.history, task.since, task.until),
    }
    figures["recomputed"] = found.recomputed
    figures["cost_terms"] = backtest_runs.costs_json(task.strategy.wallet)
    figures["why"] = backtest_coverage.why(figures, recomputed=row.scores == Backtest.Scores.RECOMPUTED)
    return figures


@transaction.atomic
def _store(job: Job, row: Backtest, done: Run, figures: dict[str, Any], seconds: float) -> None:
    """Results, trades and the end of the job, together. Raises JobStopped where the job is no longer ours."""
    row.equity = figures.pop("equity")
    row.figures, row.seconds, row.trades_covered = figures, seconds, figures["coverage"]["trades_in_range"]
    row.save(update_fields=["figures", "equity", "seconds", "trades_covered"])
    trades = [
        BacktestTrade(backtest=row, number=number, at=one.at, **backtest.trade_parts(one))
        for number, one in enumerate(done.book.trades, 1)
    ]
    BacktestTrade.objects.bulk_create(trades, batch_size=ROWS_AT_ONCE)
    result = {"backtest_id": row.pk, "pnl_lamports": figures["pnl_lamports"], "trades": len(trades)}
    if not jobs.job_finish(job=job, status=Job.Status.COMPLETED, now=timezone.now(), result=result):
        raise JobStopped
