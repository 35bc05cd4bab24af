"""From the journal into the tables, in two threads: one reads and folds, the other writes the batch before.

Starting, recovering and running are this one loop: read from the cursor to the end of the journal, then wait for more.
One batch is on its way at most; while it is, the next one grows, up to a limit. While the database is away both wait;
what arrives waits in the journal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import psycopg
from django.db import InterfaceError, OperationalError, connection

from apps.core.process import first_line
from apps.discovery import metrics
from apps.discovery.announce import Announcer
from apps.discovery.feed_health import Observer
from apps.discovery.journal import JournalReader
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.state import Batch, Config
from apps.discovery.writer import Status, Written, pay_owed, write, write_status

logger = logging.getLogger(__name__)

AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
RETRY_SECONDS = 0.5
HEARTBEAT_SECONDS = 1.0
RELOAD_SECONDS = 10.0
BATCHES_AHEAD = 4  # so many times `flush_rows` are folded while a batch is being written
Result = TypeVar("Result")


class StoppedError(Exception):
    """Told to stop while the database is away; the journal keeps what is not committed."""


class Processor:
    """`run` is the thread's body; `wake`, `reload` and `stop` may be called from any thread.

    `ticks` gives the feed time that has passed without frames (epoch microseconds, 0: unknown), `status` what to say of
    the connection, `on_followed` gets the coins whose trades are wanted (True) or not (False).
    """

    def __init__(
        self,
        folder: Path,
        *,
        load_config: Callable[[], Config],
        flush_rows: int,
        flush_seconds: float,
        announcer: Announcer | None = None,
    ) -> None:
        self.folder, self.load_config, self.announcer = folder, load_config, announcer
        self.owed = Owed(folder / "owed")
        self.flush_rows, self.flush_seconds = flush_rows, flush_seconds
        self.ticks: Callable[[], int] = lambda: 0
        self.status: Callable[[], Status] | None = None
        self._told: tuple[bool, str] | None = None
        self.on_followed: Callable[[dict[str, bool]], None] = lambda changes: None
        self.caught_up = threading.Event()
        self._woken, self._reload, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self._writer = ThreadPoolExecutor(1, "writer")
        self._writing: tuple[Batch, Future[Written | None]] | None = None
        self._committed_at = self._loaded_at = time.monotonic()

    def prepare(self) -> None:
        """Load what the tables know. Raises the database's errors."""
        pay_owed(self.owed)
        self.config = self.load_config()
        self.pipeline = Pipeline(self.config, DatabaseStore(), load_snapshot(self.config, self.owed))
        self.reader = JournalReader(self.folder, self.pipeline.cursor, self.pipeline.feed_us)
        self.observer = Observer(self.pipeline.oddities, self.pipeline.meter.noted)

    def wake(self) -> None:
        self._woken.set()

    def reload(self) -> None:
        """Read phases and settings again soon."""
        self._reload.set()
        self._woken.set()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Until `stop`; then commit what is in the journal. Raises CursorMovedError when another stream took over."""
        try:
            while not self._stopping.is_set():
                self._turn()
            while self._fold():
                self._commit_if_due()
            self._commit()
            self._settle()
        except StoppedError:
            logger.warning("stopped while the database is away; the journal keeps the rest")
        finally:
            self._stopping.set()  # the writer's thread waits for the database no longer
            self._writer.submit(lambda: connection.close())  # the one of that thread
            self._writer.shutdown()
            self.reader.close()
            connection.close()

    def _turn(self) -> None:
        ticked = self.ticks()  # before reading: every frame stamped earlier is in the journal by now
        if not self._fold():
            self.pipeline.advance(ticked)
            self.caught_up.set()
            self._woken.wait(self.flush_seconds)
            self._woken.clear()
        self._commit_if_due()
        self._reload_if_due()

    def _fold(self) -> bool:
        """Take the journal's next chunk; False at its end."""
        block = self.reader.read_block()
        if block is None:
            return False
        self._insist(lambda: self.pipeline.feed_block(block, self.reader.cursor))
        if changes := self.pipeline.take_followed():
            self.on_followed(changes)
        return True

    def _commit_if_due(self) -> None:
        most = self.flush_rows
        if self._writing is not None:
            if self._writing[1].done():
                self._settle()
            else:
                most *= BATCHES_AHEAD
        waited = time.monotonic() - self._committed_at
        limit = self.flush_seconds if self.pipeline.has_changes else HEARTBEAT_SECONDS
        if (waited >= limit and self._writing is None) or self.pipeline.pending_rows >= most:
            self._commit()

    def _commit(self) -> None:
        """Hand everything folded so far to the writer's thread, as soon as the batch before is in the tables."""
        self._settle()
        batch = self.pipeline.take()
        if changes := self.pipeline.take_followed():
            self.on_followed(changes)
        future = self._writer.submit(self._write, batch)
        self._writing = batch, future
        future.add_done_callback(lambda done: self.wake())
        self._committed_at = time.monotonic()

    def _write(self, batch: Batch) -> Written | None:
        """In the writer's thread: commit; None where there is nothing to commit yet."""
        status = self.status
        assert status is not None
        if batch.feed_us:
            return self._insist(lambda: write(batch, status(), self.owed))
        self._insist(lambda: write_status(status()))
        return None

    def _settle(self) -> None:
        """Wait for the batch on its way; raises what its commit raised."""
        if self._writing is None:
            return
        batch, future = self._writing
        self._writing = None
        written = future.result()
        self.pipeline.committed()
        if written is not None:
            self._report(batch, written)
        assert self.status is not None
        self._tell_feed(self.status())

    def _tell_feed(self, status: Status) -> None:
        """Let the pages say that the connection came or went; while it is gone nothing else makes them look."""
        state = (status.connected, status.detail)
        if self.announcer is not None and state != self._told:
            self.announcer.changed(())
        self._told = state

    def _report(self, batch: Batch, written: Written) -> None:
        metrics.TRANSACTIONS_SAVED.inc(written.trades)
        metrics.METRICS_SAVED.inc(written.windows)
        for what, count in batch.counts.items():
            if what == "discovered":
                metrics.COINS_DISCOVERED.inc(count)
            elif what == "phase_switches":
                metrics.PHASE_SWITCHES.inc(count)
            else:
                metrics.COINS_FILTERED.labels(what.removeprefix("filtered ")).inc(count)
        status = self.status
        self.observer.committed(batch, is_live=status is not None and status().mode != "replay")
        metrics.ACTIVE_STREAMS.set(self.pipeline.active_count)
        metrics.CACHE_SIZE.set(len(self.pipeline.tracker.coins))
        if self.announcer is not None and not batch.is_empty:
            self.announcer.changed(str(row[0]) for row in batch.streams)

    def _reload_if_due(self) -> None:
        if self._reload.is_set() or time.monotonic() - self._loaded_at >= RELOAD_SECONDS:
            self._reload.clear()
            self._loaded_at = time.monotonic()
            self._settle()
            self._insist(lambda: pay_owed(self.owed))
            config = self._insist(self.load_config)
            if config != self.config:
                self._commit()
                self.config = config
                self.pipeline.reconfigure(config)
                logger.info("phases and settings were reloaded")

    def _insist(self, action: Callable[[], Result]) -> Result:
        """Do it, again and again while the database is away. Raises StoppedError when told to stop meanwhile."""
        was_away = False
        while True:
            try:
                result = action()
            except AWAY as error:
                was_away = True
                logger.warning("the database takes nothing (%s): frames wait in the journal", first_line(error))
                metrics.DB_CONNECTED.set(0)
                connection.close()
                if self._stopping.wait(RETRY_SECONDS):
                    raise StoppedError from None
            else:
                metrics.DB_CONNECTED.set(1)
                if was_away:
                    logger.info("the database takes frames again")
                return result
