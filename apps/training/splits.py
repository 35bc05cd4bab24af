"""Train, validation and test parts in order of time, every coin on one side, purged by the label's reach. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Integers


@dataclass(frozen=True, slots=True)
class Split:
    """Row indices of each part, the boundaries between them (microseconds), and how many rows were purged."""

    train: Integers
    validation: Integers
    test: Integers
    validation_from_us: int
    test_from_us: int
    purged: int


def split_by_time(
    coin_first_us: Integers, as_of_us: Integers, *, reach_us: int, end_us: int, validation: float, test: float
) -> Split:
    """Parts by the moment of each row's coin's first row; `validation` and `test` are shares of the rows.

    A coin belongs to the part in which it began. A row is purged where its label looks past the beginning of the next
    part (past `end_us` for the last), so no label of one part sees prices of the next.
    """
    if not 0 <= test < 1 or not 0 <= validation < 1 or validation + test >= 1:
        raise ValueError("validation and test must leave rows to train on")
    test_from = _boundary(coin_first_us, 1 - test, end_us)
    validation_from = _boundary(coin_first_us, 1 - test - validation, test_from)
    decided = as_of_us + reach_us
    part = (coin_first_us >= validation_from).astype(np.int64) + (coin_first_us >= test_from)
    limits = np.array([validation_from, test_from, max(end_us, test_from)])
    keep = decided <= limits[part]
    train, middle, last = (np.flatnonzero(keep & (part == number)) for number in range(3))
    return Split(train, middle, last, validation_from, test_from, int((~keep).sum()))


def _boundary(coin_first_us: Integers, share: float, otherwise: int) -> int:
    """The first moment of the coins after the given share of the rows."""
    place = int(np.ceil(len(coin_first_us) * round(share, 12)))
    if place >= len(coin_first_us):
        return otherwise
    return int(np.partition(coin_first_us, place)[place])


def walk_forward(
    coin_first_us: Integers, as_of_us: Integers, *, reach_us: int, folds: int
) -> list[tuple[Integers, Integers]]:
    """Pairs (earlier rows, next stretch of rows) in order of time, each purged like `split_by_time`."""
    edges = [_boundary(coin_first_us, number / (folds + 1), 0) for number in range(1, folds + 1)]
    ends = [*edges[1:], int(as_of_us.max(initial=0)) + reach_us]
    decided = as_of_us + reach_us
    pairs = []
    for begin, end in zip(edges, ends, strict=True):
        inside: NDArray[np.bool_] = (coin_first_us >= begin) & (coin_first_us < end) & (decided <= end)
        pairs.append((np.flatnonzero((coin_first_us < begin) & (decided <= begin)), np.flatnonzero(inside)))
    return pairs
