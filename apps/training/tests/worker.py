"""A real Celery worker for the tests, on the database and the broker of the test."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from apps.core.scratch import database_url
from apps.training.models import Job
from tests.warm import Process


@contextmanager
def trainer() -> Iterator[Process]:
    """A Celery worker on the queue `training`, on the database of this test."""
    options = ["-Q", "training", "-c", "1", "-n", "trainer-test@%h", "--without-gossip", "--without-mingle"]
    environment = {**os.environ, "DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
    command = [sys.executable, "-m", "celery", "-A", "pumpsite", "worker", *options]
    process = Process(command, environment, log=Path(os.devnull), group=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def kill(process: Process) -> None:
    """kill -9 of the worker and its child."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)


def dying(wishes: Sequence[str]) -> None:
    """Let `dying` do what is wished, on the database of this test."""
    environment = {**os.environ, "DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
    process = Process([sys.executable, "-m", "apps.training.tests.dying", *wishes], environment, log=Path(os.devnull))
    assert process.wait(timeout=120) == 0


def wait_for(job: Job, seconds: float = 120) -> Job:
    """The job once it has ended."""
    end = time.monotonic() + seconds
    while job.status in (Job.Status.PENDING, Job.Status.RUNNING):
        assert time.monotonic() < end, (job.status, job.message)
        time.sleep(0.1)
        job.refresh_from_db()
    assert job.status == Job.Status.COMPLETED, (job.error_code, job.error)
    return job
