"""The stream's figures: how many frames a second go the whole way, how soon they are in the tables, what coins cost.

The stream is the one of production, a process of its own (`manage.py runstream`), with its usual settings; its feed is
another process (`pumpportal/load.py`), its database a scratch one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.core.scratch import database_url, scratch_database
from apps.discovery.benchmarks.imports import bare_copy
from apps.discovery.interpreter import interpreter_set
from apps.discovery.journal import JournalReader
from apps.discovery.processor import Processor
from apps.discovery.services import config_write, stream_config_load
from apps.discovery.state import Cursor
from apps.discovery.writer import Status

# Start and end of a run, 0.2 to 0.4 s in which little is folded, count with it: few frames measure them instead.
FRAMES = int(os.environ.get("BENCH_FRAMES", "600000"))
LATENCY_SECONDS = 25
PATIENCE_SECONDS = 300.0
POLL_SECONDS = 0.02
_FRAMES_TOTAL = "SELECT frames_total FROM stream_state"


@dataclass(frozen=True, slots=True)
class Way:
    """What a run over the whole way brought: figures a second, and the same rows by a bare COPY."""

    frames: int
    seconds: float
    trades: int
    windows: int
    coins: int
    copy_seconds: float  # of the trades
    copy_windows_seconds: float
    catchup_seconds: float
    cpu_us: float  # of the stream's process, a frame: what other load on the machine hardly changes

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds

    @property
    def trades_per_second(self) -> float:
        return self.trades / self.seconds

    @property
    def copied_per_second(self) -> float:
        return self.trades / self.copy_seconds

    @property
    def caught_up_per_second(self) -> float:
        return self.frames / self.catchup_seconds


def ingest_frames_per_second() -> dict[str, Any]:
    """Frames a second from the socket to the commit: websocket, journal, parse, doubles, windows, COPY."""
    way = _whole_way()
    return _figure(way.frames_per_second, "frames/s", way.copied_per_second, way)


def ingest_ratio_to_copy() -> dict[str, Any]:
    """Trades a second over the whole way, against a bare COPY of the same rows into the same table in the same run."""
    way = _whole_way()
    return _figure(way.trades_per_second, "trades/s", way.copied_per_second, way)


def catchup_ratio_to_live() -> dict[str, Any]:
    """Frames a second from the journal into empty tables, against the same frames live."""
    way = _whole_way()
    return _figure(way.caught_up_per_second, "frames/s", way.frames_per_second, way)


def commit_p99_seconds_150() -> dict[str, Any]:
    """Seconds from receiving a trade to the commit that holds it, at 150 frames a second."""
    return _commit_seconds(150)


def commit_p99_seconds_5000() -> dict[str, Any]:
    """Seconds from receiving a trade to the commit that holds it, at 5,000 frames a second."""
    return _commit_seconds(5_000)


def stream_rss_mb_20000_coins() -> dict[str, Any]:
    """Resident memory of the stream's process with 20,000 coins followed, each with an open window; with 2,000 too."""
    small, large = _memory(2_000), _memory(20_000)
    detail = {"mb_with_2000_coins": small, "kb_a_coin": round((large - small) * 1024 / 18_000, 2)}
    return {"value": large, "unit": "MB", "limit": None, "ratio": None, "detail": detail}


def _figure(value: float, unit: str, limit: float, way: Way) -> dict[str, Any]:
    return {
        "value": round(value),
        "unit": unit,
        "limit": round(limit),
        "ratio": round(value / limit, 3),
        "detail": {
            "frames": way.frames,
            "seconds": round(way.seconds, 2),
            "trades": way.trades,
            "windows": way.windows,
            "coins": way.coins,
            "copy_seconds": round(way.copy_seconds, 2),
            "copy_windows_seconds": round(way.copy_windows_seconds, 2),
            "ratio_with_windows": round((way.copy_seconds + way.copy_windows_seconds) / way.seconds, 3),
            "catchup_seconds": round(way.catchup_seconds, 2),
            "stream_cpu_us_per_frame": round(way.cpu_us, 1),
        },
    }


# --- runs -----------------------------------------------------------------------------------------------


@cache
def _whole_way() -> Way:
    """One run for the three figures that are compared with each other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _database():
            with _stream(folder, "--market", str(FRAMES)) as pid:
                _wait_for_frames(1)
                first, cpu_seconds = _one(_FRAMES_TOTAL), _cpu_seconds(pid)
                ended = _wait_for_frames(FRAMES)
                cpu_us = (_cpu_seconds(pid) - cpu_seconds) / (FRAMES - first) * 1e6
            began = JournalReader(folder / "journal", Cursor()).read()[0].at_us / 1e6
            trades, windows, coins = map(_count, ("coin_transactions", "coin_metrics", "discovered_coins"))
            copied = bare_copy(folder / "trades.copy")
            copied_windows = bare_copy(folder / "windows.copy", "coin_metrics", "timestamp, mint")
        with _database():
            catchup_seconds = _catch_up(folder / "journal", FRAMES)
    return Way(FRAMES, ended - began, trades, windows, coins, copied, copied_windows, catchup_seconds, cpu_us)


def _commit_seconds(rate: int) -> dict[str, Any]:
    frames = rate * LATENCY_SECONDS
    with tempfile.TemporaryDirectory() as name, _database():
        with _listening() as listener, _stream(Path(name), "--market", str(frames), "--rate", str(rate)):
            commits = _commits_until(listener, frames)
        waits = _waits(commits)
    p50, p99, most = (round(_quantile(waits, share), 3) for share in (0.5, 0.99, 1.0))
    detail = {"p50": p50, "max": most, "trades": len(waits), "frames_per_second": rate, "commits": len(commits)}
    return {"value": p99, "unit": "s", "limit": None, "ratio": None, "detail": detail}


def _memory(coins: int) -> float:
    with tempfile.TemporaryDirectory() as name, _database(), _stream(Path(name), "--coins", str(coins)) as pid:
        _wait_for_frames(6 * coins)
        followed = _one("SELECT count(*) FROM coin_streams WHERE is_active")
        assert followed == coins, f"{followed} coins are followed"
        status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1)


def _catch_up(journal: Path, frames: int) -> float:
    """Seconds to bring a journal into empty tables, by the code that does it in the stream."""
    interpreter_set()
    processor = Processor(
        journal,
        load_config=stream_config_load,
        flush_rows=settings.FLUSH_ROWS,
        flush_seconds=settings.FLUSH_MS / 1000,
    )
    processor.status = lambda: Status("live", False, "", timezone.now())
    processor.prepare()
    processor.stop()  # at the end of the journal
    began = time.perf_counter()
    processor.run()
    seconds = time.perf_counter() - began
    found = _one(_FRAMES_TOTAL)
    assert found == frames, f"{found} of {frames} frames"
    return seconds


@contextmanager
def _database() -> Iterator[None]:
    """A scratch database in which every coin is followed: minutes of a market come in seconds, which is no spam."""
    with scratch_database():
        config_write(changes={"spam_burst_window": 0})
        yield


# --- the two processes ----------------------------------------------------------------------------------


@contextmanager
def _stream(folder: Path, *load: str) -> Iterator[int]:
    """A feed and a stream connected to it; the stream's process id. Both end with the block."""
    feed = _start(folder, "feed.log", "-m", "apps.discovery.pumpportal.load", *load, stdout=subprocess.PIPE)
    try:
        assert feed.stdout is not None
        port = json.loads(feed.stdout.readline())["port"]
        stream = _start(folder, "stream.log", "manage.py", "runstream", WS_URI=f"ws://127.0.0.1:{port}/api/data")
        try:
            yield stream.pid
        finally:
            stream.terminate()
            stream.wait(60)
    finally:
        feed.terminate()
        feed.wait(60)


def _start(folder: Path, log: str, *command: str, stdout: int | None = None, **more: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "RUNTIME_DIR": str(folder),
        "JOURNAL_DIR": str(folder / "journal"),
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "prom"),
        "FEED_MODE": "live",
        "DEMO": "false",
        **more,
    }
    with (folder / log).open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *command], cwd=settings.BASE_DIR, env=environment, stdout=stdout or file, stderr=file
        )


def _wait_for_frames(frames: int) -> float:
    """When the last frame was committed, epoch seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _one(_FRAMES_TOTAL) < frames:
        assert time.monotonic() < deadline, "the stream did not come to the end"
        time.sleep(POLL_SECONDS)
    return time.time()


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


# --- receive to commit ----------------------------------------------------------------------------------


@contextmanager
def _listening() -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url(), autocommit=True) as listener:
        listener.execute("LISTEN feed")
        yield listener


def _commits_until(listener: psycopg.Connection[Any], frames: int) -> list[tuple[float, float]]:
    """Each commit as (feed time up to which the tables are complete, when it was heard of), until all are there."""
    commits: list[tuple[float, float]] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _one(_FRAMES_TOTAL) < frames:
        assert time.monotonic() < deadline, "the stream did not come to the end"
        for notice in listener.notifies(timeout=0.5, stop_after=1):
            heard = time.time()
            commits.append((datetime.fromisoformat(json.loads(notice.payload)["feed_at"]).timestamp(), heard))
    return commits


def _waits(commits: Sequence[tuple[float, float]]) -> list[float]:
    """Seconds of every stored trade, ascending."""
    reached = [feed_at for feed_at, _ in commits]
    with connection.cursor() as cursor:
        cursor.execute('SELECT extract(epoch FROM "timestamp")::float8 FROM coin_transactions')
        received = [at for (at,) in cursor.fetchall()]
    return sorted(commits[min(bisect_left(reached, at), len(commits) - 1)][1] - at for at in received)


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]


def _count(table: str) -> int:
    return int(_one(f"SELECT count(*) FROM {table}"))


def _one(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


BENCHMARKS = {
    one.__name__: one
    for one in (
        ingest_frames_per_second,
        ingest_ratio_to_copy,
        catchup_ratio_to_live,
        commit_p99_seconds_150,
        commit_p99_seconds_5000,
        stream_rss_mb_20000_coins,
    )
}
