"""Coins, trades and candles as they leave the platform, row by row: never more than a chunk of them in memory.

Each chunk is a query of its own that goes on behind the last row of the one before (a key, not an offset), so an export
holds no transaction open, costs the same per row at any length, and may be read in any thread.
Trades have the columns that `import_trades` reads first; amounts are there as exact decimals and as integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from django.db import connection

from apps.discovery.candles import candles

Kind = Literal["text", "untrusted", "time", "integer", "float", "flag", "sol", "tokens"]
Chunk = list[tuple[Any, ...]]
CHUNK_ROWS = 20_000
KINDS = ("coins", "trades", "candles")
ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export: one coin or all (mint ""), from `since` (included) to `until`; candles of `bucket_seconds`."""

    kind: str
    mint: str = ""
    since: datetime | None = None
    until: datetime | None = None
    bucket_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Column:
    """A column by name and kind; `sol` and `tokens` are integers of lamports and base units, shown as decimals."""

    name: str
    kind: Kind


def _columns(**kinds: Kind) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in kinds.items())


COLUMNS: dict[str, tuple[Column, ...]] = {
    "trades": _columns(
        received_at="time",
        mint="text",
        side="text",
        sol_amount="sol",
        token_amount="tokens",
        v_sol_in_bonding_curve="sol",
        v_tokens_in_bonding_curve="tokens",
        market_cap_sol="float",
        price_sol="float",
        sol_lamports="integer",
        token_base_units="integer",
        virtual_sol_lamports="integer",
        virtual_token_base_units="integer",
        signature="text",
        trader="text",
        is_whale="flag",
        phase_id="integer",
        seq="integer",
        trade_key="integer",
    ),
    "coins": _columns(
        first_seen_at="time",
        mint="text",
        name="untrusted",
        symbol="untrusted",
        creator="text",
        created_at="time",
        pool="text",
        curve="text",
        is_mayhem="flag",
        quote_mint="text",
        initial_buy_lamports="integer",
        initial_buy_base_units="integer",
        virtual_sol_lamports="integer",
        virtual_token_base_units="integer",
        uri="untrusted",
        description="untrusted",
        image_url="untrusted",
        twitter="untrusted",
        telegram="untrusted",
        website="untrusted",
        filtered_reason="text",
        graduated="flag",
        graduated_at="time",
        final_outcome="text",
        phase_id="integer",
        is_active="flag",
        ath_price_sol="float",
        ath_at="time",
        last_price_sol="float",
        last_trade_at="time",
        trades_total="integer",
        volume_lamports="integer",
    ),
    "candles": _columns(
        time="time",
        mint="text",
        open="float",
        high="float",
        low="float",
        close="float",
        volume_lamports="integer",
        buy_volume_lamports="integer",
        trades="integer",
        buys="integer",
        touches_gap="flag",
    ),
}

# Reserves that are not known are 0 in the columns of the history, as recorders write them, and empty in the integers.
TRADES = """
    SELECT "timestamp", mint, tx_type, sol_amount, token_amount, coalesce(virtual_sol_lamports, 0),
           coalesce(virtual_token_base_units, 0), price_sol * 1e9, price_sol, sol_amount, token_amount,
           virtual_sol_lamports, virtual_token_base_units, signature, trader_public_key, is_whale, phase_id_at_time,
           seq, trade_key
    FROM coin_transactions
    WHERE "timestamp" >= %(start)s AND "timestamp" < %(until)s AND (%(mint)s = '' OR mint = %(mint)s)
      AND ("timestamp", seq, mint, trade_key) > (%(start)s, %(seq)s, %(after)s, %(key)s)
    ORDER BY "timestamp", seq, mint, trade_key LIMIT %(limit)s
"""
TRADES_OF_COIN = TRADES.replace("(%(mint)s = '' OR mint = %(mint)s)", "mint = %(mint)s")
COINS = """
    SELECT c.first_seen_at, c.mint, c.name, c.symbol, c.creator, c.created_at, c.pool, c.curve, c.is_mayhem,
           c.quote_mint, c.initial_buy_lamports, c.initial_buy_base_units, c.virtual_sol_lamports,
           c.virtual_token_base_units, c.uri, c.description, c.image_url, c.twitter, c.telegram, c.website,
           c.filtered_reason, c.graduated, c.graduated_at, c.final_outcome, s.phase_id, s.is_active, s.ath_price_sol,
           s.ath_at, s.last_price_sol, s.last_trade_at, s.trades_total, s.volume_lamports
    FROM discovered_coins c LEFT JOIN coin_streams s USING (mint)
    WHERE c.first_seen_at >= %(start)s AND c.first_seen_at < %(until)s AND (%(mint)s = '' OR c.mint = %(mint)s)
      AND (c.first_seen_at, c.mint) > (%(start)s, %(after)s)
    ORDER BY c.first_seen_at, c.mint LIMIT %(limit)s
"""
# The coins that may have a candle: the bucket in which `start` lies counts whole (`candles.lifetime` bounds the rest).
TRADED = """
    SELECT s.mint FROM coin_streams s JOIN discovered_coins c USING (mint)
    WHERE s.mint > %(after)s AND s.last_trade_at > %(start)s - %(bucket)s * INTERVAL '1 second'
      AND least(s.started_at, c.first_seen_at) - INTERVAL '1 hour' < %(until)s
    ORDER BY s.mint LIMIT %(limit)s
"""


def chunks(wanted: Wanted) -> Iterator[Chunk]:
    """The rows in the order of COLUMNS[kind]: trades and coins by time, candles by coin and time. May be none.

    Raises KeyError for another kind, ValueError for a bucket outside 1 s to 1 d.
    """
    return {"trades": _trades, "coins": _coins, "candles": _candles}[wanted.kind](wanted)


def _query(statement: str, values: dict[str, Any]) -> Chunk:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: Chunk = cursor.fetchall()
    return rows


def _bounds(wanted: Wanted) -> dict[str, Any]:
    start, until = wanted.since or ALWAYS[0], wanted.until or ALWAYS[1]
    return {"mint": wanted.mint, "start": start, "until": until, "after": "", "limit": CHUNK_ROWS}


def _trades(wanted: Wanted) -> Iterator[Chunk]:
    statement = TRADES_OF_COIN if wanted.mint else TRADES
    values = _bounds(wanted) | {"seq": -1, "key": 0}
    while rows := _query(statement, values):
        yield rows
        values |= {"start": rows[-1][0], "seq": rows[-1][-2], "after": rows[-1][1], "key": rows[-1][-1]}


def _coins(wanted: Wanted) -> Iterator[Chunk]:
    values = _bounds(wanted)
    while rows := _query(COINS, values):
        yield rows
        values |= {"start": rows[-1][0], "after": rows[-1][1]}


def _candles(wanted: Wanted) -> Iterator[Chunk]:
    gathered: Chunk = []
    for mint in _mints(wanted):
        found = candles(
            mint,
            bucket_seconds=wanted.bucket_seconds,
            limit=2**31 - 1,
            since=wanted.since,
            before=wanted.until,
        )
        for one in found:
            prices = (one.open, one.high, one.low, one.close)
            volumes = (one.volume_lamports, one.buy_volume_lamports, one.trades, one.buys)
            gathered.append((one.time, mint, *prices, *volumes, one.touches_gap))
        if len(gathered) >= CHUNK_ROWS:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _mints(wanted: Wanted) -> Iterator[str]:
    if wanted.mint:
        yield wanted.mint
        return
    values = _bounds(wanted) | {"limit": 1_000, "bucket": wanted.bucket_seconds}
    while rows := _query(TRADED, values):
        yield from (mint for (mint,) in rows)
        values["after"] = rows[-1][0]
