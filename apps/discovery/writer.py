"""One batch of the stream, one transaction: rows, coins, highs and the journal cursor together.

Rows go by COPY straight into their table; where some are there already, by way of temporary tables of this connection
and ON CONFLICT DO NOTHING. Every statement is absolute, and the cursor is a fence: a writer that is not where the table
says writes nothing. Amounts of time travel as epoch microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

import psycopg
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.discovery.copying import copy_rows, moment
from apps.discovery.owed import Owed
from apps.discovery.rollups import MINUTE_US, minutes_note
from apps.discovery.state import STREAM_COLUMNS, TRADE_COLUMNS, Batch, CoinRow, StreamRow, TradeRow
from apps.discovery.windows import METRIC_COLUMNS, MetricRow

TRADES, METRICS = "coin_transactions", "coin_metrics"
_FLOAT, _INT, _BIG, _TEXT, _BOOL = "double precision", "integer", "bigint", "text", "boolean"
_TRADE_TYPES = (_TEXT, _BIG, _BIG, _BIG, _TEXT, _TEXT, _TEXT, _BIG, _BIG, _FLOAT, _BIG, _BIG, _BOOL, "smallint")
_METRIC_INTEGERS = {"num_buys", "num_sells", "unique_wallets", "num_micro_trades", "num_whale_buys", "num_whale_sells"}
_METRIC_TYPES = {"mint": _TEXT, "timestamp": _BIG, "phase_id_at_time": "smallint", "is_koth": _BOOL}
_STREAM_TYPES = (
    _TEXT,
    "smallint",
    _BOOL,
    _BOOL,
    _BIG,
    _BIG,
    _FLOAT,
    _BIG,
    _BIG,
    _FLOAT,
    _FLOAT,
    _BIG,
    _BIG,
    _INT,
    _BIG,
)
_TIMES = {"timestamp", "started_at", "ended_at", "ath_at", "last_trade_at"}
_COIN_COLUMNS = tuple(item.name for item in fields(CoinRow))
_coin_values = attrgetter(*_COIN_COLUMNS)


class CursorMovedError(RuntimeError):
    """Another stream has written since: this one no longer owns the feed."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the stream says of itself beside the rows."""

    mode: str
    connected: bool
    detail: str
    now: datetime
    health: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows were new; `feed_at` the time up to which the tables are complete."""

    trades: int
    windows: int
    feed_at: datetime


def _at(expression: str) -> str:
    return f"'epoch'::timestamptz + {expression} * interval '1 microsecond'"


def _metric_type(column: str) -> str:
    return _METRIC_TYPES.get(column) or (_INT if column in _METRIC_INTEGERS else _FLOAT)


def _coin_type(column: str) -> str:
    if column.endswith(("_us", "_lamports", "_base_units")):
        return _BIG
    return {"is_mayhem": _BOOL, "market_cap_sol": _FLOAT}.get(column, _TEXT)


def _definition(columns: Sequence[str], types: Iterable[str]) -> str:
    return ", ".join(f'"{column}" {kind}' for column, kind in zip(columns, types, strict=True))


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _values(columns: Iterable[str]) -> str:
    return ", ".join(_at(f'"{column}"') if column in _TIMES else f'"{column}"' for column in columns)


_TEMPORARY = "".join(
    f"CREATE TEMP TABLE IF NOT EXISTS {name} ({definition}) ON COMMIT DELETE ROWS;"
    for name, definition in (
        ("incoming_trades", _definition(TRADE_COLUMNS, _TRADE_TYPES)),
        ("incoming_metrics", _definition(METRIC_COLUMNS, map(_metric_type, METRIC_COLUMNS))),
        ("incoming_streams", _definition(STREAM_COLUMNS, _STREAM_TYPES)),
        ("incoming_coins", _definition(_COIN_COLUMNS, map(_coin_type, _COIN_COLUMNS))),
    )
)
_INSERT_TRADES = f"""
    INSERT INTO coin_transactions ({_names(TRADE_COLUMNS)})
    SELECT {_values(TRADE_COLUMNS)} FROM incoming_trades ON CONFLICT DO NOTHING
"""
_INSERT_METRICS = f"""
    INSERT INTO coin_metrics ({_names(METRIC_COLUMNS)})
    SELECT {_values(METRIC_COLUMNS)} FROM incoming_metrics ON CONFLICT DO NOTHING
"""
# A history may come in pieces: the fuller of two foldings of one window is the right one.
_UPSERT_METRICS = f"""
    INSERT INTO coin_metrics AS m ({_names(METRIC_COLUMNS)})
    SELECT {_values(METRIC_COLUMNS)} FROM incoming_metrics
    ON CONFLICT (mint, "timestamp") DO UPDATE
    SET {", ".join(f'"{name}" = excluded."{name}"' for name in METRIC_COLUMNS[2:])}
    WHERE excluded.num_buys + excluded.num_sells > m.num_buys + m.num_sells
"""
_UPSERT_STREAMS = f"""
    INSERT INTO coin_streams ({_names(STREAM_COLUMNS)})
    SELECT {_values(STREAM_COLUMNS)} FROM incoming_streams
    ON CONFLICT (mint) DO UPDATE SET {", ".join(f'"{name}" = excluded."{name}"' for name in STREAM_COLUMNS[1:])}
"""
_LOCK_PHASES = "SELECT id FROM ref_coin_phases FOR KEY SHARE"
# A phase may be deleted before the stream has read so: its coins stay where the deletion has put them, new ones begin
# in the first phase, until they are aged by what is there now.
_MOVE_OUT_OF_DELETED_PHASES = """
    UPDATE incoming_streams i
    SET phase_id = coalesce((SELECT s.phase_id FROM coin_streams s WHERE s.mint = i.mint),
                            (SELECT id FROM ref_coin_phases WHERE interval_seconds > 0
                             ORDER BY min_age_minutes, id LIMIT 1))
    WHERE i.phase_id <> ALL(%s)
"""
_COIN_UPDATES = [
    name for name in _COIN_COLUMNS if name not in ("mint", "first_seen_us", "created_us", "filtered_reason")
]
_UPSERT_COINS = f"""
    INSERT INTO discovered_coins ({_names(_COIN_UPDATES)}, mint, first_seen_at, created_at, filtered_reason, quote_mint,
                                  description, image_url, twitter, telegram, website, graduated, final_outcome)
    SELECT {_names(_COIN_UPDATES)}, mint, {_at("first_seen_us")}, {_at("created_us")}, filtered_reason,
           'So11111111111111111111111111111111111111112', '', '', '', '', '', false, ''
    FROM incoming_coins
    ON CONFLICT (mint) DO UPDATE SET {", ".join(f'"{name}" = excluded."{name}"' for name in _COIN_UPDATES)},
            created_at = excluded.created_at, filtered_reason = excluded.filtered_reason
"""
_COPY_COINS = f"COPY incoming_coins ({_names(_COIN_COLUMNS)}) FROM STDIN"
_SET_OUTCOMES = f"""
    UPDATE discovered_coins c
    SET final_outcome = v.outcome, graduated = c.graduated OR v.outcome = 'graduated',
        graduated_at = coalesce(c.graduated_at, {_at("v.at_us")})
    FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS v(mint, outcome, at_us) WHERE c.mint = v.mint
"""
_SET_NONSTANDARD = "UPDATE discovered_coins SET curve = 'nonstandard' WHERE mint = ANY(%s)"
# A gap that was open in the batch before has grown; all others are new.
_UPSERT_GAP = f"""
    WITH gap AS (SELECT {_at("%s")} AS started_at, {_at("%s")} AS ended_at, %s AS reason), grown AS (
        UPDATE stream_gaps s SET ended_at = gap.ended_at FROM gap
        WHERE s.started_at = gap.started_at AND s.reason = gap.reason AND s.ended_at < gap.ended_at
          AND NOT EXISTS (SELECT FROM stream_gaps o WHERE (o.started_at, o.ended_at) = (gap.started_at, gap.ended_at))
        RETURNING 1
    )
    INSERT INTO stream_gaps (started_at, ended_at, reason)
    SELECT * FROM gap WHERE NOT EXISTS (SELECT FROM grown) ON CONFLICT DO NOTHING
"""
_INSERT_ODD = f"""
    INSERT INTO stream_odd_frames (kind, seen_at, seq, sample) VALUES (%s, {_at("%s")}, %s, %s) ON CONFLICT DO NOTHING
"""
# Absolute values, as everything here: written twice they are the same.
_UPSERT_READING = f"""
    INSERT INTO feed_meter (at, frames, trades, judged, exact, compared, seamless)
    VALUES ({_at("%s")}, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (at) DO UPDATE SET frames = excluded.frames, trades = excluded.trades, judged = excluded.judged,
        exact = excluded.exact, compared = excluded.compared, seamless = excluded.seamless
"""
_SET_STATE = f"""
    UPDATE stream_state
    SET segment = %(segment)s, "offset" = %(offset)s, next_seq = %(next_seq)s, feed_at = {_at("%(feed_us)s")},
        mode = %(mode)s, connected = %(connected)s, state = %(state)s, detail = %(detail)s, updated_at = %(now)s,
        frames_total = %(frames_total)s, oddities = %(oddities)s::jsonb, health = %(health)s::jsonb
    WHERE id = 1 AND segment = %(was_segment)s AND "offset" = %(was_offset)s
"""


def write(batch: Batch, status: Status, owed: Owed) -> Written:
    """Commit a batch; rows that their table refuses go to `owed`.

    Raises CursorMovedError (nothing written) when another stream has moved the cursor, or the database's own errors;
    after those it may or may not be committed, and writing it again settles that.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        _move_cursor(cursor, batch, status)
        _write_coins(cursor, batch)
        number = batch.cursor.next_seq
        trades = owed.insert_or_keep(cursor, TRADES, batch.trades, insert_trades, number)
        windows = owed.insert_or_keep(cursor, METRICS, batch.windows, insert_metrics, number)
        _write_streams(cursor, batch.streams)
        cursor.executemany(_UPSERT_GAP, [*batch.gaps, *([batch.open_gap] if batch.open_gap else [])])
        cursor.executemany(_INSERT_ODD, [astuple(odd) for odd in batch.odd_frames])
        cursor.executemany(_UPSERT_READING, [astuple(reading) for reading in batch.readings])
        notify(cursor, batch.feed_us, windows, trades)
    return Written(trades, windows, moment(batch.feed_us))


def pay_owed(owed: Owed) -> int:
    """Try rows again that were refused; how many got in."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT next_seq FROM stream_state WHERE id = 1")
        reached = cursor.fetchone()[0]
    return owed.pay(TRADES, insert_trades, reached) + owed.pay(METRICS, insert_metrics, reached)


def write_status(status: Status) -> None:
    """Say how the stream is doing while there is nothing to commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE stream_state SET mode = %s, connected = %s, detail = %s, updated_at = %s, health = %s::jsonb "
            "WHERE id = 1",
            [status.mode, status.connected, status.detail, status.now, json.dumps(status.health)],
        )


def ensure_temporary(cursor: CursorWrapper) -> None:
    """The temporary tables of this connection."""
    cursor.execute("SELECT to_regclass('pg_temp.incoming_streams') IS NULL")
    if cursor.fetchone()[0]:
        cursor.execute(_TEMPORARY)


def insert_trades(cursor: CursorWrapper, rows: Sequence[TradeRow]) -> int:
    """Trades not yet there, their minutes noted as due for the candles; how many."""
    if not rows:
        return 0
    times: list[Any] = [row[1] for row in rows]
    minutes_note(cursor, {at_us // MINUTE_US for at_us in times})
    if _copied(cursor, TRADES, TRADE_COLUMNS, rows):
        return len(rows)
    ensure_temporary(cursor)
    copy_rows(cursor, "incoming_trades", rows)
    cursor.execute(_INSERT_TRADES)
    return int(cursor.rowcount)


def insert_metrics(cursor: CursorWrapper, rows: Sequence[MetricRow], *, keep_fuller: bool = False) -> int:
    """Windows not yet there (or, for histories, fuller than what is there); how many."""
    if not rows or _copied(cursor, METRICS, METRIC_COLUMNS, rows):
        return len(rows)
    ensure_temporary(cursor)
    copy_rows(cursor, "incoming_metrics", rows)
    cursor.execute(_UPSERT_METRICS if keep_fuller else _INSERT_METRICS)
    return int(cursor.rowcount)


def _copied(cursor: CursorWrapper, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> bool:
    """COPY rows straight into their table, twice as fast; False (and nothing done) where some are there already."""
    try:
        with transaction.atomic():
            copy_rows(cursor, f"{table} ({_names(columns)})", rows, timed=True)
    except IntegrityError as error:
        if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
            raise
        return False
    return True


def notify(cursor: CursorWrapper, feed_us: int, windows: int, trades: int) -> None:
    """Tell listeners of channel `feed`, when the transaction commits."""
    payload = {"feed_at": moment(feed_us).isoformat(), "windows": windows, "trades": trades}
    cursor.execute("SELECT pg_notify('feed', %s)", [json.dumps(payload)])


def _move_cursor(cursor: CursorWrapper, batch: Batch, status: Status) -> None:
    values: dict[str, Any] = {
        "segment": batch.cursor.segment,
        "offset": batch.cursor.offset,
        "next_seq": batch.cursor.next_seq,
        "feed_us": batch.feed_us,
        "mode": status.mode,
        "connected": status.connected,
        "state": batch.state,
        "detail": status.detail,
        "now": status.now,
        "frames_total": batch.frames_total,
        "oddities": json.dumps(batch.oddities),
        "health": json.dumps(status.health),
        "was_segment": batch.before.segment,
        "was_offset": batch.before.offset,
    }
    cursor.execute(_SET_STATE, values)
    if not cursor.rowcount and not _is_there(cursor, batch):
        raise CursorMovedError("another stream has written to these tables; this one stops")


def _is_there(cursor: CursorWrapper, batch: Batch) -> bool:
    """Whether the batch was committed although its connection broke before saying so."""
    cursor.execute('SELECT segment, "offset" FROM stream_state WHERE id = 1')
    return bool(cursor.fetchone() == (batch.cursor.segment, batch.cursor.offset))


def _write_coins(cursor: CursorWrapper, batch: Batch) -> None:
    if batch.coins:
        ensure_temporary(cursor)
        with connection.wrap_database_errors, cursor.copy(_COPY_COINS) as copy:
            for coin in batch.coins.values():
                copy.write_row(_coin_values(coin))
        cursor.execute(_UPSERT_COINS)
    if batch.nonstandard:
        cursor.execute(_SET_NONSTANDARD, [sorted(batch.nonstandard)])
    if batch.outcomes:
        outcomes = [outcome for outcome, _ in batch.outcomes.values()]
        cursor.execute(_SET_OUTCOMES, [list(batch.outcomes), outcomes, [at for _, at in batch.outcomes.values()]])


def _write_streams(cursor: CursorWrapper, rows: Sequence[StreamRow]) -> None:
    if rows:
        ensure_temporary(cursor)
        copy_rows(cursor, "incoming_streams", rows)
        cursor.execute(_LOCK_PHASES)
        phases = [id_ for (id_,) in cursor.fetchall()]
        if not {row[1] for row in rows} <= set(phases):
            cursor.execute(_MOVE_OUT_OF_DELETED_PHASES, [phases])
        cursor.execute(_UPSERT_STREAMS)
