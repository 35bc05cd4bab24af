"""Equity over feed time, as the trader wrote it down, and how much of it is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

EVERY_POINT = timedelta(days=14)
HOURLY = timedelta(days=400)
POINTS = """
WITH marks AS (
    SELECT floor(extract(epoch FROM at) / %(seconds)s)::bigint AS bucket, at,
           sum(cash_lamports + positions_lamports)::bigint AS lamports
    FROM equity_points JOIN wallets w ON w.id = wallet_id
    WHERE at >= %(since)s AND at <= %(until)s AND w.wallet_type = %(kind)s
      AND (%(alias)s::text IS NULL OR w.alias = %(alias)s)
    GROUP BY at
)
SELECT DISTINCT ON (bucket) at, lamports FROM marks ORDER BY bucket, at DESC
"""
MOST_POINTS = 300


def equity_points(
    since: datetime, until: datetime, *, kind: str = "TEST", alias: str | None = None
) -> list[tuple[datetime, int]]:
    """The equity (lamports) of all wallets of a kind, or of one, at most MOST_POINTS instants evenly apart."""
    seconds = max(600, int((until - since).total_seconds()) // MOST_POINTS)
    values: dict[str, Any] = {"since": since, "until": until, "kind": kind, "alias": alias, "seconds": seconds}
    with connection.cursor() as cursor:
        cursor.execute(POINTS, values)
        return cursor.fetchall()


THIN = """
DELETE FROM equity_points
WHERE at < %(oldest)s OR (at < %(hourly)s AND date_trunc('hour', at) <> at)
"""


def equity_thin(now: datetime) -> int:
    """Keep every point for EVERY_POINT, full hours for HOURLY (of feed time), nothing older; how many went."""
    with connection.cursor() as cursor:
        cursor.execute(THIN, {"oldest": now - HOURLY, "hourly": now - EVERY_POINT})
        return cursor.rowcount
