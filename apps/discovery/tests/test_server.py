"""The PumpPortal-compatible server, asked by real websocket clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from apps.discovery.pumpportal import server as protocol
from apps.discovery.pumpportal.server import FeedServer, Frame, PortError

CREATE = Frame('{"txType":"create","mint":"A"}', "create", "A", "W1")
MIGRATE = Frame('{"txType":"migrate","mint":"A"}', "migrate", "A")
BUY_A = Frame('{"txType":"buy","mint":"A"}', "trade", "A", "W1")
BUY_B = Frame('{"txType":"buy","mint":"B"}', "trade", "B", "W2")
GAP = Frame('{"from":1,"to":2}', "gap", t_wall=5.0)


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    async with FeedServer(port=0) as server:
        yield server


async def ask(client: ClientConnection, method: str, *keys: str) -> None:
    request: dict[str, Any] = {"method": method}
    await client.send(json.dumps(request | ({"keys": keys} if keys else {})))


async def answer(client: ClientConnection) -> str:
    return str(json.loads(await asyncio.wait_for(client.recv(), 5))["message"])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def received(server: FeedServer, client: ClientConnection, *frames: Frame) -> list[str]:
    """What the client gets of these frames: everything that comes before an answer that is asked for at the end."""
    for frame in frames:
        server.publish(frame)
    await ask(client, "nonsense")
    texts = []
    while (text := str(await asyncio.wait_for(client.recv(), 5))) != '{"message":"Invalid method."}':
        texts.append(text)
    return texts


@pytest.mark.parametrize(
    ("method", "keys", "message"),
    [
        ("subscribeNewToken", [], "Successfully subscribed to token creation events."),
        ("subscribeMigration", [], "Subscribed to 'migration' events."),
        ("subscribeTokenTrade", ["A"], "Successfully subscribed to keys."),
        ("subscribeAccountTrade", ["W"], "Successfully subscribed to keys."),
    ],
)
async def test_subscription_is_answered_as_the_real_service_does(
    server: FeedServer, method: str, keys: list[str], message: str
) -> None:
    async with connect(server.uri) as client:
        await ask(client, method, *keys)
        assert await answer(client) == message


@pytest.mark.parametrize(
    ("method", "keys", "expected"),
    [
        ("subscribeNewToken", [], [CREATE]),
        ("subscribeMigration", [], [MIGRATE]),
        ("subscribeTokenTrade", ["A"], [BUY_A]),
        ("subscribeAccountTrade", ["W2"], [BUY_B]),
        ("subscribeTokenTrade", ["A", "B"], [BUY_A, BUY_B]),
    ],
)
async def test_client_gets_what_it_subscribed_to_and_nothing_else(
    server: FeedServer, method: str, keys: list[str], expected: list[Frame]
) -> None:
    async with connect(server.uri) as client:
        await ask(client, method, *keys)
        await answer(client)
        texts = await received(server, client, CREATE, MIGRATE, GAP, BUY_A, BUY_B)
        assert texts == [frame.text for frame in expected]


async def test_unsubscribed_keys_are_not_sent_any_more(server: FeedServer) -> None:
    async with connect(server.uri) as client:
        await ask(client, "subscribeTokenTrade", "A", "B")
        await answer(client)
        await ask(client, "unsubscribeTokenTrade", "A")
        await received(server, client)
        assert await received(server, client, BUY_A, BUY_B) == [BUY_B.text]
        await ask(client, "unsubscribeTokenTrade")
        await received(server, client)
        assert await received(server, client, BUY_A, BUY_B) == []
        assert server.subscriptions == 0


async def test_trades_need_a_key_where_one_is_required() -> None:
    async with FeedServer(port=0, require_key=True) as server:
        async with connect(server.uri) as client:
            await ask(client, "subscribeTokenTrade", "A")
            assert await answer(client) == protocol.NEEDS_KEY
            assert protocol.NEEDS_KEY.endswith("an API key funded with at least 0.02 SOL.")
            assert await received(server, client, BUY_A) == []
        async with connect(server.uri + "?api-key=secret") as client:
            await ask(client, "subscribeTokenTrade", "A")
            assert await answer(client) == protocol.SUBSCRIBED_KEYS
            assert await received(server, client, BUY_A) == [BUY_A.text]


async def test_there_is_one_path_only(server: FeedServer) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(server.uri.replace("/api/data", "/other"))
    assert caught.value.response.status_code == 404


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"method":5}', '{"keys":["A"]}', '{"method":"subscribeTokenTrade","keys":5}']
)
async def test_wrong_request_is_answered_and_the_connection_lives_on(server: FeedServer, text: str) -> None:
    async with connect(server.uri) as client:
        await client.send(text)
        assert (await answer(client)).startswith("Invalid message")
        await ask(client, "subscribeNewToken")
        assert await answer(client) == protocol.SUBSCRIBED_CREATES


async def test_client_with_too_many_keys_in_a_message_is_closed(server: FeedServer) -> None:
    async with connect(server.uri) as client:
        await ask(client, "subscribeTokenTrade", *[f"mint{number}" for number in range(5_001)])
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1008


async def test_client_that_asks_too_often_is_closed(server: FeedServer) -> None:
    async with connect(server.uri) as client:
        with pytest.raises(ConnectionClosed):
            for _ in range(400):
                await ask(client, "subscribeMigration")
            while True:
                await client.recv()


async def test_slow_client_is_dropped_and_does_not_hold_up_the_other() -> None:
    big = Frame('{"filler":"' + "x" * 100_000 + '"}', "create", "A")
    async with (
        FeedServer(port=0, queue_limit=50) as server,
        connect(server.uri, max_queue=1, close_timeout=0.1) as slow,
        connect(server.uri) as quick,
    ):
        for client in (slow, quick):
            await ask(client, "subscribeNewToken")
        await answer(quick)
        await until(lambda: server.clients == 2 and all(client.creates for client in server._clients))
        sent = 0
        while not server.dropped_clients:
            server.publish(big)
            sent += 1
            assert await asyncio.wait_for(quick.recv(), 5) == big.text
        assert server.clients == 1
        assert sent > 50


async def test_journal_form_wraps_every_frame_with_its_time_for_whoever_asks_for_it() -> None:
    frames = [Frame('{"a":"ü"}', "create", "A", t_wall=1.5), Frame("garbage", "control", t_wall=2.0), GAP]
    async with (
        FeedServer(port=0, journal_form=True) as server,
        connect(server.uri, subprotocols=[protocol.JOURNAL_FORM]) as client,
    ):
        assert client.subprotocol == "pump-journal.v1"
        await ask(client, "subscribeNewToken")
        await until(lambda: server.clients == 1)
        for frame in frames:
            await server.offer(frame)
        lines = [json.loads(await asyncio.wait_for(client.recv(), 5)) for _ in frames]
    assert lines == [
        {"t_wall": 1.5, "raw": '{"a":"ü"}'},
        {"t_wall": 2.0, "raw": "garbage"},
        {"t_wall": 5.0, "gap": {"from": 1, "to": 2}},
    ]


async def test_journal_form_is_not_offered_by_the_simulator(server: FeedServer) -> None:
    async with connect(server.uri, subprotocols=[Subprotocol("pump-journal.v1")]) as client:
        assert client.subprotocol is None


async def test_offer_waits_until_somebody_is_there_and_loses_nothing() -> None:
    async with FeedServer(port=0, journal_form=True) as server:
        offers = asyncio.create_task(_offer_all(server, 3_000))
        async with connect(server.uri, subprotocols=[protocol.JOURNAL_FORM], max_queue=4) as client:
            texts = [json.loads(await asyncio.wait_for(client.recv(), 5))["raw"] for _ in range(3_000)]
            await offers
    assert texts == [str(number) for number in range(3_000)]


async def _offer_all(server: FeedServer, count: int) -> None:
    for number in range(count):
        await server.offer(Frame(str(number), "control", t_wall=float(number)), high_water=100)
    await server.settle()


async def test_taken_port_is_told_in_a_sentence(server: FeedServer) -> None:
    with pytest.raises(PortError, match=f"Port {server.port} cannot be used: Address already in use"):
        async with FeedServer(port=server.port):
            pass


async def test_port_that_is_none_is_told_in_a_sentence() -> None:
    with pytest.raises(PortError, match="Port 99999 cannot be used: ports go from 1 to 65535"):
        async with FeedServer(port=99_999):
            pass


async def test_server_tells_what_it_sends_to_which_connection() -> None:
    told: list[tuple[int, str]] = []
    async with FeedServer(port=0, on_sent=lambda number, text: told.append((number, text))) as server:
        for number in (1, 2):
            async with connect(server.uri) as client:
                await ask(client, "subscribeNewToken")
                await answer(client)
                assert await received(server, client, CREATE, BUY_A) == [CREATE.text]
                assert [text for to, text in told if to == number and "message" not in text] == [CREATE.text]
            await until(lambda: not server.clients)
        assert server.connections == 2


async def test_broken_off_client_is_gone_at_once_and_may_come_back(server: FeedServer) -> None:
    async with connect(server.uri) as client:
        await ask(client, "subscribeNewToken")
        await answer(client)
        server.disconnect()
        assert server.clients == 0
        with pytest.raises(ConnectionClosed):
            await client.recv()
    async with connect(server.uri) as client:
        await ask(client, "subscribeNewToken")
        assert await answer(client) == protocol.SUBSCRIBED_CREATES
