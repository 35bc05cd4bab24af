"""A database connection of its own that hears NOTIFY and can hold the advisory lock that lets one process work."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import psycopg
from django.db import connection

from apps.core.process import Stop, backoff

logger = logging.getLogger(__name__)

WAIT_FOR_LOCK_SECONDS = 1.0
LOCK_FREED_SECONDS = 0.03  # the server finds out that quickly that a killed process holds it no more


class Listener:
    """`with Listener(("feed",)) as listener: ...`; a lost connection raises Django's OperationalError."""

    def __init__(self, channels: Sequence[str]) -> None:
        self._channels = channels

    def __enter__(self) -> Listener:
        params = {**connection.get_connection_params(), "cursor_factory": psycopg.Cursor}
        with connection.wrap_database_errors:
            self._session: psycopg.Connection[Any] = psycopg.connect(**params, autocommit=True)
            for channel in self._channels:
                self._session.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session.close()

    def lock(self, number: int) -> bool:
        """Take the advisory lock `number` if nobody else has it; it is held until the connection ends."""
        with connection.wrap_database_errors:
            row = self._session.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()
        return bool(row and row[0])

    def own(self, number: int, stop: Stop) -> bool:
        """Wait until no other process holds the lock `number`; False where the end was asked for before."""
        said, delays = False, backoff(first=LOCK_FREED_SECONDS, most=WAIT_FOR_LOCK_SECONDS)
        while not self.lock(number):
            if not said:
                logger.info("another one is at work; waiting for it to end")
            said = True
            if stop.wait(next(delays)):
                return False
        return True

    def wait(self, seconds: float) -> set[str]:
        """The channels that were notified since the last call; waits for the first up to `seconds`."""
        return {channel for channel, _ in self.heard(seconds)}

    def heard(self, seconds: float) -> list[tuple[str, str]]:
        """Channel and text of each notification since the last call; waits for the first up to `seconds`."""
        with connection.wrap_database_errors:
            first = list(self._session.notifies(timeout=seconds, stop_after=1))
            return [(one.channel, one.payload) for one in [*first, *self._session.notifies(timeout=0)]]
