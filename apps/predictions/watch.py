"""What a model has lately said of each coin, and so which coins it looks at now. No database, no clock.

Arrays are indexed by the slots of `memory.Memory`; times are epoch seconds of feed time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.predictions.rules import TAGS, Bools, Codes, Floats, Rules, has_room, quiet_until, tags_of

Slots = NDArray[np.int64]


class Watch:
    """The memory of one model's rules."""

    def __init__(self) -> None:
        self._last_at: Floats = np.empty(0)
        self._last_tag: Codes = np.empty(0, np.int8)
        self._logged: NDArray[np.int64] = np.empty((0, len(TAGS)), np.int64)

    def reset(self, slots: Slots, size: int) -> None:
        """These slots hold other coins from now on; `size` is the number of slots."""
        grow = max(0, size - len(self._last_at))
        self._last_at = np.concatenate((self._last_at, np.full(grow, np.nan)))
        self._last_tag = np.concatenate((self._last_tag, np.zeros(grow, np.int8)))
        self._logged = np.concatenate((self._logged, np.zeros((grow, len(TAGS)), np.int64)))
        self._last_at[slots] = np.nan
        self._logged[slots] = 0

    def recall(self, slot: int, tag: int, count: int, last_at: float) -> None:
        """One line of what the table says: so many scores of a coin with a tag, the newest at `last_at`."""
        self._logged[slot, tag] = count
        if not self._last_at[slot] >= last_at:
            self._last_at[slot], self._last_tag[slot] = last_at, tag

    def choose(
        self, rules: Rules, slots: Slots, as_of: Floats, looked_at: Bools, probability: Floats
    ) -> tuple[Bools, Codes]:
        """Which of the scores count (the rest is as if the model had not looked), and the tags of all.

        Rows stand in the order of `slots`, those of one coin in order of time; each is decided with those before it in
        mind. `looked_at` are the rows that the model's other filters let through.
        """
        tags = tags_of(probability, rules.threshold)
        chosen = looked_at.copy()
        for rows in _rounds(slots):
            quiet = quiet_until(rules, self._last_at[slots[rows]], self._last_tag[slots[rows]])
            room = has_room(rules, tags[rows], self._logged[slots[rows]])
            chosen[rows] &= (as_of[rows] >= quiet) & room
            kept = rows[chosen[rows]]
            self._last_at[slots[kept]], self._last_tag[slots[kept]] = as_of[kept], tags[kept]
            self._logged[slots[kept], tags[kept]] += 1
        return chosen, tags


def _rounds(slots: Slots) -> Sequence[Slots]:
    """Row numbers in rounds that hold each slot at most once: its first row, its second, ... (`slots` ascending)."""
    index = np.arange(len(slots))
    first = np.r_[True, slots[1:] != slots[:-1]][: len(slots)]
    rank = index - np.maximum.accumulate(np.where(first, index, 0))
    return [np.flatnonzero(rank == r) for r in range(int(rank.max(initial=-1)) + 1)]
