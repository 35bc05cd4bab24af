"""What there is to train on, by UTC day and phase. A process reads a day again only when something came to it.

A row of `coin_metrics` that comes later has a higher `row_id`, and a trade comes with its window, which ends on its day
or just after: so a day is read anew when its newest row, or that of the next day, is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from apps.training import queries

DAY = timedelta(days=1)
NEWEST_ROW = "SELECT max(row_id) FROM coin_metrics WHERE timestamp >= %s AND timestamp < %s"
LAST_TRADE = "SELECT max(timestamp) FROM coin_transactions WHERE timestamp > %s AND timestamp <= %s"
ROWS_OF_DAY = """
    SELECT phase, sum(rows)::bigint, count(*)
    FROM (SELECT phase_id_at_time AS phase, mint, count(*) AS rows
          FROM coin_metrics WHERE timestamp >= %s AND timestamp < %s GROUP BY 1, 2) coins
    GROUP BY 1 ORDER BY 1"""

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Day:
    """Rows and coins by phase, silences that ended on this day, and the last trade of it or before."""

    phases: list[tuple[int, int, int]]
    silences: list[Span]
    last_trade: datetime


_read: dict[datetime, tuple[object, Day]] = {}


def data_availability(newest_days: int | None = None) -> dict[str, Any]:
    """Span, rows and coins by UTC day and phase, times without data, and how far the tables are complete; the last two
    of the newest days only where so many are named."""
    span, end = queries.metrics_span(), queries.data_end()
    if span is None:
        return {"from": None, "to": None, "data_end": end, "days": [], "unknown": []}
    first = span[0] if newest_days is None else max(span[0], _midnight(span[1]) - (newest_days - 1) * DAY)
    days = list(_days(first, span[1], at=first if first == span[0] else _last_trade(first)))
    counted = [
        {"day": day.date().isoformat(), "phase": phase, "rows": rows, "coins": coins}
        for day, facts in days
        for phase, rows, coins in facts.phases
    ]
    silences = [silence for _, facts in days for silence in facts.silences]
    last = days[-1][1].last_trade
    if span[1] - last > timedelta(seconds=queries.SILENCE_SECONDS):
        silences.append((last, span[1]))
    starts, ends = queries.merged([*silences, *queries.recorded_gaps(first, span[1])])
    gaps = [
        {"from": queries.to_datetime(low), "to": queries.to_datetime(high)}
        for low, high in zip(starts, ends, strict=True)
    ]
    return {"from": span[0], "to": span[1], "data_end": end, "days": counted, "unknown": gaps}


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _days(first: datetime, last: datetime, *, at: datetime) -> Iterator[tuple[datetime, Day]]:
    """Every day between, in order, with its facts; `at` is the last trade before the first one."""
    day = _midnight(first)
    newest = _newest_row(day)
    while day <= last:
        after = _newest_row(day + DAY)
        facts = _facts(day, at, min(day + DAY, last), rows=(newest, after))
        yield day, facts
        day, at, newest = day + DAY, facts.last_trade, after


def _last_trade(before: datetime) -> datetime:
    """The newest trade in the day up to a moment; the moment itself where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(LAST_TRADE, (before - DAY, before))
        return cursor.fetchone()[0] or before


def _facts(day: datetime, at: datetime, until: datetime, *, rows: tuple[int | None, int | None]) -> Day:
    """Of one day up to `until`; `at` is the last trade before it, `rows` the newest rows of it and of the next one."""
    state, known = (at, until, rows), _read.get(day)
    if known is not None and known[0] == state:
        return known[1]
    with connection.cursor() as cursor:
        cursor.execute(ROWS_OF_DAY, (day, day + DAY))
        phases = cursor.fetchall()
    facts = Day(phases, *queries.silences_between(at, until))
    _read[day] = state, facts
    return facts


def _newest_row(day: datetime) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(NEWEST_ROW, (day, day + DAY))
        newest: int | None = cursor.fetchone()[0]
    return newest
