"""Rows of plain values by COPY.

A row is encoded as a JSON array by msgspec, five times as fast as formatting it here; without brackets and quotes that
is COPY's text format with commas. Text in a row must therefore be free of JSON's special characters and of commas:
addresses, words and times are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper

Rows = Sequence[tuple[Any, ...]]

BLOCK_ROWS = 5_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode_lines = msgspec.json.Encoder().encode_lines


def moment(at_us: int) -> datetime:
    """Epoch microseconds as an aware UTC time."""
    return _EPOCH + timedelta(microseconds=at_us)


def copy_rows(cursor: CursorWrapper, table: str, rows: Rows, *, timed: bool = False) -> None:
    """COPY rows into a table. `timed`: the second value, epoch microseconds, goes into a column of times."""
    statement = f"COPY {table} FROM STDIN WITH (FORMAT text, DELIMITER ',', NULL 'null')"
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        for start in range(0, len(rows), BLOCK_ROWS):
            part = rows[start : start + BLOCK_ROWS]
            copy.write(block_of(list(_with_times(part)) if timed else part))


def block_of(rows: Rows) -> bytes:
    """The rows as lines of COPY's text format."""
    return _encode_lines(rows).translate(None, b'[]"')


def _with_times(rows: Rows) -> Iterator[tuple[Any, ...]]:
    """The rows with their second value as the database reads a time. What came together has the same."""
    seconds: dict[int, str] = {}
    last_us, text = -1, ""
    for row in rows:
        if row[1] != last_us:
            last_us = row[1]
            second, rest = divmod(last_us, 1_000_000)
            if second not in seconds:
                seconds[second] = f"{moment(second * 1_000_000):%Y-%m-%d %H:%M:%S}.%06d+00"
            text = seconds[second] % rest
        yield row[0], text, *row[2:]
