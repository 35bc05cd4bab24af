"""Recordings as frames, and the two commands that serve frames."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from apps.discovery.pumpportal import replay, simulator
from apps.discovery.pumpportal.replay import Played
from apps.discovery.pumpportal.server import JOURNAL_FORM, FeedServer
from apps.discovery.recordings import RecordedTrade
from tests.warm import Process

MINT = "So11111111111111111111111111111111111111112"
HEADER = "received_at,mint,side,sol_amount,token_amount,v_sol_in_bonding_curve,v_tokens_in_bonding_curve,market_cap_sol"
ROWS = [
    f"2025-09-05T20:56:20.100Z,{MINT},buy,1.5,49477270.489,33.992148,946983413.162,35.8952",
    f"2025-09-05T20:56:20.300Z,{MINT},sell,0.05,10,33.942148,946983423.162,35.85",
    f"2025-09-05T20:56:21.100Z,{MINT},buy,0.000001,0.5,33.942149,946983422.662,35.8501",
]
AT = 1_757_105_780.0


def _csv(tmp_path: Path, rows: list[str] = ROWS) -> Path:
    path = tmp_path / "trades.csv"
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def _jsonl(tmp_path: Path, *raws: tuple[float, str]) -> Path:
    path = tmp_path / "frames.jsonl"
    path.write_text("".join(json.dumps({"t_wall": at, "raw": raw}) + "\n" for at, raw in raws))
    return path


async def _read_to_the_end(uri: str) -> list[tuple[float, str]]:
    lines = []
    async with connect(uri, subprotocols=[JOURNAL_FORM]) as client:
        try:
            while True:
                line = json.loads(await asyncio.wait_for(client.recv(), 20))
                lines.append((line["t_wall"], line["raw"]))
        except ConnectionClosed:
            return lines


def test_recorded_trade_becomes_a_frame_that_invents_nothing() -> None:
    trade = RecordedTrade(2, 1_757_105_780_929, MINT, "sell", True, 1_873_902_000, 10**7, 33 * 10**9, 1, 35.9, 205.3)
    frame = replay.trade_frame(trade)
    assert json.loads(frame.text, parse_float=Decimal) == {
        "mint": MINT,
        "txType": "sell",
        "tokenAmount": 10,
        "solAmount": Decimal("1.873902"),
        "vTokensInBondingCurve": Decimal("0.000001"),
        "vSolInBondingCurve": 33,
        "marketCapSol": Decimal("35.9"),
        "pool": "pump",
    }
    assert (frame.kind, frame.mint, frame.t_wall) == ("trade", MINT, 1_757_105_780.929)


def test_pool_follows_the_end_of_the_mint() -> None:
    trade = RecordedTrade(2, 0, "1" * 40 + "bonk", "buy", True, 1, 1, 1, 1, 35.9, 205.3)
    assert json.loads(replay.trade_frame(trade).text)["pool"] == "bonk"


def test_files_are_merged_by_time_and_keep_their_own_order(tmp_path: Path) -> None:
    frames = _jsonl(tmp_path, (AT + 0.2, "one"), (AT + 0.2, "two"), (AT + 9, "three"))
    texts = [frame.text[:20] for frame in replay.read([_csv(tmp_path), frames])]
    assert texts == ['{"mint":"So111111111', "one", "two", *['{"mint":"So111111111'] * 2, "three"]


def test_since_and_until_cut_a_half_open_piece(tmp_path: Path) -> None:
    frames = list(replay.read([_csv(tmp_path)], since=AT + 0.3, until=AT + 1.1))
    assert [frame.t_wall for frame in frames] == [AT + 0.3]


def test_loop_goes_on_in_time(tmp_path: Path) -> None:
    rounds = replay.looped([_csv(tmp_path)], since=None, until=None)
    times = [next(rounds).t_wall for _ in range(6)]
    assert times[3:] == [pytest.approx((at or 0) + 2.0) for at in times[:3]]


async def test_everything_recorded_reaches_the_client_with_its_time(tmp_path: Path) -> None:
    path = _jsonl(
        tmp_path, (AT, "garbage"), (AT + 5, '{"txType":"create","mint":"A"}'), (AT + 900, '{"message":"hello"}')
    )
    async with FeedServer(port=0, journal_form=True) as server:
        client = asyncio.create_task(_read_to_the_end(server.uri))
        played = Played()
        await replay.play(server, replay.read([path]), speed=None, played=played)
        await server.offer(replay.farewell(played.last_at))
        await server.settle()
    assert await client == [
        (AT, "garbage"),
        (AT + 5, '{"txType":"create","mint":"A"}'),
        (AT + 900, '{"message":"hello"}'),
        (AT + 1020, '{"message":"replay finished"}'),
    ]
    assert (played.frames, played.first_at, played.last_at) == (3, AT, AT + 900)


async def test_pace_is_the_recorded_one_times_the_speed(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with FeedServer(port=0, journal_form=True) as server:
        client = asyncio.create_task(_read_to_the_end(server.uri))
        await server.wait_for_client()
        started = loop.time()
        await replay.play(server, replay.read([_csv(tmp_path)]), speed=10.0, played=Played())
        seconds = loop.time() - started
    await client
    assert 0.1 <= seconds < 1.0


async def test_replay_pauses_while_nobody_is_connected(tmp_path: Path) -> None:
    path = _jsonl(tmp_path, *[(AT + number, str(number)) for number in range(500)])
    async with FeedServer(port=0, journal_form=True) as server:
        playing = asyncio.create_task(replay.play(server, replay.read([path]), speed=200.0, played=Played()))
        async with connect(server.uri, subprotocols=[JOURNAL_FORM]) as client:
            first = [json.loads(await client.recv())["raw"] for _ in range(20)]
        client_task = asyncio.create_task(_read_to_the_end(server.uri))
        await playing
        await server.settle()
    rest = [raw for _, raw in await client_task]
    assert first == [str(number) for number in range(20)]
    assert rest[-1] == "499"
    assert len(rest) > 400


def test_wrong_csv_ends_with_status_2_and_names_the_place(tmp_path: Path) -> None:
    path = _csv(tmp_path, [ROWS[0], ROWS[1].replace("0.05", "much")])
    with pytest.raises(CommandError, match=r"trades.csv: line 3, column sol_amount: 'much' is not a number") as caught:
        call_command("replay", str(path), port=0)
    assert caught.value.returncode == 2


def test_missing_file_ends_with_status_2(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file") as caught:
        call_command("replay", str(tmp_path / "none.csv"))
    assert caught.value.returncode == 2


@asynccontextmanager
async def _command(log: Path, *arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """A management command in a process of its own that speaks into `log`, and the address that it names there."""
    process = Process([sys.executable, "manage.py", *arguments], os.environ, log=log)
    try:
        async with asyncio.timeout(30):
            while not (found := re.search(r" at (ws://[^,\s]+),", log.read_text() if log.exists() else "")):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.02)
        yield process, found[1]
    finally:
        process.kill()
        process.wait()


async def _report(process: Process, log: Path) -> Any:
    """What the command says in JSON at its end, which has to be a good one."""
    assert await asyncio.to_thread(process.wait, 20) == 0
    return json.loads(log.read_text().splitlines()[-1])


async def test_replay_command_plays_to_the_end_and_says_how_much(tmp_path: Path) -> None:
    log, arguments = tmp_path / "log", ("--speed", "max", "--port", "0", "--json")
    async with _command(log, "replay", str(_csv(tmp_path)), *arguments) as (process, uri):
        lines = await _read_to_the_end(uri)
        report = await _report(process, log)
    assert [at for at, _ in lines] == [AT + 0.1, AT + 0.3, AT + 1.1, AT + 121.1]
    assert report["frames"] == 3


async def test_simulator_command_streams_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    log, arguments = tmp_path / "log", ("--port", "0", "--rate", "50", "--warm", "1", "--json")
    async with _command(log, "simulator", *arguments) as (process, uri), connect(uri) as client:
        await client.send('{"method":"subscribeNewToken"}')
        await client.recv()
        create = json.loads(await asyncio.wait_for(client.recv(), 20))
        process.terminate()
        report = await _report(process, log)
    assert create["txType"] == "create"
    assert report["sent"] >= 2


def test_restart_of_the_simulator_brings_new_coins_unless_repeatable() -> None:
    def first(now: float, repeatable: bool) -> object:
        market = simulator.open_market(seed=1, rate=1.0, warm_seconds=60, repeatable=repeatable, now=now)
        return next(iter(market))[1]["mint"]

    assert first(AT, False) != first(AT + 10, False)
    assert first(AT, True) == first(AT, True)


@pytest.mark.recordings
async def test_all_real_frames_pass_through_the_websocket_unchanged(recordings: Path) -> None:
    path = recordings / "frames_2026-07-03.jsonl"
    expected = [(line["t_wall"], line["raw"]) for line in map(json.loads, path.read_text().splitlines())]
    async with FeedServer(port=0, journal_form=True) as server:
        client = asyncio.create_task(_read_to_the_end(server.uri))
        await replay.play(server, replay.read([path]), speed=None, played=Played())
        await server.settle()
    assert await client == expected
