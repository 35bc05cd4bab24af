"""A connection of its own that hears NOTIFY and, while it is open, holds the lock that lets one scorer work."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import psycopg
from django.db import connection

from apps.core.process import Stop

logger = logging.getLogger(__name__)

SCORER_LOCK = 0x73636F72
CHANNELS = ("feed", "active_models")
WAIT_FOR_LOCK_SECONDS = 2.0


class Listener:
    """Errors of the connection are raised as Django's OperationalError."""

    def __enter__(self) -> Listener:
        with connection.wrap_database_errors:
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                **{**connection.get_connection_params(), "cursor_factory": psycopg.Cursor}, autocommit=True
            )
            for channel in CHANNELS:
                self._connection.execute(f"LISTEN {channel}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def own(self, stop: Stop) -> bool:
        """Wait until no other scorer works; False where the end was asked for before."""
        said = False
        while not self._try_lock():
            if not said:
                logger.info("another scorer is at work; waiting for it to end")
            said = True
            if stop.wait(WAIT_FOR_LOCK_SECONDS):
                return False
        return True

    def wait(self, seconds: float) -> set[str]:
        """The channels that were notified since the last call; waits for the first up to `seconds`."""
        with connection.wrap_database_errors:
            heard = {one.channel for one in self._connection.notifies(timeout=seconds, stop_after=1)}
            return heard | {one.channel for one in self._connection.notifies(timeout=0)}

    def _try_lock(self) -> bool:
        with connection.wrap_database_errors:
            row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (SCORER_LOCK,)).fetchone()
        return bool(row and row[0])
