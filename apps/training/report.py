"""The link between a job's work and its row: progress, log, and whether to stop.

A thread beats while the work computes. It also hears that the job was cancelled or taken away: the work is stopped at
its next report, and a query that it waits for is broken off. Work that does not report in time no longer holds the
job: the thread ends it as CANCELLED, and whatever the work still finds out is not stored.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import psycopg
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from apps.core.clock import database_now
from apps.training import services
from apps.training.models import Job

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
LISTEN_SECONDS = 1.0
SHOW_SECONDS = 0.5
PATIENCE_SECONDS = 3.0
AWAY = (OperationalError, InterfaceError)


class JobStopped(Exception):  # noqa: N818 - not an error
    """The job was cancelled, or taken from this worker."""


class Report:
    """Used as a context around the work of one job, in the thread that does it."""

    def __init__(self, job: Job, show: Callable[[float, str], None] = lambda ratio, message: None) -> None:
        self.job, self.show = job, show
        self.stopped = threading.Event()
        self._shown = 0.0
        self._end = threading.Event()
        self._link = _link()
        self._heart = threading.Thread(target=self._beat, name=f"heart of job {job.pk}", daemon=True)

    def __enter__(self) -> Report:
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._heart.join()

    def progress(self, ratio: float, message: str) -> None:
        """Show progress, twice a second at most. Raises JobStopped when the job was cancelled or taken away."""
        if self.stopped.is_set():
            raise JobStopped
        if time.monotonic() - self._shown < SHOW_SECONDS:
            return
        self._shown = time.monotonic()
        ours, cancelled = services.job_beat(job=self.job, now=database_now())
        if cancelled or not ours:
            self.stopped.set()
            raise JobStopped
        services.job_progress(job=self.job, progress=ratio, message=message)
        self.show(ratio, message)

    def part(self, low: float, high: float) -> Callable[[float, str], None]:
        """A progress function for a stretch of the work."""
        return lambda ratio, message: self.progress(low + (high - low) * ratio, message)

    def log(self, line: str) -> None:
        """A line for the job's log."""
        services.job_log(job=self.job, line=line, now=timezone.now())

    def _beat(self) -> None:
        """Beat and listen until the end, also while the work says nothing. Survives an absent database."""
        beaten = time.monotonic()
        while not self._end.wait(LISTEN_SECONDS):
            beat = time.monotonic() - beaten >= BEAT_SECONDS
            try:
                if self._is_over(beat=beat):
                    self._stop()
                    return
            except AWAY:
                logger.debug("job %s: the database is away", self.job.pk)
            finally:
                connection.close()
            beaten = time.monotonic() if beat else beaten

    def _is_over(self, *, beat: bool) -> bool:
        """Whether the job was cancelled or is no longer ours; where it goes on, its heartbeat is written if asked."""
        row = Job.objects.filter(pk=self.job.pk).values_list("status", "worker", "cancel_requested").first()
        if row is not None and row != (Job.Status.RUNNING, self.job.worker, False):
            return True
        if beat:
            services.job_beat(job=self.job, now=database_now())
        return False

    def _stop(self) -> None:
        """Stop the work: its next report raises, its query is broken off. Work that stays silent loses the job."""
        self.stopped.set()
        if self._end.wait(LISTEN_SECONDS):
            return
        try:
            self._link.cancel_safe(timeout=PATIENCE_SECONDS)
        except psycopg.Error:
            logger.debug("job %s: its query could not be broken off", self.job.pk)
        if not self._end.wait(PATIENCE_SECONDS):
            services.job_finish(job=self.job, status=Job.Status.CANCELLED, now=timezone.now())


def _link() -> psycopg.Connection:
    """The connection of the thread that works, for breaking off its queries."""
    connection.ensure_connection()
    link: psycopg.Connection = connection.connection
    return link
