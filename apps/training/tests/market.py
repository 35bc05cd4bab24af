"""A small market of its own for the tests: trades of coins with a hidden quality, folded by the product's own windows.

Prices of good coins drift up and those of bad ones down, so that there is something true to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import connection

from apps.discovery.windows import METRIC_COLUMNS, Window, metric_row
from apps.training.queries import EPOCH, to_us

START = datetime(2026, 3, 1, tzinfo=UTC)
PHASE_SECONDS = 5
SOL = 1_000_000_000


@dataclass(frozen=True)
class FakeTrade:
    """One trade; price is SOL per token."""

    at_us: int
    is_buy: bool
    lamports: int
    price: float


def trades_of(rng: np.random.Generator, start_us: int, seconds: float) -> list[FakeTrade]:
    """A coin's trades: bursts of activity whose buys outweigh sells by its quality."""
    quality = rng.normal()
    at = start_us + np.cumsum(rng.exponential(3.0, size=int(seconds / 3.0)) * 1e6).astype(np.int64)
    is_buy = rng.random(len(at)) < 1 / (1 + np.exp(-0.6 * quality))
    lamports = (rng.exponential(0.4, len(at)) * SOL).astype(np.int64) + 1000
    steps = np.where(is_buy, 1.0, -1.0) * lamports / SOL * 0.06
    price = 2.8e-8 * np.exp(np.cumsum(steps))
    return [
        FakeTrade(int(a), bool(b), int(c), float(p)) for a, b, c, p in zip(at, is_buy, lamports, price, strict=True)
    ]


def metric_rows(mint: str, trades: list[FakeTrade]) -> list[tuple]:
    """The coin's windows of five seconds."""
    rows, window = [], None
    for trade in trades:
        begin = trade.at_us // (PHASE_SECONDS * 10**6) * PHASE_SECONDS * 10**6
        if window is None or begin != window.start_us:
            if window is not None:
                rows.append(_row(mint, window))
            window = Window(1, begin, begin + PHASE_SECONDS * 10**6)
        window.add(trade.is_buy, trade.lamports, trade.price, 30 * SOL, None, None, SOL)
    if window is not None:
        rows.append(_row(mint, window))
    return rows


def _row(mint: str, window: Window) -> tuple:
    return metric_row(mint, window, is_standard=True, creator=None, koth_market_cap_sol=150.0)


TABLES = {
    "discovered_coins": "mint, name, symbol, pool, curve, is_mayhem, quote_mint, uri, description, image_url, twitter,"
    " telegram, website, first_seen_at, filtered_reason, graduated, final_outcome",
    "coin_streams": "mint, phase_id, is_active, is_graduated, started_at, ended_at, trades_total, volume_lamports",
    "coin_transactions": "mint, timestamp, trade_key, seq, tx_type, sol_amount, token_amount, price_sol, is_whale,"
    " phase_id_at_time",
    "coin_metrics": ", ".join(METRIC_COLUMNS),
}
_written: dict[tuple[int, float, float, int], dict[str, bytes]] = {}


def fill(coins: int = 120, *, minutes: float = 60.0, life_seconds: float = 400.0, seed: int = 1) -> datetime:
    """Coins born evenly over the time; returns the end of the data. Made once, later written as it was."""
    key = (coins, minutes, life_seconds, seed)
    if key in _written:
        _write_again(_written[key])
    else:
        _fill(*key)
        _written[key] = _rows_of(coins)
    set_feed(to_us(START + timedelta(minutes=minutes)))
    return START + timedelta(minutes=minutes)


def _write_again(rows: dict[str, bytes]) -> None:
    with connection.cursor() as cursor:
        for table, columns in TABLES.items():
            with cursor.cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                copy.write(rows[table])


def _rows_of(coins: int) -> dict[str, bytes]:
    """The rows of the coins of `fill`, in the order of their writing."""
    orders = {"coin_transactions": "mint, seq", "coin_metrics": "row_id"}
    found = {}
    with connection.cursor() as cursor:
        for table, columns in TABLES.items():
            source = f"SELECT {columns} FROM {table} WHERE mint = ANY(%s) ORDER BY {orders.get(table, 'mint')}"
            with cursor.cursor.copy(f"COPY ({source}) TO STDOUT", [[_mint(number) for number in range(coins)]]) as copy:
                found[table] = b"".join(copy)
    return found


def _mint(number: int) -> str:
    return f"Coin{number:036d}pump"


def _fill(coins: int, minutes: float, life_seconds: float, seed: int) -> None:
    rng, end_us = np.random.default_rng(seed), to_us(START + timedelta(minutes=minutes))
    for number in range(coins):
        born = to_us(START) + int(number / coins * (minutes * 60 - life_seconds) * 1e6)
        add_coin(_mint(number), born, [trade for trade in trades_of(rng, born, life_seconds) if trade.at_us < end_us])


def add_coin(
    mint: str, born_us: int, trades: list[FakeTrade], *, ended_us: int | None = None, curve: str = "standard"
) -> None:
    """A coin with its stream, trades and windows."""
    born, ended = _at(born_us), None if ended_us is None else _at(ended_us)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO discovered_coins ({TABLES['discovered_coins']})"
            " VALUES (%s, '', '', 'pump', %s, false, '', '', '', '', '', '', '', %s, '', false, '')",
            (mint, curve, born),
        )
        cursor.execute(
            f"INSERT INTO coin_streams ({TABLES['coin_streams']}) VALUES (%s, 1, true, false, %s, %s, 0, 0)",
            (mint, born, ended),
        )
        with cursor.cursor.copy(f"COPY coin_transactions ({TABLES['coin_transactions']}) FROM STDIN") as copy:
            for seq, trade in enumerate(trades):
                side = "buy" if trade.is_buy else "sell"
                copy.write_row((mint, _at(trade.at_us), seq, seq, side, trade.lamports, 1, trade.price, False, 1))
        with cursor.cursor.copy(f"COPY coin_metrics ({TABLES['coin_metrics']}) FROM STDIN") as copy:
            for row in metric_rows(mint, trades):
                copy.write_row((row[0], _at(row[1]), *row[2:]))


def clear() -> None:
    """Take out what `fill` has written and what was derived from it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE discovered_coins, coin_streams, coin_metrics, coin_transactions, creator_histories CASCADE"
        )
        cursor.execute("UPDATE stream_state SET feed_at = NULL WHERE id = 1")


def set_feed(end_us: int) -> None:
    """The tables are complete up to here."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE stream_state SET feed_at = %s WHERE id = 1", (_at(end_us),))


def _at(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)
