"""The connection: its manners, its patience, its memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.discovery.journal import JournalReader, JournalWriter
from apps.discovery.pumpportal import client as module
from apps.discovery.pumpportal.client import Client, ClientSettings
from apps.discovery.pumpportal.server import FeedServer, Frame
from apps.discovery.receiver import Receiver
from apps.discovery.state import Cursor
from apps.discovery.tests.frames import create

MINTS = [f"{letter * 40}pump" for letter in "ABCDEFGH"]


class Notes:
    """A sink that notes what it is given."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, int | None]] = []
        self.gaps: list[tuple[int, int, str]] = []
        self.events: list[str] = []
        self.flushes = 0

    def on_connected(self, *, recorded: bool) -> None:
        self.events.append("recorded" if recorded else "connected")

    def on_frame(self, raw: str, at_us: int | None = None) -> None:
        self.frames.append((raw, at_us))

    def on_frames(self, raws: Sequence[str]) -> None:
        for raw in raws:
            self.on_frame(raw)

    def on_recorded_gap(self, from_us: int, to_us: int, reason: str) -> None:
        self.gaps.append((from_us, to_us, reason))

    def on_disconnected(self, reason: str) -> None:
        self.events.append(reason)

    def flush(self) -> None:
        self.flushes += 1


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def settings_for(server: FeedServer) -> ClientSettings:
    return ClientSettings(uri=server.uri, retry_seconds=0.01, max_retry_seconds=0.05, silence_seconds=0)


async def running(client: Client) -> asyncio.Task[None]:
    return asyncio.create_task(client.run())


async def test_client_subscribes_to_a_new_coin_at_once_and_unsubscribes() -> None:
    async with FeedServer(port=0) as server:
        client = Client(settings_for(server), Notes())
        task = await running(client)
        await server.wait_for_client()
        server.publish(Frame(create(MINTS[0]), "create", MINTS[0]))
        await until(lambda: server.subscriptions == 1)
        client.follow(MINTS)
        await until(lambda: server.subscriptions == len(MINTS))
        client.unfollow(MINTS[:3])
        await until(lambda: server.subscriptions == len(MINTS) - 3)
        await client.stop()
        await task


async def test_client_resubscribes_after_a_drop() -> None:
    notes = Notes()
    async with FeedServer(port=0) as server:
        client = Client(settings_for(server), notes)
        client.follow(MINTS)
        task = await running(client)
        await until(lambda: server.subscriptions == len(MINTS))
        for one in list(server._clients):
            one.connection.transport.abort()
        await until(lambda: client.reconnects == 1 and server.subscriptions == len(MINTS))
        assert [event for event in notes.events if event == "connected"] == ["connected"] * 2
        await client.stop()
        await task


async def test_client_sends_many_keys_in_few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 100)
    async with FeedServer(port=0) as server:
        client = Client(settings_for(server), Notes())
        client.follow([f"{number:040d}" for number in range(1_000)])
        task = await running(client)
        await until(lambda: server.subscriptions == 1_000)
        assert server.clients == 1
        await client.stop()
        await task


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ws://127.0.0.1:1/api/data", "nothing listens there"),
        ("ws://no-such-host.invalid/api/data", "its name cannot be resolved"),
        ("{server}/elsewhere", "HTTP status 404"),
        ("wss://{place}/api/data", "connection lost"),
    ],
)
async def test_client_says_in_words_why_there_is_no_connection(uri: str, reason: str) -> None:
    async with FeedServer(port=0) as server:
        address = uri.format(server=server.uri, place=server.uri.split("/")[2])
        client = Client(ClientSettings(uri=address, retry_seconds=0.01), Notes())
        task = await running(client)
        await until(lambda: client.reconnects)
        assert client.away_reason == reason
        await client.stop()
        await task


async def test_client_reaches_loopback_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    notes = Notes()
    async with FeedServer(port=0) as server:
        client = Client(settings_for(server), notes)
        task = await running(client)
        await until(lambda: notes.events)
        assert (notes.events, client.away_reason) == (["connected"], "")
        await client.stop()
        await task


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "nonsense://x"])
async def test_client_outlives_a_useless_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    client = Client(ClientSettings(uri="wss://feed.invalid/api/data", retry_seconds=0.01), Notes())
    task = await running(client)
    await until(lambda: client.reconnects >= 2)
    assert client.away_reason
    await client.stop()
    await task


async def test_client_drops_a_silent_connection() -> None:
    async with FeedServer(port=0) as server:
        client = Client(replace(settings_for(server), silence_seconds=0.05), Notes())
        task = await running(client)
        await until(lambda: client.reconnects >= 2)
        await client.stop()
        await task


async def test_client_stops_asking_for_trades_when_refused() -> None:
    notes = Notes()
    async with FeedServer(port=0, require_key=True) as server:
        client = Client(settings_for(server), notes)
        client.follow(MINTS[:1])
        task = await running(client)
        await until(lambda: client.trades_refused)
        client.follow(MINTS[1:])
        server.publish(Frame('{"message":"end"}', "control"))
        await until(lambda: notes.frames[-1][0] == '{"message":"end"}')
        assert sum("only available" in raw for raw, _ in notes.frames) == 1
        await client.stop()
        await task


async def test_client_takes_recorded_times_and_gaps_from_a_replay() -> None:
    notes = Notes()
    async with FeedServer(port=0, journal_form=True) as server:
        client = Client(settings_for(server), notes)
        task = await running(client)
        await server.wait_for_client()
        server.publish(Frame('{"a":1}', "control", t_wall=1_783_089_923.1110196))
        server.publish(Frame('{"from":1.5,"to":2.5,"reason":"closed"}', "gap", t_wall=2.5))
        await until(lambda: notes.gaps)
        assert notes.events == ["recorded"]
        assert notes.frames == [('{"a":1}', 1_783_089_923_111_020)]
        assert notes.gaps == [(1_500_000, 2_500_000, "closed")]
        await client.stop()
        await task


def test_api_key_goes_into_the_address_and_nowhere_else() -> None:
    settings = ClientSettings(uri="wss://example.org/api/data?x=1", api_key="se cret&")
    assert settings.address == "wss://example.org/api/data?x=1&api-key=se+cret%26"
    assert not settings.is_loopback and "se cret" not in settings.uri


def test_receive_times_never_go_back_and_a_drop_is_a_gap(tmp_path: Any) -> None:
    journal = JournalWriter(tmp_path, fsync="off")
    receiver = Receiver(journal, last_us=1_000_000, wake=lambda: None)
    receiver.on_connected(recorded=True)
    receiver.on_frame("a", 2_000_000)
    receiver.on_frame("b", 1_500_000)
    receiver.on_disconnected("closed 1006")
    receiver.on_connected(recorded=True)
    receiver.on_frame("c", 9_000_000)
    receiver.flush()
    journal.close()
    entries = JournalReader(tmp_path, Cursor()).read()
    assert [(entry.at_us, entry.raw, entry.gap) for entry in entries] == [
        (2_000_000, None, (1_000_000, 2_000_000, "restart")),
        (2_000_000, "a", None),
        (2_000_000, "b", None),
        (9_000_000, None, (2_000_000, 9_000_000, "closed 1006")),
        (9_000_000, "c", None),
    ]


@pytest.mark.parametrize(
    ("reason", "begins"),
    [("silent", 100), ("it does not answer", 100), ("connection lost", 100), ("closed 1001", 160), ("stopped", 160)],
)
def test_gap_begins_when_the_feed_was_last_heard_of(
    reason: str, begins: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [10**11]
    monkeypatch.setattr(time, "time_ns", lambda: clock[0])
    journal = JournalWriter(tmp_path, fsync="off")
    receiver = Receiver(journal, last_us=90_000_000, wake=lambda: None)
    receiver.on_connected(recorded=False)
    receiver.on_frames(["a"])
    clock[0] = 160 * 10**9
    receiver.tick()
    receiver.on_disconnected(reason)
    clock[0] = 170 * 10**9
    receiver.on_connected(recorded=False)
    journal.close()
    gaps = [entry.gap for entry in JournalReader(tmp_path, Cursor()).read() if entry.gap is not None]
    assert gaps[1:] == [(begins * 10**6, 170_000_000, reason)]


def test_frames_wait_while_the_disk_refuses_and_are_written_after(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.discovery.receiver.DISK_RETRY_SECONDS", 0.0)
    journal = JournalWriter(tmp_path, fsync="off")
    receiver = Receiver(journal, last_us=0, wake=lambda: None)
    receiver.on_connected(recorded=True)
    receiver.on_frame("a", 1)
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda file, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        receiver.flush()
    receiver.on_frame("b", 2)
    receiver.flush()
    journal.close()
    assert [entry.raw for entry in JournalReader(tmp_path, Cursor()).read()] == ["a", "b"]


def test_recording_older_than_what_is_known_is_noticed_and_a_repeated_frame_is_not(tmp_path: Path) -> None:
    receiver = Receiver(JournalWriter(tmp_path), last_us=100_000_000, wake=lambda: None)
    receiver.on_connected(recorded=True)
    receiver.on_frame("{}", 99_000_000)
    assert not receiver.older
    receiver.on_frame("{}", 30_000_000)
    assert receiver.older
    receiver.on_connected(recorded=True)
    assert not receiver.older


def test_clock_set_far_back_is_said_until_it_has_caught_up(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    ahead = Receiver(JournalWriter(tmp_path / "ahead"), last_us=now_us + 3_600_000_000, wake=lambda: None)
    level = Receiver(JournalWriter(tmp_path / "level"), last_us=now_us, wake=lambda: None)
    for receiver in (ahead, level):
        receiver.on_connected(recorded=False)
        receiver.tick()
    assert (ahead.behind, level.behind) == (True, False)
    assert ahead.tick_us == now_us + 3_600_000_000  # never back
    ahead.on_connected(recorded=True)
    ahead.tick()
    assert not ahead.behind  # a recording brings its own times
