"""The newest half hour of every live coin, held as the metric columns that training uses. No database, no clock.

Each coin has a slot (a small number, reused when the coin falls silent). What a coin's features need is complete here
for every row that `extend` returns: training's loader gives the same columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from apps.predictions.histories import Histories
from apps.training.columns import High, Integers, MetricColumns, load_columns
from apps.training.market import Market
from apps.training.windowing import History


class Memory:
    """Histories of coins, keyed by mint. Not safe for threads; what it gave of `columns` is valid until it changes."""

    def __init__(self) -> None:
        self._held = Histories()
        self._slots: dict[str, int] = {}
        self._mints: dict[int, str] = {}
        self._free: list[int] = []
        self._last_us: dict[int, int] = {}
        self._highs: dict[int, High] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def columns(self) -> MetricColumns:
        """The columns that row numbers point into; between the rows of two coins they may hold anything."""
        return self._held.columns

    @property
    def rows(self) -> int:
        """How many rows are held."""
        return self._held.rows

    @property
    def size(self) -> int:
        """One more than the highest slot ever given: the length of arrays indexed by slot."""
        return len(self._slots) + len(self._free)

    def mints(self) -> list[str]:
        """The coins held."""
        return list(self._slots)

    def slots(self, mints: Iterable[str]) -> Integers:
        """The slots of coins that are held."""
        return np.array([self._slots[mint] for mint in mints], np.int64)

    def mints_of(self, slots: Integers) -> list[str]:
        """The coins in these slots."""
        return [self._mints[slot] for slot in slots.tolist()]

    def strangers(self, mints: Sequence[str], records: NDArray[np.void]) -> list[str]:
        """Coins (`coin` indexes `mints`) that are not held, or whose rows are not newer than what is held."""
        first: dict[int, int] = {}
        for number, as_of_us in zip(records["coin"].tolist(), records["as_of_us"].tolist(), strict=True):
            first.setdefault(number, as_of_us)
        return [mints[n] for n, at in first.items() if at <= self._last_us.get(self._slots.get(mints[n], -1), at)]

    def replace(self, mints: Sequence[str], records: NDArray[np.void], highs: dict[int, High]) -> None:
        """Take in whole histories (`coin` indexes `mints`), dropping what was held of these coins.

        `highs` are the all-time highs before each history, by coin number.
        """
        self.forget(mint for mint in mints if mint in self._slots)
        slots = np.array([self._new_slot(mint) for mint in mints], np.int64)
        self._held.know(self.size)
        self._insert(slots, records, {int(slots[number]): high for number, high in highs.items()})

    def extend(self, mints: Sequence[str], records: NDArray[np.void]) -> None:
        """Append rows (`coin` indexes `mints`) of coins that are no strangers."""
        self._insert(self._slots_or_none(mints), records, self._highs)

    def find(self, mints: Sequence[str], records: NDArray[np.void]) -> Integers:
        """Row numbers in `columns` of rows, in the order of `records`; -1 for what is not held."""
        return self._held.find(self._slots_or_none(mints)[records["coin"]], records["as_of_us"])

    def places(self, moments: Sequence[tuple[str, int]]) -> Integers:
        """Row numbers of coins at the ends of windows (microseconds); -1 for what is not held."""
        slots = self._slots_or_none([mint for mint, _ in moments])
        return self._held.find(slots, np.array([us for _, us in moments], np.int64))

    def forget(self, mints: Iterable[str]) -> None:
        """Drop coins and free their slots."""
        gone = [self._slots.pop(mint) for mint in mints]
        if not gone:
            return
        for slot in gone:
            self._mints.pop(slot)
            self._last_us.pop(slot, None)
            self._highs.pop(slot, None)
        self._free += gone
        self._held.drop(gone)

    def trim(self, before_us: int) -> None:
        """Drop rows that ended at or before `before_us`, and the coins that have none left."""
        self._held.trim(before_us)
        self.forget([mint for mint, slot in self._slots.items() if self._last_us.get(slot, before_us) <= before_us])

    def history(self, rows: Integers, market: Market) -> History:
        """What features are computed from, for these rows; valid until the memory changes."""
        return History(self.columns, rows, market, kept=self._held.kept(rows))

    def _slots_or_none(self, mints: Sequence[str]) -> Integers:
        """Slots, -1 for coins that are not held (and have no rows in what is asked)."""
        return np.array([self._slots.get(mint, -1) for mint in mints], np.int64)

    def _new_slot(self, mint: str) -> int:
        slot = self._free.pop() if self._free else len(self._slots)
        self._slots[mint], self._mints[slot] = slot, mint
        return slot

    def _insert(self, slots: Integers, records: NDArray[np.void], highs: dict[int, High]) -> None:
        """Merge rows behind those of their coins."""
        records = records.copy()
        records["coin"] = slots[records["coin"]]
        fresh = load_columns(records[np.lexsort((records["as_of_us"], records["coin"]))], highs=highs)
        self._held.append(fresh)
        self._note_last(fresh)

    def _note_last(self, fresh: MetricColumns) -> None:
        last = np.flatnonzero(np.r_[fresh.coin[1:] != fresh.coin[:-1], True][: len(fresh)])
        slots, times = fresh.coin[last].tolist(), fresh.as_of_us[last].tolist()
        self._last_us.update(zip(slots, times, strict=True))
        highs = zip(fresh.ath_price[last].tolist(), fresh.ath_us[last].tolist(), strict=True)
        self._highs.update(zip(slots, highs, strict=True))
