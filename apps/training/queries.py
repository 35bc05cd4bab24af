"""SQL of training: metric rows, trades and what is known of them, fetched as numpy records by binary COPY.

Every fetched column is of fixed width and never NULL (NaN instead), so a result is one reinterpretation of bytes.
Coins are numbered by their position in the list of mints that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from apps.discovery import creators
from apps.training.columns import CREATOR, METRICS, RECORD, High, Integers

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER_US = np.iinfo(np.int64).max
SILENCE_SECONDS = 60
_POSTGRES_EPOCH_US = 946_684_800_000_000
_COPY_HEADER, _COPY_TRAILER = 19, 2
TRADE = np.dtype([("coin", "i8"), ("at_us", "i8"), ("price", "f8")])


def to_us(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def to_datetime(us: int) -> datetime:
    """The UTC moment of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=int(us))


_FLAGS = ("is_koth",)
_METRIC_LIST = ", ".join(
    f"coalesce(m.{name}::{'int::float8' if name in _FLAGS else 'float8'}, 'NaN')" for name in METRICS
)
_CREATOR_LIST = ", ".join(f"coalesce(h.{name.removeprefix('creator_')}::float8, 'NaN')" for name in CREATOR)
METRIC_RECORDS = f"""
    SELECT wanted.number - 1, m.timestamp, s.started_at, m.phase_id_at_time::float8, {_METRIC_LIST}, {_CREATOR_LIST}
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(mint, number)
    JOIN coin_metrics m ON m.mint = wanted.mint
    JOIN coin_streams s ON s.mint = wanted.mint
    LEFT JOIN creator_histories h ON h.mint = wanted.mint
    WHERE m.timestamp > %s AND m.timestamp <= %s
    ORDER BY wanted.number, m.timestamp"""


def metric_records(mints: Sequence[str], start: datetime, end: datetime) -> NDArray[np.void]:
    """The metric rows of the coins with start < timestamp <= end, as RECORD, sorted by (coin, as_of_us).

    Histories of creators that are not kept yet are computed and kept first: they are the same whoever comes first.
    """
    creators.histories_keep(mints)
    return copy_records(METRIC_RECORDS, (list(mints), start, end), RECORD, times=("as_of_us", "started_us"))


NEW_COINS = """
    SELECT mint, curve = 'standard'
    FROM (SELECT DISTINCT mint FROM coin_metrics WHERE row_id > %s AND row_id <= %s AND timestamp > %s) fresh
    JOIN discovered_coins USING (mint) ORDER BY mint"""
NEW_RECORDS = METRIC_RECORDS.replace(
    "m.timestamp > %s AND m.timestamp <= %s", "m.row_id > %s AND m.row_id <= %s AND m.timestamp > %s"
)


def metric_records_by_id(after: int, until: int, *, since: datetime) -> tuple[list[tuple[str, bool]], NDArray[np.void]]:
    """The metric rows with after < row_id <= until that end after `since` (planning looks at every day that it leaves
    in): their coins (mint, on the standard curve?), and the rows as RECORD numbered by these.

    Creators are known of coins that `metric_records` has been asked for."""
    with connection.cursor() as cursor:
        cursor.execute(NEW_COINS, (after, until, since))
        coins = cursor.fetchall()
    wanted = ([mint for mint, _ in coins], after, until, since)
    return coins, copy_records(NEW_RECORDS, wanted, RECORD, times=("as_of_us", "started_us"))


HIGHS_BEFORE = """
    SELECT DISTINCT ON (wanted.number) wanted.number - 1, m.price_high, m.timestamp
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(mint, number)
    JOIN coin_metrics m ON m.mint = wanted.mint
    WHERE m.timestamp <= %s
    ORDER BY wanted.number, m.price_high DESC, m.timestamp"""


def highs_before(mints: Sequence[str], until: datetime) -> dict[int, High]:
    """Per coin number the highest price of its metric rows up to `until` and the earliest row that reached it."""
    with connection.cursor() as cursor:
        cursor.execute(HIGHS_BEFORE, (list(mints), until))
        return {number: (price, to_us(at)) for number, price, at in cursor.fetchall()}


COINS_BETWEEN = """
    SELECT m.mint, count(*), c.curve = 'standard',
           (SELECT min(f.timestamp) FROM coin_metrics f WHERE f.mint = m.mint)
    FROM coin_metrics m JOIN discovered_coins c ON c.mint = m.mint
    WHERE m.timestamp > %s AND m.timestamp <= %s AND m.phase_id_at_time = ANY(%s)
    GROUP BY m.mint, c.curve
    ORDER BY m.mint COLLATE "C\""""


def coins_between(start: datetime, end: datetime, phases: Sequence[int]) -> list[tuple[str, int, bool, datetime]]:
    """Coins with rows in start < timestamp <= end: mint, rows, on the standard curve?, first row ever."""
    with connection.cursor() as cursor:
        cursor.execute(COINS_BETWEEN, (start, end, list(phases)))
        return cursor.fetchall()


MINTS_BETWEEN = "SELECT DISTINCT mint FROM coin_metrics WHERE timestamp > %s AND timestamp <= %s"


def mints_between(start: datetime, end: datetime) -> set[str]:
    """Coins with any row in start < timestamp <= end."""
    with connection.cursor() as cursor:
        cursor.execute(MINTS_BETWEEN, (start, end))
        return {mint for (mint,) in cursor.fetchall()}


def all_phases() -> list[int]:
    """Ids of every phase."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM ref_coin_phases ORDER BY id")
        return [phase for (phase,) in cursor.fetchall()]


TRADE_RECORDS = """
    SELECT wanted.number - 1, t.timestamp, t.price_sol
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(mint, number)
    JOIN coin_transactions t ON t.mint = wanted.mint
    WHERE t.timestamp > %s AND t.timestamp <= %s
    ORDER BY wanted.number, t.timestamp, t.seq, t.trade_key"""


def trade_records(mints: Sequence[str], start: datetime, end: datetime) -> NDArray[np.void]:
    """The trades of the coins with start < timestamp <= end as TRADE, sorted by (coin, time, order within)."""
    return copy_records(TRADE_RECORDS, (list(mints), start, end), TRADE, times=("at_us",))


TRADED_RECORDS = TRADE_RECORDS.replace("t.price_sol", "t.price_sol, t.sol_amount")
TRADED = np.dtype([*TRADE.descr, ("lamports", "i8")])


def traded_records(mints: Sequence[str], start: datetime, end: datetime) -> NDArray[np.void]:
    """The same with the lamports of each trade, as TRADED."""
    return copy_records(TRADED_RECORDS, (list(mints), start, end), TRADED, times=("at_us",))


METRIC_SERIES = """
    SELECT wanted.number - 1, m.timestamp, coalesce(m.{metric}::{through}float8, 'NaN')
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(mint, number)
    JOIN coin_metrics m ON m.mint = wanted.mint
    WHERE m.timestamp > %s AND m.timestamp <= %s
    ORDER BY wanted.number, m.timestamp"""


def metric_series(mints: Sequence[str], metric: str, start: datetime, end: datetime) -> NDArray[np.void]:
    """One column of the metric rows with start < timestamp <= end, as TRADE. Raises ValueError for another name."""
    if metric not in METRICS:
        raise ValueError(f"coin_metrics has no column {metric!r}")
    sql = METRIC_SERIES.format(metric=metric, through="int::" if metric in _FLAGS else "")
    return copy_records(sql, (list(mints), start, end), TRADE, times=("at_us",))


GRADUATIONS = """
    SELECT coalesce(c.graduated_at, 'infinity'::timestamptz)
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(mint, number) JOIN discovered_coins c ON c.mint = wanted.mint
    ORDER BY wanted.number"""


def graduations(mints: Sequence[str]) -> Integers:
    """Per coin the moment (microseconds) at which it left the curve; FOREVER_US where it has not."""
    found = copy_records(GRADUATIONS, (list(mints),), np.dtype([("at_us", "i8")]), times=("at_us",))["at_us"]
    return np.ascontiguousarray(found)


TRACKING_ENDS = """
    SELECT coalesce(s.ended_at, 'infinity'::timestamptz)
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(mint, number) JOIN coin_streams s ON s.mint = wanted.mint
    ORDER BY wanted.number"""


def tracking_ends(mints: Sequence[str]) -> Integers:
    """Per coin the moment (microseconds) from which its market is unknown; FOREVER_US while it is tracked."""
    ends = copy_records(TRACKING_ENDS, (list(mints),), np.dtype([("at_us", "i8")]), times=("at_us",))["at_us"]
    return np.ascontiguousarray(ends)


DATA_END = """
    SELECT greatest((SELECT feed_at FROM stream_state WHERE id = 1), (SELECT max(timestamp) FROM coin_transactions))"""


def data_end() -> datetime | None:
    """The moment up to which the tables are complete; None while there is no data."""
    with connection.cursor() as cursor:
        cursor.execute(DATA_END)
        return cursor.fetchone()[0]


TRADES_SPAN = "SELECT min(timestamp), max(timestamp) FROM coin_transactions"


def trades_span() -> tuple[datetime, datetime] | None:
    """When the first and the last trade were; None while there is none."""
    with connection.cursor() as cursor:
        cursor.execute(TRADES_SPAN)
        first, last = cursor.fetchone()
    return None if first is None else (first, last)


METRICS_SPAN = "SELECT min(timestamp), max(timestamp) FROM coin_metrics"


def metrics_span() -> tuple[datetime, datetime] | None:
    """First and last end of a window; None while there is none."""
    with connection.cursor() as cursor:
        cursor.execute(METRICS_SPAN)
        first, last = cursor.fetchone()
    return None if first is None else (first, last)


def metrics_within(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The part of a range in which there are windows, so that what is laid out by time is no longer than the recording;
    nothing (`start` twice) where there are none."""
    first, last = metrics_span() or (start, start)
    low, high = max(start, first), min(end, last)
    return (low, high) if low <= high else (start, start)


METRICS_COUNT = "SELECT count(*) FROM (SELECT FROM coin_metrics LIMIT %s) counted"
METRICS_ABOUT = "SELECT approximate_row_count('coin_metrics')"
COUNT_EXACTLY = 20_000


def metrics_count() -> tuple[int, bool]:
    """How many metric rows there are, and whether that is exact: above COUNT_EXACTLY it is the planner's estimate."""
    with connection.cursor() as cursor:
        cursor.execute(METRICS_ABOUT)
        about: int = cursor.fetchone()[0]
        if about > 2 * COUNT_EXACTLY:  # an estimate errs, but not by so much
            return about, False
        cursor.execute(METRICS_COUNT, (COUNT_EXACTLY + 1,))
        rows = cursor.fetchone()[0]
        return (rows, True) if rows <= COUNT_EXACTLY else (max(about, rows), False)


GAPS = "SELECT started_at, ended_at FROM stream_gaps WHERE ended_at > %s AND started_at < %s"


def unknown_times(start: datetime, end: datetime) -> tuple[Integers, Integers]:
    """Starts and ends (microseconds) of the times without data: recorded gaps, and silences of the whole market
    longer than SILENCE_SECONDS. Merged, ascending, disjoint. Only days between first and last trade are read."""
    found, at, quiet = recorded_gaps(start, end), start, timedelta(seconds=SILENCE_SECONDS)
    first, last = trades_span() or (end, end)
    for until in days_until(max(start, first - timedelta(microseconds=1)), min(end, last)):
        silences, at = silences_between(at, until)
        found += silences
    if end - at > quiet:
        found.append((at, end))
    return merged(found)


def recorded_gaps(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The gaps that touch the time between."""
    with connection.cursor() as cursor:
        cursor.execute(GAPS, (start, end))
        return cursor.fetchall()


def days_until(start: datetime, end: datetime) -> Iterator[datetime]:
    """The UTC midnights after start and before end, then end; nothing where end is not after start."""
    midnight = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while start < end:
        midnight += timedelta(days=1)
        start = min(midnight, end)
        yield start


# From trade to trade in steps of up to the longest silence that is none: some thousand looks into an index a day, where
# reading its trades would be hundreds of thousands.
SILENCES = """
    WITH RECURSIVE walk(previous, at) AS (
        SELECT NULL::timestamptz, %(start)s::timestamptz
        UNION ALL
        SELECT walk.at, coalesce(
            (SELECT max(timestamp) FROM coin_transactions WHERE timestamp > %(start)s AND timestamp <= %(end)s
                AND timestamp > walk.at AND timestamp <= walk.at + %(silence)s * interval '1 second'),
            (SELECT min(timestamp) FROM coin_transactions WHERE timestamp > %(start)s AND timestamp <= %(end)s
                AND timestamp > walk.at))
        FROM walk WHERE walk.at < %(end)s
    )
    SELECT previous, at FROM walk WHERE at - previous > %(silence)s * interval '1 second'
    UNION ALL SELECT NULL, max(at) FROM walk
    ORDER BY 1 NULLS LAST"""


def silences_between(start: datetime, end: datetime) -> tuple[list[tuple[datetime, datetime]], datetime]:
    """Silences of the whole market that end with a trade in (start, end], and its last trade there (`start` where there
    is none). `start` itself counts as a trade; ask for a day or so at a time."""
    with connection.cursor() as cursor:
        cursor.execute(SILENCES, {"start": start, "end": end, "silence": SILENCE_SECONDS})
        *found, (_, last) = cursor.fetchall()
    return found, last


def merged(times: Iterable[tuple[datetime, datetime]]) -> tuple[Integers, Integers]:
    """Starts and ends (microseconds) of what these cover together, ascending and disjoint."""
    apart: list[list[int]] = []
    for low, high in sorted((to_us(low), to_us(high)) for low, high in times):
        if apart and low <= apart[-1][1]:
            apart[-1][1] = max(apart[-1][1], high)
        else:
            apart.append([low, high])
    table = np.array(apart, dtype=np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def batches(coins: Sequence[tuple[str, int]], rows: int) -> Iterator[list[str]]:
    """Mints (given with their numbers of rows) in batches of about so many rows."""
    batch: list[str] = []
    total = 0
    for mint, count in coins:
        batch.append(mint)
        total += count
        if total >= rows:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def copy_records(sql: str, params: tuple[Any, ...], dtype: np.dtype[Any], times: Sequence[str]) -> NDArray[np.void]:
    """The result of a query whose columns are those of `dtype`, eight bytes each and never NULL."""
    data, statement = bytearray(), f"COPY ({sql}) TO STDOUT (FORMAT BINARY)"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.cursor.copy(statement, params) as copy:
        for block in copy:
            data += block
    wire = np.dtype(
        [("fields", ">i2")] + [f for n in dtype.names or () for f in ((f"#{n}", ">i4"), (n, _big(dtype[n])))]
    )
    raw = np.frombuffer(memoryview(data)[_COPY_HEADER : len(data) - _COPY_TRAILER], dtype=wire)
    records = np.empty(len(raw), dtype)
    for name in dtype.names or ():
        records[name] = raw[name]
    for name in times:
        endless = records[name] == FOREVER_US
        records[name] += np.where(endless, 0, _POSTGRES_EPOCH_US)
    return records


def _big(kind: np.dtype[Any]) -> str:
    return ">f8" if kind.kind == "f" else ">i8"
