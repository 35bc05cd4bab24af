"""Questions about many ranges of one array at once: maxima, and where a threshold is first reached. Pure and exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers


def running(values: NDArray[np.bool_] | Integers) -> Integers:
    """Cumulative sums with a leading zero: the sum of values[a:b] is result[b] - result[a]."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)))


def max_table(values: Floats, longest: int) -> list[Floats]:
    """Level k holds the maximum of values[i : i + 2**k] at i, enough for ranges of up to `longest` values."""
    levels, reach = [values], 1
    while 2 * reach <= longest:
        below = levels[-1]
        level = below.copy()
        np.maximum(below[:-reach], below[reach:], out=level[:-reach])
        levels.append(level)
        reach *= 2
    return levels


def range_max(levels: list[Floats], low: Integers, high: Integers) -> Floats:
    """Maximum over values[low:high], elementwise; no range may be empty or longer than the table allows."""
    level = np.frexp((high - low).astype(np.float64))[1] - 1
    result = np.empty(len(low))
    for k in range(int(level.max(initial=-1)) + 1):
        at = np.flatnonzero(level == k)
        result[at] = np.maximum(levels[k][low[at]], levels[k][high[at] - 2**k])
    return result


class Stretches:
    """Ranges [low, high) of arrays laid one after the other, to be reduced without a table: for few ranges."""

    def __init__(self, low: Integers, high: Integers) -> None:
        """No range may be empty."""
        lengths = high - low
        self._ends = np.cumsum(lengths)
        self._shift = self._ends - lengths - low
        self._index = np.arange(int(lengths.sum())) - np.repeat(self._shift, lengths)

    def lay(self, values: Floats) -> Floats:
        """The values of all ranges."""
        laid: Floats = values[self._index]
        return laid

    def reduce(self, extreme: np.ufunc, laid: Floats, low: Integers) -> Floats:
        """np.maximum or np.minimum from `low`, which lies within the range, to the end of each range."""
        if not len(low):
            return np.empty(0)
        edges = np.column_stack((low + self._shift, self._ends)).ravel()[:-1]
        reduced: Floats = extreme.reduceat(laid, edges)[::2]
        return reduced


def first_after(values: Integers, low: Integers, high: Integers, limit: Integers) -> Integers:
    """The first index in [low, high) whose value is above the limit, `high` where there is none; values ascend within
    each range."""
    place, last = low.copy(), max(len(values) - 1, 0)
    for k in reversed(range(int((high - low).max(initial=0)).bit_length())):
        step = place + 2**k
        ahead = (step <= high) & (values[np.minimum(step, last + 1) - 1] <= limit)
        np.copyto(place, step, where=ahead)
    return place


def first_reaching(levels: list[Floats], low: Integers, high: Integers, threshold: Floats) -> Integers:
    """The first index in [low, high) whose value is at least the threshold, `high` where there is none."""
    place = low.copy()
    last = len(levels[0]) - 1
    for k in reversed(range(len(levels))):
        whole = place + 2**k <= high
        below = levels[k][np.minimum(place, last)] < threshold
        place = np.where(whole & below, place + 2**k, place)
    return place
