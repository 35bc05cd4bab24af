"""What can go wrong with a feed, done on request: to see what the platform makes of it.

A fault is written `NAME[:key=value,...]`, for example `stall:every=300,seconds=20` or `duplicate:share=0.01`. Without
`every` it begins at once, with it again and again; it lasts for `seconds` (without: for ever, or `_BRIEF_SECONDS` where
it is repeated). `share` is how many of the frames it strikes, `delay` the seconds before each frame.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from apps.discovery.pumpportal.server import FeedServer, Frame

KINDS = {
    "drop": "breaks every connection off",
    "stall": "keeps the connection open and sends nothing; what the market does then is not sent later",
    "garbage": "sends things that are no frames between the frames",
    "duplicate": "sends frames twice",
    "reorder": "sends frames after the one that follows them",
    "slow": "sends frames one by one with a delay before each",
    "ban": "closes every connection for breaking the rules and refuses new ones",
    "nokey": "sends no trades any more, as when the key has run out of money",
    "rename": "calls the field solAmount of trades sol_amount",
    "pool": "trades in a pool that nobody knows",
}
_STRIKES_SOME = {"garbage": 0.01, "duplicate": 0.01, "reorder": 0.01, "rename": 1.0, "pool": 1.0}
_SECONDS = {"drop": 0.0, "ban": 60.0}
_BRIEF_SECONDS = 10.0
_DELAY_SECONDS = 0.05
NEW_POOL = "pump-next"
GARBAGE = (
    '{"signature":"5x',
    "<html><body>502 Bad Gateway</body></html>",
    "[1,2,3]",
    "null",
    '{"txType":"airdrop","mint":7}',
    '{"message":"Scheduled maintenance."}',
    "\\u0000\ufffd\ufffd",
)


class FaultError(ValueError):
    """Not a fault, or one with wrong numbers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`every` 0: once. Times in seconds."""

    name: str
    every: float = 0.0
    seconds: float = math.inf
    share: float = 1.0
    delay: float = _DELAY_SECONDS

    def __str__(self) -> str:
        return f"{self.name}:every={self.every:g},seconds={self.seconds:g},share={self.share:g},delay={self.delay:g}"


def parse(text: str) -> Fault:
    """The fault of such a text. Raises FaultError, which says what is wrong."""
    name, _, rest = text.partition(":")
    if name not in KINDS:
        raise FaultError(f"There is no fault {name!r}; there are: {', '.join(KINDS)}.")
    values = dict(_number(part) for part in rest.split(",") if part)
    every = values.get("every", 0.0)
    fault = Fault(
        name,
        every,
        values.get("seconds", _SECONDS.get(name, _BRIEF_SECONDS if every else math.inf)),
        values.get("share", _STRIKES_SOME.get(name, 1.0)),
        values.get("delay", _DELAY_SECONDS),
    )
    if name == "ban" and math.isinf(fault.seconds):
        raise FaultError("A ban needs an end: give seconds.")
    return fault


def _number(part: str) -> tuple[str, float]:
    key, _, text = part.partition("=")
    if key not in ("every", "seconds", "share", "delay"):
        raise FaultError(f"A fault has every, seconds, share and delay, not {key!r}.")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= (1.0 if key == "share" else math.inf):
        raise FaultError(f"{key}={text} is no number that a fault can have.")
    return key, value


class Faults:
    """The faults of one simulation. Times are those of any one clock, in seconds."""

    def __init__(self, seed: int = 0) -> None:
        self.begun: Counter[str] = Counter()
        self._rng = Random(seed)
        self._planned: list[tuple[float, int, Fault]] = []
        self._active: dict[str, tuple[float, Fault]] = {}
        self._held: list[Frame] = []
        self._count = 0

    def add(self, fault: Fault, now: float) -> None:
        """Begin it with the next `tick`, or where it is repeated, first after its interval."""
        self._count += 1
        heapq.heappush(self._planned, (now + fault.every, self._count, fault))

    def clear(self) -> None:
        """End all of them."""
        self._planned, self._active = [], {}

    def tick(self, server: FeedServer, now: float) -> None:
        """Begin what is due, end what is over, and let the server have it."""
        for name, (until, _) in list(self._active.items()):
            if until <= now:
                del self._active[name]
        while self._planned and self._planned[0][0] <= now:
            _, _, fault = heapq.heappop(self._planned)
            self._begin(server, fault, now)
            if fault.every:
                self.add(fault, now)
        server.delay_seconds = self._active["slow"][1].delay if "slow" in self._active else 0.0
        server.trades_refused = "nokey" in self._active

    def _begin(self, server: FeedServer, fault: Fault, now: float) -> None:
        self.begun[fault.name] += 1
        if fault.name == "drop":
            server.disconnect()
        elif fault.name == "ban":
            server.ban(fault.seconds)
        elif fault.name == "nokey":
            server.refuse_trades()
        if fault.seconds:
            self._active[fault.name] = (now + fault.seconds, fault)

    def strike(self, frame: Frame) -> Sequence[Frame]:
        """What is sent instead of this frame."""
        if not self._active and not self._held:
            return (frame,)
        if "stall" in self._active:
            return ()
        if frame.kind == "trade":
            frame = self._changed(frame)
        if self._hits("reorder"):
            self._held.append(frame)
            return ()
        sent = [frame, frame] if self._hits("duplicate") else [frame]
        sent += self._held
        self._held = []
        if self._hits("garbage"):
            sent.append(Frame(self._rng.choice(GARBAGE), "control"))
        return sent

    def _changed(self, frame: Frame) -> Frame:
        text = frame.text
        if self._hits("rename"):
            text = text.replace('"solAmount":', '"sol_amount":')
        if self._hits("pool"):
            text = text.replace('"pool":"pump"', f'"pool":"{NEW_POOL}"')
        return frame if text is frame.text else replace(frame, text=text)

    def _hits(self, name: str) -> bool:
        return name in self._active and self._rng.random() < self._active[name][1].share

    def listing(self, now: float) -> dict[str, object]:
        """What is at work, what comes, and what has been begun so far; for people and programs."""
        return {
            "active": {
                name: None if math.isinf(until) else round(until - now, 1)
                for name, (until, _) in sorted(self._active.items())
            },
            "planned": [{"in": round(at - now, 1), "fault": str(fault)} for at, _, fault in sorted(self._planned)],
            "begun": dict(sorted(self.begun.items())),
        }
