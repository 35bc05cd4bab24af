"""What the commands share: run a job in this process with a progress line, end with JSON or text and a status."""

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from apps.core.clock import database_now
from apps.core.commands import FAILED, WRONG_USE, CommandStoppedError
from apps.core.errors import PlatformError
from apps.training import runner, services
from apps.training.models import Job


def add_json(parser: CommandParser) -> None:
    """The option every command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")


def job_here(ask: Callable[[], Job]) -> Job:
    """Queue a job by `ask`, take it before the trainer can, and do it here. Raises CommandError when it fails."""
    try:
        with transaction.atomic():
            job = ask()
            services.job_take(job=job, worker=f"{socket.gethostname()}:{os.getpid()}:command", now=database_now())
    except PlatformError as error:
        raise stopped(error, status=WRONG_USE) from None
    try:
        runner.run(job, show_progress)
    except KeyboardInterrupt:
        services.job_finish(job=job, status=Job.Status.CANCELLED, now=timezone.now())
        raise
    finally:
        clear_progress()
    job.refresh_from_db()
    if job.status != Job.Status.COMPLETED:
        raise stopped(PlatformError(job.error_code or job.status, job.error or job.message))
    return job


def stopped(error: PlatformError, *, status: int = FAILED) -> CommandError:
    """A failure as the command's end; what it prints is up to `core.commands.JsonCommand`."""
    return CommandStoppedError(error, status)


def show_progress(ratio: float, message: str) -> None:
    """A line on the terminal that is written over; nothing where errors go to a file."""
    if sys.stderr.isatty():
        done = round(ratio * 30)
        sys.stderr.write(f"\r[{'#' * done}{'.' * (30 - done)}] {ratio:4.0%} {message[:60]:<60}")
        sys.stderr.flush()


def clear_progress() -> None:
    """Take the line away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 100 + "\r")


def measures(scores: dict[str, Any]) -> list[str]:
    """Scores as lines for people: measures with their intervals, then the tables of baselines and slices."""
    lines = [
        f"  rows {scores['rows']:,} of {scores['coins']:,} coins, positives {scores['positives']:,} "
        f"(base rate {_pct(scores, 'base_rate')})",
        f"  PR-AUC {_num(scores, 'pr_auc')} beside base rate {scores['base_rate'] or 0:.4f}, "
        f"ROC-AUC {_num(scores, 'roc_auc')}",
        f"  log loss {_num(scores, 'log_loss')}, Brier {_num(scores, 'brier')}",
        f"  at threshold {scores['threshold']:.4f}: {scores['alerts']:,} alerts on {scores['coins_alerted']:,} coins, "
        f"precision {_pct(scores, 'precision')}, recall {_pct(scores, 'recall')}, MCC {_num(scores, 'mcc')}",
        f"  expected value after all costs: {_pct(scores, 'expected_value')} of the stake per alert, "
        f"{_pct(scores, 'expected_value_first')} if only a coin's first alert is bought, "
        f"{_pct(scores, 'expected_value_of_all')} if every row is",
    ]
    if scores["suspicious"]:
        lines.append("  A ROC-AUC this high means a leak more often than a good model: run `manage.py leakcheck`.")
    lines += _table("baseline on the same rows", [(row["name"], row) for row in scores["baselines"]])
    for kind, rows in scores["slices"].items():
        lines += _table(kind, [(row["key"], row) for row in rows])
    boot = scores["bootstrap"]
    return [
        *lines,
        f"  [..]: {boot['level']:.0%} intervals over coins, {boot['resamples']:,} draws, seed {boot['seed']}",
    ]


_COLUMNS = ("rows", "base_rate", "PR-AUC", "ROC-AUC", "alerts", "precision", "expected value per alert")


def walks(folds: list[dict[str, Any]]) -> list[str]:
    """A walk forward as lines: its folds as a table, then those that could not be fitted."""
    judged = [(fold["from"][:16], fold) for fold in folds if "error" not in fold]
    return [
        *_table("walk forward from", judged),
        *(f"    {one['from'][:16]}: {one['error']}" for one in folds if "error" in one),
    ]


def _table(title: str, rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    if not rows:
        return []
    head = "  {:<25}{:>9}{:>11}{:>9}{:>9}{:>8}{:>11}  {}".format(title, *_COLUMNS)
    return [head, *(_line(name, row) for name, row in rows)]


def _line(name: str, row: dict[str, Any]) -> str:
    figures = [_plain(row[key], form) for key, form in (("pr_auc", ".4f"), ("roc_auc", ".4f"))]
    lead = "" if row.get("lead") is None else f"; the model leads by {_signed(row['lead'], row['lead_interval'])}"
    return (
        f"    {name:<23}{row['rows']:>9,}{_plain(row['base_rate'], '.2%'):>11}{figures[0]:>9}{figures[1]:>9}"
        f"{row['alerts']:>8,}{_plain(row['precision'], '.1%'):>11}  {_pct(row, 'expected_value')}{lead}"
    )


def _num(scores: dict[str, Any], name: str) -> str:
    return _with_ends(scores, name, ".4f")


def _pct(scores: dict[str, Any], name: str) -> str:
    return _with_ends(scores, name, ".2%")


def _with_ends(scores: dict[str, Any], name: str, form: str) -> str:
    """A measure and its interval."""
    ends = scores["intervals"].get(name)
    text = _plain(scores[name], form)
    return text if ends is None else f"{text} [{_plain(ends[0], form)} .. {_plain(ends[1], form)}]"


def _signed(value: float, ends: list[float] | None) -> str:
    return f"{value:+.2%}" if ends is None else f"{value:+.2%} [{ends[0]:+.2%} .. {ends[1]:+.2%}]"


def _plain(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
