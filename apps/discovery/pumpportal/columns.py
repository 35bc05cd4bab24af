"""Looking at many places of a text at once: literals, decimal numbers. Pure; numpy does for a column what Python would
do value by value.

A place is an index into the bytes. Numbers go from their digits to integers, never through a float.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

_MARGIN = 64  # a window may reach so far beyond the end
_KEPT = 18  # digits of whole and kept fraction together: what an int64 surely holds
# A number in its window: 5 bytes of nothing, the whole, the dot, the kept fraction (together 24 bytes), the rest.
_BEFORE, _REST, _WIDTH = 5, 24, 40
_ZERO, _DOT = ord("0"), ord(".")


class Units(NamedTuple):
    """Decimal numbers as integers of their unit. Only where `is_number` do the others mean anything; `is_rounded`:
    the text had more digits than the unit, not all of them zero."""

    value: Integers
    is_rounded: Truths
    is_number: Truths


class Text:
    """Bytes to be looked at in many places."""

    def __init__(self, data: bytes) -> None:
        self._padded = data + bytes(_MARGIN)
        self.bytes: Bytes = np.frombuffer(self._padded, np.uint8, len(data))

    def rows(self, places: Integers, width: int) -> Bytes:
        """The `width` bytes from each place on, one row a place."""
        return self._windows((width,), (1, 1), np.uint8)[places]

    def has(self, places: Integers, literal: bytes) -> Truths:
        """Whether `literal`, which does not end with a NUL, stands at each place."""
        found: Truths = self._windows((), (1,), f"S{len(literal)}")[places] == literal
        return found

    def _windows(self, shape: tuple[int, ...], strides: tuple[int, ...], kind: Any) -> NDArray[Any]:
        return np.ndarray((len(self.bytes), *shape), kind, self._padded, 0, strides)

    def units(self, starts: Integers, stops: Integers, decimals: int) -> Units:
        """What stands between `starts` and `stops`, which are no empty columns, in units of 10 ** -`decimals`, rounded
        half to even.

        A number is `0` or digits that do not begin with 0, and maybe a dot and digits. What does not fit (more than
        18 - `decimals` digits before the dot, 16 + `decimals` behind it) is none. Before a number stand 17 bytes.
        """
        whole = _KEPT - decimals
        head = self.rows(starts, whole + 1)
        dots = starts + (head == _DOT).argmax(axis=1)
        has_dot = (self.bytes[dots] == _DOT) & (dots < stops)
        dots = np.where(has_dot, dots, stops)
        wholes, fractions = dots - starts, stops - dots - has_dot
        is_number = (wholes >= 1) & (wholes <= whole) & (fractions <= _WIDTH - _REST + decimals)
        is_number &= (fractions >= 1) | ~has_dot
        is_number &= (head[:, 0] != _ZERO) | (wholes == 1)
        wholes, fractions = wholes * is_number, fractions * is_number
        digits = self.rows(dots - whole - _BEFORE, _WIDTH) - np.uint8(_ZERO)
        digits *= _masks(decimals)[wholes, fractions]
        if digits.max() > 9:
            is_number &= digits.max(axis=1) <= 9
        kept = digits[:, _BEFORE:_REST] @ _weights(decimals)
        up, is_rounded = _rounding(kept, digits)
        return Units(kept + up, is_rounded, is_number)


@cache
def _weights(decimals: int) -> Integers:
    """What a digit counts in each column from the whole to the kept fraction; the dot counts nothing."""
    tens: Integers = 10 ** np.arange(_KEPT - 1, -1, -1, dtype=np.int64)
    return np.insert(tens, _KEPT - decimals, 0)


@cache
def _masks(decimals: int) -> Bytes:
    """1 where a number with so many digits before (first index) and behind the dot (second) has digits, else 0."""
    dot = _BEFORE + _KEPT - decimals
    wholes, fractions, column = np.ogrid[: _KEPT - decimals + 1, : _WIDTH - _REST + decimals + 1, :_WIDTH]
    is_digit = ((column >= dot - wholes) & (column < dot)) | ((column > dot) & (column <= dot + fractions))
    return is_digit.astype(np.uint8)


def _rounding(kept: Integers, digits: Bytes) -> tuple[Truths, Truths]:
    """Where the digits behind the kept ones make one more of it, and where there are any but zeros."""
    first, tail = digits[:, _REST], digits.view("<u8")[:, _REST // 8 :].copy()
    is_rounded: Truths = np.any(tail, axis=1)
    tail[:, 0] >>= np.uint64(8)  # without the first
    up: Truths = (first > 5) | ((first == 5) & (tail.any(axis=1) | (kept % 2 == 1)))
    return up, is_rounded
