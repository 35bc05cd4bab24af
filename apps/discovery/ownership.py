"""Who owns the feed: an advisory lock of the database, held by a connection that does nothing else.

PumpPortal bans clients with several connections, and two writers would double the work. When the owner's process dies
the database frees the lock at once, and the next stream takes over within STANDBY_SECONDS (`stream.py`). When its whole
machine or the network between dies, nobody says goodbye: the database notices by the keepalives asked for here, after
at most 11 s.
"""

from __future__ import annotations

import logging
from typing import Any

import psycopg
from django.db import connection

logger = logging.getLogger(__name__)

LOCK_KEY = 7_881_402_001
# Of the database's end of the connection: five quiet seconds, then three unanswered questions two seconds apart.
_SERVER_OPTIONS = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
_KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 11_000}


class Ownership:
    """The lock. Calls block; use them from a thread."""

    def __init__(self) -> None:
        self._connection: psycopg.Connection[tuple[bool]] | None = None

    def acquire(self) -> bool:
        """Try to become (or stay) the owner. Raises psycopg.OperationalError while the database is away."""
        if self._connection is not None and self._is_alive():
            return True
        fresh = psycopg.connect(**_parameters(), autocommit=True, connect_timeout=5, application_name="stream owner")
        row = fresh.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
        if row is None or not row[0]:
            fresh.close()
            return False
        self._connection = fresh
        return True

    def release(self) -> None:
        """Give the lock back; harmless without it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_alive(self) -> bool:
        assert self._connection is not None
        try:
            self._connection.execute("SELECT 1")
        except psycopg.OperationalError:
            logger.warning("the connection that holds the stream's lock broke")
            self._connection.close()
            self._connection = None
            return False
        return True


def _parameters() -> dict[str, Any]:
    wanted = ("dbname", "user", "password", "host", "port", "sslmode", "sslrootcert")
    given = {name: value for name, value in connection.get_connection_params().items() if name in wanted}
    return {**given, **_KEEPALIVES, "options": _SERVER_OPTIONS}
