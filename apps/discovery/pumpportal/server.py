"""A websocket server that speaks PumpPortal's protocol on loopback: the stage of the simulator and of the replay.

One path, `/api/data`. Clients subscribe as on the real service and get its control messages; a frame goes to those who
subscribed to it. Real frames carry no time, so a replay may be asked for the subprotocol `pump-journal.v1`: every
recorded line is then sent as `{"t_wall": epoch seconds, "raw": text}` (a recorded gap as `{"t_wall": ..., "gap": {}}`)
to every client, whatever it subscribed to, because a recording is what its recorder received. The server's own control
messages are left out in that form.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from apps.discovery.pumpportal.market_metadata import document_at

logger = logging.getLogger(__name__)

PATH, CONTROL_PATH = "/api/data", "/control"
JOURNAL_FORM = Subprotocol("pump-journal.v1")
SUBSCRIBED_CREATES = "Successfully subscribed to token creation events."
SUBSCRIBED_MIGRATIONS = "Subscribed to 'migration' events."
SUBSCRIBED_KEYS = "Successfully subscribed to keys."
NEEDS_KEY = (
    "'subscribeTokenTrade' and 'subscribeAccountTrade' methods are only available when connecting with an API key "
    "funded with at least 0.02 SOL."
)
BANNED = "You are banned from this service. Try again in an hour."
MAX_KEYS = 5_000
MAX_MESSAGES_PER_SECOND = 200
QUEUE_LIMIT = 100_000
CLOSE_SECONDS = 1.0
_BATCH = 64

Kind = Literal["create", "migrate", "trade", "control", "gap"]


class PortError(RuntimeError):
    """The server's port is taken or not allowed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to send: its exact text, what decides who gets it, and its recorded time (epoch seconds, replay only)."""

    text: str
    kind: Kind
    mint: str = ""
    trader: str = ""
    t_wall: float | None = None


class _Request(msgspec.Struct):
    method: str
    keys: list[str] = []


@dataclass(eq=False, slots=True)
class _Client:
    """One connection: what it asked for, and what waits to be sent."""

    connection: ServerConnection
    number: int
    has_key: bool
    journal_form: bool
    creates: bool = False
    migrations: bool = False
    mints: set[str] = field(default_factory=set)
    wallets: set[str] = field(default_factory=set)
    queue: deque[str] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    requests: deque[float] = field(default_factory=deque)

    def wants(self, frame: Frame) -> bool:
        if self.journal_form:
            return True
        if frame.kind == "gap":
            return False
        if frame.kind == "control":
            return True
        if frame.kind == "create":
            return self.creates
        if frame.kind == "migrate":
            return self.migrations
        return frame.mint in self.mints or frame.trader in self.wallets

    def put(self, text: str) -> None:
        self.queue.append(text)
        self.wake.set()
        self.drained.clear()

    def control(self, message: str) -> None:
        if not self.journal_form:
            self.put(json.dumps({"message": message}, separators=(",", ":")))


def wrapped(frame: Frame) -> str:
    """The frame as a line of the journal; the text of a gap is the JSON of what the journal noted."""
    if frame.kind == "gap":
        return f'{{"t_wall":{frame.t_wall!r},"gap":{frame.text}}}'
    return json.dumps({"t_wall": frame.t_wall, "raw": frame.text}, ensure_ascii=False, separators=(",", ":"))


class FeedServer:
    """Serves frames to any number of clients; `async with` opens and closes it.

    `require_key`: trades only for connections with `?api-key=`. `journal_form`: offer the replay's subprotocol.
    `on_sent` is told the connection's number (from 1) and the text of every frame just before it is sent. `control`
    answers a GET of CONTROL_PATH by its query (ValueError: status 400). Port 0 takes a free one; `port` tells which.
    Raises PortError when the port is taken.

    `delay_seconds` before each frame, `trades_refused` and `ban` are what a simulation may do to its clients.
    """

    def __init__(
        self,
        *,
        port: int,
        host: str = "127.0.0.1",
        require_key: bool = False,
        journal_form: bool = False,
        queue_limit: int = QUEUE_LIMIT,
        on_sent: Callable[[int, str], None] | None = None,
        control: Callable[[dict[str, list[str]]], str] | None = None,
    ) -> None:
        self.host, self.port = host, port
        self.require_key, self.journal_form, self.queue_limit = require_key, journal_form, queue_limit
        self.on_sent, self.control = on_sent, control
        self.sent = self.dropped_clients = self.connections = 0
        self.delay_seconds = self._banned_until = 0.0
        self.trades_refused = False
        self._farewells: set[asyncio.Task[None]] = set()
        self._clients: set[_Client] = set()
        self._ready = asyncio.Event()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        try:
            self._server = await self._open()
        except OverflowError:
            raise PortError(f"Port {self.port} cannot be used: ports go from 1 to 65535.") from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise PortError(f"Port {self.port} cannot be used: {reason}. Choose another one with --port.") from None
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _open(self) -> Server:
        return await serve(
            self._serve_client,
            self.host,
            self.port,
            process_request=self._check_path,
            subprotocols=[JOURNAL_FORM] if self.journal_form else None,
            select_subprotocol=_select_subprotocol if self.journal_form else None,
            compression=None,
            # A replay goes as slowly as its reader; a reader that is busy for a while is not dead.
            ping_interval=None if self.journal_form else 20,
            max_size=2**20,
            close_timeout=CLOSE_SECONDS,
        )

    @property
    def uri(self) -> str:
        return f"ws://{self.host}:{self.port}{PATH}"

    @property
    def clients(self) -> int:
        """Connections open now."""
        return len(self._clients)

    @property
    def subscriptions(self) -> int:
        """Mints and wallets that clients follow, counted for each client."""
        return sum(len(client.mints) + len(client.wallets) for client in self._clients)

    async def wait_for_client(self) -> None:
        """Until a client is there that has subscribed to something, or takes everything (journal form)."""
        await self._ready.wait()

    def publish(self, frame: Frame) -> None:
        """Hand a frame to every client that wants it. Never waits: a client that falls too far behind is closed."""
        packed = None
        if self.trades_refused and frame.kind == "trade":
            return
        for client in [client for client in self._clients if client.wants(frame)]:
            if len(client.queue) >= self.queue_limit:
                self._drop(client)
            elif client.journal_form:
                packed = packed or wrapped(frame)
                client.put(packed)
            else:
                client.put(frame.text)

    def disconnect(self) -> None:
        """Break every connection off without a goodbye."""
        for client in list(self._clients):
            self._forget(client)
            client.connection.transport.abort()

    def ban(self, seconds: float) -> None:
        """Close every connection with a policy violation, and answer new ones with status 403 for so long."""
        self._banned_until = asyncio.get_running_loop().time() + seconds
        for client in list(self._clients):
            self._forget(client)
            farewell = asyncio.ensure_future(client.connection.close(1008, BANNED))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)

    def refuse_trades(self) -> None:
        """Send no trades any more, and say so, as to a client whose key has run out of money."""
        self.trades_refused = True
        for client in self._clients:
            if client.mints or client.wallets:
                client.control(NEEDS_KEY)

    async def offer(self, frame: Frame, *, high_water: int = 5_000) -> None:
        """Hand over a frame no faster than the slowest client reads, waiting while nobody is connected."""
        while not self._clients or any(len(client.queue) >= high_water for client in self._clients):
            await self.drain()
            await self.wait_for_client()
        self.publish(frame)

    async def drain(self) -> None:
        """Until everything handed over so far is sent (or its client has gone)."""
        for client in list(self._clients):
            if client in self._clients:
                await client.drained.wait()

    async def settle(self) -> None:
        """Until every client has received everything handed over (it answers a ping sent behind the last frame)."""
        await self.drain()
        for client in list(self._clients):
            try:
                await (await client.connection.ping())
            except ConnectionClosed:
                logger.info("a client went away before it had read everything")

    def _check_path(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        if parts.path == PATH:
            banned = asyncio.get_running_loop().time() < self._banned_until
            return connection.respond(HTTPStatus.FORBIDDEN, BANNED + "\n") if banned else None
        if parts.path != CONTROL_PATH or self.control is None:
            document = document_at(parts.path) or f"There is only {PATH} here.\n"
            return connection.respond(HTTPStatus.OK if document[0] == "{" else HTTPStatus.NOT_FOUND, document)
        if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
            return connection.respond(HTTPStatus.FORBIDDEN, "No page of a browser has orders to give here.\n")
        try:
            return connection.respond(HTTPStatus.OK, self.control(parse_qs(parts.query)) + "\n")
        except ValueError as error:
            return connection.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")

    async def _serve_client(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        keyed = bool(parse_qs(urlsplit(connection.request.path).query).get("api-key"))
        self.connections += 1
        client = _Client(
            connection, self.connections, keyed or not self.require_key, connection.subprotocol == JOURNAL_FORM
        )
        client.drained.set()
        self._clients.add(client)
        if client.journal_form:
            self._ready.set()
        sender = asyncio.create_task(self._send(client))
        try:
            async for message in connection:
                await self._obey(client, message)
        except ConnectionClosed:
            logger.info("a client closed without a goodbye")
        finally:
            self._forget(client)
            sender.cancel()

    def _drop(self, client: _Client) -> None:
        logger.warning("a client was dropped: %d frames behind", len(client.queue))
        self.dropped_clients += 1
        self._forget(client)
        client.connection.transport.abort()

    def _forget(self, client: _Client) -> None:
        self._clients.discard(client)
        client.queue.clear()
        client.drained.set()
        if not self._clients:
            self._ready.clear()

    async def _send(self, client: _Client) -> None:
        try:
            while True:
                await client.wake.wait()
                client.wake.clear()
                await self._send_queue(client)
                client.drained.set()
        except ConnectionClosed:
            logger.info("a client went away")

    async def _send_queue(self, client: _Client) -> None:
        while client.queue:
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
                if not client.queue:
                    return
            text = client.queue.popleft()
            if self.on_sent is not None:
                self.on_sent(client.number, text)
            await client.connection.send(text)
            self.sent += 1
            if self.sent % _BATCH == 0:
                await asyncio.sleep(0)

    async def _obey(self, client: _Client, message: str | bytes) -> None:
        try:
            request = msgspec.json.decode(message, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            client.control(f"Invalid message: {error}")
            return
        if _too_many(client.requests, asyncio.get_running_loop().time()) or len(request.keys) > MAX_KEYS:
            await client.connection.close(1008, "at most 200 messages a second and 5,000 keys a message")
            return
        self._subscribe(client, request)
        self._ready.set()

    def _subscribe(self, client: _Client, request: _Request) -> None:
        """Apply one request. An unsubscription is obeyed silently: its answer is not known from any recording."""
        on = not request.method.startswith("un")
        match request.method.removeprefix("un").lower():
            case "subscribenewtoken":
                client.creates = on
                answer = SUBSCRIBED_CREATES
            case "subscribemigration":
                client.migrations = on
                answer = SUBSCRIBED_MIGRATIONS
            case "subscribetokentrade" | "subscribeaccounttrade" as method:
                answer = self._follow(client, method, request.keys, on)
            case _:
                client.control("Invalid method.")
                return
        if on:
            client.control(answer)

    def _follow(self, client: _Client, method: str, keys: list[str], on: bool) -> str:
        if not client.has_key or self.trades_refused:
            return NEEDS_KEY
        followed = client.mints if method == "subscribetokentrade" else client.wallets
        if on:
            followed.update(keys)
        elif keys:
            followed.difference_update(keys)
        else:
            followed.clear()
        return SUBSCRIBED_KEYS


def _too_many(requests: deque[float], now: float) -> bool:
    requests.append(now)
    while requests[0] <= now - 1:
        requests.popleft()
    return len(requests) > MAX_MESSAGES_PER_SECOND


def _select_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The journal's form for whoever asks for it; a plain client stays plain."""
    return JOURNAL_FORM if JOURNAL_FORM in offered else None


async def until_stopped(work: Coroutine[object, object, None]) -> bool:
    """Run `work` to its end or to SIGTERM or SIGINT, which cancel it. True when it came to its end."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True
