"""What the stream process knows of the feed and nobody else can: for Prometheus, and for `stream_state.health`.

`health` has the keys of `Health`; the page and the API read it from the table, from whatever machine they run on.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from apps.discovery import metrics
from apps.discovery.coverage import Coverage
from apps.discovery.gaps import reason_kind
from apps.discovery.meter import Reading
from apps.discovery.pumpportal.client import Client, banned_until
from apps.discovery.segments import segments
from apps.discovery.state import Batch

LOOK_SECONDS = 10.0  # how often the disk is looked at
LAG_BATCHES = 240  # about the last minute
CANARY_MINUTES = 60


class Health(TypedDict):
    """Counts, bytes, seconds; `owner_since` ISO 8601.

    `asked`, `acknowledged`: subscriptions of trades on this connection. `lag_seconds`, `worst_lag_seconds`: from
    receiving the oldest frame of a commit to its end, last and worst of about a minute; None under a replay, whose
    receive times are not of now. `judged`, `exact`: the canary's counts (`meter.py`) of the last hour, or since the
    start where that is shorter.
    """

    owner: str
    owner_since: str
    reconnects: int
    wanted: int
    covered: int
    pinned: int
    left_out: int
    cap: int
    asked: int
    acknowledged: int
    waiting_for_disk: int
    frames_lost: int
    lag_seconds: float | None
    worst_lag_seconds: float | None
    judged: int
    exact: int
    journal_segments: int
    journal_bytes: int
    disk_free_bytes: int


class Observer:
    """Watches the commits. `committed` is for the processor's thread, the rest for any."""

    def __init__(self, oddities: dict[str, int], reading: Reading | None) -> None:
        self._oddities = dict(oddities)
        self._readings = deque([reading or Reading(0)], maxlen=CANARY_MINUTES)
        self._lags: deque[float] = deque(maxlen=LAG_BATCHES)

    def committed(self, batch: Batch, *, is_live: bool) -> None:
        """Tell Prometheus what a committed batch held."""
        for kind, count in batch.oddities.items():
            if grown := count - self._oddities.get(kind, 0):
                metrics.ODD_FRAMES.labels(kind).inc(grown)
        self._oddities = dict(batch.oddities)
        for started_us, ended_us, reason in batch.gaps:
            metrics.GAPS.labels(reason_kind(reason)).inc()
            metrics.GAP_SECONDS.inc((ended_us - started_us) / 1e6)
        for reading in batch.readings:
            self._read(reading)
        if is_live and batch.oldest_us:
            lag = max(0.0, time.time() - batch.oldest_us / 1e6)
            metrics.COMMIT_SECONDS.observe(lag)
            self._lags.append(lag)

    def _read(self, reading: Reading) -> None:
        last = self._readings[-1]
        metrics.TRADE_EVENTS.inc(reading.trades - last.trades)
        if reading.at_us == last.at_us and len(self._readings) > 1:
            self._readings.pop()
        self._readings.append(reading)
        judged, exact = self.canary
        if judged:
            metrics.CANARY.set(exact / judged)

    @property
    def canary(self) -> tuple[int, int]:
        """How many creates and trades of the last hour were checked, and how many of them the curve gives exactly."""
        first, last = self._readings[0], self._readings[-1]
        return last.judged - first.judged, last.exact - first.exact

    @property
    def lags(self) -> tuple[float | None, float | None]:
        """The last and the worst lag of about a minute, in seconds."""
        lags = list(self._lags)
        return (lags[-1], max(lags)) if lags else (None, None)


class Reporter:
    """Gathers `Health`. Looks at the disk only every LOOK_SECONDS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = f"{socket.gethostname()} · pid {os.getpid()}"
        self.since = datetime.now(UTC).isoformat(timespec="seconds")
        self._looked_at = float("-inf")
        self._disk = (0, 0, 0)

    def read(self, client: Client, coverage: Coverage, observer: Observer, *, waiting: int, lost: int) -> Health:
        """The state of now; also sets the gauges that tell the same."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at, self._disk = time.monotonic(), self._look()
        counts = {"wanted": len(coverage.wanted), "covered": len(coverage.covered), "left_out": coverage.left_out}
        for state, count in counts.items():
            metrics.SUBSCRIPTIONS.labels(state).set(count)
        metrics.BANNED.set(banned_until(client.away_reason) is not None)
        lag, worst = observer.lags
        judged, exact = observer.canary
        return Health(
            owner=self.owner,
            owner_since=self.since,
            reconnects=client.reconnects,
            wanted=counts["wanted"],
            covered=counts["covered"],
            left_out=counts["left_out"],
            pinned=len(coverage.pinned),
            cap=coverage.cap,
            asked=client.requests,
            acknowledged=client.acknowledged,
            waiting_for_disk=waiting,
            frames_lost=lost,
            lag_seconds=lag,
            worst_lag_seconds=worst,
            judged=judged,
            exact=exact,
            journal_segments=self._disk[0],
            journal_bytes=self._disk[1],
            disk_free_bytes=self._disk[2],
        )

    def _look(self) -> tuple[int, int, int]:
        """Segments, their bytes, free bytes; what vanishes meanwhile (tidied away) does not count."""
        paths, size = segments(self.folder), 0
        for path in paths:
            try:
                size += path.stat().st_size
            except FileNotFoundError:
                continue
        return len(paths), size, shutil.disk_usage(self.folder).free
