"""Candles of one minute, rolled up from the trades.

Whoever writes trades notes their minutes as due in the same transaction (`minutes_note`); the roll-up takes due
minutes and folds them anew from all trades that are there. So it may die at any line, run twice, and trades that come
late (an import, a batch that waited) are right as well. Until a minute is rolled up, reads fold its trades themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

MINUTE = timedelta(minutes=1)
MINUTE_US = 60_000_000
MINUTES_A_TURN = 60
_LOCK = 72_011_201  # of the roll-up: one at a time

# What a group of trades comes to, in the order of `FIELDS`. Absurd amounts must not stop the roll-up: hence the bounds.
FOLD = """
    (array_agg(t.price_sol ORDER BY t."timestamp", t.seq, t.trade_key))[1], max(t.price_sol), min(t.price_sol),
    (array_agg(t.price_sol ORDER BY t."timestamp" DESC, t.seq DESC, t.trade_key DESC))[1],
    least(sum(t.sol_amount), 9223372036854775807)::bigint,
    least(coalesce(sum(t.sol_amount) FILTER (WHERE t.tx_type = 'buy'), 0), 9223372036854775807)::bigint,
    count(*)::int, (count(*) FILTER (WHERE t.tx_type = 'buy'))::int"""
FIELDS = "price_open, price_high, price_low, price_close, volume_lamports, buy_volume_lamports, trades, buys"

NOTE = "INSERT INTO coin_candles_due (minute) SELECT to_timestamp(unnest(%s::bigint[]) * 60)"
CLAIM = """
    WITH claimed AS (
        DELETE FROM coin_candles_due WHERE minute IN (
            SELECT DISTINCT minute FROM coin_candles_due WHERE minute < %s ORDER BY minute LIMIT %s)
        RETURNING minute)
    SELECT DISTINCT minute FROM claimed ORDER BY minute
"""
# Old trades may have been dropped since: the fuller of two foldings of one minute is the right one.
ROLL_UP = f"""
    INSERT INTO coin_candles_1m AS c (mint, "timestamp", {FIELDS})
    SELECT t.mint, due.minute, {FOLD}
    FROM unnest(%(minutes)s::timestamptz[]) AS due(minute)
    JOIN coin_transactions t ON t."timestamp" >= due.minute AND t."timestamp" < due.minute + INTERVAL '1 minute'
    WHERE t."timestamp" >= %(first)s AND t."timestamp" < %(end)s
    GROUP BY t.mint, due.minute
    ON CONFLICT (mint, "timestamp") DO UPDATE SET ({FIELDS}) = ROW (excluded.{FIELDS.replace(", ", ", excluded.")})
    WHERE excluded.trades > c.trades OR (excluded.trades = c.trades AND excluded IS DISTINCT FROM c)
"""
FIRST_DUE = "SELECT min(minute) FROM coin_candles_due"


def minutes_note(cursor: CursorWrapper, minutes: Iterable[int]) -> None:
    """Note minutes (whole ones since the epoch) whose trades are written in this transaction."""
    cursor.execute(NOTE, [sorted(minutes)])


def rollup_run(*, now: datetime, most_turns: int = 1_000) -> int:
    """Roll up every due minute that is over at `now`, a transaction each `MINUTES_A_TURN`; how many minutes."""
    done = 0
    for _ in range(most_turns):
        minutes = _turn(now)
        done += len(minutes)
        if len(minutes) < MINUTES_A_TURN:
            break
    return done


def first_due() -> datetime | None:
    """The oldest minute that is not rolled up; trades from then on must stay."""
    with connection.cursor() as cursor:
        cursor.execute(FIRST_DUE)
        found: datetime | None = cursor.fetchone()[0]
    return found


def _turn(now: datetime) -> list[datetime]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return []
        cursor.execute(CLAIM, [now.astimezone(UTC).replace(second=0, microsecond=0), MINUTES_A_TURN])
        minutes = [minute for (minute,) in cursor.fetchall()]
        if minutes:
            cursor.execute(ROLL_UP, {"minutes": minutes, "first": minutes[0], "end": minutes[-1] + MINUTE})
    return minutes
