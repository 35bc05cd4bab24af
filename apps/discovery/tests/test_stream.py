"""The real stream process: killed, cut off from its database, from Redis and from its feed."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.discovery import curve
from apps.discovery.journal import JournalReader
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import Coin, CoinStream, CoinTransaction, Phase, StreamGap, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal import replay
from apps.discovery.pumpportal.server import Frame
from apps.discovery.services import stream_config_load
from apps.discovery.state import NO_TRADES, Cursor
from apps.discovery.tests import tables
from apps.discovery.tests.frames import SmallMarket, create, trade
from apps.discovery.tests.process import Feed, Network, StreamProcess, database_url, wait_until
from apps.discovery.writer import Status, write

pytestmark = pytest.mark.usefixtures("feed_tables")

ADDRESSES = [f"{letter * 40}pump" for letter in "ABCDEFGHJKLMNPQRSTUVWXYZ"]


def recorded(count: int, seed: int = 5) -> list[Frame]:
    """Frames of the small market with their times, as a replay sends them."""
    entries = SmallMarket(seed).entries(count)
    return [Frame(one.raw, "control", t_wall=one.at_us / 1e6) for one in entries if one.raw is not None]


def next_seq() -> int:
    return StreamState.objects.values_list("next_seq", flat=True).get()


def is_connected() -> bool:
    return StreamState.objects.values_list("connected", flat=True).get()


def frames_in(folder: Path) -> list[str]:
    """Every frame of a journal."""
    reader, found = JournalReader(folder, Cursor()), []
    while entries := reader.read():
        found += [entry.raw for entry in entries if entry.raw is not None]
    return found


def tables_of_journal(folder: Path, feed_at: datetime) -> dict[str, list[Any]]:
    """What the tables must be: the whole journal folded at one go, without any disturbance."""
    tables.reset()
    config = stream_config_load()
    pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))
    reader = JournalReader(folder, Cursor())
    while entries := reader.read():
        pipeline.feed(entries, reader.cursor)
    pipeline.advance(round(feed_at.timestamp() * 1_000_000))
    write(pipeline.take(), Status("live", True, "", datetime.now(UTC)), Owed(folder / "owed"))
    return tables.dump()


def assert_tables_are_those_of(folder: Path) -> None:
    found = tables.dump()
    feed_at = found["stream_state"][0][1]
    expected = tables_of_journal(folder, feed_at)
    for name, rows in expected.items():
        assert found[name] == rows, name


def test_killed_again_and_again_the_tables_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    frames, chance = recorded(1_500), random.Random(3)
    with Feed(journal_form=True) as feed:
        stream = StreamProcess(tmp_path, feed.server.uri)
        for begin in range(0, 1_000, 500):
            with stream:
                before = next_seq()
                feed.offer(frames[begin : begin + 500])
                wanted = before + chance.randrange(1, 400)
                wait_until(lambda wanted=wanted: next_seq() >= wanted, "some frames in the tables")
                stream.kill()
            wait_until(lambda: not feed.server.clients, "the server to notice")
        with stream:
            feed.offer(frames[1_000:])
            wait_until(lambda: next_seq() == journal_end(stream.journal), "the end of the journal")
            assert stream.terminate() == 0
    kept = frames_in(stream.journal)
    assert len(kept) > 500
    assert is_subsequence(kept, [frame.text for frame in frames])
    assert_tables_are_those_of(stream.journal)


def journal_end(folder: Path) -> int:
    reader = JournalReader(folder, Cursor())
    while reader.read():
        pass
    return reader.cursor.next_seq


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in part)


def test_redis_away_does_not_matter_and_database_away_costs_disk_and_not_one_frame(tmp_path: Path) -> None:
    frames = recorded(1_500)
    network, redis = Network(database_url()), Network(settings.REDIS_URL)
    addresses = {"DATABASE_URL": network.url, "REDIS_URL": redis.url}
    with Feed(journal_form=True) as feed, StreamProcess(tmp_path, feed.server.uri, **addresses) as stream:
        feed.offer(frames[:100])
        wait_until(lambda: next_seq() >= 100, "the first frames")
        redis.cut()
        feed.offer(frames[100:200])
        wait_until(lambda: next_seq() >= 200, "frames without Redis")
        redis.mend()
        feed.offer(frames[200:300])
        wait_until(lambda: next_seq() >= 300, "frames after Redis")
        network.cut()
        feed.offer(frames[300:])
        wait_until(lambda: len(frames_in(stream.journal)) == len(frames), "all frames in the journal")
        assert next_seq() < len(frames)
        network.mend()
        wait_until(lambda: next_seq() >= len(frames), "the tables to catch up")
        assert stream.terminate() == 0
    network.cut()
    redis.cut()
    assert frames_in(stream.journal) == [frame.text for frame in frames]
    assert_tables_are_those_of(stream.journal)


def test_stream_that_starts_while_redis_is_away_streams(tmp_path: Path) -> None:
    frames = recorded(200)
    redis = Network(settings.REDIS_URL)
    redis.cut()
    with (
        Feed(journal_form=True) as feed,
        StreamProcess(tmp_path, feed.server.uri, REDIS_URL=redis.url) as stream,
    ):
        feed.offer(frames)
        wait_until(lambda: next_seq() >= len(frames), "frames without Redis")
        assert stream.terminate() == 0
    assert_tables_are_those_of(stream.journal)


def test_second_stream_stands_by_and_takes_over_within_seconds(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with (
        Feed() as feed,
        StreamProcess(tmp_path, feed.server.uri) as first,
        StreamProcess(tmp_path / "b", feed.server.uri, JOURNAL_DIR=str(tmp_path / "journal")) as second,
    ):
        wait_until(is_connected, "the first connection")
        wait_until(lambda: "standing by" in first.log.read_text() + second.log.read_text(), "one to stand by")
        assert feed.server.clients == 1
        owner, other = (second, first) if "standing by" in first.log.read_text() else (first, second)
        before = set(feed.server._clients)
        owner.kill()
        wait_until(
            lambda: any(client.creates for client in set(feed.server._clients) - before), "the takeover", seconds=8
        )
        feed.publish(Frame(create(ADDRESSES[0]), "create", ADDRESSES[0]))
        wait_until(lambda: Coin.objects.filter(mint=ADDRESSES[0]).exists(), "its first coin")
        assert other.terminate() == 0


def test_closed_socket_is_reopened_resubscribed_and_noted_as_a_gap(tmp_path: Path) -> None:
    quote = curve.buy_exact_in(curve.INITIAL, 10**9, curve.Fees(95, 30))
    bought = trade(ADDRESSES[0], side="buy", quote=quote, trader="T" * 40, signature="5" * 88)
    feed = Feed()
    network = Network(feed.server.uri)
    with feed, StreamProcess(tmp_path, network.url) as stream:
        wait_until(lambda: feed.server.clients, "the connection")
        wait_until(is_connected, "the status")
        feed.publish(Frame(create(ADDRESSES[0]), "create", ADDRESSES[0]))
        wait_until(lambda: feed.server.subscriptions == 1, "the subscription to its trades")
        network.cut()
        wait_until(lambda: not feed.server.clients, "the drop")
        network.mend()
        wait_until(lambda: feed.server.subscriptions == 1, "the subscription again")
        feed.publish(Frame(bought, "trade", ADDRESSES[0]))
        wait_until(lambda: CoinTransaction.objects.exists(), "the trade after the drop")
        wait_until(lambda: StreamGap.objects.exists(), "the gap")
        assert stream.terminate() == 0
    gap = StreamGap.objects.get()
    assert gap.started_at < gap.ended_at
    assert "lost" in gap.reason or "closed" in gap.reason
    assert_tables_are_those_of(stream.journal)


def test_feed_without_a_key_says_creates_only_and_does_not_ask_again(tmp_path: Path) -> None:
    feed = Feed(require_key=True)
    with StreamProcess(tmp_path, feed.server.uri) as stream:
        with feed:
            wait_until(is_connected, "the connection")
            for mint in ADDRESSES[:5]:
                feed.publish(Frame(create(mint, creator=mint), "create", mint))
            wait_until(lambda: CoinStream.objects.count() == 5, "the coins")
            wait_until(lambda: StreamState.objects.get().state == "creates_only", "the state")
            wait_until(lambda: StreamState.objects.get().detail == NO_TRADES, "the reason")
        wait_until(lambda: StreamState.objects.get().detail == "nothing listens there", "the reason of the next state")
        assert not StreamState.objects.get().connected
        assert stream.terminate() == 0
    refusals = [text for text in frames_in(stream.journal) if "only available" in text]
    assert 1 <= len(refusals) <= 5


def test_all_recorded_frames_end_in_the_right_coins(tmp_path: Path, recordings: Path) -> None:
    path = recordings / "frames_2026-07-03.jsonl"
    frames = list(replay.read([path]))
    with Feed(journal_form=True) as feed, StreamProcess(tmp_path, feed.server.uri) as stream:
        feed.offer([*frames, replay.farewell(frames[-1].t_wall or 0)])
        wait_until(lambda: next_seq() == len(frames) + 1, "all frames")
        assert stream.terminate() == 0
    raw = [json.loads(frame.text, parse_float=Decimal) for frame in frames]
    usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    creates = {frame["mint"]: frame for frame in raw if frame.get("txType") == "create" and frame["mint"] != usdc}
    migrated = {frame["mint"] for frame in raw if frame.get("txType") == "migrate"}
    assert set(Coin.objects.values_list("mint", flat=True)) == creates.keys() | migrated
    assert set(Coin.objects.filter(graduated=True).values_list("mint", flat=True)) == migrated
    for coin in Coin.objects.filter(created_at__isnull=False):
        source = creates[coin.mint]
        assert (coin.name, coin.symbol, coin.uri) == tuple(source.get(key, "") for key in ("name", "symbol", "uri"))
        assert coin.initial_buy_lamports == round(Decimal(source["solAmount"]) * 10**9)
        assert coin.curve == ("nonstandard" if source["pool"] == "bonk" or source["is_mayhem_mode"] else "standard")
    assert StreamState.objects.get().oddities["quote_mint_create"] == sum(frame.get("mint") == usdc for frame in raw)
    filtered = set(Coin.objects.exclude(filtered_reason="").values_list("mint", flat=True))
    first_buys = {mint for mint, frame in creates.items() if frame["solAmount"] and frame["initialBuy"]}
    assert set(CoinTransaction.objects.values_list("mint", flat=True)) == first_buys - filtered
    assert_tables_are_those_of(stream.journal)


def test_all_decoded_trades_end_exactly_in_the_table(tmp_path: Path, recordings: Path) -> None:
    path = recordings / "trades_decoded_2026-07-04.jsonl"
    frames = list(replay.read([path]))
    with Feed(journal_form=True) as feed, StreamProcess(tmp_path, feed.server.uri) as stream:
        feed.offer(frames)
        wait_until(lambda: next_seq() == len(frames), "all trades")
        assert stream.terminate() == 0
    expected = Counter()
    for line in path.read_text().splitlines():
        source = json.loads(line, parse_float=Decimal)
        expected[
            source["signature"],
            source["txType"],
            int(source["solAmount"] * 10**9),
            int(source["tokenAmount"] * 10**6),
            int(source["vSolInBondingCurve"] * 10**9),
            int(source["vTokensInBondingCurve"] * 10**6),
        ] += 1
    names = ("signature", "tx_type", "sol_amount", "token_amount", "virtual_sol_lamports", "virtual_token_base_units")
    assert Counter(CoinTransaction.objects.values_list(*names)) == expected
    assert sum(expected.values()) == 93
    assert Phase.objects.filter(id=1).exists()
