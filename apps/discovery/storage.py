"""Retention: whole days of old rows go, by `settings.RETENTION_DAYS` (table -> days, 0 keeps).

Days are counted back from feed time, not from the clock, so a replayed recording is not dropped while it is replayed.
Candles and coins stay; trades go only when their minutes are rolled up. Other parts say by `hold` when they need what
is there. `drop_chunks` is in both editions of TimescaleDB, and tells what it dropped: docs/decisions/0013-storage.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import OperationalError, connection, transaction

from apps.discovery import rollups
from apps.discovery.models import StreamGapCoin
from apps.discovery.queries import feed_at

logger = logging.getLogger(__name__)

LEAST_DAYS = 2  # recovery, outcomes and open positions read the last day
MOST_DAYS = 36_500  # more would leave the calendar
Hold = Callable[[], str]

CHUNKS = """
    SELECT format('%%I.%%I', chunk_schema, chunk_name), range_start, range_end
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema() AND hypertable_name = %s AND range_end <= %s ORDER BY range_start
"""
DROP = "SELECT count(*) FROM drop_chunks(%s::regclass, older_than => %s::timestamptz)"
# `hypertable_size` counts what was compressed too (Community edition), which lies beside the chunks.
SIZES = """
    SELECT h.hypertable_name, hypertable_size(format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass),
           count(c.chunk_name), min(c.range_start), max(c.range_end)
    FROM timescaledb_information.hypertables h
    LEFT JOIN timescaledb_information.chunks c USING (hypertable_schema, hypertable_name)
    WHERE h.hypertable_schema = current_schema()
    GROUP BY h.hypertable_schema, h.hypertable_name ORDER BY 1
"""
EDITION = "SELECT coalesce(current_setting('timescaledb.license', true), '')"

_holds: list[Hold] = []


@dataclass(frozen=True, slots=True)
class Dropped:
    """What one table lost: whole chunks, all of them before `before`."""

    table: str
    chunks: int
    before: datetime


@dataclass(frozen=True, slots=True)
class TableSize:
    """A hypertable on the disk, its indexes included; the span is that of its chunks."""

    table: str
    size_bytes: int
    chunks: int
    start: datetime | None
    end: datetime | None


def hold(reason: Hold) -> None:
    """Ask `reason` before anything is dropped: a sentence (not "") puts it off to the next run."""
    if reason not in _holds:
        _holds.append(reason)


def is_community() -> bool:
    """Whether compression, continuous aggregates and policies are there (sql/014_community.sql uses them)."""
    with connection.cursor() as cursor:
        cursor.execute(EDITION)
        return bool(cursor.fetchone()[0] == "timescale")


def retention_run(days: Mapping[str, int]) -> list[Dropped]:
    """Drop the chunks that are wholly older than a table's days, and say so in the log; what was dropped."""
    now = feed_at()
    if now is None or not any(days.values()):
        return []
    for reason in _holds:
        if held := reason():
            logger.warning("nothing is dropped yet: %s", held)
            return []
    ends = limits(days, now)
    found = [_drop(table, before) for table, before in sorted(ends.items())]
    if "coin_transactions" in ends:
        _drop_gap_coins(ends["coin_transactions"])
    return [dropped for dropped in found if dropped.chunks]


def limits(days: Mapping[str, int], now: datetime) -> dict[str, datetime]:
    """Before which moment (a midnight, UTC) each table that does not keep everything may lose its rows."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = {
        table: midnight - timedelta(days=min(max(count, LEAST_DAYS), MOST_DAYS))
        for table, count in days.items()
        if count > 0
    }
    due = rollups.first_due()
    if due is not None and "coin_transactions" in found:
        found["coin_transactions"] = min(found["coin_transactions"], due)
    return found


def sizes() -> list[TableSize]:
    """Every hypertable with what it takes on the disk."""
    with connection.cursor() as cursor:
        cursor.execute(SIZES)
        return [TableSize(*row) for row in cursor.fetchall()]


def _drop_gap_coins(before: datetime) -> None:
    """Which coins a gap concerned goes with the trades around it; the gap itself and its sums stay."""
    deleted, _ = StreamGapCoin.objects.filter(gap__ended_at__lt=before).delete()
    if deleted:
        logger.warning("dropped the coins of gaps before %s: %d rows", before.isoformat(), deleted)


def _drop(table: str, before: datetime) -> Dropped:
    """Drop a table's chunks before a moment. One that is in use for long is left for the next run."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            cursor.execute(CHUNKS, [table, before])
            chunks = cursor.fetchall()
            if not chunks:
                return Dropped(table, 0, before)
            cursor.execute(DROP, [table, before])
    except OperationalError as error:
        logger.warning("%s is in use, its old rows are dropped later: %s", table, error)
        return Dropped(table, 0, before)
    start, end = chunks[0][1].isoformat(), chunks[-1][2].isoformat()
    logger.warning(
        "dropped %s from %s to %s: older than its retention; models are not retrained on it", table, start, end
    )
    return Dropped(table, len(chunks), before)
