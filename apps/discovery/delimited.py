"""Exact integers from comma-separated text, a column at a time.

A chunk of whole lines becomes byte offsets of its fields; numbers are read digit by digit into int64, all rows at
once, so no amount ever passes through a float. What is not plain `digits[.digits]` goes through Decimal, and what is
no number at all is an error that names file, line and column.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

_COMMA, _NEWLINE, _POINT, _ZERO = 44, 10, 46, 48
_PLAIN_WIDTH = 18  # 17 digits and a point stay inside int64 after any scaling that is checked below


class CsvError(ValueError):
    """A line that cannot be read. The text names file, line and column (line 0: the file as a whole)."""

    def __init__(self, path: str, line: int, column: str | None, reason: str) -> None:
        self.path, self.line, self.column, self.reason = path, line, column, reason
        where = path + (f": line {line}" if line else "") + (f", column {column}" if column else "")
        super().__init__(f"{where}: {reason}")


@dataclass(frozen=True, slots=True)
class Table:
    """Whole lines as offsets: field (row, column) is `text[starts[row, column]:ends[row, column]]`."""

    path: str
    first_line: int
    columns: tuple[str, ...]
    text: bytes
    starts: Integers
    ends: Integers

    @property
    def rows(self) -> int:
        return int(self.ends.shape[0])

    def bounds(self, column: str) -> tuple[Integers, Integers]:
        """Starts and ends of one column, row by row."""
        index = self.columns.index(column)
        return np.ascontiguousarray(self.starts[:, index]), np.ascontiguousarray(self.ends[:, index])

    def field(self, row: int, column: str) -> str:
        """One field as text, undecodable bytes replaced."""
        index = self.columns.index(column)
        return self.text[self.starts[row, index] : self.ends[row, index]].decode("utf-8", "replace")

    def error(self, row: int, column: str, reason: str) -> CsvError:
        """The error of one field, quoting at most 40 characters of it."""
        return CsvError(self.path, self.first_line + row, column, f"{self.field(row, column)[:40]!r} {reason}")


def split_line(path: str, number: int, line: bytes) -> list[str]:
    """The fields of one line, quotes removed. Raises CsvError where it is no comma-separated text."""
    try:
        return next(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")], strict=True), [])
    except (csv.Error, UnicodeDecodeError):
        raise CsvError(path, number, None, "not a line of comma-separated text in UTF-8") from None


def table(path: str, first_line: int, columns: Sequence[str], chunk: bytes) -> Table:
    """Offsets of a chunk of whole lines. Raises CsvError for a line with more or fewer fields than `columns`."""
    text = _plain(path, first_line, chunk)
    data = np.frombuffer(text, dtype=np.uint8)
    separators = np.flatnonzero((data == _COMMA) | (data == _NEWLINE))
    width = len(columns)
    is_end = data[separators] == _NEWLINE
    if separators.size % width or not is_end[width - 1 :: width].all() or is_end.sum() * width != separators.size:
        raise _uneven(path, first_line, width, text)
    ends = separators.reshape(-1, width).astype(np.int64)
    starts = np.concatenate([[0], separators[:-1] + 1]).reshape(-1, width).astype(np.int64)
    return Table(path, first_line, tuple(columns), text, starts, ends)


def _plain(path: str, first_line: int, chunk: bytes) -> bytes:
    if b"\r" in chunk:
        chunk = chunk.replace(b"\r\n", b"\n")
    if not chunk.endswith(b"\n"):
        chunk += b"\n"
    return _unquoted(path, first_line, chunk) if b'"' in chunk else chunk


def _unquoted(path: str, first_line: int, chunk: bytes) -> bytes:
    lines = enumerate(chunk[:-1].split(b"\n"), start=first_line)
    return "".join(",".join(split_line(path, number, line)) + "\n" for number, line in lines).encode()


def _uneven(path: str, first_line: int, width: int, text: bytes) -> CsvError:
    for offset, line in enumerate(text.split(b"\n")):
        if (found := line.count(b",") + 1) != width:
            return CsvError(path, first_line + offset, None, f"{found} fields where the header has {width}")
    raise AssertionError("called for an even chunk")


def integers(source: Table, column: str, decimals: int, *, empty: int | None = None) -> Integers:
    """A column of decimal numbers times 10^decimals as int64, exact; further digits are rounded half to even.

    `empty` stands for an empty field; without it an empty field is an error. Raises CsvError for anything that is not
    a number of at least 0 and below 2^63.
    """
    starts, ends = source.bounds(column)
    values, plain = _plain_integers(np.frombuffer(source.text, dtype=np.uint8), starts, ends, decimals)
    for row in np.flatnonzero(~plain).tolist():
        values[row] = _any_integer(source, row, column, decimals, empty)
    return values


def _plain_integers(data: Bytes, starts: Integers, ends: Integers, decimals: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Values of the fields that are `digits[.digits]`, and which those are."""
    width = ends - starts
    value, fraction = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    points = np.zeros(len(starts), np.int64)
    plain = (width > 0) & (width <= _PLAIN_WIDTH)
    for offset in range(int(min(width.max(initial=0), _PLAIN_WIDTH))):
        char = data[np.minimum(starts + offset, ends)]
        digit = char - _ZERO  # wraps for characters below zero, so one comparison finds the digits
        is_digit, inside = digit <= 9, offset < width
        is_point = char == _POINT
        plain &= is_digit | is_point | ~inside
        take = is_digit & inside
        value = np.where(take, value * 10 + digit, value)
        fraction += take & (points > 0)
        points += is_point & inside
    missing = decimals - fraction
    plain &= (points <= 1) & (missing >= 0) & (width > points)
    limit = (2**63 - 1) // 10 ** np.clip(missing, 0, 18)
    plain &= value <= limit
    return np.where(plain, value * 10 ** np.clip(missing, 0, 18), 0), plain


def _any_integer(source: Table, row: int, column: str, decimals: int, empty: int | None) -> int:
    text = source.field(row, column).strip()
    if not text and empty is not None:
        return empty
    try:
        value = Decimal(text).scaleb(decimals)
    except InvalidOperation:
        raise source.error(row, column, "is not a number") from None
    if not text.isascii() or "_" in text:  # Decimal reads 1_000 and other scripts' digits too
        raise source.error(row, column, "is not a number")
    if not value.is_finite() or not 0 <= value < 2**63 - 1:
        raise source.error(row, column, "is not a number from 0 to 2^63")
    return int(value.to_integral_value())


def texts(source: Table, column: str) -> list[str]:
    """A column as text."""
    starts, ends = source.bounds(column)
    whole = source.text
    return [
        whole[start:end].decode("utf-8", "replace") for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
