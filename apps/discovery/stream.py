"""The stream as a whole: owner of the feed, client, journal and processor, from start to stop.

The socket belongs to the event loop, the tables to the processor's thread, the journal lies between them. Redis and the
database may go away and come back; a lost ownership or an error ends one round and the next begins as any start.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.discovery import metrics
from apps.discovery.announce import Announcer
from apps.discovery.feed_health import Reporter
from apps.discovery.journal import JournalBusyError, JournalWriter
from apps.discovery.journal_owner import ForeignJournalError, journal_claim
from apps.discovery.models import StreamState
from apps.discovery.ownership import Ownership
from apps.discovery.pins import pinned_mints
from apps.discovery.processor import AWAY, Processor
from apps.discovery.pumpportal.client import Client, ClientSettings, banned_until
from apps.discovery.receiver import BEHIND, FOREIGN, NO_DISK, OLDER, Receiver
from apps.discovery.retention import keep_tidy
from apps.discovery.services import stream_config_load
from apps.discovery.state import NO_TRADES
from apps.discovery.subscriptions import Subscriptions
from apps.discovery.writer import CursorMovedError, Status, write_status

logger = logging.getLogger(__name__)

STANDBY_SECONDS = 1.0
WATCH_SECONDS = 2.0
TICK_SECONDS = 0.2


def feed_settings() -> ClientSettings:
    """The feed by the settings: the simulator on loopback, or WS_URI."""
    simulated = settings.FEED_MODE == "simulator"
    return ClientSettings(
        uri=f"ws://127.0.0.1:{settings.SIMULATOR_PORT}/api/data" if simulated else settings.WS_URI,
        api_key="" if simulated else settings.PUMPPORTAL_API_KEY,
        retry_seconds=settings.WS_RETRY_DELAY,
        max_retry_seconds=settings.WS_MAX_RETRY_DELAY,
        ping_interval_seconds=settings.WS_PING_INTERVAL,
        ping_timeout_seconds=settings.WS_PING_TIMEOUT,
        silence_seconds=settings.WS_CONNECTION_TIMEOUT,
        ban_seconds=settings.WS_BAN_DELAY,
    )


class Stream:
    """`run` until `stop`; both in the event loop. `reload` applies changed phases and settings."""

    def __init__(self) -> None:
        self.folder = Path(settings.JOURNAL_DIR)
        self.ownership = Ownership()
        self.processor: Processor | None = None
        self.reporter = Reporter(self.folder)
        self._pinned: frozenset[str] = frozenset()
        self._detail = ""
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Wait for ownership, stream, and start over when it was lost."""
        while not self._stopping.is_set():
            if not await self._own():
                return
            try:
                await self._round()
            except (CursorMovedError, JournalBusyError) as error:
                logger.warning("%s", error)
                await self._pause(STANDBY_SECONDS)
            except ForeignJournalError as error:
                logger.error("%s", error)
                await self._wait_saying(FOREIGN)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                logger.error("the journal in %s cannot be used (%s): tried again", self.folder, reason)
                await self._wait_saying(f"{NO_DISK}: {reason}")
            finally:
                await asyncio.to_thread(self.ownership.release)

    async def _wait_saying(self, detail: str) -> None:
        await asyncio.to_thread(_with_own_connection, partial(_say, detail))
        await self._pause(STANDBY_SECONDS)

    def stop(self) -> None:
        self._stopping.set()

    def reload(self) -> None:
        if self.processor is not None:
            self.processor.reload()

    # --- ownership --------------------------------------------------------------------------------------

    async def _own(self) -> bool:
        """Wait until this process owns the feed; False when told to stop first."""
        told = False
        while not self._stopping.is_set():
            try:
                if await asyncio.to_thread(self.ownership.acquire):
                    return True
                if not told:
                    logger.info("another stream owns the feed: standing by")
                told = True
            except psycopg.OperationalError:
                logger.warning("the database is away: the stream waits for it")
            await self._pause(STANDBY_SECONDS)
        return False

    async def _keep_owning(self) -> None:
        """Ends when another process has become the owner."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                if not await asyncio.to_thread(self.ownership.acquire):
                    raise CursorMovedError("another stream has taken the feed over")
            except psycopg.OperationalError:
                continue  # nobody can own it while the database is away

    # --- one round --------------------------------------------------------------------------------------

    async def _round(self) -> None:
        processor = await self._prepare()
        if processor is None:
            return
        journal = self._open_journal(processor)
        receiver = Receiver(journal, last_us=processor.pipeline.feed_us, wake=processor.wake)
        client = Client(feed_settings(), receiver, self._detail if banned_until(self._detail) else "")
        subscriptions = Subscriptions(client, settings.SUBSCRIPTION_CAP)
        subscriptions.begin(processor.pipeline, self._pinned)
        self._connect(processor, receiver, subscriptions)
        announcer = processor.announcer
        assert announcer is not None
        announcer.start()
        try:
            await self._until_stopped(processor, receiver, subscriptions)
        finally:
            journal.close()
            announcer.stop()
            self.processor = None

    async def _prepare(self) -> Processor | None:
        """A processor that has loaded its state; None when told to stop while the database is away."""
        processor = Processor(
            self.folder,
            load_config=stream_config_load,
            flush_rows=settings.FLUSH_ROWS,
            flush_seconds=settings.FLUSH_MS / 1000,
            announcer=Announcer(),
        )
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(_with_own_connection, lambda: self._load(processor))
                self.processor = processor
                return processor
            except AWAY:
                logger.warning("the database is away: the stream waits for it")
                await self._pause(STANDBY_SECONDS)
        return None

    def _load(self, processor: Processor) -> None:
        journal_claim(self.folder)
        processor.prepare()
        self._pinned = pinned_mints()
        self._detail = StreamState.objects.values_list("detail", flat=True).get(pk=1)

    def _open_journal(self, processor: Processor) -> JournalWriter:
        return JournalWriter(
            self.folder,
            least_seq=processor.pipeline.cursor.next_seq,
            fsync=settings.JOURNAL_FSYNC,
            segment_bytes=settings.JOURNAL_SEGMENT_MB * 2**20,
            segment_seconds=settings.JOURNAL_SEGMENT_MINUTES * 60,
            reserve_bytes=settings.JOURNAL_RESERVE_MB * 2**20,
        )

    def _connect(self, processor: Processor, receiver: Receiver, subscriptions: Subscriptions) -> None:
        loop, client = asyncio.get_running_loop(), subscriptions.client

        def followed(changes: dict[str, bool]) -> None:
            loop.call_soon_threadsafe(subscriptions.follow, changes)

        def status() -> Status:
            mode = "replay" if receiver.clock == "recorded" else settings.FEED_MODE
            observer, held = processor.observer, {"waiting": receiver.waiting, "lost": receiver.lost}
            health = self.reporter.read(client, subscriptions.coverage, observer, **held)
            return Status(mode, receiver.connected, _detail(receiver, client), timezone.now(), health)

        processor.on_followed, processor.status, processor.ticks = followed, status, lambda: receiver.tick_us

    async def _until_stopped(self, processor: Processor, receiver: Receiver, subscriptions: Subscriptions) -> None:
        """Run the parts until told to stop or until one of them fails; then commit what was received."""
        client = subscriptions.client
        folding = asyncio.create_task(asyncio.to_thread(processor.run), name="processor")
        parts = [
            folding,
            asyncio.create_task(client.run(), name="client"),
            asyncio.create_task(_tick(receiver, client), name="ticks"),
            asyncio.create_task(self._keep_owning(), name="ownership"),
            asyncio.create_task(subscriptions.run(), name="subscriptions"),
            asyncio.create_task(keep_tidy(self.folder), name="old segments"),
            asyncio.create_task(self._stopping.wait(), name="stop"),
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await client.stop()
            receiver.finish()
            processor.stop()
            for part in parts[1:]:
                part.cancel()
            await asyncio.wait(parts)
        for part in done | {folding}:
            part.result()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


async def _tick(receiver: Receiver, client: Client) -> None:
    """Let time pass, and say how the connection is."""
    counted = lost = 0
    while True:
        receiver.tick()
        metrics.WS_CONNECTED.set(receiver.connected)
        metrics.JOURNAL_WRITABLE.set(not receiver.disk_error)
        if client.reconnects > counted:
            metrics.WS_RECONNECTS.inc(client.reconnects - counted)
            counted = client.reconnects
        if receiver.lost > lost:
            metrics.FRAMES_LOST.inc(receiver.lost - lost)
            lost = receiver.lost
        await asyncio.sleep(TICK_SECONDS)


def _detail(receiver: Receiver, client: Client) -> str:
    if receiver.disk_error:
        return f"{NO_DISK}: {receiver.disk_error}"
    if not receiver.connected:
        return client.away_reason
    if receiver.older:
        return OLDER
    if receiver.behind:
        return BEHIND
    return NO_TRADES if client.trades_refused else ""


def _say(detail: str) -> None:
    try:
        write_status(Status(settings.FEED_MODE, False, detail, timezone.now()))
    except AWAY:
        logger.warning("the database is away: the stream waits for it")


def _with_own_connection(action: Any) -> None:
    """Run in a worker thread without leaving a database connection behind."""
    try:
        action()
    finally:
        connection.close()
