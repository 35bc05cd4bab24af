"""An hour of trouble: a busy market, and every minute something is killed, stopped or cut. Nothing may be lost.

ENDURANCE_SECONDS (120), ENDURANCE_RATE (60 real markets: over 1,000 frames a second after some minutes) and
ENDURANCE_EVERY (60 s; short runs have eight events) from the environment. Progress goes to stderr. `endurance_check`
says what counts as lost.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from apps.discovery.benchmarks import endurance_check
from apps.discovery.benchmarks.endurance_check import Verdict
from apps.discovery.benchmarks.endurance_feed import RecordedFeed
from apps.discovery.benchmarks.endurance_scene import (
    SILENCE_SECONDS,
    Scene,
    end_sessions,
    opened,
    position,
    wait_for,
)

USUAL_SECONDS, USUAL_RATE, USUAL_EVERY = 120.0, 60.0, 60.0
WINDOWS_CLOSE_SECONDS = 90.0
DOUBLED_SHARE = 0.01  # so much is sent twice


@dataclass(slots=True)
class Run:
    """One run. `outage_seconds` is how long what was stopped stays away."""

    scene: Scene
    feed: RecordedFeed
    seconds: float
    every: float
    events: Counter[str] = field(default_factory=Counter)
    unasked_ends: int = 0
    most_memory_mb: int = 0
    began: float = 0.0

    @property
    def outage_seconds(self) -> float:
        return min(10.0, self.every / 4)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        sent = self.feed.frames
        there = position(self.scene.database_url)
        memory = self.scene.stream.memory_mb
        self.most_memory_mb = max(self.most_memory_mb, memory)
        sys.stderr.write(f"{self.elapsed:7.1f} s  sent {sent:>9,}  tables at {there:>9,}  {memory:4} MB  {text}\n")

    def play(self) -> None:
        """Let one event follow another until the time is up, then let the stream finish its work."""
        self.began = time.monotonic()
        self.scene.stream.start()
        wait_for(lambda: self.feed.clients, "the stream to connect")
        self.feed.begin(f"duplicate:share={DOUBLED_SHARE}")
        self.say("begun")
        number = 0
        while (number + 1) * self.every <= self.seconds:
            self._rest_until((number + 0.5) * self.every)
            event = EVENTS[number % len(EVENTS)]
            event(self)
            self.events[event.__name__] += 1
            self.say(event.__name__.replace("_", " "))
            number += 1
        self._rest_until(self.seconds)
        self._finish()

    def _rest_until(self, moment: float) -> None:
        """Pass the time; the stream that ended unasked is counted and started again, as `bin/keep` does."""
        while self.elapsed < moment:
            if not self.scene.stream.is_running:
                self.unasked_ends += 1
                self.say("the stream has ended by itself")
                self.scene.stream.start()
            time.sleep(min(0.5, max(0.0, moment - self.elapsed)))

    def _finish(self) -> None:
        wait_for(lambda: self.feed.clients, "the stream to be connected at the end")
        self.feed.fall_silent()
        self.say("the feed is silent; the stream catches up")
        _, end = endurance_check.journal_keys(self.scene.journal)
        wait_for(lambda: position(self.scene.database_url) >= end, "the tables to have the whole journal")
        self.say("the tables have the whole journal")


def kill_stream(run: Run) -> None:
    run.scene.stream.kill()
    run.scene.stream.start()


def stop_database(run: Run) -> None:
    run.scene.servers.stop("postgres")
    time.sleep(run.outage_seconds)
    run.scene.servers.start("postgres")


def drop_feed(run: Run) -> None:
    run.feed.begin("drop")


def kill_database(run: Run) -> None:
    run.scene.servers.kill_database()
    time.sleep(run.outage_seconds / 2)
    run.scene.servers.start("postgres")


def silence_feed(run: Run) -> None:
    run.feed.begin(f"stall:seconds={2 * SILENCE_SECONDS}")


def kill_stream_without_database(run: Run) -> None:
    """The stream starts while the database is away, with a journal that the tables do not have."""
    run.scene.servers.stop("postgres")
    time.sleep(run.outage_seconds / 2)
    kill_stream(run)
    time.sleep(run.outage_seconds / 2)
    run.scene.servers.start("postgres")


def end_database_sessions(run: Run) -> None:
    end_sessions(run.scene.database_url)


def stop_redis(run: Run) -> None:
    run.scene.servers.stop("valkey")
    time.sleep(run.outage_seconds)
    run.scene.servers.start("valkey")


EVENTS: tuple[Callable[[Run], None], ...] = (
    kill_stream,
    stop_database,
    drop_feed,
    kill_database,
    silence_feed,
    kill_stream_without_database,
    end_database_sessions,
    stop_redis,
)


@cache
def _measured() -> dict[str, Any]:
    """The run, once for both figures."""
    seconds = float(os.environ.get("ENDURANCE_SECONDS", USUAL_SECONDS))
    rate = float(os.environ.get("ENDURANCE_RATE", USUAL_RATE))
    every = float(os.environ.get("ENDURANCE_EVERY", min(USUAL_EVERY, seconds / len(EVENTS))))
    with RecordedFeed(rate) as feed, opened(feed.uri) as scene:
        run = Run(scene, feed, seconds, every)
        run.play()
        verdict, beyond = _judged(run)
        run.say(f"judged: {verdict}")
    return {
        **asdict(verdict),
        "lost": verdict.lost + max(0, -beyond),
        "doubled": verdict.doubled + max(0, beyond),
        "seconds": round(run.elapsed),
        "every_seconds": every,
        "frames": feed.frames,
        "frames_per_second": round(feed.frames / seconds),
        "trades_in_windows_beyond_table": beyond,
        "events": dict(run.events),
        "stream_ended_by_itself": run.unasked_ends,
        "stream_most_memory_mb": run.most_memory_mb,
        "market": dict(feed.counts),
    }


def _judged(run: Run) -> tuple[Verdict, int]:
    """The verdict, and how many trades the windows count beyond those in the table (below 0: too few)."""
    url = run.scene.database_url
    tables = endurance_check.table_keys(url)
    trades = int((tables["kind"] == endurance_check.TRADE).sum())
    until = time.monotonic() + WINDOWS_CLOSE_SECONDS
    while (windowed := endurance_check.windowed_trades(url)) < trades and time.monotonic() < until:
        time.sleep(1.0)
    run.scene.stream.end()
    journal, _ = endurance_check.journal_keys(run.scene.journal)
    return endurance_check.judge(run.feed.sent(), journal, tables, endurance_check.gap_times(url)), windowed - trades


def endurance_lost() -> dict[str, Any]:
    """Coins and trades that were received, or should have been, and are not in the tables or not in the windows."""
    found = _measured()
    return {"value": found["lost"], "unit": "rows", "detail": found}


def endurance_doubled() -> dict[str, Any]:
    """Trades that are more than once in the table or in the windows."""
    found = _measured()
    return {"value": found["doubled"], "unit": "trades", "detail": {"stored": found["stored"]}}
