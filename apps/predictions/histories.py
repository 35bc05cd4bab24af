"""Metric columns of many coins, each coin's rows together with room behind them: a new row costs the same however many
are held. No database, no clock.

A coin's rows stand in a stretch of its own, in order of time; what lies between stretches means nothing. A stretch that
is full moves to the end of the buffers with half as much room again, and when those are full everything moves together
into new ones. Beside the columns stand the running sums that windows are taken from (`windowing.Kept`), one longer than
the rows: each sum is that of the rows before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training import windowing
from apps.training.columns import RECORD, Integers, MetricColumns, load_columns
from apps.training.ranges import first_after

_NAMES = tuple(field.name for field in fields(MetricColumns))
_SQUARES = "squares"
_LEAST_ROOM = 8
_FULL = 0.8  # of the buffers: they are made anew when old rows are forgotten


class Histories:
    """Rows by slot, a small number of a coin; all arrays of slots are int64. Positions are valid until rows come."""

    def __init__(self) -> None:
        empty = load_columns(np.empty(0, RECORD))
        self._buffers: dict[str, NDArray[Any]] = {name: getattr(empty, name) for name in _NAMES}
        self._buffers |= {_sum_of(name): np.zeros(0, np.int64) for name in windowing.SUMMED}
        self._buffers[_SQUARES] = np.zeros(0, np.int64)
        # By slot: first row, end of the rows, end of the room. One place of the room is never a row.
        self._begin, self._end, self._limit = (np.zeros(1, np.int64) for _ in range(3))
        self._tail = 0

    @property
    def columns(self) -> MetricColumns:
        """The buffers: read them only where the rows are."""
        return MetricColumns(*(self._buffers[name] for name in _NAMES))

    @property
    def rows(self) -> int:
        """How many rows are held."""
        return int((self._end - self._begin).sum())

    def kept(self, rows: Integers) -> windowing.Kept:
        """What a History of these rows need not look for."""
        held = self._buffers
        sums = {name: (held[_sum_of(name)], held.get(_unknown_of(name))) for name in windowing.SUMMED}
        return windowing.Kept(self._begin[held["coin"][rows]], sums, held[_SQUARES])

    def find(self, slots: Integers, as_of_us: Integers) -> Integers:
        """Positions of the rows that end at these moments; -1 where there is none, or no such slot (-1)."""
        times, end = self._buffers["as_of_us"], self._end[slots]
        at = first_after(times, self._begin[slots], end, as_of_us - 1)
        held = np.flatnonzero((slots >= 0) & (at < end))
        found = np.full(len(slots), -1)
        found[held] = np.where(times[at[held]] == as_of_us[held], at[held], -1)
        return found

    def know(self, size: int) -> None:
        """Be ready for slots below `size`."""
        if (more := size - len(self._begin)) > 0:
            none = np.zeros(more, np.int64)
            self._begin, self._end, self._limit = (
                np.concatenate((bounds, none)) for bounds in (self._begin, self._end, self._limit)
            )

    def append(self, fresh: MetricColumns) -> None:
        """Rows that are newer than what is held of their coins, by coin and time; `coin` are known slots."""
        if not len(fresh):
            return
        slots, first, counts = np.unique(fresh.coin, return_index=True, return_counts=True)
        self._make_room(slots, counts)
        at = np.repeat(self._end[slots] - first, counts) + np.arange(len(fresh))
        for name in _NAMES:
            self._buffers[name][at] = getattr(fresh, name)
        self._sum_up(fresh, at, first, counts)
        self._end[slots] += counts

    def drop(self, slots: Sequence[int]) -> None:
        """Forget all rows of some coins."""
        for bounds in (self._begin, self._end, self._limit):
            bounds[slots] = 0

    def trim(self, before_us: int) -> None:
        """Forget the rows that ended at or before a moment."""
        limit = np.full(len(self._begin), before_us)
        self._begin = first_after(self._buffers["as_of_us"], self._begin, self._end, limit)
        if self._tail > _FULL * self._size:  # now, when nobody waits, rather than when rows come
            self._rebuild(np.flatnonzero(self._limit > 0), 0)

    def _sum_up(self, fresh: MetricColumns, at: Integers, first: Integers, counts: Integers) -> None:
        for name in windowing.SUMMED:
            values, missing = windowing.whole(name, getattr(fresh, name))
            _continue(self._buffers[_sum_of(name)], values, at, first, counts)
            if missing.any():
                self._buffers.setdefault(_unknown_of(name), np.zeros(self._size, np.int64))
            if (unknown := self._buffers.get(_unknown_of(name))) is not None:
                _continue(unknown, missing, at, first, counts)
        close = self._buffers["price_close"]
        before = np.where(at > np.repeat(self._begin[fresh.coin[first]], counts), close[at - 1], np.nan)
        _continue(self._buffers[_SQUARES], windowing.squares(fresh.price_close, before), at, first, counts)

    @property
    def _size(self) -> int:
        return len(self._buffers[_SQUARES])

    # --- Room ------------------------------------------------------------------------------------------
    def _make_room(self, slots: Integers, counts: Integers) -> None:
        full = self._end[slots] + counts >= self._limit[slots]
        if not full.any():
            return
        moving = slots[full]
        room = self._room_of(moving, counts[full])
        if self._tail + int(room.sum()) <= self._size:
            self._move(moving, room, self._tail)
            return
        coming = np.zeros(len(self._limit), np.int64)
        coming[slots] = counts
        every = np.flatnonzero((self._limit > 0) | (coming > 0))
        self._rebuild(every, coming[every])

    def _room_of(self, slots: Integers, coming: Integers | int) -> Integers:
        rows = self._end[slots] - self._begin[slots] + coming
        return rows + rows // 2 + _LEAST_ROOM

    def _rebuild(self, slots: Integers, coming: Integers | int) -> None:
        """New buffers for these slots alone, with room for what comes."""
        room = self._room_of(slots, coming)
        total = int(room.sum())
        self._move(slots, room, 0, total + total // 2)

    def _move(self, slots: Integers, room: Integers, tail: int, size: int | None = None) -> None:
        """Give each slot so much room from `tail` on, in new buffers if a size is given."""
        lengths = self._end[slots] - self._begin[slots] + 1  # with the sum behind the last row
        begin = tail + np.cumsum(room) - room
        index = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        source, target = index + np.repeat(self._begin[slots], lengths), index + np.repeat(begin, lengths)
        for name, old in self._buffers.items():  # one after the other: never two whole copies
            moved = old[source] if len(old) else 0
            if size is not None:
                self._buffers[name] = old = np.zeros(size, old.dtype)
            old[target] = moved
        self._begin[slots], self._end[slots], self._limit[slots] = begin, begin + lengths - 1, begin + room
        self._tail = tail + int(room.sum())


def _sum_of(name: str) -> str:
    return f"sum of {name}"


def _unknown_of(name: str) -> str:
    """Where values of the column are unknown; held from the first such value on."""
    return f"unknown of {name}"


def _continue(
    sums: Integers, values: Integers | NDArray[np.bool_], at: Integers, first: Integers, counts: Integers
) -> None:
    """Write the sums behind each row at `at`, going on from the one at the coin's first of them."""
    running = np.cumsum(values, dtype=np.int64)
    before = sums[at[first]] - (running[first] - values[first])
    sums[at + 1] = running + np.repeat(before, counts)
