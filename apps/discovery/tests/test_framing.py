"""Text frames come out whole and in order, however the network cuts the bytes and whatever lies between them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from apps.discovery.pumpportal.framing import FeedConnection
from apps.discovery.pumpportal.load import wire_form

LONG = "x" * 70_000
TEXTS = ['{"a":1}', "", "ü" * 100, "y" * 125, "y" * 126, "y" * 4_000, LONG, "end"]
PING = Frame(Opcode.PING, b"are you there").serialize(mask=False)
CLOSE = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False)
FRAGMENTS = [
    Frame(Opcode.TEXT, b"one ", fin=False).serialize(mask=False),
    Frame(Opcode.CONT, b"two", fin=True).serialize(mask=False),
]
BINARY = Frame(Opcode.BINARY, b"bytes").serialize(mask=False)
NO_UTF8 = Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=False)
MASKED = Frame(Opcode.TEXT, b"masked").serialize(mask=True)


def long_form(text: str) -> bytes:
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


class RawServer:
    """Shakes hands and sends bytes, in pieces and perhaps in the same write as the handshake; keeps what comes back."""

    def __init__(self, data: bytes, cuts: Sequence[int], *, together: bool = False) -> None:
        edges = [0, *sorted(cuts), len(data)]
        self.pieces = [data[a:b] for a, b in pairwise(edges)]
        self.together = together
        self.frames: list[Frame] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        protocol.send_response(protocol.accept(protocol.events_received()[0]))  # type: ignore[arg-type]
        greeting = b"".join(protocol.data_to_send())
        first = self.pieces.pop(0) if self.together else b""
        for piece in [greeting + first, *self.pieces]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # let the other side read this much
        while data := await reader.read(65_536):
            protocol.receive_data(data)
            self.frames += [event for event in protocol.events_received() if isinstance(event, Frame)]
            if any(frame.opcode is Opcode.CLOSE for frame in self.frames):
                break
        writer.close()

    @property
    def closed_with(self) -> int:
        """The code of the client's close frame."""
        last = [frame for frame in self.frames if frame.opcode is Opcode.CLOSE][-1]
        return int.from_bytes(bytes(last.data)[:2], "big")


async def received(server: RawServer) -> tuple[list[str | bytes], int]:
    """What the client hands over, and the code with which it closed."""
    found: list[str | bytes] = []
    async with await asyncio.start_server(server.talk, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}"
        socket = await connect(uri, create_connection=FeedConnection, compression=None, proxy=None, close_timeout=2)
        assert isinstance(socket, FeedConnection)
        socket.listen(found.extend)
        try:
            async for message in socket:
                found.append(message)
        except ConnectionClosed:
            pass
        await socket.wait_closed()
    return found, server.closed_with


@pytest.mark.parametrize("seed", range(6))
def test_texts_come_whole_and_in_order_wherever_the_bytes_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    texts = chance.choices(TEXTS, k=30)
    data = b"".join(long_form(text) for text in texts) + CLOSE
    cuts = chance.sample(range(1, len(data)), 12)
    assert asyncio.run(received(RawServer(data, cuts, together=bool(seed % 2)))) == (texts, 1000)


def test_frames_in_the_write_of_the_handshake_are_not_lost() -> None:
    data = long_form("first") + long_form("second") + CLOSE
    assert asyncio.run(received(RawServer(data, [3], together=True)))[0] == ["first", "second"]


def test_ping_between_frames_is_answered_and_disturbs_nothing() -> None:
    server = RawServer(long_form("a") + PING + long_form("b") + CLOSE, [5, 9])
    assert asyncio.run(received(server)) == (["a", "b"], 1000)
    assert [bytes(frame.data) for frame in server.frames if frame.opcode is Opcode.PONG] == [b"are you there"]


def test_fragments_and_binary_are_left_to_the_library_in_their_order() -> None:
    data = long_form("a") + b"".join(FRAGMENTS) + long_form("b") + BINARY + long_form("c") + CLOSE
    assert asyncio.run(received(RawServer(data, [2, 20])))[0] == ["a", "one two", "b", b"bytes", "c"]


@pytest.mark.parametrize(
    ("data", "code"),
    [(NO_UTF8, 1007), (MASKED, 1002), (long_form("z" * 2**20 + "z"), 1009)],
    ids=["utf8", "mask", "big"],
)
def test_frame_against_the_protocol_ends_the_connection_after_what_came_before(data: bytes, code: int) -> None:
    found, closed = asyncio.run(received(RawServer(long_form("a") + data, [4])))
    assert (found, closed) == (["a"], code)


def test_prepared_frames_are_those_of_the_library() -> None:
    assert [wire_form(text) for text in TEXTS if text != LONG] == [long_form(text) for text in TEXTS if text != LONG]
