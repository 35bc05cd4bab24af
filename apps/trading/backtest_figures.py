"""What came of a backtest, in figures. Pure: lamports are integers, ratios floats; undefined is None.

`drawdown_ratio` is positive, from the highest equity so far.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Closed:
    """A position that was left: why, what it had cost, what it made after every cost, and for how long it was held."""

    reason: str
    cost_lamports: int
    pnl_lamports: int
    held_seconds: float


def drawdown_ratio(equity: Iterable[int]) -> float:
    """The deepest fall from a peak, as a share of that peak; 0 where it only rises, 1 where all is lost."""
    peak, deepest = 0, 0.0
    for value in equity:
        peak = max(peak, value)
        if peak > 0:
            deepest = max(deepest, (peak - value) / peak)
    return deepest


def by_exit(closed: Iterable[Closed]) -> list[dict[str, Any]]:
    """One row a reason: positions, winners, result, mean time held."""
    groups: dict[str, list[Closed]] = defaultdict(list)
    for one in closed:
        groups[one.reason].append(one)
    return [{"exit_reason": reason, **_group(groups[reason])} for reason in sorted(groups)]


def _group(rows: Sequence[Closed]) -> dict[str, Any]:
    return {
        "positions": len(rows),
        "winners": sum(one.pnl_lamports > 0 for one in rows),
        "pnl_lamports": sum(one.pnl_lamports for one in rows),
        "mean_held_seconds": sum(one.held_seconds for one in rows) / len(rows),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def monte_carlo(
    pnl_lamports: Sequence[int], start_lamports: int, *, runs: int = 1000, seed: int = 1
) -> dict[str, Any] | None:
    """How deep the fall could have been had the same results come in another order; None without any result.

    The end is the same in every order; `ruined_share` is the share of orders in which the money would have run out.
    """
    if not pnl_lamports:
        return None
    dice, results = random.Random(seed), list(pnl_lamports)
    falls, ruined = [], 0
    for _ in range(runs):
        dice.shuffle(results)
        path = _path(results, start_lamports)
        falls.append(min(1.0, drawdown_ratio(path)))
        ruined += min(path) <= 0
    falls.sort()
    quantiles = {f"drawdown_p{round(share * 100)}": quantile(falls, share) for share in (0.05, 0.5, 0.95)}
    return {"runs": runs, **quantiles, "ruined_share": ruined / runs}


def _path(results: Iterable[int], start: int) -> list[int]:
    path = [start]
    for result in results:
        path.append(path[-1] + result)
    return path
