"""How fast a backtest is: over the recorded days where they are, else over made-up trades of the same kind.

The signals are a rule's, not a model's: the first trade of each coin that leaves so much SOL on its curve (less on that
of made-up coins, which seldom come far, so that most of them are traded there too). They stand in the table of alerts,
so all that a backtest does is measured: reading alerts and trades, deciding, trading.
"""

from __future__ import annotations

import resource
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection

from apps.core.scratch import scratch_database
from apps.discovery.benchmarks.imports import history_file
from apps.discovery.importer import Imported, import_file
from apps.discovery.services import stream_config_load
from apps.trading import backtest, services
from apps.trading.backtest import Task
from apps.trading.rehearsal import SOL
from apps.training.queries import copy_records

ENTRY_LAMPORTS, ENTRY_LAMPORTS_MADE_UP = 40 * SOL, 30 * SOL
AIM = 100_000
ALERTS = """
INSERT INTO alert_evaluations (active_model_id, mint, as_of, alert_id, fired_at, probability, price_sol, phase_id,
                               horizon_at, status, reason)
SELECT 1, mint, at, row_number() OVER (ORDER BY at, mint), at, 0.9, 0, 1, at + interval '5 minutes', 'pending', ''
FROM (SELECT mint, min("timestamp") AS at FROM coin_transactions WHERE virtual_sol_lamports >= %s GROUP BY mint) first
"""
ROWS = """
SELECT hashtextextended(mint, 0), "timestamp", coalesce(seq, -1), virtual_sol_lamports, virtual_token_base_units
FROM coin_transactions WHERE virtual_sol_lamports IS NOT NULL AND virtual_token_base_units > 0
"""
ROW = np.dtype([(name, np.int64) for name in ("coin", "at_us", "seq", "virtual_sol", "virtual_token")])
SPAN = 'SELECT min("timestamp") - interval \'1 second\', max("timestamp") FROM coin_transactions'


def stage(entry_lamports: int = ENTRY_LAMPORTS) -> Task:
    """A rule's alerts and a strategy over all that is recorded in this database."""
    with connection.cursor() as cursor:
        cursor.execute(ALERTS, [entry_lamports])
        cursor.execute(SPAN)
        since, until = cursor.fetchone()
    services.wallet_create(
        alias="bench", balance_lamports=1000 * SOL, max_open_positions=50, max_consecutive_losses=0,
        max_daily_loss_bps=0,
    )  # fmt: skip
    services.strategy_create(
        name="bench", wallet_alias="bench", stake_lamports=SOL // 10, stop_loss_bps=2000, take_profit_bps=3000,
        timeout_seconds=90,
    )  # fmt: skip
    return backtest.task_of(strategy=backtest.strategy_get("bench"), since=since, until=until)


def measure(task: Task) -> dict[str, Any]:
    """Seconds of a backtest and of a bare pass over the same rows, each from the database on."""
    began, began_cpu = time.perf_counter(), time.process_time()
    run = backtest.backtest(task)
    took, took_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    figures = backtest.summary(run)
    began = time.perf_counter()
    rows = _bare_pass()
    return {
        "trades": rows,
        "seconds": took,
        "cpu_seconds": took_cpu,
        "numpy_seconds": time.perf_counter() - began,
        "orders": len(run.book.orders),
        "fills": sum(one.status == "SUCCESS" for one in run.book.trades),
        "pnl_lamports": figures["pnl_lamports"],
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _bare_pass() -> int:
    """Read every trade, sort by coin and time, and find the highest price that each coin came to."""
    rows = copy_records(ROWS, (), ROW, ["at_us"])
    rows = rows[np.lexsort((rows["seq"], rows["at_us"], rows["coin"]))]
    price = rows["virtual_sol"] / rows["virtual_token"]
    starts = np.flatnonzero(np.r_[True, rows["coin"][1:] != rows["coin"][:-1]])
    assert np.isfinite(np.maximum.reduceat(price, starts)).all()
    return len(rows)


@cache
def _measured() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, scratch_database():
        path, source = history_file(Path(folder))
        import_file(path, stream_config_load(), Imported())
        entry = ENTRY_LAMPORTS if source == "recorded" else ENTRY_LAMPORTS_MADE_UP
        return {"source": source, **measure(stage(entry))}


def _detail(found: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}


def backtest_trades_per_second() -> dict[str, Any]:
    """Recorded trades covered in a second, reading included; the aim is 100,000."""
    found = _measured()
    rate = found["trades"] / found["seconds"]
    return {"value": round(rate), "unit": "trades/s", "limit": AIM, "ratio": round(rate / AIM, 2),
            "detail": _detail(found)}  # fmt: skip


def backtest_ratio_to_numpy() -> dict[str, Any]:
    """How many times as long as a bare pass over the same rows in numpy, each from the database on."""
    found = _measured()
    ratio = found["seconds"] / found["numpy_seconds"]
    return {"value": round(ratio, 2), "unit": "times", "limit": round(found["numpy_seconds"], 3),
            "ratio": round(ratio, 2), "detail": _detail(found)}  # fmt: skip
