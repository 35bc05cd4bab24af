"""Train, validation and test parts in order of time, every coin on one side, with a pause between them. Pure.

A row is purged where its label looks past the beginning of the next part, and embargoed where it lies less than the
label's reach after the beginning of its own: so between the last price that one part saw and the first row of the next
lies a whole reach, and no state of the market that both would share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apps.training.columns import Integers

_NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Split:
    """Row indices of each part, the boundaries between them (microseconds), and how many rows were left out by the end
    of their part, by its beginning, and by the sample of the training part."""

    train: Integers
    validation: Integers
    test: Integers
    validation_from_us: int
    test_from_us: int
    purged: int
    embargoed: int = 0
    sampled_out: int = 0


def split_by_time(
    coin_first_us: Integers, as_of_us: Integers, *, reach_us: int, end_us: int, validation: float, test: float
) -> Split:
    """Parts by the moment of each row's coin's first row; `validation` and `test` are shares of the rows.

    A coin belongs to the part in which it began.
    """
    if not 0 <= test < 1 or not 0 <= validation < 1 or validation + test >= 1:
        raise ValueError("validation and test must leave rows to train on")
    test_from = _boundary(coin_first_us, 1 - test, end_us)
    validation_from = _boundary(coin_first_us, 1 - test - validation, test_from)
    return _split_at(coin_first_us, as_of_us, reach_us, (validation_from, test_from, max(end_us, test_from)), _NEVER)


def walk_forward(
    coin_first_us: Integers, as_of_us: Integers, *, reach_us: int, end_us: int, folds: int, validation: float
) -> list[Split]:
    """Folds in order of time: each tests on a stretch of coins and fits on all before, whose newest share of
    `validation` chooses rounds and threshold. The stretches do not overlap and end at `end_us`."""
    edges = [_boundary(coin_first_us, number / (folds + 1), end_us) for number in range(1, folds + 1)]
    found = []
    for begin, end in zip(edges, [*edges[1:], end_us], strict=True):
        earlier = coin_first_us[coin_first_us < begin]
        validation_from = _boundary(earlier, 1 - validation, begin)
        found.append(_split_at(coin_first_us, as_of_us, reach_us, (validation_from, begin, end), end))
    return found


def of_rows(split: Split, rows: Integers) -> Split:
    """A split of some rows, by the numbers that these have in the whole."""
    train, validation, test = (rows[part] for part in (split.train, split.validation, split.test))
    return replace(split, train=train, validation=validation, test=test)


def _split_at(
    coin_first_us: Integers, as_of_us: Integers, reach_us: int, limits: tuple[int, int, int], coins_until_us: int
) -> Split:
    """Parts that end at the limits; coins that began at or after `coins_until_us` are in none."""
    validation_from, test_from, _ = limits
    part = (coin_first_us >= validation_from).astype(np.int64) + (coin_first_us >= test_from)
    inside = coin_first_us < coins_until_us
    in_time = as_of_us + reach_us <= np.array(limits)[part]
    begins = np.array([np.iinfo(np.int64).min, validation_from + reach_us, test_from + reach_us])
    settled = as_of_us >= begins[part]
    keep = inside & in_time & settled
    train, middle, last = (np.flatnonzero(keep & (part == number)) for number in range(3))
    purged, embargoed = int((inside & ~in_time).sum()), int((inside & in_time & ~settled).sum())
    return Split(train, middle, last, validation_from, test_from, purged, embargoed)


def _boundary(coin_first_us: Integers, share: float, otherwise: int) -> int:
    """The first moment of the coins after the given share of the rows."""
    place = int(np.ceil(len(coin_first_us) * round(share, 12)))
    if place >= len(coin_first_us):
        return otherwise
    return int(np.partition(coin_first_us, place)[place])
