"""How fast a recorded history is read in."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from apps.core.scratch import scratch_database
from apps.discovery import curve, recordings
from apps.discovery.importer import Imported, import_file
from apps.discovery.services import stream_config_load

HISTORY = "trades_2025-09-05_to_07.csv.gz"
SYNTHETIC_ROWS = 200_000
_HEADER = ",".join((*recordings.REQUIRED, "market_cap_sol"))
_START = datetime(2026, 1, 1, tzinfo=UTC)


def import_ratio_to_copy() -> dict[str, Any]:
    """Rows a second of an import (file to trades, windows, coins) against a bare COPY of the same trades into the same
    table, in the same run. The recorded history where it is beside the project, else a synthetic one."""
    with tempfile.TemporaryDirectory() as folder, scratch_database():
        path, source = history_file(Path(folder))
        config, result = stream_config_load(), Imported()
        import_file(path, config, result)
        copy_seconds = bare_copy(Path(folder) / "trades.copy")
    copied = result.trades / copy_seconds
    return {
        "value": round(result.rows_per_second),
        "unit": "rows/s",
        "limit": round(copied),
        "ratio": round(result.rows_per_second / copied, 3),
        "detail": {
            "source": source,
            "rows": result.rows,
            "trades": result.trades,
            "windows": result.windows,
            "coins": result.coins,
            "seconds": round(result.seconds, 2),
            "copy_seconds": round(copy_seconds, 2),
        },
    }


def history_file(folder: Path) -> tuple[Path, str]:
    """The recorded history where it is beside the project, else a synthetic one in `folder`; and which it is."""
    shared = Path(os.environ.get("SHARED_DATA_DIR") or settings.BASE_DIR.parent / "shared" / "data") / HISTORY
    if shared.is_file():
        return shared, "recorded"
    path = folder / "history.csv"
    with path.open("w") as stream:
        stream.write(_HEADER + "\n")
        stream.writelines(_synthetic_rows())
    return path, "synthetic"


def _synthetic_rows() -> Iterator[str]:
    """Trades of coins that live for a while, on the curve, in order of time."""
    chance, fees, now = random.Random(1), curve.Fees(95, 30), _START
    coins: dict[str, curve.Reserves] = {}
    for number in range(SYNTHETIC_ROWS):
        now += timedelta(milliseconds=chance.randrange(200))
        if number % 60 == 0:
            coins[f"Coin{number:036d}pump".replace("0", "1")] = curve.INITIAL
            if len(coins) > 100:
                del coins[next(iter(coins))]
        mint = chance.choice(list(coins))
        quote, side = _trade(coins[mint], chance, fees)
        coins[mint] = quote.after
        yield (
            f"{now.isoformat(timespec='milliseconds').replace('+00:00', 'Z')},{mint},{side},"
            f"{quote.net_lamports / 1e9:.9f},{quote.token_base_units / 1e6:.6f},{quote.after.virtual_sol / 1e9:.9f},"
            f"{quote.after.virtual_token / 1e6:.6f},{curve.market_cap_sol(quote.after):.4f}\n"
        )


def _trade(reserves: curve.Reserves, chance: random.Random, fees: curve.Fees) -> tuple[curve.Quote, str]:
    sold = curve.INITIAL.virtual_token - reserves.virtual_token
    if sold > 10**12 and chance.random() < 0.5:
        return curve.sell(reserves, chance.randrange(1, sold), fees), "sell"
    if curve.is_complete(reserves):
        reserves = curve.INITIAL
    return curve.buy_exact_in(reserves, chance.randrange(10**7, 10**9), fees), "buy"


def bare_copy(path: Path, table: str = "coin_transactions", order: str = "timestamp, seq") -> float:
    """Seconds to COPY the rows that are in the table back into it, emptied."""
    with connection.cursor() as cursor:
        query = f"COPY (SELECT * FROM {table} ORDER BY {order}) TO STDOUT"
        with path.open("wb") as stream, cursor.copy(query) as copy:
            for block in copy:
                stream.write(block)
        cursor.execute(f"TRUNCATE {table}")
        began = time.perf_counter()
        with path.open("rb") as stream, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            while block := stream.read(2**20):
                copy.write(block)
        return time.perf_counter() - began
