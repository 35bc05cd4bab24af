"""What the simulator can do to a feed, and what the real client, journal and tables make of each of it."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from apps.discovery.journal import JournalReader, JournalWriter
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.management.commands.simulator import told
from apps.discovery.models import CoinTransaction, OddFrame, StreamGap, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal import faults as module
from apps.discovery.pumpportal import simulator
from apps.discovery.pumpportal.client import Client, ClientSettings, banned_until
from apps.discovery.pumpportal.faults import Fault, FaultError, Faults, parse
from apps.discovery.pumpportal.market import Market
from apps.discovery.pumpportal.server import NEEDS_KEY, FeedServer, Frame
from apps.discovery.receiver import Receiver
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor, Entry
from apps.discovery.tests.process import wait_until
from apps.discovery.writer import Status, write

START = 1_790_000_000.0


@pytest.fixture(autouse=True)
def _names_may_repeat(settings: Any) -> None:
    settings.SPAM_BURST_WINDOW = 0  # a market in a hurry repeats every name


def frames(seconds: float = 90.0) -> list[Frame]:
    """A busy stretch of the market."""
    return [simulator.frame_of(content) for _, content in Market(4, START, rate=5.0).until(START + seconds)]


def trades_in(some: Iterable[Frame]) -> list[dict[str, Any]]:
    return [orjson.loads(frame.text) for frame in some if frame.kind == "trade"]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


@contextmanager
def free_port() -> Iterator[int]:
    """A port that nothing listens on when the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class Stage:
    """A server with faults, and the real client behind it with a journal of its own."""

    def __init__(self, folder: Path, some: list[Frame], **settings: Any) -> None:
        self.folder, self.frames = folder, some
        self.faults = Faults(1)
        self.settings = settings
        self.now = 0.0

    async def __aenter__(self) -> Stage:
        self.server = await FeedServer(port=0).__aenter__()
        usual = ClientSettings(uri=self.server.uri, retry_seconds=0.01, max_retry_seconds=0.05, silence_seconds=0)
        self.journal = JournalWriter(self.folder, fsync="off")
        self.receiver = Receiver(self.journal, last_us=0, wake=lambda: None)
        self.client = Client(replace(usual, **self.settings), self.receiver)
        self.client.follow({frame.mint for frame in self.frames})
        self.task = asyncio.create_task(self.client.run())
        await self.subscribed()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.stop()
        await self.task
        self.receiver.flush()
        self.journal.close()
        await self.server.__aexit__(None, None, None)

    async def subscribed(self) -> None:
        await until(lambda: self.server.subscriptions == len(self.client.wanted))

    def begin(self, fault: str) -> None:
        self.faults.add(parse(fault), self.now)
        self.tick()

    def tick(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.faults.tick(self.server, self.now)

    async def publish(self, some: Iterable[Frame]) -> None:
        for frame in some:
            for one in self.faults.strike(frame):
                self.server.publish(one)
        await self.server.settle()


def sent_with(folder: Path, fault: str, some: list[Frame]) -> None:
    """Send the frames to the client under this fault."""

    async def play() -> None:
        async with Stage(folder, some) as stage:
            if fault:
                stage.begin(fault)
            await stage.publish(some)

    asyncio.run(play())


def entries_of(folder: Path) -> list[Entry]:
    reader, found = JournalReader(folder, Cursor()), []
    while entries := reader.read():
        found += entries
    return found


def received_in(folder: Path) -> list[str]:
    """The frames of the journal, without the answers to subscriptions."""
    found = [entry.raw for entry in entries_of(folder) if entry.raw is not None]
    return [raw for raw in found if not raw.startswith('{"message":"S')]


def fold(folder: Path) -> StreamState:
    """Bring the journal into the tables; the state that they are in."""
    config = stream_config_load()
    pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))
    reader = JournalReader(folder, Cursor())
    while entries := reader.read():
        pipeline.feed(entries, reader.cursor)
    write(pipeline.take(), Status("live", True, "", datetime(2026, 1, 1, tzinfo=UTC)), Owed(folder / "owed"))
    return StreamState.objects.get()


def stored_trades() -> Counter[tuple[str | None, str, str | None]]:
    return Counter(CoinTransaction.objects.values_list("signature", "mint", "trader_public_key"))


def keys_of(some: Iterable[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(one["signature"], one["mint"], one["traderPublicKey"]) for one in some}


# --- Asking for faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drop", Fault("drop", 0.0, 0.0)),
        ("drop:every=60", Fault("drop", 60.0, 0.0)),
        ("stall", Fault("stall", 0.0, math.inf)),
        ("stall:every=300,seconds=20", Fault("stall", 300.0, 20.0)),
        ("stall:every=300", Fault("stall", 300.0, 10.0)),
        ("ban:seconds=5", Fault("ban", 0.0, 5.0)),
        ("duplicate:share=0.5", Fault("duplicate", 0.0, math.inf, 0.5)),
        ("slow:delay=0.2", Fault("slow", 0.0, math.inf, 1.0, 0.2)),
    ],
)
def test_fault_is_read(text: str, expected: Fault) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is no fault"),
        ("flood", "there are: drop, stall"),
        ("drop:often=1", "not 'often'"),
        ("drop:every=soon", "every=soon"),
        ("drop:every=-1", "every=-1"),
        ("garbage:share=2", "share=2"),
        ("drop:every=nan", "every=nan"),
        ("ban:seconds=inf", "needs an end"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(FaultError, match=said):
        parse(text)


def test_repeated_fault_begins_again_and_ends_each_time(tmp_path: Path) -> None:
    async def play() -> list[bool]:
        async with Stage(tmp_path, frames(2)) as stage:
            stage.begin("stall:every=10,seconds=3")
            active = []
            for _ in range(26):
                stage.tick(1.0)
                active.append(not stage.faults.strike(stage.frames[0]))
            assert stage.faults.begun == {"stall": 2}
            stage.faults.clear()
            assert stage.faults.listing(stage.now)["planned"] == []
            return active

    assert asyncio.run(play()) == [second >= 9 and second % 10 in (9, 0, 1) for second in range(26)]


async def asked(server: FeedServer, query: str, **headers: str) -> tuple[int, str]:
    """Status and text of a GET of the control path."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    lines = [f"GET /control?{query} HTTP/1.1", f"Host: {server.host}", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def test_running_simulator_is_told_of_faults_but_not_by_a_page_in_a_browser() -> None:
    faults = Faults()
    async with FeedServer(port=0, control=lambda query: simulator.control(faults, query)) as server:
        status, body = await asked(server, "start=stall:seconds=5&start=duplicate")
        assert status == 200
        assert [plan["fault"].partition(":")[0] for plan in orjson.loads(body)["planned"]] == ["stall", "duplicate"]
        assert (await asked(server, "start=flood"))[0] == 400
        assert (await asked(server, "clear=1", Origin="https://example.org"))[0] == 403
        assert len(faults.listing(0.0)["planned"]) == 2  # type: ignore[arg-type]
        assert orjson.loads((await asked(server, "clear=1"))[1])["planned"] == []
    async with FeedServer(port=0) as server:
        assert (await asked(server, "clear=1"))[0] == 404


# --- Frames that are not as they should be ------------------------------------------------------------------------


@pytest.mark.usefixtures("feed_tables")
@pytest.mark.parametrize("fault", ["", "duplicate:share=0.3", "reorder:share=0.3", "garbage:share=0.3"])
def test_trades_are_all_stored_once_whatever_comes_twice_between_or_out_of_order(tmp_path: Path, fault: str) -> None:
    some = frames()
    sent_with(tmp_path, fault, [*some, *some[-1:]])
    fold(tmp_path)
    stored = stored_trades()
    assert keys_of(trades_in(some)) <= set(stored)
    assert max(stored.values()) == 1
    told = [frame.text for frame in [*some, *some[-1:]]]
    assert (received_in(tmp_path) == told) is (not fault)


@pytest.mark.usefixtures("feed_tables")
def test_garbage_is_counted_by_kind_and_samples_are_kept(tmp_path: Path) -> None:
    some = frames(30)
    sent_with(tmp_path, "garbage:share=0.3", some)
    garbage = [entry.raw for entry in entries_of(tmp_path) if entry.raw in module.GARBAGE]
    before = fold(tmp_path).oddities
    assert len(garbage) > 20
    assert sum(before.values()) >= len(garbage)
    assert set(OddFrame.objects.values_list("sample", flat=True)) & set(module.GARBAGE)


@pytest.mark.usefixtures("feed_tables")
@pytest.mark.parametrize(
    ("fault", "sign", "kind", "is_stored"),
    [
        ("rename:share=0.5", '"sol_amount"', "bad_amount", False),
        ("pool:share=0.5", f'"{module.NEW_POOL}"', "unknown_pool", True),
    ],
)
def test_changed_protocol_is_counted_and_sampled_and_the_rest_is_stored(
    tmp_path: Path, fault: str, sign: str, kind: str, is_stored: bool
) -> None:
    some = frames(60)
    sent_with(tmp_path, fault, some)
    changed = keys_of(orjson.loads(raw) for raw in received_in(tmp_path) if sign in raw)
    whole = keys_of(trades_in(some)) - changed
    state, stored = fold(tmp_path), set(stored_trades())
    assert 0.3 < len(changed) / len(trades_in(some)) < 0.7
    assert state.oddities[kind] == len(changed)
    assert all(sign in sample for sample in OddFrame.objects.filter(kind=kind).values_list("sample", flat=True))
    assert OddFrame.objects.filter(kind=kind).exists()
    assert whole <= stored
    assert changed <= stored if is_stored else not changed & stored


# --- Connections that are not as they should be -------------------------------------------------------------------


@pytest.mark.usefixtures("feed_tables")
def test_dropped_connection_is_a_gap_and_everything_around_it_is_there(tmp_path: Path) -> None:
    some = frames(40)
    half = len(some) // 2

    async def play() -> None:
        async with Stage(tmp_path, some) as stage:
            await stage.publish(some[:half])
            stage.begin("drop")
            await until(lambda: stage.client.reconnects == 1)
            await stage.subscribed()
            await stage.publish(some[half:])

    asyncio.run(play())
    fold(tmp_path)
    assert [gap.reason for gap in StreamGap.objects.all()] == ["connection lost"]
    assert keys_of(trades_in(some)) <= set(stored_trades())


@pytest.mark.usefixtures("feed_tables")
def test_silent_feed_is_noticed_and_is_a_gap(tmp_path: Path) -> None:
    some = frames(40)
    half = len(some) // 2

    async def play() -> None:
        async with Stage(tmp_path, some, silence_seconds=0.3) as stage:
            await stage.publish(some[:half])
            stage.begin("stall:seconds=5")
            await stage.publish(some[half:])
            await until(lambda: stage.client.reconnects >= 1)
            stage.tick(6.0)
            await stage.subscribed()
            await stage.publish(some[:1])

    asyncio.run(play())
    fold(tmp_path)
    assert "silent" in {gap.reason.partition(" ")[0] for gap in StreamGap.objects.all()}
    assert not keys_of(trades_in(some[half:])) & set(stored_trades())


def test_banned_client_stays_away_and_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        async with Stage(tmp_path, frames(2)) as stage:
            stage.begin("ban:seconds=30")
            await until(lambda: banned_until(stage.client.away_reason))
            assert stage.server.connections == 1

    asyncio.run(play())


async def test_ban_closes_and_refuses_until_it_is_over() -> None:
    async with FeedServer(port=0) as server:
        async with connect(server.uri) as client:
            server.ban(0.2)
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.uri)
        assert refused.value.response.status_code == 403

        async def again() -> bool:
            try:
                async with connect(server.uri):
                    return True
            except InvalidStatus:
                return False

        async with asyncio.timeout(10):
            while not await again():
                await asyncio.sleep(0.02)


def test_key_without_money_brings_creates_only_and_the_client_knows(tmp_path: Path) -> None:
    some = frames(60)
    half = len(some) // 2

    async def play() -> None:
        async with Stage(tmp_path, some) as stage:
            await stage.publish(some[:half])
            stage.begin("nokey")
            await stage.publish(some[half:])
            await until(lambda: stage.client.trades_refused)

    asyncio.run(play())
    received = [str(entry.raw) for entry in entries_of(tmp_path)]
    refused = next(place for place, raw in enumerate(received) if NEEDS_KEY[:30] in raw)
    assert {orjson.loads(raw)["txType"] for raw in received[refused + 1 :]} <= {"create", "migrate"}
    assert sum("tokenAmount" in raw for raw in received[:refused]) == len(trades_in(some[:half]))


def test_slow_feed_brings_everything_in_order(tmp_path: Path) -> None:
    some = frames(5)
    sent_with(tmp_path, "slow:delay=0.001", some)
    assert received_in(tmp_path) == [frame.text for frame in some]


def test_simulator_takes_faults_at_its_start_and_while_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "simulator"]
    with free_port() as port:
        arguments = ["--port", str(port), "--warm", "1", "--json", "--fault", "duplicate", "--fault", "drop:every=900"]
    running = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stderr is not None
        assert any("Simulated market at" in line for line in iter(running.stderr.readline, ""))
        answer = told(port, ["stall:seconds=900"])
        assert [one["fault"].partition(":")[0] for one in orjson.loads(answer)["planned"]] == ["stall", "drop"]
        wait_until(lambda: "stall" in orjson.loads(told(port, ["list"]))["active"], "the stall to begin")
        with pytest.raises(CommandError, match="There is no fault 'flood'"):
            told(port, ["flood"])
    finally:
        running.terminate()
        output, _ = running.communicate(timeout=20)
    assert running.returncode == 0
    assert {key: value for key, value in orjson.loads(output).items() if key.startswith("fault_")} == {
        "fault_duplicate": 1,
        "fault_stall": 1,
    }


def test_nobody_to_tell_is_said() -> None:
    with free_port() as port:
        pass
    with pytest.raises(CommandError, match=f"No simulator answers on port {port}"):
        call_command("simulator", port=port, tell=["list"])
