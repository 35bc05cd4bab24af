"""What the simulator can do to a feed: read, told, banned."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from django.core.management import CommandError, call_command
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from apps.discovery.management.commands.simulator import told
from apps.discovery.pumpportal import simulator
from apps.discovery.pumpportal.faults import Fault, FaultError, Faults, parse
from apps.discovery.pumpportal.server import FeedServer
from apps.discovery.tests.process import wait_until
from tests.warm import Process


@contextmanager
def free_port() -> Iterator[int]:
    """A port that nothing listens on when the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


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


def test_simulator_takes_faults_at_its_start_and_while_it_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with free_port() as port:
        arguments = ["--port", str(port), "--warm", "1", "--json", "--fault", "duplicate", "--fault", "drop:every=900"]
    running = Process([sys.executable, "manage.py", "simulator", *arguments], os.environ, log=log)
    try:
        wait_until(lambda: log.exists() and "Simulated market at" in log.read_text(), "the simulator to listen")
        answer = told(port, ["stall:seconds=900"])
        assert [one["fault"].partition(":")[0] for one in orjson.loads(answer)["planned"]] == ["stall", "drop"]
        wait_until(lambda: "stall" in orjson.loads(told(port, ["list"]))["active"], "the stall to begin")
        with pytest.raises(CommandError, match="There is no fault 'flood'"):
            told(port, ["flood"])
    finally:
        running.terminate()
        status = running.wait(20)
    assert status == 0
    report = orjson.loads(log.read_text().splitlines()[-1])
    assert {key: value for key, value in report.items() if key.startswith("fault_")} == {
        "fault_duplicate": 1,
        "fault_stall": 1,
    }


def test_nobody_to_tell_is_said() -> None:
    with free_port() as port:
        pass
    with pytest.raises(CommandError, match=f"No simulator answers on port {port}"):
        call_command("simulator", port=port, tell=["list"])
