"""What the endurance run is judged by: what was sent, what the journal has, what the tables have.

A connection is a stream of bytes: whatever is cut, the platform has the first so many frames of each connection and not
the rest, which was on its way. So a frame is lost that is missing although a later one of its connection is there, or
that is missing without a gap in the ledger at its time, or that is in the journal and not in the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from apps.discovery.benchmarks.endurance_feed import CREATE, TRADE, key_of, rows_of
from apps.discovery.journal import JournalReader
from apps.discovery.state import Cursor

# A frame is sent a little before it is received, and a gap begins with the last frame that was received.
GAP_SLACK_SECONDS = 2.0

TRADES = """
select signature, mint, trader_public_key, tx_type, token_amount, sol_amount, virtual_sol_lamports,
       virtual_token_base_units
  from coin_transactions
"""
COINS = "select mint, signature from discovered_coins where signature is not null"
GAPS = "select extract(epoch from started_at)::float8, extract(epoch from ended_at)::float8 from stream_gaps"
WINDOWED = """
select coalesce(sum(num_buys + num_sells), 0)::bigint
  from coin_metrics
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of rows (a coin, a trade). `missed` were on their way at a cut, and the ledger has a gap there."""

    sent: int
    stored: int
    journaled: int
    missed: int
    holes: int
    unexplained: int
    not_in_tables: int
    strays: int
    doubled: int
    gaps: int
    farthest_from_gap_seconds: float

    @property
    def lost(self) -> int:
        """Rows that were received, or should have been, and are not in the tables."""
        return self.holes + self.unexplained + self.not_in_tables


def judge(sent: NDArray[Any], journal: NDArray[Any], tables: NDArray[Any], gaps: NDArray[np.float64]) -> Verdict:
    """Compare. `sent` as endurance_feed.SENT; `journal` and `tables` with kind and key; `gaps` n x 2 epoch seconds."""
    missing = ~np.isin(sent["key"], tables["key"])
    holes, tails = _holes_and_tails(sent, missing)
    distances = _distances(sent["at"][tails], gaps)
    trades = tables["key"][tables["kind"] == TRADE]
    return Verdict(
        sent=len(np.unique(sent["key"])),
        stored=len(tables),
        journaled=len(np.unique(journal["key"])),
        missed=len(np.unique(sent["key"][tails])),
        holes=len(np.unique(sent["key"][holes])),
        unexplained=int((distances > GAP_SLACK_SECONDS).sum()),
        not_in_tables=int((~np.isin(np.unique(journal["key"]), tables["key"])).sum()),
        strays=int((~np.isin(tables["key"], sent["key"])).sum()),
        doubled=len(trades) - len(np.unique(trades)),
        gaps=len(gaps),
        farthest_from_gap_seconds=round(float(distances.max(initial=0.0)), 3),
    )


def _holes_and_tails(sent: NDArray[Any], missing: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the missing frames that a stored one of the same connection follows, and of those that none follows."""
    holes, tails = [], []
    for client in np.unique(sent["client"]):
        places = np.flatnonzero(sent["client"] == client)
        there = np.flatnonzero(~missing[places])
        end = there[-1] + 1 if len(there) else 0
        holes.append(places[:end][missing[places[:end]]])
        tails.append(places[end:])
    none = [np.empty(0, dtype=np.intp)]
    return np.concatenate(holes or none), np.concatenate(tails or none)


def _distances(times: NDArray[np.float64], gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds from each time to the nearest gap, 0 inside one."""
    nearest = np.full(len(times), np.inf)
    for begin, end in gaps:
        nearest = np.minimum(nearest, np.maximum(0.0, np.maximum(begin - times, times - end)))
    return nearest


KEYED = np.dtype([("kind", "u1"), ("key", "<i8")])


def journal_keys(folder: Path) -> tuple[NDArray[Any], int]:
    """What the journal has, read anew from its first byte, and the number of its next line."""
    reader = JournalReader(folder, Cursor())
    return np.fromiter(_entries(reader), KEYED), reader.cursor.next_seq


def _entries(reader: JournalReader) -> Iterator[tuple[int, int]]:
    while entries := reader.read():
        for entry in entries:
            if entry.raw is not None:
                yield from rows_of(entry.raw)


def table_keys(database_url: str) -> NDArray[Any]:
    """What the tables have, a row each, so that doubled ones are there twice."""
    with psycopg.connect(database_url) as connection:
        return np.fromiter(_rows(connection), KEYED)


def _rows(connection: psycopg.Connection) -> Iterator[tuple[int, int]]:
    for kind, query in ((TRADE, TRADES), (CREATE, COINS)):
        with connection.cursor("rows") as cursor:
            cursor.itersize = 20_000
            cursor.execute(query)
            yield from ((kind, key_of(*row)) for row in cursor)


def gap_times(database_url: str) -> NDArray[np.float64]:
    """The ledger: begin and end of every gap, epoch seconds."""
    with psycopg.connect(database_url) as connection:
        return np.array(connection.execute(GAPS).fetchall(), dtype=np.float64).reshape(-1, 2)


def windowed_trades(database_url: str) -> int:
    """Trades that the closed windows count."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(WINDOWED).fetchone()
        assert row is not None
        return int(row[0])
