"""Two backtests over the same range beside each other. Pure; it brings scipy, so only what compares imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.training.evaluation.bootstrap import LEAST_COINS, RESAMPLES, interval, weights


def paired_difference(
    first: Mapping[str, int], second: Mapping[str, int], *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """How much more the first run made than the second, from what each made of each coin (0 where it did not trade it).

    The interval is over drawn coins, the same for both sides; None where too few coins differ to tell.
    """
    coins = sorted({*first, *second})
    gained = np.array([first.get(coin, 0) - second.get(coin, 0) for coin in coins], np.int64)
    found: dict[str, Any] = {
        "difference_lamports": int(gained.sum()),
        "coins": len(coins),
        "coins_only_first": len(first.keys() - second.keys()),
        "coins_only_second": len(second.keys() - first.keys()),
        "interval_lamports": None,
        "better_share": None,
    }
    if np.count_nonzero(gained) < LEAST_COINS:
        return found
    drawn = np.concatenate([weight @ gained.astype(np.float64) for weight in weights(len(coins), seed, resamples)])
    ends = interval(drawn)
    found["interval_lamports"] = None if ends is None else [round(end) for end in ends]
    found["better_share"] = float((drawn > 0).mean())
    return found
