"""The connection to PumpPortal: one socket, kept open, resubscribed after every drop.

Knows the protocol's manners (at most 200 subscription messages a second, 5,000 keys a message, one connection), not
what frames mean. A new coin's trades are asked for the moment its create arrives, before anything else has looked at
it. Reconnects with growing, jittered delays; a feed that goes silent counts as dropped. A feed that bans us is left
alone for as long as its bans last: every try before would prolong them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from socket import gaierror
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from apps.discovery.lines import decode_line
from apps.discovery.pumpportal.framing import FeedConnection
from apps.discovery.pumpportal.messages import QUOTE_MINTS, Control
from apps.discovery.pumpportal.parse import created_mint, parse

logger = logging.getLogger(__name__)

JOURNAL_FORM = Subprotocol("pump-journal.v1")
MAX_KEYS = 5_000
SEND_INTERVAL_SECONDS = 0.02  # two messages each: half of what the server allows
MAX_FRAME_BYTES = 2**20
CONTROL_HEAD = 20  # a control frame has one key, its first
STABLE_TRIES = 10  # a connection that lasted so many times the first delay was a good one: delays begin anew
REFUSED_RETRY_SECONDS = 600.0  # trades were refused: the wallet of the key may have been funded since
RESUMED_RETRY_SECONDS = 2.0  # trades come although they were refused: it has been, or these were under way
BANNED = "banned until "
SILENT, LOST = "silent", "connection lost"
POLICY_VIOLATION, NO_ANSWER = 1008, 1011
LEFT = {  # why we have closed, by our own code: what the library refuses to take, and a ping without an answer
    1002: "the feed broke the protocol",
    1007: "a frame was no text",
    1009: "a frame was too large",
    NO_ANSWER: "it does not answer",
}
LOOPBACK_RETRY_SECONDS = 3.0  # a simulator or a replay is not burdened by being asked often
LOOPBACK_BAN_SECONDS = 10.0
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
UNREACHABLE = (OSError, TimeoutError, InvalidHandshake, InvalidURI, InvalidProxy, ImportError)  # no SOCKS library


def is_ban(reason: str) -> bool:
    """Whether the server has shut us out rather than gone away: by a sentence, by its status or by how it closed."""
    return "banned" in reason.lower() or reason in (
        f"closed {POLICY_VIOLATION}",
        f"HTTP status {HTTPStatus.FORBIDDEN}",
        f"HTTP status {HTTPStatus.TOO_MANY_REQUESTS}",
    )


def banned_until(detail: str) -> datetime | None:
    """The moment that a reason of the form BANNED names; None for any other reason."""
    try:
        return datetime.fromisoformat(detail.removeprefix(BANNED)) if detail.startswith(BANNED) else None
    except ValueError:
        return None


def reason_of(error: BaseException) -> str:
    """Why no connection came about, in words that are logged and shown (`pages_feed.REASONS` translates them)."""
    match error:
        case gaierror():
            return "its name cannot be resolved"
        case ConnectionRefusedError():
            return "nothing listens there"
        case ConnectionError():
            return LOST
        case TimeoutError():
            return "it does not answer"
        case ssl.SSLError():
            return "no trusted TLS connection"
        case InvalidStatus():
            return f"HTTP status {error.response.status_code}"
    return str(error)[:200] or type(error).__name__


def closed_reason(error: ConnectionClosed) -> str:
    """Why an open connection ended: who closed it first, and with what."""
    if error.sent is not None and not error.rcvd_then_sent and error.sent.code in LEFT:
        return LEFT[error.sent.code]
    return f"closed {error.rcvd.code}" if error.rcvd is not None else LOST


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Durations in seconds. `silence_seconds`: no frame for so long is a dropped connection (0: never); `ban_seconds`:
    how long to stay away after a ban."""

    uri: str
    api_key: str = ""
    retry_seconds: float = 1.0
    max_retry_seconds: float = 60.0
    ping_interval_seconds: float = 20.0
    ping_timeout_seconds: float = 20.0
    silence_seconds: float = 60.0
    ban_seconds: float = 3_600.0

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
    def on_frames(self, raws: Sequence[str]) -> None: ...
    def on_recorded_gap(self, from_us: int, to_us: int, reason: str) -> None: ...
    def on_disconnected(self, reason: str) -> None: ...
    def flush(self) -> None: ...


class Client:
    """Runs until `stop`. `follow`, `unfollow` and `stop` are for the event loop's thread.

    `away_reason`: why there is no connection, empty while there is one (begun with: a ban that is still to be sat out).
    `requests`, `acknowledged`: subscriptions of trades on this connection, sent and confirmed.
    """

    def __init__(self, settings: ClientSettings, sink: Sink, away_reason: str = "") -> None:
        self.settings, self.sink = settings, sink
        self.wanted: set[str] = set()
        self.reconnects = 0
        self.trades_refused = False
        self.away_reason = away_reason
        self.requests = self.acknowledged = 0
        self._why = ""
        self._stopping = False
        self._wake = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._asking: asyncio.TimerHandle | None = None
        self._to_add, self._to_remove = set[str](), set[str]()
        self._changed = asyncio.Event()
        self._frames, self._flush_planned = 0, False

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
        await self._sit_out()
        while not self._stopping:
            began = time.monotonic()
            self.away_reason = reason = await self._connect_once()
            if self._stopping:
                return
            if time.monotonic() - began >= STABLE_TRIES * self.settings.retry_seconds:
                delay = self.settings.retry_seconds
            if is_ban(reason):
                await self._leave_alone(reason)
            else:
                pause = delay * random.uniform(0.5, 1.0)
                logger.warning("the feed is away (%s): next try in %.1f s", reason, pause)
                await self._pause(pause)
            delay = min(delay * 2, most)
            self.reconnects += 1

    async def _leave_alone(self, reason: str) -> None:
        """Stay away for as long as a ban lasts, and a little longer, so that many clients do not come back at once."""
        seconds = self.settings.ban_seconds
        if self.settings.is_loopback:
            seconds = min(seconds, LOOPBACK_BAN_SECONDS)
        until = datetime.now(UTC) + timedelta(seconds=seconds * random.uniform(1.0, 1.05))
        self.away_reason = BANNED + until.isoformat(timespec="milliseconds")
        logger.error("the feed has banned this client (%s): the next try is at %s", reason, until.isoformat())
        self.sink.on_disconnected("banned")
        await self._sit_out()

    async def _sit_out(self) -> None:
        until = banned_until(self.away_reason)
        if until is not None:
            await self._pause((until - datetime.now(UTC)).total_seconds())

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
                create_connection=FeedConnection,
            )
        except UNREACHABLE as error:
            return reason_of(error)
        self.away_reason = ""
        return await self._converse(connection)

    async def _converse(self, socket: ClientConnection) -> str:
        self._socket = socket
        recorded = socket.subprotocol == JOURNAL_FORM
        self.trades_refused, self._why = False, ""
        self.requests = self.acknowledged = 0
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
        assert isinstance(socket, FeedConnection)
        socket.listen(lambda texts: self._take_all(texts, recorded))
        try:
            async for message in socket:
                self._take(message if isinstance(message, str) else message.decode("utf-8", "replace"), recorded)
        except ConnectionClosed as error:
            reason = self._why or closed_reason(error)
        self.sink.on_disconnected("stopped" if self._stopping else reason)
        return reason

    def _take_all(self, texts: list[str], recorded: bool) -> None:
        """What one read of the socket brought."""
        self._frames += len(texts)
        if recorded:
            for text in texts:
                self._take_wrapped(text)
        else:
            self.sink.on_frames(texts)
            refused = self.trades_refused
            for text in texts:
                if '"create"' in text or '"message"' in text[:CONTROL_HEAD] or refused:
                    self._glance(text)
        self.sink.flush()

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
        """Subscribe to a new coin at once; hear what the server says of our subscriptions."""
        if '"create"' in text:
            mint = created_mint(text)
            if mint is not None and mint not in QUOTE_MINTS:
                self.follow([mint])
        elif '"message"' in text[:CONTROL_HEAD]:
            message = parse(text).message
            if isinstance(message, Control):
                self._hear(message)
        elif self.trades_refused and ('"buy"' in text or '"sell"' in text):
            self._ask_within(RESUMED_RETRY_SECONDS)

    def _hear(self, control: Control) -> None:
        if control.grants_trades:
            self.acknowledged += 1
        elif control.refuses_trades and not self.trades_refused:
            self.trades_refused = True
            logger.warning("the feed sends no trades: they need a funded API key (PUMPPORTAL_API_KEY)")
            self._ask_within(REFUSED_RETRY_SECONDS)
        elif "banned" in control.text.lower() and self._socket is not None:
            self._why = control.text[:60]
            self._socket.transport.abort()

    def _ask_within(self, seconds: float) -> None:
        loop, planned = asyncio.get_running_loop(), self._asking
        if planned is None or not loop.time() < planned.when() <= loop.time() + seconds:
            if planned is not None:
                planned.cancel()
            self._asking = loop.call_later(seconds, self._ask_again)

    def _ask_again(self) -> None:
        """Ask for the trades once more, without a new connection."""
        if self.trades_refused and self._socket is not None:
            self.trades_refused, self._to_add = False, set(self.wanted)
            self._changed.set()

    async def _watch(self, socket: ClientConnection) -> None:
        """Drop a connection on which nothing comes any more: creates are due every few seconds, always."""
        limit = self.settings.silence_seconds
        seen, seen_at = self._frames, time.monotonic()
        while limit and socket.subprotocol != JOURNAL_FORM:
            await asyncio.sleep(limit / 10)
            if self._frames != seen:
                seen, seen_at = self._frames, time.monotonic()
            elif time.monotonic() - seen_at >= limit:
                logger.warning("no frame for %.0f s: reconnecting", limit)
                self._why = SILENT
                socket.transport.abort()
                return

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
                self.requests += method == "subscribeTokenTrade"
                await socket.send(json.dumps({"method": method, "keys": keys}))
        await asyncio.sleep(SEND_INTERVAL_SECONDS)
