"""What the commands share: run a job in this process with a progress line, end with JSON or text and a status."""

import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.training import runner, services
from apps.training.models import Job

FAILED, WRONG_USE = 1, 2


def add_json(parser: CommandParser) -> None:
    """The option every command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")


def job_here(ask: Callable[[], Job], *, as_json: bool) -> Job:
    """Queue a job by `ask`, take it before the trainer can, and do it here. Raises CommandError when it fails."""
    try:
        with transaction.atomic():
            job = ask()
            services.job_take(job=job, worker=f"{socket.gethostname()}:{os.getpid()}:command", now=timezone.now())
    except PlatformError as error:
        raise stopped(error, as_json=as_json, status=WRONG_USE) from None
    try:
        runner.run(job, show_progress)
    except KeyboardInterrupt:
        services.job_finish(job=job, status=Job.Status.CANCELLED, now=timezone.now())
        raise
    finally:
        clear_progress()
    job.refresh_from_db()
    if job.status != Job.Status.COMPLETED:
        raise stopped(PlatformError(job.error_code or job.status, job.error or job.message), as_json=as_json)
    return job


def stopped(error: PlatformError, *, as_json: bool, status: int = FAILED) -> CommandError:
    """A failure as the command's end: the API's error shape with --json, else a sentence."""
    text = json.dumps(error.as_dict(), default=str) if as_json else f"{error.code}: {error.message}"
    return CommandError(text, returncode=status)


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
    """Scores as lines for people."""
    lines = [
        f"  rows {scores['rows']:,}, positives {scores['positives']:,} (base rate {_pct(scores['base_rate'])})",
        f"  PR-AUC {_num(scores['pr_auc'])} beside base rate {_num(scores['base_rate'])}, "
        f"ROC-AUC {_num(scores['roc_auc'])}, log loss {_num(scores['log_loss'])}, Brier {_num(scores['brier'])}",
        f"  at threshold {_num(scores['threshold'])}: {scores['alerts']:,} alerts, "
        f"precision {_pct(scores['precision'])}, recall {_pct(scores['recall'])}, MCC {_num(scores['mcc'])}",
        f"  expected value after costs: {_pct(scores['expected_value'])} per alert, "
        f"{_pct(scores['expected_value_of_all'])} if every row were bought",
    ]
    if scores["suspicious"]:
        lines.append("  A ROC-AUC this high means a leak more often than a good model: run `manage.py leakcheck`.")
    return lines


def _num(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _pct(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
