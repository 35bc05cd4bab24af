"""A database connection of its own that hears NOTIFY and can hold a session's advisory lock."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import psycopg
from django.db import connection


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

    def wait(self, seconds: float) -> int:
        """How many notifications came since the last call; waits up to `seconds` for the first."""
        with connection.wrap_database_errors:
            first = sum(1 for _ in self._session.notifies(timeout=seconds, stop_after=1))
            return first + sum(1 for _ in self._session.notifies(timeout=0))
