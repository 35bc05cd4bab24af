"""Rows of an export as CSV text or Parquet, piece by piece.

CSV (RFC 4180): UTF-8, times ISO 8601 in UTC, exact decimals. What a creator wrote and a spreadsheet would take for a
formula gets an apostrophe before it (docs/decisions/0013-storage.md). Parquet: one row group a chunk, integers of
lamports and base units instead of decimals, text as it came.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from apps.core.units import LAMPORTS_PER_SOL
from apps.discovery.curve import BASE_UNITS_PER_TOKEN
from apps.discovery.exports import Chunk, Column

CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_WIDE = ("\uff1d", "\uff0b", "\uff0d", "\uff20")  # = + - @ as East Asian keyboards write them
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", *_WIDE)
_UNITS = {"sol": (LAMPORTS_PER_SOL, 9), "tokens": (BASE_UNITS_PER_TOKEN, 6)}


def pieces(form: str, columns: Sequence[Column], chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """The file in pieces. Raises KeyError for a form that is neither csv nor parquet."""
    return {"csv": csv_pieces, "parquet": parquet_pieces}[form](columns, chunks)


# --- CSV -------------------------------------------------------------------------------------------------
def csv_pieces(columns: Sequence[Column], chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """A header, then a piece for each chunk."""
    yield (",".join(column.name for column in columns) + "\r\n").encode()
    texts = [_TEXTS[column.kind] for column in columns]
    for chunk in chunks:
        buffer = io.StringIO()
        lines = ([text(value) for text, value in zip(texts, row, strict=True)] for row in chunk)
        csv.writer(buffer).writerows(lines)
        yield buffer.getvalue().encode()


def decimal_text(value: int | None, unit: int, digits: int) -> str:
    """An integer of the smaller unit as an exact decimal of the larger: (1500000000, 10**9, 9) is 1.500000000."""
    return "" if value is None else f"{value // unit}.{value % unit:0{digits}d}"


def plain_text(value: str | None) -> str:
    """Text that no spreadsheet runs as a formula."""
    return f"'{value}" if value and value.startswith(FORMULA_STARTS) else value or ""


def _time_text(value: datetime | None) -> str:
    return "" if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _number_text(value: float | None) -> str:
    """All digits that make up the number, without an exponent."""
    return "" if value is None else format(Decimal(repr(float(value))), "f")


_TEXTS: dict[str, Any] = {
    "text": lambda value: value or "",
    "untrusted": plain_text,
    "time": _time_text,
    "integer": lambda value: "" if value is None else value,
    "float": _number_text,
    "flag": lambda value: "" if value is None else "true" if value else "false",
    "sol": lambda value: decimal_text(value, *_UNITS["sol"]),
    "tokens": lambda value: decimal_text(value, *_UNITS["tokens"]),
}


# --- Parquet ---------------------------------------------------------------------------------------------
class _Sink(io.RawIOBase):
    """Where the writer writes; `take` hands out what came since."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        found, self._parts = b"".join(self._parts), []
        return found


def parquet_pieces(columns: Sequence[Column], chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """A piece for each row group, the footer last; without it the file cannot be read, so a torn one is never taken."""
    import pyarrow as pa  # 40 MB that only those need who ask for it
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(),
        "untrusted": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
        "integer": pa.int64(),
        "float": pa.float64(),
        "flag": pa.bool_(),
    }
    kept = [index for index, column in enumerate(columns) if column.kind not in _UNITS]
    schema = pa.schema([(columns[index].name, types[columns[index].kind]) for index in kept])
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for chunk in chunks:
            values = list(zip(*chunk, strict=True))
            arrays = [pa.array(values[index], field.type) for index, field in zip(kept, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.take()
    yield sink.take()
