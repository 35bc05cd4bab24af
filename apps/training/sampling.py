"""Which rows of a coin count, and which of them are kept where a coin has many. Pure.

A filter looks only at what was known at the row, so a scorer can apply the same. A sample depends on the row and the
seed alone, never on which other coins are there or in what order they come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Integers
from apps.training.windowing import History

Creators = Literal["all", "known", "new", "veteran"]
TRADES_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Filter:
    """`creators`: known (the coin's creation was seen), new (its creator's first coin that we saw) or veteran.
    `min_trades`: of the coin within the half hour until the row. `mints`: only these coins; none named: all."""

    creators: Creators = "all"
    min_trades: int = 0
    mints: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether every row of any coin passes."""
        return self.creators == "all" and not self.min_trades


@dataclass(frozen=True, slots=True)
class Sample:
    """At most so many rows a coin, and at most one in each stretch of so many seconds."""

    max_rows_per_coin: int | None
    every_seconds: int | None
    seed: int


def passing(history: History, wanted: Filter) -> NDArray[np.bool_]:
    """Which of the history's chosen rows the filter lets through, by what was known then."""
    passes = np.ones(len(history.rows), np.bool_)
    coins = history.now("creator_coins")
    if wanted.creators == "known":
        passes &= ~np.isnan(coins)
    elif wanted.creators == "new":
        passes &= coins == 0
    elif wanted.creators == "veteran":
        passes &= coins > 0
    if wanted.min_trades:
        trades = history.total("num_buys", TRADES_SECONDS) + history.total("num_sells", TRADES_SECONDS)
        passes &= trades >= wanted.min_trades
    return passes


def kept(mints: Sequence[str], coin: Integers, as_of_us: Integers, sample: Sample) -> NDArray[np.bool_]:
    """Which rows stay. Rows are sorted by (coin, time); `coin` indexes `mints`."""
    keep = np.ones(len(coin), np.bool_)
    if sample.every_seconds is not None:
        stretch = as_of_us // (sample.every_seconds * 1_000_000)
        keep = np.r_[True, (coin[1:] != coin[:-1]) | (stretch[1:] != stretch[:-1])][: len(coin)]
    if sample.max_rows_per_coin is None:
        return keep
    left = np.flatnonzero(keep)
    order = left[np.lexsort((_lots(mints, coin[left], as_of_us[left], sample.seed), coin[left]))]
    first = np.r_[True, coin[order][1:] != coin[order][:-1]][: len(order)]
    place = np.arange(len(order))
    rank = place - np.maximum.accumulate(np.where(first, place, 0))
    keep = np.zeros(len(coin), np.bool_)
    keep[order[rank < sample.max_rows_per_coin]] = True
    return keep


def lot(mint: str, seed: int) -> int:
    """A coin's number in a draw: 64 bits of its name and the seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{mint}".encode(), digest_size=8).digest())


def _lots(mints: Sequence[str], coin: Integers, as_of_us: Integers, seed: int) -> NDArray[np.uint64]:
    """A number for each row out of its coin, its time and the seed (the finalizer of splitmix64)."""
    of_coin = np.array([lot(mint, seed) for mint in mints], np.uint64)
    mixed = of_coin[coin] ^ (as_of_us.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    lots: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return lots
