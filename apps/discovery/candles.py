"""Candles of a coin in any bucket of 1 s to 1 d: the one implementation behind page, API and export.

Buckets of whole minutes come from the rolled-up candles, and from the trades of minutes that are not rolled up yet or
not asked for whole; other buckets come from the trades. Open and close are the first and last trade by (time, seq).
Buckets are aligned to the epoch; a time without a trade has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from apps.discovery.rollups import FIELDS, FOLD

LONGEST_SECONDS = 86_400
_AHEAD = timedelta(hours=1)  # trades kept for a coin that was not known yet are older than its stream
_BUCKET = """time_bucket(%(bucket)s * INTERVAL '1 second', "timestamp", TIMESTAMPTZ 'epoch')"""

SPAN = """
    SELECT least(s.started_at, c.first_seen_at), s.last_trade_at
    FROM discovered_coins c JOIN coin_streams s USING (mint) WHERE mint = %s
"""
RAW = f"""
    SELECT {_BUCKET} AS bucket, {FOLD}
    FROM coin_transactions t
    WHERE mint = %(mint)s AND "timestamp" >= %(since)s AND "timestamp" < %(before)s
    GROUP BY 1 ORDER BY 1 DESC LIMIT %(limit)s
"""
ROLLED = f"""
    WITH due AS MATERIALIZED (
        SELECT minute FROM coin_candles_due WHERE minute >= %(since)s AND minute < %(before)s
        UNION SELECT date_trunc('minute', %(before)s::timestamptz)),
    minutes AS (
        SELECT "timestamp", {FIELDS} FROM coin_candles_1m c
        WHERE mint = %(mint)s AND "timestamp" >= %(since)s AND "timestamp" < %(before)s
          AND NOT EXISTS (SELECT FROM due WHERE due.minute = c."timestamp")
        UNION ALL
        SELECT due.minute, {FOLD}
        FROM due JOIN coin_transactions t
          ON t."timestamp" >= due.minute AND t."timestamp" < due.minute + INTERVAL '1 minute'
        WHERE t.mint = %(mint)s AND t."timestamp" >= %(since)s AND t."timestamp" < %(before)s
        GROUP BY 1)
    SELECT {_BUCKET}, first(price_open, "timestamp"), max(price_high), min(price_low), last(price_close, "timestamp"),
           least(sum(volume_lamports), 9223372036854775807)::bigint,
           least(sum(buy_volume_lamports), 9223372036854775807)::bigint, sum(trades)::int, sum(buys)::int
    FROM minutes GROUP BY 1 ORDER BY 1 DESC LIMIT %(limit)s
"""
GAPS = "SELECT started_at, ended_at FROM stream_gaps WHERE ended_at > %s AND started_at < %s ORDER BY started_at"


@dataclass(frozen=True, slots=True)
class Candle:
    """Prices in SOL per token; `time` is the start. A candle that touches a gap of the feed may lack trades."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume_lamports: int
    buy_volume_lamports: int
    trades: int
    buys: int
    touches_gap: bool = False

    @property
    def volume_sol(self) -> float:
        return self.volume_lamports / 1e9


def candles(
    mint: str, *, bucket_seconds: int, limit: int, since: datetime | None = None, before: datetime | None = None
) -> list[Candle]:
    """The newest `limit` candles that start at or after `since` and before `before`, oldest first.

    The bucket in which `since` lies counts whole, that of `before` counts with its trades before `before`.
    Raises ValueError for a bucket outside 1 s to 1 d.
    """
    if not 1 <= bucket_seconds <= LONGEST_SECONDS:
        raise ValueError(f"candles are of 1 to {LONGEST_SECONDS} seconds, not {bucket_seconds}")
    with connection.cursor() as cursor:
        span = _span(cursor, mint, bucket_seconds, since, before)
        if span is None:
            return []
        values: dict[str, Any] = {"mint": mint, "bucket": bucket_seconds, "limit": limit}
        values |= {"since": span[0], "before": span[1]}
        cursor.execute(RAW if bucket_seconds % 60 else ROLLED, values)
        rows = cursor.fetchall()[::-1]
        if not rows:
            return []
        length = timedelta(seconds=bucket_seconds)
        cursor.execute(GAPS, [rows[0][0], rows[-1][0] + length])
        gaps = cursor.fetchall()
    return [Candle(*(*row, any(row[0] < end and start < row[0] + length for start, end in gaps))) for row in rows]


def _span(
    cursor: CursorWrapper, mint: str, bucket_seconds: int, since: datetime | None, before: datetime | None
) -> tuple[datetime, datetime] | None:
    """Where the coin's trades lie inside [since, before), from the start of a bucket on."""
    span = lifetime(cursor, mint)
    if span is None or (since and before and since >= before):
        return None
    if since and since - span[1] > timedelta(seconds=bucket_seconds):
        return None  # no bucket of such a late time can be written as one either: it may lie beyond the year 9999
    low = _bucket_start(max(span[0], since) if since else span[0], bucket_seconds)
    high = min(span[1], before) if before else span[1]
    return (low, high) if low < high else None


def lifetime(cursor: CursorWrapper, mint: str) -> tuple[datetime, datetime] | None:
    """From before the first to after the last trade of a tracked coin, so that a query looks into those days only."""
    cursor.execute(SPAN, [mint])
    row = cursor.fetchone()
    if row is None or row[1] is None:
        return None
    started, last = row
    return started - _AHEAD, (last + timedelta(minutes=1)).replace(second=0, microsecond=0)


def _bucket_start(at: datetime, seconds: int) -> datetime:
    whole = int(at.timestamp() // seconds) * seconds
    return datetime.fromtimestamp(whole, UTC)
