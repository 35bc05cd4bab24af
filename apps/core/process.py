"""What every long-running process shares: clean stops, back-off, heartbeats, and the exit status for wrong settings.

    class Command(ServiceCommand):
        name = "scorer"

        def run(self, stop: Stop) -> None:
            while not stop.wait(0.5):
                ...                       # one round; a thread writes the heartbeat meanwhile

`run` is called again, after a pause, when the database goes away in it; it must find its place in the database.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Min, Q
from django.utils import timezone

from apps.core.checks import require_settings
from apps.core.models import Heartbeat

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
HEALTHY_SECONDS = 60.0
DEAD_AFTER = timedelta(seconds=30)
AWAY = (OperationalError, InterfaceError)


class Stop:
    """Asks a process to end: set by SIGTERM and SIGINT, awaited by its loops."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self, *_: Any) -> None:
        """Ask for the end (also a signal handler)."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep up to `seconds`; True as soon as the end was asked for."""
        return self._event.wait(seconds)

    def listen(self) -> "Stop":
        """Let SIGTERM and SIGINT set this; only in the main thread."""
        signal.signal(signal.SIGTERM, self.set)
        signal.signal(signal.SIGINT, self.set)
        return self


def backoff(*, first: float = 0.5, most: float = 5.0) -> Iterator[float]:
    """Seconds to wait before each further try: doubling from `first` up to `most`."""
    delay = first
    while True:
        yield delay
        delay = min(delay * 2, most)


def heartbeat_write(*, name: str) -> None:
    """Note in the database that this process is alive; `started_at` stays that of the process."""
    now = timezone.now()
    instance = f"{name}@{socket.gethostname()}:{os.getpid()}"
    fields = {"name": name, "beat_at": now}
    _, created = Heartbeat.objects.update_or_create(
        instance=instance, defaults=fields, create_defaults={**fields, "started_at": now}
    )
    if created:
        Heartbeat.objects.filter(Q(beat_at__lt=now - DEAD_AFTER), name=name).delete()


def processes_alive(*, now: datetime) -> set[str]:
    """Names of the processes whose heart has beaten lately."""
    return set(Heartbeat.objects.filter(beat_at__gte=now - DEAD_AFTER).values_list("name", flat=True))


def uptime_seconds(*, now: datetime) -> float:
    """Seconds since the oldest living process started; 0 where none is."""
    alive = Heartbeat.objects.filter(beat_at__gte=now - DEAD_AFTER)
    started = alive.aggregate(started=Min("started_at"))["started"]
    return (now - started).total_seconds() if started else 0.0


class Heart(threading.Thread):
    """Writes the heartbeat of a process every few seconds, over a connection that it closes each time."""

    def __init__(self, name: str, stop: Stop) -> None:
        super().__init__(name=f"heart of {name}", daemon=True)
        self.process, self.stop = name, stop

    def run(self) -> None:
        while True:
            try:
                heartbeat_write(name=self.process)
            except AWAY:
                logger.debug("no heartbeat of %s: the database is away", self.process)
            finally:
                connection.close()
            if self.stop.wait(BEAT_SECONDS):
                return


class ServiceCommand(BaseCommand, ABC):
    """A command that runs until it is told to stop, and outlives the absence of the database."""

    name = ""
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        require_settings()
        self.options = options
        stop = Stop().listen()
        Heart(self.name, stop).start()
        logger.info("%s started", self.name)
        self._run_until(stop)
        logger.info("%s stopped", self.name)
        sys.stdout.flush()

    def _run_until(self, stop: Stop) -> None:
        delays = backoff()
        while not stop:
            began = time.monotonic()
            try:
                self.run(stop)
                return
            except AWAY as error:
                if time.monotonic() - began > HEALTHY_SECONDS:
                    delays = backoff()
                delay = next(delays)
                logger.warning("%s: the database is away (%s), next try in %.1f s", self.name, first_line(error), delay)
                connection.close()
                stop.wait(delay)

    @abstractmethod
    def run(self, stop: Stop) -> None:
        """Do the work until `stop` is set."""


def first_line(error: Exception) -> str:
    """What an error says, without its details."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
