"""Recorded input as timed PumpPortal frames, and the playing of them through the server.

Frame recordings keep their exact text. A trade of a history becomes a frame that holds what was recorded and nothing
else: no signature, no trader, no bonding curve key.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from apps.discovery import recordings
from apps.discovery.curve import BASE_UNITS_PER_TOKEN, LAMPORTS_PER_SOL
from apps.discovery.pumpportal.server import FeedServer, Frame, Kind
from apps.discovery.recordings import RecordedLine, RecordedTrade

AFTERMATH_SECONDS = 120.0
_KINDS: dict[str, Kind] = {"create": "create", "migrate": "migrate", "buy": "trade", "sell": "trade"}


@dataclass(slots=True)
class Played:
    """What a replay has handed over so far; times are recorded ones (epoch seconds)."""

    frames: int = 0
    gaps: int = 0
    first_at: float = math.nan
    last_at: float = math.nan


class _Head(msgspec.Struct):
    tx_type: str = msgspec.field(default="", name="txType")
    mint: str = ""
    trader: str = msgspec.field(default="", name="traderPublicKey")


_decode_head = msgspec.json.Decoder(_Head).decode


def read(paths: Sequence[Path], *, since: float | None = None, until: float | None = None) -> Iterator[Frame]:
    """The frames of all files in one order of time, each file's own order kept; [since, until) in epoch seconds.

    Raises CsvError for a line that cannot be read, OSError for a file.
    """
    return heapq.merge(*[_read_one(path, since, until) for path in paths], key=_recorded_at)


def trade_frame(trade: RecordedTrade) -> Frame:
    """The frame of a trade whose signature and trader were not recorded; exact decimals."""
    fields = [
        ("mint", json.dumps(trade.mint)),
        ("txType", json.dumps(trade.side)),
        ("tokenAmount", _decimal(trade.token_base_units, BASE_UNITS_PER_TOKEN)),
        ("solAmount", _decimal(trade.sol_lamports, LAMPORTS_PER_SOL)),
        ("vTokensInBondingCurve", _decimal(trade.virtual_token_base_units, BASE_UNITS_PER_TOKEN)),
        ("vSolInBondingCurve", _decimal(trade.virtual_sol_lamports, LAMPORTS_PER_SOL)),
        ("pool", '"bonk"' if trade.mint.endswith("bonk") else '"pump"'),
    ]
    if not math.isnan(trade.market_cap_sol):
        fields.insert(-1, ("marketCapSol", repr(trade.market_cap_sol)))
    text = "{" + ",".join(f'"{name}":{value}' for name, value in fields) + "}"
    return Frame(text, "trade", trade.mint, t_wall=trade.received_at_ms / 1000)


def farewell(last_at: float) -> Frame:
    """The last frame of a replay, late enough for every open window of metrics to close."""
    return Frame('{"message":"replay finished"}', "control", t_wall=last_at + AFTERMATH_SECONDS)


async def play(
    server: FeedServer,
    frames: Iterable[Frame],
    *,
    speed: float | None,
    played: Played,
    progress: Callable[[Played], None] = lambda played: None,
) -> None:
    """Hand the frames to the server at `speed` times their recorded pace (None: as fast as clients read)."""
    await server.wait_for_client()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for frame in frames:
        assert frame.t_wall is not None
        if math.isnan(played.first_at):
            played.first_at = frame.t_wall
        if speed is not None:
            due = started + (frame.t_wall - played.first_at) / speed
            await asyncio.sleep(max(0.0, due - loop.time()))
        await server.offer(frame)
        played.frames += frame.kind != "gap"
        played.gaps += frame.kind == "gap"
        played.last_at = frame.t_wall
        progress(played)


def looped(paths: Sequence[Path], *, since: float | None, until: float | None) -> Iterator[Frame]:
    """The same frames over and over, each round later by the length of the recording and a second."""
    shift = 0.0
    while True:
        first = last = None
        for frame in read(paths, since=since, until=until):
            at = _recorded_at(frame)
            first, last = at if first is None else first, at
            yield replace(frame, t_wall=at + shift)
        if first is None or last is None:
            return
        shift += last - first + 1.0


def _recorded_at(frame: Frame) -> float:
    assert frame.t_wall is not None
    return frame.t_wall


def _read_one(path: Path, since: float | None, until: float | None) -> Iterator[Frame]:
    if recordings.is_trade_history(path):
        since_ms = None if since is None else math.ceil(since * 1000)
        until_ms = None if until is None else math.ceil(until * 1000)
        yield from map(trade_frame, recordings.read_trades_csv(path, since_ms=since_ms, until_ms=until_ms))
        return
    for line in recordings.read_frames(path):
        if (since is None or line.t_wall >= since) and (until is None or line.t_wall < until):
            yield _line_frame(line)


def _line_frame(line: RecordedLine) -> Frame:
    if line.raw is None:
        return Frame(json.dumps(line.gap, separators=(",", ":")), "gap", t_wall=line.t_wall)
    try:
        head = _decode_head(line.raw)
    except (msgspec.DecodeError, UnicodeError):
        return Frame(line.raw, "control", t_wall=line.t_wall)  # garbage was received by everybody, too
    return Frame(line.raw, _KINDS.get(head.tx_type, "control"), head.mint, head.trader, line.t_wall)


def _decimal(amount: int, per: int) -> str:
    whole, rest = divmod(amount, per)
    return str(whole) if not rest else f"{whole}.{rest:0{len(str(per)) - 1}d}".rstrip("0")
