"""A websocket connection that hands whole text frames over as they are read.

The library makes an object of every frame, queues it and wakes a task for it: 6 us a frame, here 1 us. Nearly all of a
feed's frames are unmasked text in one piece; these are taken from the bytes of one read together, in their order,
without queue and task. All others are the library's: the handshake, control frames, and from the first frame of
another kind (fragments, compression, binary, too long, not UTF-8) on everything.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.protocol import OPEN

_TEXT_IN_ONE_PIECE = 0x81
_FIRST_CONTROL = 0x8
_USUAL, _MOST_USUAL = 0x817E, 0xFFFF
_usual_head = Struct(">HH").unpack_from
_HEAD_END = b"\r\n\r\n"
_HEAD_LIMIT = 2**16

Listener = Callable[[list[str]], None]


class FeedConnection(ClientConnection):
    """`listen` once after the handshake; iterating yields what did not go to the listener."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._mode = "handshake"
        self._most = self.protocol.max_message_size or 2**31
        self._rest = b""
        self._early: list[str] = []
        self._listener: Listener = self._early.extend

    def listen(self, listener: Listener) -> None:
        """Give `listener` the texts of every read, those that came already first."""
        self._listener = listener
        if self._early:
            listener(self._early)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with what one read brought."""
        if self._mode == "library":
            super().data_received(data)
        elif self._mode == "handshake":
            self._shake_hands(self._rest + data)
        else:
            self._take(self._rest + data if self._rest else data)

    def _shake_hands(self, data: bytes) -> None:
        """Let the library have the server's answer, and nothing of the frames behind it."""
        end = data.find(_HEAD_END) + len(_HEAD_END)
        if end < len(_HEAD_END) and len(data) < _HEAD_LIMIT:
            self._rest = data
            return
        self._rest = b""
        if end < len(_HEAD_END):
            self._give_up(data)
            return
        super().data_received(data[:end])
        if self.protocol.state is OPEN and not self.protocol.extensions:
            self._mode = "feed"
            self._take(data[end:])
        elif data[end:]:
            self._give_up(data[end:])
        else:
            self._mode = "library"

    def _take(self, data: bytes) -> None:
        texts: list[str] = []
        at = _take_usual(data, texts) if self._most >= _MOST_USUAL else 0
        while (frame := _frame(data, at)) is not None:
            start, stop = frame
            if data[at] == _TEXT_IN_ONE_PIECE and stop - start <= self._most:
                if stop > len(data):
                    break
                try:
                    texts.append(str(data[start:stop], "utf-8"))
                except UnicodeDecodeError:
                    return self._hand_over(texts, data[at:])
            elif data[at] & 0xF >= _FIRST_CONTROL and stop - start < 126:
                if stop > len(data):
                    break
                self._deliver(texts)
                texts = []
                super().data_received(data[at:stop])
            else:
                return self._hand_over(texts, data[at:])
            at = stop
        self._rest = data[at:]
        self._deliver(texts)

    def _deliver(self, texts: list[str]) -> None:
        if texts:
            self._listener(texts)

    def _hand_over(self, texts: list[str], data: bytes) -> None:
        self._deliver(texts)
        self._give_up(data)

    def _give_up(self, data: bytes) -> None:
        """From here on everything is the library's."""
        self._mode, self._rest = "library", b""
        super().data_received(data)


def _take_usual(data: bytes, texts: list[str]) -> int:
    """Take text frames of 126 bytes to 64 KiB while one follows another whole; where the first other begins."""
    at, size = 0, len(data)
    while size - at >= 4:
        kind, length = _usual_head(data, at)
        stop = at + 4 + length
        if kind != _USUAL or stop > size:
            break
        try:
            texts.append(str(data[at + 4 : stop], "utf-8"))
        except UnicodeDecodeError:
            break
        at = stop
    return at


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `at` begins and ends (maybe beyond the data); None before its head is whole.
    A masked frame, which no server may send, comes out as longer than any may be: the library refuses it."""
    if len(data) - at < 2:
        return None
    size = data[at + 1]
    if size < 126:
        return at + 2, at + 2 + size
    if size == 126:
        if len(data) - at < 4:
            return None
        return at + 4, at + 4 + (data[at + 2] << 8 | data[at + 3])
    if size == 127:
        if len(data) - at < 10:
            return None
        return at + 10, at + 10 + int.from_bytes(data[at + 2 : at + 10], "big")
    return at + 2, at + 2 + 2**63
