"""What the feed sent, by the minute and by the day, and what that costs: reads of `feed_meter`, whose rows are sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import connection

from apps.discovery.cost import cost_lamports, month_projected

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
KEPT_DAYS = 7

ROWS = """
    SELECT at, frames, trades, judged, exact, compared, seamless FROM feed_meter
    WHERE at >= coalesce((SELECT max(at) FROM feed_meter WHERE at < %(start)s), '-infinity') AND at <= %(end)s
    ORDER BY at
"""
DAYS = """
    SELECT (at AT TIME ZONE 'UTC')::date, max(frames), max(trades) FROM feed_meter
    WHERE at >= coalesce((SELECT max(at) FROM feed_meter WHERE at < %(start)s), '-infinity') AND at < %(end)s
    GROUP BY 1 ORDER BY 1
"""
THIN = """
    DELETE FROM feed_meter WHERE at < %(before)s
    AND at NOT IN (SELECT max(at) FROM feed_meter WHERE at < %(before)s GROUP BY (at AT TIME ZONE 'UTC')::date)
"""


@dataclass(frozen=True, slots=True)
class Period:
    """What came in a time; the counts are those of `meter.Reading`."""

    frames: int = 0
    trades: int = 0
    judged: int = 0
    exact: int = 0
    compared: int = 0
    seamless: int = 0

    @property
    def exact_ratio(self) -> float | None:
        """Share of what was checked that the curve gives exactly, None where nothing was."""
        return self.exact / self.judged if self.judged else None

    @property
    def seamless_ratio(self) -> float | None:
        """Share of the compared trades that went on from the trade before: what is missing was missed, or reordered."""
        return self.seamless / self.compared if self.compared else None


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One UTC day. `lamports`: what PumpPortal charges for it."""

    day: date
    frames: int
    trades: int
    lamports: int


def _rows(sql: str, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"start": start, "end": end})
        return cursor.fetchall()


def _differences(rows: Sequence[tuple[Any, ...]], first: Any) -> list[tuple[Any, ...]]:
    """Each row from `first` on with its counts less those of the row before."""
    zero = [(None, *(0 for _ in row[1:])) for row in rows[:1]]
    return [
        (row[0], *(count - was for count, was in zip(row[1:], before[1:], strict=True)))
        for before, row in pairwise([*zero, *rows])
        if row[0] >= first
    ]


def frames_by_minute(end: datetime, minutes: int = 60) -> list[int]:
    """Frames of the minutes before `end`, oldest first, the running one left out; 0 where nothing came."""
    last = end.replace(second=0, microsecond=0)
    start = last - timedelta(minutes=minutes)
    counts = [0] * minutes
    for at, frames, *_ in _differences(_rows(ROWS, start, last - timedelta(minutes=1)), start):
        counts[(at - start) // timedelta(minutes=1)] = frames
    return counts


def period(start: datetime, end: datetime) -> Period:
    """What came from the minute of `start` to `end`."""
    rows = _differences(_rows(ROWS, start, end), start)
    return Period(*(sum(counts) for counts in zip(*(row[1:] for row in rows), strict=True))) if rows else Period()


def usage_by_day(first: date, last: date) -> list[DayUsage]:
    """The UTC days from `first` to `last` on which something came, newest first."""
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last + DAY))
    rows = _differences(_rows(DAYS, start, end), first)
    return [DayUsage(day, frames, trades, cost_lamports(trades, day)) for day, frames, trades in reversed(rows)]


def month_cost(now: datetime) -> tuple[int, int]:
    """Lamports of the UTC month of `now` so far, and in the end if it goes on as in the last day."""
    today = now.astimezone(UTC).date()
    spent = sum(day.lamports for day in usage_by_day(today.replace(day=1), today))
    rows = _rows(ROWS, now - DAY, now)
    recent = _differences(rows, now - DAY)
    if not recent:
        return spent, spent
    seconds = min(DAY, now - recent[0][0]).total_seconds()
    return spent, month_projected(spent, recent_events=sum(row[2] for row in recent), recent_seconds=seconds, now=now)


def meter_thin(now: datetime) -> int:
    """Keep only the last minute of each UTC day that is more than KEPT_DAYS ago; how many rows went."""
    before = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - KEPT_DAYS * DAY
    with connection.cursor() as cursor:
        cursor.execute(THIN, {"before": before})
        return cursor.rowcount
