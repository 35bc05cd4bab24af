"""The connection to PumpPortal: one socket, kept open, resubscribed after every drop.

Knows the protocol's manners (at most 200 subscription messages a second, 5,000 keys a message, one connection), not
what frames mean. A new coin's trades are asked for the moment its create arrives, before anything else has looked at
it. Reconnects with growing, jittered delays; a feed that goes silent counts as dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from socket import gaierror
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from apps.discovery.journal import decode_line
from apps.discovery.pumpportal.messages import QUOTE_MINTS, TRADES_NEED_KEY, Create
from apps.discovery.pumpportal.parse import parse

logger = logging.getLogger(__name__)

JOURNAL_FORM = Subprotocol("pump-journal.v1")
MAX_KEYS = 5_000
SEND_INTERVAL_SECONDS = 0.02  # two messages each: half of what the server allows
MAX_FRAME_BYTES = 2**20
LOOPBACK_RETRY_SECONDS = 3.0  # a simulator or a replay is not burdened by being asked often
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
UNREACHABLE = (OSError, TimeoutError, InvalidHandshake, InvalidURI, InvalidProxy, ImportError)  # no SOCKS library


def reason_of(error: BaseException) -> str:
    """Why no connection came about, in words that are logged and shown (`pages_feed.REASONS` translates them)."""
    match error:
        case gaierror():
            return "its name cannot be resolved"
        case ConnectionRefusedError():
            return "nothing listens there"
        case ConnectionError():
            return "connection lost"
        case TimeoutError():
            return "it does not answer"
        case ssl.SSLError():
            return "no trusted TLS connection"
        case InvalidStatus():
            return f"HTTP status {error.response.status_code}"
    return str(error)[:200] or type(error).__name__


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Durations in seconds. `silence_seconds`: no frame for so long is a dropped connection (0: never)."""

    uri: str
    api_key: str = ""
    retry_seconds: float = 1.0
    max_retry_seconds: float = 60.0
    ping_interval_seconds: float = 20.0
    ping_timeout_seconds: float = 20.0
    silence_seconds: float = 60.0

    @property
    def address(self) -> str:
        """Where to connect, with the API key if there is one. Never log it."""
        if not self.api_key:
            return self.uri
        parts = urlsplit(self.uri)
        query = urlencode([*parse_qsl(parts.query), ("api-key", self.api_key)])
        return urlunsplit(parts._replace(query=query))

    @property
    def is_loopback(self) -> bool:
        """Whether the feed is on this machine: the simulator or a replay."""
        return urlsplit(self.uri).hostname in LOOPBACK


class Sink(Protocol):
    """Where frames go."""

    def on_connected(self, *, recorded: bool) -> None: ...
    def on_frame(self, raw: str, at_us: int | None = None) -> None: ...
    def on_recorded_gap(self, from_us: int, to_us: int, reason: str) -> None: ...
    def on_disconnected(self, reason: str) -> None: ...
    def flush(self) -> None: ...


class Client:
    """Runs until `stop`. `follow`, `unfollow` and `stop` are for the event loop's thread."""

    def __init__(self, settings: ClientSettings, sink: Sink) -> None:
        self.settings, self.sink = settings, sink
        self.wanted: set[str] = set()
        self.reconnects = 0
        self.trades_refused = False
        self.away_reason = ""
        self._stopping = False
        self._wake = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._to_add: set[str] = set()
        self._to_remove: set[str] = set()
        self._changed = asyncio.Event()
        self._frames = self._frames_at_check = 0
        self._flush_planned = False

    # --- what to receive --------------------------------------------------------------------------------

    def follow(self, mints: Iterable[str]) -> None:
        """Receive the trades of these coins, now and after every reconnect."""
        new = set(mints) - self.wanted
        if new:
            self.wanted |= new
            self._to_remove -= new
            self._to_add |= new
            self._changed.set()

    def unfollow(self, mints: Iterable[str]) -> None:
        """No longer receive the trades of these coins."""
        old = self.wanted.intersection(mints)
        if old:
            self.wanted -= old
            self._to_add -= old
            self._to_remove |= old
            self._changed.set()

    # --- the connection ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, receive, reconnect; returns after `stop`."""
        delay, most = self.settings.retry_seconds, self.settings.max_retry_seconds
        if self.settings.is_loopback:
            most = min(most, LOOPBACK_RETRY_SECONDS)
        while not self._stopping:
            frames = self._frames
            self.away_reason = reason = await self._connect_once()
            if self._stopping:
                return
            delay = self.settings.retry_seconds if self._frames > frames else delay
            pause = delay * random.uniform(0.5, 1.0)
            logger.warning("the feed is away (%s): next try in %.1f s", reason, pause)
            await self._pause(pause)
            delay = min(delay * 2, most)
            self.reconnects += 1

    async def stop(self) -> None:
        """Close the socket and let `run` end."""
        self._stopping = True
        self._wake.set()
        if self._socket is not None:
            await self._socket.close()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def _connect_once(self) -> str:
        """One connection from open to close; why it ended."""
        settings = self.settings
        try:
            connection = await connect(
                settings.address,
                proxy=None if settings.is_loopback else True,
                subprotocols=[JOURNAL_FORM] if settings.is_loopback else None,
                compression=None if settings.is_loopback else "deflate",
                ping_interval=settings.ping_interval_seconds or None,
                ping_timeout=settings.ping_timeout_seconds or None,
                open_timeout=10,
                close_timeout=2,
                max_size=MAX_FRAME_BYTES,
                max_queue=4096,
                user_agent_header="pump-platform",
            )
        except UNREACHABLE as error:
            return reason_of(error)
        self.away_reason = ""
        return await self._converse(connection)

    async def _converse(self, socket: ClientConnection) -> str:
        self._socket = socket
        recorded = socket.subprotocol == JOURNAL_FORM
        self.trades_refused = False
        self._to_add, self._to_remove = set(self.wanted), set()
        self.sink.on_connected(recorded=recorded)
        helpers = [asyncio.create_task(self._subscribe(socket)), asyncio.create_task(self._watch(socket))]
        try:
            return await self._receive(socket, recorded)
        finally:
            self._socket = None
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _receive(self, socket: ClientConnection, recorded: bool) -> str:
        reason = "closed"
        try:
            async for message in socket:
                self._take(message if isinstance(message, str) else message.decode("utf-8", "replace"), recorded)
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else None
            reason = f"closed {code}" if code else "connection lost"
        self.sink.on_disconnected("stopped" if self._stopping else reason)
        return reason

    def _take(self, text: str, recorded: bool) -> None:
        self._frames += 1
        if recorded:
            self._take_wrapped(text)
        else:
            self.sink.on_frame(text)
            self._glance(text)
        if not self._flush_planned:
            self._flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Once for everything that arrived together."""
        self._flush_planned = False
        self.sink.flush()

    def _take_wrapped(self, text: str) -> None:
        """A line of a journal, with its own time; what is none is a frame of its own text."""
        line = decode_line(text)
        if line is None:
            self.sink.on_frame(text)
        elif line.gap is not None:
            self.sink.on_recorded_gap(*line.gap)
        elif line.raw is not None:
            self.sink.on_frame(line.raw, line.at_us)

    def _glance(self, text: str) -> None:
        """Subscribe to a new coin at once; notice that trades are refused."""
        if '"create"' in text:
            message = parse(text).message
            if isinstance(message, Create) and message.mint not in QUOTE_MINTS:
                self.follow([message.mint])
        elif len(text) < 500 and TRADES_NEED_KEY in text and not self.trades_refused:
            self.trades_refused = True
            logger.warning("the feed sends no trades: they need a funded API key (PUMPPORTAL_API_KEY)")

    async def _watch(self, socket: ClientConnection) -> None:
        """Drop a connection on which nothing comes any more."""
        while self.settings.silence_seconds:
            self._frames_at_check = self._frames
            await asyncio.sleep(self.settings.silence_seconds)
            if self._frames == self._frames_at_check and socket.subprotocol != JOURNAL_FORM:
                logger.warning("no frame for %.0f s: reconnecting", self.settings.silence_seconds)
                socket.transport.abort()

    # --- subscriptions ----------------------------------------------------------------------------------

    async def _subscribe(self, socket: ClientConnection) -> None:
        try:
            for method in ("subscribeNewToken", "subscribeMigration"):
                await socket.send(json.dumps({"method": method}))
            while True:
                self._changed.clear()
                while (self._to_add or self._to_remove) and not self.trades_refused:
                    await self._send_changes(socket)
                await self._changed.wait()
        except ConnectionClosed:
            return  # `_receive` tells why

    async def _send_changes(self, socket: ClientConnection) -> None:
        for method, waiting in (("subscribeTokenTrade", self._to_add), ("unsubscribeTokenTrade", self._to_remove)):
            keys = [waiting.pop() for _ in range(min(len(waiting), MAX_KEYS))]
            if keys:
                await socket.send(json.dumps({"method": method, "keys": keys}))
        await asyncio.sleep(SEND_INTERVAL_SECONDS)
