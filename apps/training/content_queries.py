"""What the tables hold of a selection, as one hash: equal hashes mean that loading gives the same bytes.

Every row that a load can look at is hashed by the database (128 bits, in any order), and combined by exclusive or: a
row that came late, was corrected or is gone makes another hash. Reading costs about a microsecond a row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from apps.discovery import creators
from apps.training import queries
from apps.training.features import HISTORY_SECONDS
from apps.training.market import RATE_REACH_SECONDS, REACH_SECONDS
from apps.training.samples import Selection

_HASHES = "count(*), bit_xor(hash_record_extended({row}, 0)), bit_xor(hash_record_extended({row}, 1))"


def _digest(row: str, rest: str) -> str:
    return f"SELECT {_HASHES.format(row=row)} FROM {rest}"


METRICS = _digest("m", "coin_metrics m WHERE m.timestamp >= %(first)s AND m.timestamp <= %(until)s")
TRADES = _digest("t", "coin_transactions t WHERE t.timestamp > %(since)s AND t.timestamp <= %(until)s")
CREATIONS = _digest(
    "ROW(c.mint, c.created_at)", "discovered_coins c WHERE c.created_at > %(since)s AND c.created_at <= %(until)s"
)
RATES = _digest("r", "exchange_rates r WHERE r.at > %(rates_since)s AND r.at <= %(until)s")
GAPS = _digest(
    "ROW(g.started_at, g.ended_at)", "stream_gaps g WHERE g.ended_at > %(since)s AND g.started_at < %(until)s"
)
COINS = _digest(
    "ROW(c.mint, c.curve, c.graduated_at, s.started_at, s.ended_at)",
    "discovered_coins c JOIN coin_streams s USING (mint) WHERE c.mint = ANY(%(mints)s)",
)
CREATORS = _digest("h", "creator_histories h WHERE h.mint = ANY(%(mints)s)")
PARTS = (METRICS, TRADES, CREATIONS, RATES, GAPS, COINS, CREATORS)


def fingerprint(selection: Selection, coins: Sequence[tuple[str, int, int]], data_end: datetime | None) -> str:
    """SHA-256 of all that the rows of these coins (mint, rows, first row in microseconds) can depend on."""
    until = selection.end + timedelta(seconds=selection.rule.reach_seconds)
    reach = timedelta(seconds=max(REACH_SECONDS, HISTORY_SECONDS) + 2 * queries.SILENCE_SECONDS)
    mints = [mint for mint, _, _ in coins]
    creators.histories_keep(mints)
    bounds: dict[str, Any] = {
        "first": min(queries.to_datetime(min(first for _, _, first in coins)), selection.start - reach),
        "since": selection.start - reach,
        "rates_since": selection.start - reach - timedelta(seconds=RATE_REACH_SECONDS),
        "until": until,
        "mints": mints,
    }
    digest = hashlib.sha256(json.dumps([list(coins), str(min(data_end or until, until))]).encode())
    with connection.cursor() as cursor:
        for sql in PARTS:
            cursor.execute(sql, bounds)
            digest.update(_text(cursor.fetchone()))
    return digest.hexdigest()


def _text(row: tuple[Any, ...]) -> bytes:
    return ",".join(map(str, row)).encode() + b";"
