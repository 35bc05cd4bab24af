"""The simulated market measured as the real one was: the published figures beside what a simulation gives.

The aims are measurements of the real feed (launches, trades, creators' exits). Each row carries how far the simulation
may be away from its aim, as a share of it; `compare` says which rows are not.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.discovery.pumpportal.market import Market

CREATOR_SOLD_SHARE = 0.8
MINUTE = 60.0
# A coin counts only when the simulation shows this much of its life; longer lives are rare.
LIFE_SECONDS = 3600.0
START = 1_790_000_000.0

TOP_CAPS = (35, 50, 80, 100, 200, 410)


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure of the real market: from `low` to `high`, and how far a simulation may lie outside, as a share."""

    name: str
    low: float
    high: float
    tolerance: float


def _aims(group: str, tolerance: float, **points: float) -> list[Aim]:
    return [Aim(f"{group} {name}", aim, aim, tolerance) for name, aim in points.items()]


AIMS: tuple[Aim, ...] = (
    Aim("creates a minute mean", 22, 28, 0.0),
    *_aims("creates a minute", 0.15, p95=48),
    *_aims("creates a minute", 0.25, max=58),
    *_aims("create gap, s", 0.10, p50=1.06),
    *_aims("create gap, s", 0.15, p90=6.7),
    Aim("launches a day", 20_000, 43_000, 0.0),
    Aim("graduating, share of launches", 0.002, 0.006, 0.25),
    Aim("trades a second mean", 17, 35, 0.0),
    *_aims("trades a second", 0.65, p95=29),  # of one sample of 76 s; the same holds of the peak of 46
    Aim("trades a second max", 46, 130, 0.40),
    *_aims("initial buy, SOL", 0.25, p10=0.0, p25=0.001, p50=0.12),
    *_aims("initial buy, SOL", 0.20, p75=1.0, p90=4.94, p99=9.88),
    *_aims("trade size, SOL", 0.20, p10=0.017),
    Aim("trade size, SOL p50", 0.10, 0.19, 0.0),
    *_aims("trade size, SOL", 0.15, p75=0.56, p90=1.15, p95=1.72, p99=2.95, mean=0.45),
    *_aims("buy share", 0.06, mean=0.50),
    *_aims("trades per coin", 0.30, p25=2, p50=7, p75=26, p90=96, p95=204),
    *_aims("trades per coin", 0.50, p99=811, max=4_074),
    *_aims("trades per coin-minute", 0.70, p50=3),
    *_aims("trades per coin-minute", 0.40, p90=49, p99=189),
    *_aims("trades per coin-minute", 0.60, max=1_034),
    *_aims("creator sold 80 % at, s", 0.25, p10=3, p50=19, p75=79, p90=412),
    *_aims("active after that, s", 0.30, p50=128, p75=260, p90=555),
    *(
        Aim(f"top market cap >= {cap} SOL", share, share, tolerance)
        for cap, share, tolerance in zip(
            TOP_CAPS, (0.435, 0.160, 0.051, 0.033, 0.0115, 0.0018), (0.2, 0.25, 0.3, 0.35, 0.5, 1.0), strict=True
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `deviation` is the distance from the aim as a share of it, 0 inside."""

    aim: Aim
    simulated: float

    @property
    def deviation(self) -> float:
        if self.aim.low <= self.simulated <= self.aim.high:
            return 0.0
        near = self.aim.low if self.simulated < self.aim.low else self.aim.high
        return (self.simulated - near) / near if near else math.inf

    @property
    def fits(self) -> bool:
        return abs(self.deviation) <= self.aim.tolerance


@dataclass(slots=True)
class _Life:
    """What is kept of one coin."""

    created_at: float
    creator: str
    top_cap: float
    minutes: Counter[int] = field(default_factory=Counter)
    trades: int = 0
    last_at: float = 0.0
    held: float = 0.0
    bought: float = 0.0
    exited_at: float = math.nan


@dataclass(slots=True)
class Observed:
    """What a stretch of the market has shown; `add` takes its frames in order of time. Its seconds are of rate 1."""

    rate: float = 1.0
    creates: array[float] = field(default_factory=lambda: array("d"))
    first_buys: array[float] = field(default_factory=lambda: array("d"))
    sizes: array[float] = field(default_factory=lambda: array("d"))
    seconds: Counter[int] = field(default_factory=Counter)
    buys: int = 0
    graduated: int = 0
    lives: dict[str, _Life] = field(default_factory=dict)

    def add(self, at: float, frame: dict[str, Any]) -> None:
        kind = frame["txType"]
        if kind == "create":
            self._create(at, frame)
        elif kind == "migrate":
            self.graduated += 1
        else:
            self._trade(at, frame)

    def _create(self, at: float, frame: dict[str, Any]) -> None:
        self.creates.append(at)
        if frame["pool"] != "pump":
            return
        self.first_buys.append(frame["solAmount"])
        life = _Life(at, frame["traderPublicKey"], frame["marketCapSol"], last_at=at)
        life.held = life.bought = frame["initialBuy"]
        self.lives[frame["mint"]] = life

    def _trade(self, at: float, frame: dict[str, Any]) -> None:
        self.sizes.append(frame["solAmount"])
        self.seconds[int((at - START) * self.rate)] += 1
        self.buys += frame["txType"] == "buy"
        life = self.lives.get(frame["mint"])
        if life is None:
            return
        life.trades += 1
        life.last_at = at
        life.top_cap = max(life.top_cap, frame["marketCapSol"])
        life.minutes[int((at - life.created_at) // MINUTE)] += 1
        if frame["traderPublicKey"] == life.creator:
            life.bought += frame["tokenAmount"] if frame["txType"] == "buy" else 0
            life.held = frame["newTokenBalance"]
            if math.isnan(life.exited_at) and life.bought - life.held >= CREATOR_SOLD_SHARE * life.bought:
                life.exited_at = at


def observe(*, seed: int, rate: float, seconds: float) -> Observed:
    """Simulate `seconds` of market time after an hour of warming up, as fast as it goes. Needs no socket."""
    seen, warm = Observed(rate), START + LIFE_SECONDS
    for at, frame in Market(seed, START, rate).until(warm + seconds):
        if at >= warm:
            seen.add(at, frame)
    return seen


def table(seen: Observed, *, rate: float, seconds: float) -> list[Row]:
    """The figures of `AIMS`, in their order; counts per time are those of rate 1.

    Raises ValueError when the market was observed for an hour or less: no coin's whole life is known then.
    """
    if seconds <= LIFE_SECONDS:
        raise ValueError("the market must be observed for more than an hour")
    end = START + LIFE_SECONDS + seconds
    figures = _pace(seen, rate, seconds) | _sizes(seen)
    figures |= _lives([life for life in seen.lives.values() if life.created_at <= end - LIFE_SECONDS])
    return [Row(aim, figures[aim.name]) for aim in AIMS]


def misfits(rows: Iterable[Row]) -> list[Row]:
    """The rows that are further from their aim than they may be."""
    return [row for row in rows if not row.fits]


def _pace(seen: Observed, rate: float, seconds: float) -> dict[str, float]:
    """A minute of the real market is a minute divided by the rate here."""
    creates = seen.creates
    minutes = Counter(int((at - START) * rate // MINUTE) for at in creates)
    counts = [minutes[number] for number in range(min(minutes), max(minutes))]
    gaps = [(after - before) * rate for before, after in itertools.pairwise(creates)]
    trades = [seen.seconds[number] for number in range(min(seen.seconds), max(seen.seconds))]
    return {
        "launches a day": len(creates) * 86_400 / seconds / rate,
        "graduating, share of launches": seen.graduated / len(creates),
        "creates a minute mean": len(creates) * MINUTE / seconds / rate,
        "creates a minute p95": _point(counts, 0.95),
        "creates a minute max": _point(counts, 1 - 1 / 240),
        "create gap, s p50": _point(gaps, 0.5),
        "create gap, s p90": _point(gaps, 0.9),
        "trades a second mean": len(seen.sizes) / seconds / rate,
        "trades a second p95": _point(trades, 0.95),
        "trades a second max": max(trades),
    }


def _sizes(seen: Observed) -> dict[str, float]:
    return {
        **_points("initial buy, SOL", seen.first_buys),
        **_points("trade size, SOL", seen.sizes),
        "trade size, SOL mean": sum(seen.sizes) / len(seen.sizes),
        "buy share mean": seen.buys / len(seen.sizes),
    }


def _lives(lives: Sequence[_Life]) -> dict[str, float]:
    exited = [life for life in lives if not math.isnan(life.exited_at)]
    minutes = [count for life in lives for count in life.minutes.values()]
    return {
        **_points("trades per coin", [life.trades for life in lives]),
        "trades per coin max": max(life.trades for life in lives),
        **_points("trades per coin-minute", minutes),
        "trades per coin-minute max": max(minutes),
        **_points("creator sold 80 % at, s", [life.exited_at - life.created_at for life in exited]),
        **_points(
            "active after that, s", [life.last_at - life.exited_at for life in exited if life.last_at > life.exited_at]
        ),
        **{f"top market cap >= {cap} SOL": sum(life.top_cap >= cap for life in lives) / len(lives) for cap in TOP_CAPS},
    }


def _points(name: str, values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"{name} p{round(100 * share)}": _point(ordered, share) for share in (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
    }


def _point(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])
