"""The newest half hour of every live coin, held as the metric columns that training uses. No database, no clock.

Each coin has a slot (a small number, reused when the coin falls silent); rows stand sorted by (slot, time). What a
coin's features need is complete here for every row that `extend` returns: training's loader gives the same columns.
The columns lie in two sets of buffers with room to grow, and every change writes from one into the other: fresh pages
from the system for each step would cost more than the copying.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import RECORD, High, Integers, MetricColumns, load_columns

_MOMENT = np.dtype([("coin", "i8"), ("as_of_us", "i8")])
_NAMES = tuple(field.name for field in fields(MetricColumns))


class _Store:
    """Two sets of buffers, a buffer a column; `columns` are views of the one in front."""

    def __init__(self) -> None:
        self.columns: MetricColumns = load_columns(np.empty(0, RECORD))
        self._front: dict[str, NDArray[Any]] = {name: getattr(self.columns, name) for name in _NAMES}
        self._back = self._front

    def merge(self, fresh: MetricColumns, order: Integers) -> None:
        """Hold the held rows and the fresh ones; `order` numbers them, the held first, as they shall stand."""
        held, total = len(self.columns), len(order)
        if total > len(self._front["coin"]):
            self._grow(total + total // 2)
        for name, column in self._front.items():
            column[held:total] = getattr(fresh, name)
        self._show(order)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Hold these rows alone."""
        if not rows.all():
            self._show(np.flatnonzero(rows))

    def _show(self, order: Integers) -> None:
        for name, column in self._front.items():  # mode: without it numpy buffers what it writes
            column.take(order, out=self._back[name][: len(order)], mode="clip")
        self._front, self._back = self._back, self._front
        self.columns = MetricColumns(*(self._front[name][: len(order)] for name in _NAMES))

    def _grow(self, room: int) -> None:
        held = len(self.columns)
        grown = {name: np.empty(room, column.dtype) for name, column in self._front.items()}
        for name, column in grown.items():
            column[:held] = self._front[name][:held]
        self._front, self._back = grown, {name: np.empty(room, column.dtype) for name, column in grown.items()}


class Memory:
    """Histories of coins, keyed by mint. Not safe for threads; what it gave of `columns` is valid until it changes."""

    def __init__(self) -> None:
        self._store = _Store()
        self._slots: dict[str, int] = {}
        self._mints: dict[int, str] = {}
        self._free: list[int] = []
        self._last_us: dict[int, int] = {}
        self._highs: dict[int, High] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def columns(self) -> MetricColumns:
        """All rows held."""
        return self._store.columns

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
        self._insert(slots, records, {int(slots[number]): high for number, high in highs.items()})

    def extend(self, mints: Sequence[str], records: NDArray[np.void]) -> None:
        """Append rows (`coin` indexes `mints`) of coins that are no strangers."""
        self._insert(self._slots_or_none(mints), records, self._highs)

    def find(self, mints: Sequence[str], records: NDArray[np.void]) -> Integers:
        """Row numbers in `columns` of rows that are held, in the order of `records`."""
        origin = int(self.columns.as_of_us.min(initial=np.iinfo(np.int64).max))
        span = int(self.columns.as_of_us.max(initial=0)) - origin + 1
        slots = self._slots_or_none(mints)[records["coin"]]
        held = self.columns.coin * span + (self.columns.as_of_us - origin)
        return np.searchsorted(held, slots * span + (records["as_of_us"] - origin))

    def places(self, moments: Sequence[tuple[str, int]]) -> Integers:
        """Row numbers of coins at the ends of windows (microseconds); -1 for what is not held."""
        held = [(mint, us) for mint, us in moments if mint in self._slots]
        found = dict.fromkeys(moments, -1)
        if held:
            wanted = np.array([(number, us) for number, (_, us) in enumerate(held)], _MOMENT)
            rows = np.minimum(self.find([mint for mint, _ in held], wanted), len(self.columns) - 1)
            same = self.columns.as_of_us[rows] == wanted["as_of_us"]
            same &= self.columns.coin[rows] == self.slots([mint for mint, _ in held])
            found |= {moment: int(row) for moment, row, right in zip(held, rows, same, strict=True) if right}
        return np.array([found[moment] for moment in moments], np.int64)

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
        self._store.keep(~self._mask(gone)[self.columns.coin])

    def trim(self, before_us: int) -> None:
        """Drop rows that ended at or before `before_us`, and the coins that have none left."""
        self._store.keep(self.columns.as_of_us > before_us)
        self.forget([mint for mint, slot in self._slots.items() if self._last_us.get(slot, before_us) <= before_us])

    def of_coins(self, rows: Integers) -> tuple[MetricColumns, Integers]:
        """The histories of the coins of `rows` alone, and where these rows stand in them."""
        wanted = self._mask(self.columns.coin[rows])[self.columns.coin]
        if wanted.all():
            return self.columns, rows
        return self.columns.take(wanted), np.cumsum(wanted)[rows] - 1

    def _slots_or_none(self, mints: Sequence[str]) -> Integers:
        """Slots, -1 for coins that are not held (and have no rows in what is asked)."""
        return np.array([self._slots.get(mint, -1) for mint in mints], np.int64)

    def _mask(self, slots: Sequence[int] | Integers) -> NDArray[np.bool_]:
        mask = np.zeros(self.size, np.bool_)
        mask[slots] = True
        return mask

    def _new_slot(self, mint: str) -> int:
        slot = self._free.pop() if self._free else len(self._slots)
        self._slots[mint], self._mints[slot] = slot, mint
        return slot

    def _insert(self, slots: Integers, records: NDArray[np.void], highs: dict[int, High]) -> None:
        """Merge rows behind those of their coins."""
        records = records.copy()
        records["coin"] = slots[records["coin"]]
        fresh = load_columns(records[np.lexsort((records["as_of_us"], records["coin"]))], highs=highs)
        at = np.searchsorted(self.columns.coin, fresh.coin, side="right")
        held = len(self.columns)
        self._store.merge(fresh, np.insert(np.arange(held), at, np.arange(held, held + len(fresh))))
        self._note_last(fresh)

    def _note_last(self, fresh: MetricColumns) -> None:
        last = np.flatnonzero(np.r_[fresh.coin[1:] != fresh.coin[:-1], True][: len(fresh)])
        slots, times = fresh.coin[last].tolist(), fresh.as_of_us[last].tolist()
        self._last_us.update(zip(slots, times, strict=True))
        highs = zip(fresh.ath_price[last].tolist(), fresh.ath_us[last].tolist(), strict=True)
        self._highs.update(zip(slots, highs, strict=True))
