"""Does jobs in processes that kill themselves at a chosen point: `python -m apps.training.tests.dying CUT:JOB...`.

Each job gets a process of its own (a fork, so that libraries are imported once), which claims it and dies by SIGKILL
at the cut: at a word of the progress it reports, in the middle of storing, or after everything. The cut `none` lives.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

WORDS = ("rows of", "fitting", "judging")
STORED = 'INSERT INTO "ml_models"'


def main(wishes: list[str]) -> int:
    """Status 0 where each one died, or lived, as it was wished."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pumpsite.settings")
    django.setup()
    for name in ("apps.training.runner", "sklearn.linear_model"):
        import_module(name)
    return sum(_ends_as_wished(*wish.split(":")) for wish in wishes)


def _ends_as_wished(cut: str, job_id: str) -> bool:
    """False (0) where it did: the sum over all is the status."""
    child = os.fork()
    if child == 0:
        _work(cut, int(job_id))
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return bool(ended != (0 if cut == "none" else signal.SIGKILL))


def _work(cut: str, job_id: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from apps.training import report, runner, services
    from apps.training.models import Job

    if cut in WORDS:
        report.SHOW_SECONDS = 0.0  # every word is said
    job = Job.objects.get(pk=job_id)
    assert services.job_take(job=job, worker=f"dying:{os.getpid()}", now=timezone.now())
    with connection.execute_wrapper(_dies_at(cut)):
        runner.run(job, lambda _ratio, message: _die() if cut in WORDS and cut in message else None)
    if cut == "after":
        _die()


def _dies_at(cut: str) -> Callable[..., Any]:
    """Lets a statement through and then dies, where the cut is `storing` and it has stored the model."""

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        done = execute(sql, params, many, context)
        if cut == "storing" and sql.startswith(STORED):
            _die()
        return done

    return wrapper


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
