"""What the connection does when the feed bans us, falls silent, flaps, or is not who it says it is."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve

from apps.discovery.gaps import reason_kind
from apps.discovery.pages_feed import REASONS
from apps.discovery.pumpportal import client as module
from apps.discovery.pumpportal.client import (
    BANNED,
    MAX_FRAME_BYTES,
    Client,
    ClientSettings,
    banned_until,
    is_ban,
)
from apps.discovery.pumpportal.server import MAX_MESSAGES_PER_SECOND, FeedServer, Frame
from apps.discovery.tests.frames import create
from apps.discovery.tests.test_client import MINTS, Notes, running, settings_for, until

QUICK = {"retry_seconds": 0.01, "max_retry_seconds": 0.05, "silence_seconds": 0.0}


class Gate:
    """A websocket server that counts who comes and treats everyone by `manner`."""

    def __init__(self, manner: Callable[[ServerConnection], Any], status: HTTPStatus | None = None) -> None:
        self.manner, self.status, self.came = manner, status, []

    def check(self, connection: ServerConnection, request: Any) -> Any:
        self.came.append(time.monotonic())
        return None if self.status is None else connection.respond(self.status, "no\n")

    @asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None) -> Any:
        async with serve(self.manner, "127.0.0.1", 0, process_request=self.check, ssl=tls) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/api/data"


async def close_1008(connection: ServerConnection) -> None:
    await connection.close(1008, "too many connections")


async def say_banned(connection: ServerConnection) -> None:
    await connection.send('{"message":"You have been banned for opening too many connections."}')
    await connection.wait_closed()


async def hang_up(connection: ServerConnection) -> None:
    await connection.send('{"message":"Successfully subscribed to token creation events."}')
    await connection.close(1011)


@pytest.mark.parametrize(
    ("manner", "status"),
    [
        (close_1008, None),
        (say_banned, None),
        (close_1008, HTTPStatus.FORBIDDEN),
        (close_1008, HTTPStatus.TOO_MANY_REQUESTS),
    ],
    ids=["closed for a policy violation", "told so", "HTTP 403", "HTTP 429"],
)
async def test_a_ban_is_sat_out_and_said(manner: Any, status: HTTPStatus | None, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "LOOPBACK_BAN_SECONDS", 3_600.0)
    gate, notes = Gate(manner, status), Notes()
    async with gate.open() as uri:
        client = Client(ClientSettings(uri=uri, **QUICK), notes)
        task = await running(client)
        await until(lambda: client.away_reason.startswith(BANNED))
        left = banned_until(client.away_reason) - datetime.now(UTC)
        assert timedelta(minutes=59) < left < timedelta(minutes=64)
        assert len(gate.came) == 1 and notes.events[-1] == "banned"
        await client.stop()
        await asyncio.wait_for(task, 2)


async def test_after_a_ban_the_client_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOPBACK_BAN_SECONDS", 0.2)
    gate = Gate(close_1008)
    async with gate.open() as uri:
        client = Client(ClientSettings(uri=uri, **QUICK), Notes())
        task = await running(client)
        await until(lambda: len(gate.came) == 3)
        assert all(later - earlier >= 0.2 for earlier, later in zip(gate.came, gate.came[1:], strict=False))
        await client.stop()
        await task


async def test_a_ban_outlives_a_restart() -> None:
    gate = Gate(hang_up)
    until_then = datetime.now(UTC) + timedelta(seconds=0.3)
    async with gate.open() as uri:
        began = time.monotonic()
        client = Client(ClientSettings(uri=uri, **QUICK), Notes(), BANNED + until_then.isoformat())
        task = await running(client)
        await until(lambda: gate.came)
        assert gate.came[0] - began > 0.25
        await client.stop()
        await task


@pytest.mark.parametrize("reason", ["closed 1006", "closed 1011", "HTTP status 503", "connection lost", "silent", ""])
def test_what_is_no_ban_is_tried_again_soon(reason: str) -> None:
    assert not is_ban(reason) and banned_until(reason) is None


@pytest.mark.parametrize("detail", ["banned until", BANNED + "tomorrow", "banned"])
def test_a_reason_without_a_moment_is_none(detail: str) -> None:
    assert banned_until(detail) is None


async def send_too_much(connection: ServerConnection) -> None:
    await connection.send("x" * (MAX_FRAME_BYTES + 1))
    await connection.wait_closed()


async def send_no_text(connection: ServerConnection) -> None:
    await connection.send(b"\xff\xfe", text=True)
    await connection.wait_closed()


@pytest.mark.parametrize(
    ("manner", "reason"), [(send_too_much, "a frame was too large"), (send_no_text, "a frame was no text")]
)
async def test_what_the_feed_may_not_send_is_the_reason_of_the_gap(manner: Callable[..., Any], reason: str) -> None:
    notes = Notes()
    async with Gate(manner).open() as uri:
        client = Client(ClientSettings(uri=uri, **QUICK), notes)
        task = await running(client)
        await until(lambda: reason in notes.events)
        await client.stop()
        await task
    assert reason_kind(reason) == reason and str(REASONS[reason]) == reason


async def test_a_flapping_feed_is_asked_less_and_less_often() -> None:
    """It greets and hangs up at once: the greeting must not make the delays begin anew."""
    gate = Gate(hang_up)
    async with gate.open() as uri:
        settings = ClientSettings(uri=uri, retry_seconds=0.05, max_retry_seconds=1.0, silence_seconds=0)
        client = Client(settings, Notes())
        task = await running(client)
        await until(lambda: len(gate.came) == 5)
        pauses = [later - earlier for earlier, later in zip(gate.came, gate.came[1:], strict=False)]
        assert pauses[3] > 2 * pauses[0] and pauses[3] >= 0.2
        await client.stop()
        await task


async def test_a_silent_feed_is_noticed_in_time_and_named() -> None:
    notes = Notes()
    async with FeedServer(port=0) as server:
        client = Client(replace(settings_for(server), silence_seconds=0.3), notes)
        task = await running(client)
        await server.wait_for_client()
        began = time.monotonic()
        await until(lambda: "silent" in notes.events)
        assert 0.25 < time.monotonic() - began < 0.3 * 1.1 + 0.5
        await client.stop()
        await task


async def test_a_feed_with_frames_is_not_silent() -> None:
    notes = Notes()
    async with FeedServer(port=0) as server:
        client = Client(replace(settings_for(server), silence_seconds=0.3), notes)
        task = await running(client)
        await server.wait_for_client()
        for _ in range(12):
            server.publish(Frame('{"message":"x"}', "control"))
            seen = len(notes.frames)
            await until(lambda seen=seen: len(notes.frames) > seen)
            await asyncio.sleep(0.05)
        assert notes.events == ["connected"]
        await client.stop()
        await task


async def test_a_burst_of_new_coins_stays_below_the_limit_of_messages() -> None:
    """The server closes a connection with more messages a second than PumpPortal allows."""
    mints = [f"{number:040d}pump".replace("0", "A") for number in range(3 * MAX_MESSAGES_PER_SECOND)]
    notes = Notes()
    async with FeedServer(port=0) as server:
        client = Client(settings_for(server), notes)
        task = await running(client)
        await server.wait_for_client()
        for mint in mints:
            server.publish(Frame(create(mint), "create", mint))
            await asyncio.sleep(0)
        await until(lambda: server.subscriptions == len(set(mints)))
        await until(lambda: client.acknowledged == client.requests)
        assert client.reconnects == 0 and 0 < client.requests < MAX_MESSAGES_PER_SECOND
        await client.stop()
        await task


async def test_refused_trades_are_asked_for_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSED_RETRY_SECONDS", 0.1)
    async with FeedServer(port=0, require_key=True) as server:
        client = Client(settings_for(server), Notes())
        client.follow(MINTS)
        task = await running(client)
        await until(lambda: client.trades_refused)
        for one in list(server._clients):
            one.has_key = True  # the wallet of the key was funded meanwhile
        await until(lambda: server.subscriptions == len(MINTS))
        assert client.reconnects == 0
        await client.stop()
        await task


async def test_trades_that_come_although_they_were_refused_are_asked_for_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "RESUMED_RETRY_SECONDS", 0.01)
    async with FeedServer(port=0) as server:
        client = Client(settings_for(server), Notes())
        client.follow(MINTS[:1])
        task = await running(client)
        await until(lambda: client.acknowledged)
        server.refuse_trades()
        await until(lambda: client.trades_refused)
        client.follow(MINTS)
        server.trades_refused = False  # the wallet of the key was funded again
        server.publish(Frame('{"txType":"buy"}', "trade", MINTS[0]))
        await until(lambda: server.subscriptions == len(MINTS))
        assert not client.trades_refused and client.reconnects == 0
        await client.stop()
        await task


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's identity that no authority vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain = folder / "chain.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


async def test_a_feed_that_nobody_vouches_for_gets_nothing_from_us(tmp_path: Path) -> None:
    gate, notes = Gate(hang_up), Notes()
    async with gate.open(self_signed(tmp_path)) as uri:
        client = Client(ClientSettings(uri=uri, api_key="secret", **QUICK), notes)
        task = await running(client)
        await until(lambda: client.reconnects)
        assert client.away_reason == "no trusted TLS connection"
        assert gate.came == [] and notes.events == []
        await client.stop()
        await task
