"""SQL of the scorer: its cursor, what it has said before, and the one transaction that writes a batch."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction

from apps.core.outbox import Message, messages_write

logger = logging.getLogger(__name__)

MOST_ROWS = 5_000

STATE_READ = """
    SELECT s.last_row_id, s.scored_to, (SELECT feed_at FROM stream_state WHERE id = 1)
    FROM scorer_state s WHERE s.id = 1"""
STATE_CREATE = "INSERT INTO scorer_state (id, last_row_id, skipped_total) VALUES (1, 0, 0) ON CONFLICT DO NOTHING"


def state_read() -> tuple[int, datetime | None, datetime | None]:
    """The cursor (row_id of the last metric row dealt with), the newest window scored, and the feed time (None before
    the first frame)."""
    with connection.cursor() as cursor:
        cursor.execute(STATE_READ)
        row = cursor.fetchone()
        if row is None:
            cursor.execute(STATE_CREATE)
            cursor.execute(STATE_READ)
            row = cursor.fetchone()
    return row


# In a replay the feed's time is the only one there is. Else a stream that catches up (the database was away) writes the
# past with the feed's time beside it: what it writes is no less old for that.
MARKET_CLOCK = """
    SELECT CASE WHEN mode = 'replay' THEN feed_at ELSE greatest(feed_at, clock_timestamp()) END
    FROM stream_state WHERE id = 1 AND feed_at IS NOT NULL"""


def market_clock(feed_at: datetime) -> datetime:
    """The time by which prices are stale: that of the market itself, `feed_at` in a replay."""
    with connection.cursor() as cursor:
        cursor.execute(MARKET_CLOCK)
        row = cursor.fetchone()
    return max(row[0], feed_at) if row else feed_at


# Bounded in time, or each look would plan for every day there is: 0.15 s with a year of them. Windows that an import
# writes into the past are nobody's news, and do not move the cursor.
WAITING = """
    SELECT max(row_id), count(*), count(*) FILTER (WHERE timestamp > %s)
    FROM (SELECT row_id, timestamp FROM coin_metrics WHERE row_id > %s AND timestamp > %s
          ORDER BY row_id LIMIT %s) waiting"""
LONGEST_BEHIND = timedelta(days=2)  # a window lasts a day at most


def waiting(cursor_id: int, oldest: datetime, scored_to: datetime | None) -> tuple[int, int, int]:
    """The next metric rows after those up to `scored_to`, at most MOST_ROWS: the highest row_id, how many, and how many
    end after `oldest`."""
    since = min(oldest, scored_to or oldest) - LONGEST_BEHIND
    with connection.cursor() as cursor:
        cursor.execute(WAITING, (oldest, cursor_id, since, MOST_ROWS))
        until, rows, fresh = cursor.fetchone()
    return until or cursor_id, rows, fresh


RECENT_COINS = "SELECT DISTINCT mint FROM coin_metrics WHERE timestamp > %s AND row_id <= %s ORDER BY mint"


def recent_coins(since: datetime, cursor_id: int) -> list[str]:
    """Coins with rows that end after `since` and lie behind the cursor."""
    with connection.cursor() as cursor:
        cursor.execute(RECENT_COINS, (since, cursor_id))
        return [mint for (mint,) in cursor.fetchall()]


SAID_BEFORE = """
    SELECT active_model_id, mint, tag, count(*), extract(epoch FROM max(as_of))::float8
    FROM predictions
    WHERE mint = ANY(%s) AND active_model_id = ANY(%s) AND as_of > %s
    GROUP BY active_model_id, mint, tag"""


def said_before(
    mints: Sequence[str], active_model_ids: Sequence[int], since: datetime
) -> list[tuple[int, str, str, int, float]]:
    """Per model, coin and tag: how many scores since then, and when (epoch seconds) the newest was."""
    with connection.cursor() as cursor:
        cursor.execute(SAID_BEFORE, (list(mints), list(active_model_ids), since))
        return cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step writes: predictions as COPY text, the others as tuples, columns in the order below; and how many
    rows it did not score, by reason: too late, off the standard curve, finished or graduated."""

    from_row_id: int
    to_row_id: int
    skipped: int = 0
    skipped_curve: int = 0
    skipped_untraded: int = 0
    scored_to: datetime | None = None
    predictions: str = ""
    alerts: Sequence[tuple[Any, ...]] = ()
    messages: Sequence[Message] = ()


class CursorMovedError(RuntimeError):
    """Another scorer wrote in between; what was computed here must not be written."""


STAGING = """
    CREATE TEMP TABLE IF NOT EXISTS new_predictions (LIKE predictions INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"""
_PREDICTION_COLUMNS = """probability, tag, active_model_id, scored_at, duration_ms, model_id, mint, as_of, price_sol,
    virtual_sol_lamports, phase_id, is_late"""
PREDICTIONS_COPY = f"COPY predictions ({_PREDICTION_COLUMNS}) FROM STDIN"
STAGING_COPY = f"COPY new_predictions ({_PREDICTION_COLUMNS}) FROM STDIN"
PREDICTIONS_INSERT = f"""
    INSERT INTO predictions ({_PREDICTION_COLUMNS}) SELECT {_PREDICTION_COLUMNS} FROM new_predictions
    ON CONFLICT DO NOTHING"""
# Numbered in the order in which they are given: the trader acts on them by number.
ALERTS_INSERT = """
    INSERT INTO alert_evaluations (active_model_id, mint, as_of, fired_at, probability, price_sol, market_cap_sol,
        virtual_sol_lamports, phase_id, horizon_at, status, reason, alert_id, touches_gap)
    SELECT place, mint, as_of, fired_at, probability, price_sol, market_cap_sol, virtual_sol_lamports, phase_id,
           horizon_at, 'pending', '', CASE WHEN NOT is_shadow THEN nextval('alert_evaluations_alert_id_seq') END,
           EXISTS (SELECT FROM stream_gaps WHERE ended_at > knows_from AND started_at < as_of)
    FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::float8[], %s::float8[],
                %s::float8[], %s::bigint[], %s::smallint[], %s::timestamptz[], %s::boolean[], %s::timestamptz[])
         WITH ORDINALITY AS alert(place, mint, as_of, fired_at, probability, price_sol, market_cap_sol,
                                  virtual_sol_lamports, phase_id, horizon_at, is_shadow, knows_from, number)
    ORDER BY number ON CONFLICT DO NOTHING"""
CURSOR_MOVE = """
    UPDATE scorer_state SET last_row_id = %s, skipped_total = skipped_total + %s, skipped_curve = skipped_curve + %s,
        skipped_untraded = skipped_untraded + %s, updated_at = now(), scored_to = greatest(scored_to, %s)
    WHERE id = 1 AND last_row_id = %s"""


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


NULL = "\\N"


def copy_text(*values: object) -> str:
    """Values as the fields of a COPY line; None is NULL."""
    return "\t".join([NULL if value is None else str(value).translate(_ESCAPES) for value in values])


def batch_write(batch: Batch) -> None:
    """Predictions, alerts, outbox and cursor in one transaction, with NOTIFY alerts. Raises CursorMovedError.

    A score that is already there (its window was deleted and came again) stays as it is.
    """
    try:
        _write(batch, _copy)
    except IntegrityError:
        logger.warning("some windows up to row %d have been scored before", batch.to_row_id)
        _write(batch, _copy_what_is_new)


def _copy(cursor: Any, lines: str) -> None:
    with connection.wrap_database_errors, cursor.copy(PREDICTIONS_COPY) as copy:
        copy.write(lines)


def _copy_what_is_new(cursor: Any, lines: str) -> None:
    cursor.execute(STAGING)
    with cursor.copy(STAGING_COPY) as copy:
        copy.write(lines)
    cursor.execute(PREDICTIONS_INSERT)


def _write(batch: Batch, predictions_copy: Callable[[Any, str], None]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        left_out = (batch.skipped, batch.skipped_curve, batch.skipped_untraded)
        cursor.execute(CURSOR_MOVE, (batch.to_row_id, *left_out, batch.scored_to, batch.from_row_id))
        if cursor.rowcount != 1:
            raise CursorMovedError(f"the cursor is no longer at {batch.from_row_id}")
        if batch.predictions:
            predictions_copy(cursor, batch.predictions)
        if batch.alerts:
            cursor.execute(ALERTS_INSERT, [list(column) for column in zip(*batch.alerts, strict=True)])
            cursor.execute("SELECT pg_notify('alerts', %s)", (json.dumps({"alerts": len(batch.alerts)}),))
        messages_write(batch.messages)


ALERTS_UNEXPLAINED = """
    SELECT a.active_model_id, p.model_id, a.mint, a.as_of
    FROM alert_evaluations a JOIN predictions p USING (active_model_id, mint, as_of)
    WHERE a.reasons IS NULL AND a.as_of > %(since)s AND p.as_of > %(since)s
    ORDER BY a.as_of, a.active_model_id, a.mint"""


def alerts_unexplained(since: datetime) -> list[tuple[int, int | None, str, datetime]]:
    """Alerts without reasons whose windows end after `since`: place at work, trained model, coin, window."""
    with connection.cursor() as cursor:
        cursor.execute(ALERTS_UNEXPLAINED, {"since": since})
        return cursor.fetchall()


ALERTS_EXPLAIN = """
    UPDATE alert_evaluations SET reasons = %s WHERE active_model_id = %s AND mint = %s AND as_of = %s"""


def alerts_explain(explained: Sequence[tuple[dict[str, Any], int, str, datetime]]) -> None:
    """Keep the reasons of alerts: reasons, place at work, coin, window."""
    rows = [(json.dumps(reasons), place, mint, as_of) for reasons, place, mint, as_of in explained]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(ALERTS_EXPLAIN, rows)
