"""When to leave a position, and with how much of it. Pure.

Stops and targets are judged on what the wallet would see: the value of the position if all of it were sold now (sell
quote of the held quantity with our own fill in the reserves, after every fee, rent returned) against the cost of what
is held. Both sides count every cost, so a fresh position stands a few percent below zero and a take-profit of 30 % is
30 % in the wallet. The trailing stop follows the coin's spot price, which no partial sale of ours changes.
Everything is judged trade by trade in the order of feed time, so the same trades give the same exits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

BPS = 10_000

Reason = Literal["GRADUATED", "STOP_LOSS", "TRAILING_STOP", "CREATOR", "MODEL", "TAKE_PROFIT", "TIMEOUT"]


@dataclass(frozen=True, slots=True)
class Rung:
    """From this net gain on, a share of all that was bought is sold."""

    gain_bps: int
    share_bps: int


@dataclass(frozen=True, slots=True)
class Levels:
    """The exit rules of a position; None switches a rule off. Rungs climb; the first `rungs_done` are sold."""

    stop_loss_bps: int | None = None
    take_profit_bps: int | None = None
    timeout_at: datetime | None = None
    leave_at: datetime | None = None
    trailing_bps: int | None = None
    trailing_from_bps: int = 0
    entry_price_sol: float = 0.0
    ladder: tuple[Rung, ...] = ()
    rungs_done: int = 0
    creator_sold_lamports: int | None = None
    creator_sold_base_units: int | None = None
    graduation_bps: int | None = BPS


@dataclass(frozen=True, slots=True)
class Mark:
    """A position right after one trade: `cost` of what is held and its `value` in lamports; the coin's price and the
    highest since the entry; how much of the curve is sold; what the creator has sold since the entry."""

    at: datetime
    cost: int
    value: int
    curve_bps: int = 0
    price_sol: float = 0.0
    peak_price_sol: float = 0.0
    creator_sold_lamports: int = 0
    creator_sold_base_units: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Leave: why, and with which rungs of the ladder (how many are done then); None is with all that is held."""

    reason: Reason
    rungs: int | None = None


def _graduates(levels: Levels, mark: Mark) -> bool:
    return levels.graduation_bps is not None and mark.curve_bps >= levels.graduation_bps


def _stops(levels: Levels, mark: Mark) -> bool:
    return levels.stop_loss_bps is not None and mark.value * BPS <= mark.cost * (BPS - levels.stop_loss_bps)


def _trails(levels: Levels, mark: Mark) -> bool:
    if levels.trailing_bps is None:
        return False
    armed = mark.peak_price_sol >= levels.entry_price_sol * (1 + levels.trailing_from_bps / BPS)
    return armed and mark.price_sol <= mark.peak_price_sol * (1 - levels.trailing_bps / BPS)


def _creator_sells(levels: Levels, mark: Mark) -> bool:
    lamports, units = levels.creator_sold_lamports, levels.creator_sold_base_units
    return (lamports is not None and mark.creator_sold_lamports >= lamports) or (
        units is not None and mark.creator_sold_base_units >= units
    )


def _model_says_sell(levels: Levels, mark: Mark) -> bool:
    return levels.leave_at is not None and mark.at >= levels.leave_at


def _gains(mark: Mark, bps: int) -> bool:
    return mark.value * BPS >= mark.cost * (BPS + bps)


def _takes_all(levels: Levels, mark: Mark) -> bool:
    return levels.take_profit_bps is not None and _gains(mark, levels.take_profit_bps)


def _times_out(levels: Levels, mark: Mark) -> bool:
    return levels.timeout_at is not None and mark.at >= levels.timeout_at


# In this order: what sells everything comes before the ladder.
_RULES: tuple[tuple[Reason, Callable[[Levels, Mark], bool]], ...] = (
    ("GRADUATED", _graduates),
    ("STOP_LOSS", _stops),
    ("TRAILING_STOP", _trails),
    ("CREATOR", _creator_sells),
    ("MODEL", _model_says_sell),
    ("TAKE_PROFIT", _takes_all),
    ("TIMEOUT", _times_out),
)


def decide(levels: Levels, mark: Mark) -> Decision | None:
    """The first rule that applies: graduation, stop-loss, trailing stop, creator, model, take-profit, time-out, ladder.

    A rung that is reached sells its share, several at once the sum of theirs.
    """
    for reason, applies in _RULES:
        if applies(levels, mark):
            return Decision(reason)
    if not levels.ladder:
        return None
    reached = rungs_reached(levels, mark)
    return Decision("TAKE_PROFIT", reached) if reached > levels.rungs_done else None


def rungs_reached(levels: Levels, mark: Mark) -> int:
    """How many rungs lie at or below the gain of this moment, the sold ones included."""
    return sum(_gains(mark, rung.gain_bps) for rung in levels.ladder)


def units_of_rungs(levels: Levels, rungs: int, *, bought: int, held: int) -> int:
    """Base units to sell so that `rungs` are done: their shares of what was bought, rounded down, at most all that is
    held, and all of it where the ladder sells everything with these."""
    if sum(rung.share_bps for rung in levels.ladder[:rungs]) >= BPS:
        return held
    share = sum(rung.share_bps for rung in levels.ladder[levels.rungs_done : rungs])
    return min(held, max(1, bought * share // BPS))


def return_bps(cost: int, value: int) -> int:
    """What a position stands at, in basis points of its cost; 0 when nothing is held."""
    return (value - cost) * BPS // cost if cost else 0


@dataclass(frozen=True, slots=True)
class Trigger:
    """An exit that is due: why, since when, and with which rungs (None: with everything)."""

    reason: Reason
    at: datetime
    rungs: int | None = None


def deadline(
    levels: Levels,
    *,
    since: datetime,
    to: datetime,
    graduated_at: datetime | None = None,
    model_at: datetime | None = None,
) -> Trigger | None:
    """The first exit in the stretch (`since`, `to`] that no trade is needed for; what lies before it counts from its
    beginning. `model_at`: when a model's score first said so."""
    limits: list[tuple[datetime | None, Reason]] = [
        (levels.timeout_at, "TIMEOUT"),
        (levels.leave_at, "MODEL"),
        (model_at, "MODEL"),
        (graduated_at if levels.graduation_bps is not None else None, "GRADUATED"),
    ]
    found = [(max(at, since), reason) for at, reason in limits if at is not None and max(at, since) <= to]
    return Trigger(min(found)[1], min(found)[0]) if found else None


def first_trigger(levels: Levels, marks: Iterable[Mark], limit: Trigger | None = None) -> Trigger | None:
    """The first exit of the marks of a stretch's trades, in order, and of its `deadline`.

    A mark at the very instant of a deadline is judged before it.
    """
    for mark in marks:
        if limit is not None and mark.at > limit.at:
            break
        if decision := decide(levels, mark):
            return Trigger(decision.reason, mark.at, decision.rungs)
    return limit
