"""What came of a backtest, in figures. Pure: lamports are integers, ratios floats; undefined is None.

`drawdown_ratio` is positive, from the highest equity so far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lamports = NDArray[np.int64]
Ratios = NDArray[np.float64]
RUNS = 1000
LEAST_DRAWN = 10
SHARES = (0.05, 0.5, 0.95)
_AT_ONCE = 1_000_000


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
    """One row a reason: positions, winners, result, the best and the worst, mean time held."""
    groups: dict[str, list[Closed]] = defaultdict(list)
    for one in closed:
        groups[one.reason].append(one)
    return [{"exit_reason": reason, **_group(groups[reason])} for reason in sorted(groups)]


def _group(rows: Sequence[Closed]) -> dict[str, Any]:
    results, cost = [one.pnl_lamports for one in rows], sum(one.cost_lamports for one in rows)
    return {
        "positions": len(rows),
        "winners": sum(result > 0 for result in results),
        "pnl_lamports": sum(results),
        "best_lamports": max(results),
        "worst_lamports": min(results),
        "return_ratio": sum(results) / cost if cost else None,
        "mean_held_seconds": sum(one.held_seconds for one in rows) / len(rows),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# --- Monte Carlo --------------------------------------------------------------------------------------
def monte_carlo(
    pnl_lamports: Sequence[int], start_lamports: int, *, runs: int = RUNS, seed: int = 1
) -> dict[str, Any] | None:
    """How it could have gone with the same results in another order, and with results drawn from them.

    None without any result.
    In another order the end is the same and only the way there differs; `ruined_share` is the share of ways on which
    the money would have run out. `drawn` takes as many results with replacement: its end scatters too. Too few results
    (LEAST_DRAWN) say nothing of those that could have come: then `drawn` is None.
    """
    if not pnl_lamports:
        return None
    results = np.array(pnl_lamports, np.int64)
    order, chance = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    shuffled = _ways(start_lamports, (order.permuted(tiled, axis=1) for tiled in _tiles(results, runs)))
    drawn = None
    if len(results) >= LEAST_DRAWN:
        picked = (chance.choice(results, size=tiled.shape) for tiled in _tiles(results, runs))
        drawn = _ways(start_lamports, picked)
    way = {name: value for name, value in shuffled.items() if name.startswith(("drawdown", "ruined"))}
    return {"runs": runs, "seed": seed, "results": len(results), **way, "drawn": drawn}


def _tiles(results: Lamports, runs: int) -> Iterator[Lamports]:
    """The results as rows, a row a run, some runs at a time."""
    step = max(1, _AT_ONCE // len(results))
    for begin in range(0, runs, step):
        yield np.tile(results, (min(step, runs - begin), 1))


def _ways(start: int, parts: Iterable[Lamports]) -> dict[str, Any]:
    """Quantiles of end and deepest fall over all ways (a row each), and how many of them lost all or some."""
    falls, ends, lowest = (
        np.concatenate(column) for column in zip(*(_way(start, part) for part in parts), strict=True)
    )
    return {
        **_quantiles("end_lamports", ends),
        **_quantiles("drawdown", falls),
        "ruined_share": float((lowest <= 0).mean()),
        "lost_share": float((ends < start).mean()),
    }


def _way(start: int, results: Lamports) -> tuple[Ratios, Lamports, Lamports]:
    """Per row: deepest fall (at most 1), end, lowest point."""
    path = np.cumsum(results, axis=1) + start
    peak = np.maximum(np.maximum.accumulate(path, axis=1), start)
    fall: Ratios = np.clip(((peak - path) / peak).max(axis=1), 0.0, 1.0)
    return fall, path[:, -1], np.minimum(path.min(axis=1), start)


def _quantiles(name: str, values: NDArray[Any]) -> dict[str, Any]:
    ordered = np.sort(values).tolist()
    return {f"{name}_p{round(share * 100)}": quantile(ordered, share) for share in SHARES}
