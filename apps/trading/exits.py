"""When to leave a position. Pure.

Exits are judged on what the wallet would see: the value of the position if all of it were sold now (sell quote of the
held quantity with our own fill in the reserves, after every fee, rent returned) against the cost of what is held.
Both sides count every cost, so a fresh position stands a few percent below zero and a take-profit of 30 % is 30 % in
the wallet. The peak is kept as a price for people and for later rules; no rule here reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

BPS = 10_000

Reason = Literal["GRADUATED", "STOP_LOSS", "TAKE_PROFIT", "TIMEOUT"]


@dataclass(frozen=True, slots=True)
class Levels:
    """The exit rules of a position; None switches a rule off."""

    stop_loss_bps: int | None = None
    take_profit_bps: int | None = None
    timeout_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A position at one moment: `cost` of what is held and its `value`, in lamports."""

    at: datetime
    cost: int
    value: int
    is_complete: bool = False


def decide(levels: Levels, mark: Mark) -> Reason | None:
    """The first rule that applies: graduation, then stop-loss, take-profit, time-out."""
    if mark.is_complete:
        return "GRADUATED"
    if levels.stop_loss_bps is not None and mark.value * BPS <= mark.cost * (BPS - levels.stop_loss_bps):
        return "STOP_LOSS"
    if levels.take_profit_bps is not None and mark.value * BPS >= mark.cost * (BPS + levels.take_profit_bps):
        return "TAKE_PROFIT"
    if levels.timeout_at is not None and mark.at >= levels.timeout_at:
        return "TIMEOUT"
    return None


def return_bps(cost: int, value: int) -> int:
    """What a position stands at, in basis points of its cost; 0 when nothing is held."""
    return (value - cost) * BPS // cost if cost else 0


@dataclass(frozen=True, slots=True)
class Trigger:
    """An exit that is due: why, and since when."""

    reason: Reason
    at: datetime


def first_trigger(
    levels: Levels,
    marks: Iterable[Mark],
    *,
    since: datetime,
    to: datetime,
    graduated_at: datetime | None = None,
) -> Trigger | None:
    """The first exit in the stretch (`since`, `to`], from the marks of its trades in order and its deadlines.

    A mark at the very instant of a deadline is judged before the deadline.
    """
    limits: list[tuple[datetime | None, Reason]] = [(levels.timeout_at, "TIMEOUT"), (graduated_at, "GRADUATED")]
    deadlines = [(max(at, since), reason) for at, reason in limits if at is not None and max(at, since) <= to]
    deadline = min(deadlines, default=None)
    for mark in marks:
        if deadline is not None and mark.at > deadline[0]:
            break
        if reason := decide(levels, mark):
            return Trigger(reason, mark.at)
    return Trigger(deadline[1], deadline[0]) if deadline is not None else None
