"""What the real client, journal and tables make of each fault of a feed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.discovery.journal import JournalReader, JournalWriter
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import CoinTransaction, OddFrame, StreamGap, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal import faults as module
from apps.discovery.pumpportal import simulator
from apps.discovery.pumpportal.client import Client, ClientSettings, banned_until
from apps.discovery.pumpportal.faults import Faults, parse
from apps.discovery.pumpportal.market import Market
from apps.discovery.pumpportal.server import NEEDS_KEY, FeedServer, Frame
from apps.discovery.receiver import Receiver
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor, Entry
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
