"""The exits of an open position as levels, and how far it is from each. Ratios: 0.2 is 20 %."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from apps.trading.exits import BPS, Levels

Name = Literal["STOP_LOSS", "TAKE_PROFIT", "LADDER", "TRAILING_STOP"]


@dataclass(frozen=True, slots=True)
class Level:
    """An exit: at which net return (for the trailing stop: at which price, SOL per token) it comes, and how far off it
    is (of the cost; for the trailing stop of the price). 0 or less: it is due with the next trade."""

    name: Name
    level: float
    distance: float


def exit_levels(levels: Levels, *, net_return: float, price_sol: float | None, peak_sol: float) -> list[Level]:
    """The exits that a falling or rising price triggers: stop-loss, trailing stop, next rung, take-profit."""
    found = []
    if levels.stop_loss_bps is not None:
        stop = -levels.stop_loss_bps / BPS
        found.append(Level("STOP_LOSS", stop, net_return - stop))
    if (floor := trailing_floor(levels, peak_sol)) is not None and price_sol:
        found.append(Level("TRAILING_STOP", floor, 1 - floor / price_sol))
    for rung in levels.ladder[levels.rungs_done : levels.rungs_done + 1]:
        found.append(Level("LADDER", rung.gain_bps / BPS, rung.gain_bps / BPS - net_return))
    if levels.take_profit_bps is not None:
        target = levels.take_profit_bps / BPS
        found.append(Level("TAKE_PROFIT", target, target - net_return))
    return found


def trailing_floor(levels: Levels, peak_sol: float) -> float | None:
    """The price at which the trailing stop comes; None without one, or before it has begun."""
    if levels.trailing_bps is None or peak_sol <= 0:
        return None
    begins = levels.entry_price_sol * (1 + levels.trailing_from_bps / BPS)
    return peak_sol * (1 - levels.trailing_bps / BPS) if peak_sol >= begins else None
