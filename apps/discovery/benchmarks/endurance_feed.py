"""The feed of the endurance run: the simulated market in a thread of its own, with a record of every frame it sent."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from hashlib import blake2b
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from apps.discovery.pumpportal import simulator
from apps.discovery.pumpportal.faults import Faults, parse
from apps.discovery.pumpportal.market_frames import USDC
from apps.discovery.pumpportal.server import FeedServer

SENT = np.dtype([("at", "<f8"), ("client", "<u4"), ("kind", "u1"), ("key", "<i8")])
TRADE, CREATE = 1, 2
SEED = 3
_RECORD = struct.Struct("<dIBq")
_ANSWER_SECONDS = 60.0


def key_of(*parts: object) -> int:
    """64 bits that stand for what was traded or created; the same from a frame, the journal and a table's row."""
    return int.from_bytes(blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest(), "little", signed=True)


def rows_of(text: str) -> list[tuple[int, int]]:
    """Kind and key of the rows that a frame must become, read without the platform's own parser.

    A create is a coin and, where its creator bought, a trade. Empty for what no table has a row for.
    """
    try:
        frame = orjson.loads(text)
        if frame["txType"] in ("buy", "sell"):
            return [(TRADE, _trade_key(frame, frame["txType"], frame["tokenAmount"]))]
        if frame["txType"] == "create" and frame["mint"] != USDC:
            coin = (CREATE, key_of(frame["mint"], frame["signature"]))
            bought = frame["initialBuy"]
            return [coin, (TRADE, _trade_key(frame, "buy", bought))] if bought else [coin]
    except (ValueError, KeyError, TypeError):
        return []  # garbage, which is sent on purpose
    return []


def _trade_key(frame: dict[str, Any], side: str, tokens: float) -> int:
    return key_of(
        frame["signature"],
        frame["mint"],
        frame["traderPublicKey"],
        side,
        round(tokens * 1e6),
        round(frame["solAmount"] * 1e9),
        _reserve(frame, "vSolInBondingCurve", 1e9),
        _reserve(frame, "vTokensInBondingCurve", 1e6),
    )


def _reserve(frame: dict[str, Any], field: str, per: float) -> int | None:
    """None on another launchpad, which has no bonding curve of ours."""
    return round(frame[field] * per) if frame["pool"] == "pump" else None


class RecordedFeed:
    """Serves the market on a free port of loopback from `open` to `close`. All methods are for other threads."""

    def __init__(self, rate: float) -> None:
        self.counts: Counter[str] = Counter()
        self.faults = Faults(SEED)
        self._market = simulator.open_market(seed=SEED, rate=rate, warm_seconds=0.0, repeatable=False, now=time.time())
        self._server = FeedServer(port=0, on_sent=self._note)
        self.frames = 0
        self._record = bytearray()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._server.__aenter__())
        self._work = asyncio.run_coroutine_threadsafe(
            simulator.run(self._server, self._market, self.counts, faults=self.faults), self._loop
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.cancel()
        self._call(self._server.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def uri(self) -> str:
        return self._server.uri

    @property
    def clients(self) -> int:
        return self._server.clients

    def begin(self, fault: str) -> None:
        """Let something go wrong; the fault as the simulator's command takes it."""
        self._loop.call_soon_threadsafe(self.faults.add, parse(fault), time.time())

    def fall_silent(self) -> None:
        """Send nothing new, until everything that was handed over is with the client."""
        self.begin("stall")
        self._call(self._settled())

    def sent(self) -> NDArray[Any]:
        """The rows (SENT) that the frames sent so far must become, in the order of sending."""
        return np.frombuffer(bytes(self._record), SENT)

    async def _settled(self) -> None:
        while "stall" not in self.faults.listing(0.0)["active"]:  # type: ignore[operator]
            await asyncio.sleep(0.05)
        await self._server.settle()

    def _note(self, client: int, text: str) -> None:
        self.frames += 1
        now = time.time()
        for kind, key in rows_of(text):
            self._record += _RECORD.pack(now, client, kind, key)

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_ANSWER_SECONDS)
