"""The tables of discovery as tests see them: emptied, and read back whole."""

from __future__ import annotations

from typing import Any

from django.db import connection

from tests import emptying

KEPT = {
    "coin_transactions": "SELECT * FROM coin_transactions ORDER BY mint, timestamp, trade_key",
    "coin_metrics": "SELECT {metrics} FROM coin_metrics ORDER BY mint, timestamp",
    "discovered_coins": "SELECT * FROM discovered_coins ORDER BY mint",
    "coin_streams": "SELECT * FROM coin_streams ORDER BY mint",
    "stream_gaps": "SELECT started_at, ended_at, reason FROM stream_gaps ORDER BY 1, 2",
    "stream_odd_frames": "SELECT kind, seen_at, seq, sample FROM stream_odd_frames ORDER BY 1, 3",
    "feed_meter": "SELECT * FROM feed_meter ORDER BY at",
    "stream_state": "SELECT next_seq, feed_at, state, frames_total, oddities FROM stream_state",
}


OTHERS = (
    "coin_candles_1m",
    "coin_candles_due",
    "ref_coin_phases",
    "exchange_rates",
    "discovery_settings",
    "pinned_coins",
)


def reset() -> None:
    """Empty every table of discovery; phases and the stream's state are those of the migrations again."""
    emptying.restore(*KEPT, *OTHERS)


def dump(*names: str) -> dict[str, list[Any]]:
    """Whole tables by name (all of them by default), without what only says when a row was committed."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) FROM "
            "information_schema.columns WHERE table_name = 'coin_metrics' AND column_name <> 'row_id'"
        )
        metrics = cursor.fetchone()[0]
        for name in names or KEPT:
            cursor.execute(KEPT[name].format(metrics=metrics))
            found[name] = cursor.fetchall()
    return found


def one(sql: str, *values: Any) -> Any:
    """The single value of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]
