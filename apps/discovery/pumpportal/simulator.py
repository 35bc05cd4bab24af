"""The simulated market in real time behind PumpPortal's protocol.

The market runs whether or not anybody listens, as the real one does: what nobody is subscribed to is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

import orjson

from apps.discovery.pumpportal.faults import Faults, parse
from apps.discovery.pumpportal.market import Market
from apps.discovery.pumpportal.market_frames import Json
from apps.discovery.pumpportal.server import FeedServer, Frame, Kind

TICK_SECONDS = 0.02
STALE_SECONDS = 5.0
_BREATH = 256


def open_market(*, seed: int, rate: float, warm_seconds: float, repeatable: bool, now: float) -> Market:
    """A market that has been running for `warm_seconds` at `now` (epoch seconds).

    The same seed gives another market at every start, unless `repeatable`: a restart must not bring back old coins.
    """
    start = now - warm_seconds
    market = Market(seed if repeatable else f"{seed}:{start!r}", start, rate)
    for _ in market.until(now):
        pass
    return market


def frame_of(content: Json) -> Frame:
    """The frame that the server sends for what the market said."""
    kind = cast(str, content["txType"])
    return Frame(
        orjson.dumps(content).decode(),
        cast(Kind, kind if kind in ("create", "migrate") else "trade"),
        cast(str, content["mint"]),
        cast(str, content.get("traderPublicKey", "")),
    )


def control(faults: Faults, query: dict[str, list[str]]) -> str:
    """Obey `?start=FAULT` (any number) or `?clear=1`, and tell what is at work. Raises FaultError."""
    now = time.time()
    wanted = [parse(text) for text in query.get("start", [])]
    if "clear" in query:
        faults.clear()
    for fault in wanted:
        faults.add(fault, now)
    return orjson.dumps(faults.listing(now)).decode()


async def run(
    server: FeedServer,
    market: Market,
    counts: Counter[str],
    *,
    faults: Faults,
    clock: Callable[[], float] = time.time,
) -> None:
    """Publish the market's frames when they are due, for ever, as the faults leave them. `counts` counts by txType.

    Frames overdue by more than STALE_SECONDS (the machine slept) are dropped and counted as `stale`.
    """
    while True:
        now = clock()
        faults.tick(server, now)
        for number, (at, content) in enumerate(market.until(now), start=1):
            if at < now - STALE_SECONDS:
                counts["stale"] += 1
            else:
                counts[cast(str, content["txType"])] += 1
                for frame in faults.strike(frame_of(content)):
                    server.publish(frame)
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(TICK_SECONDS)
