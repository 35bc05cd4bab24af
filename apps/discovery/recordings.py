"""Recorded input on disk: trade histories (CSV) and recorded frames (JSON lines), plain, .gz or .zst.

A trade history has the columns of TRADE_COLUMNS in any order, further ones are ignored; amounts become exact integers
straight from the text. A frame recording holds one object a line: `{"t_wall": seconds, "raw": text}`, a gap of the
journal `{"t_wall": seconds, "gap": {...}}`, or a bare PumpPortal object that carries `t_wall` itself.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from apps.discovery import delimited
from apps.discovery.curve import Side
from apps.discovery.delimited import CsvError, Integers, Table

REQUIRED: tuple[str, ...] = (
    "received_at",
    "mint",
    "side",
    "sol_amount",
    "token_amount",
    "v_sol_in_bonding_curve",
    "v_tokens_in_bonding_curve",
)
OPTIONAL: tuple[str, ...] = ("side_certain", "market_cap_sol", "sol_usd")
TRADE_COLUMNS = REQUIRED + OPTIONAL
CHUNK_BYTES = 4 * 2**20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINT = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
_ISO_MS = 24  # 2025-09-05T20:56:20.929Z
_UNKNOWN = -1
_LAST_SECOND = datetime(3000, 1, 1, tzinfo=UTC).timestamp()  # milliseconds taken for seconds lie behind it


@dataclass(frozen=True, slots=True)
class TradeChunk:
    """Consecutive trades of a history, a column each; all columns have the same length."""

    path: str
    line: Integers
    received_at_ms: Integers
    mint: list[str]
    is_buy: NDArray[np.bool_]
    side_certain: NDArray[np.bool_]
    sol_lamports: Integers
    token_base_units: Integers
    virtual_sol_lamports: Integers
    virtual_token_base_units: Integers
    market_cap_sol: NDArray[np.float64]
    sol_usd: NDArray[np.float64]
    share: float = 1.0  # of the file's bytes that were read by then

    def __len__(self) -> int:
        return len(self.mint)


@dataclass(frozen=True, slots=True)
class RecordedTrade:
    """One trade of a history. Market cap (SOL) and SOL price (USD) are NaN where they were not recorded."""

    line: int
    received_at_ms: int
    mint: str
    side: Side
    side_certain: bool
    sol_lamports: int
    token_base_units: int
    virtual_sol_lamports: int
    virtual_token_base_units: int
    market_cap_sol: float
    sol_usd: float

    @property
    def received_at(self) -> datetime:
        """Receive time, UTC, exact to the millisecond."""
        return _EPOCH + timedelta(milliseconds=self.received_at_ms)


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """One line of a frame recording: the frame's text, or the gap that the journal noted in its place."""

    t_wall: float
    raw: str | None
    gap: dict[str, object] | None
    line: int


class _JournalLine(msgspec.Struct):
    t_wall: float
    raw: str | None = None
    gap: dict[str, object] | None = None
    tx_type: str | None = msgspec.field(default=None, name="txType")
    message: str | None = None


@contextmanager
def open_recording(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a recording, unpacked by the ending of its name.

    Raises OSError where the file cannot be opened, CsvError where its packing is damaged.
    """
    with _opened(path) as (stream, _file):
        yield stream


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The unpacked bytes, and the file as it lies there."""
    try:
        with path.open("rb") as file, _unpacked(file, path.suffix) as stream:
            yield stream, file
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise CsvError(str(path), 0, None, f"the packed file is damaged: {error}") from None


def _unpacked(file: BinaryIO, suffix: str) -> BinaryIO:
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(file, "rb"))
    if suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=False, read_across_frames=True)
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, reader)))
    return file


def is_trade_history(path: Path) -> bool:
    """Whether the file is a CSV rather than JSON lines, told by its first character. An empty file is not."""
    with open_recording(path) as stream:
        head = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return bool(head) and not head.startswith(b"{")


def read_trade_chunks(path: Path, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[TradeChunk]:
    """The trades of a history in file order, some ten thousand at a time. Raises CsvError at the first wrong line."""
    with _opened(path) as (stream, file):
        size = os.fstat(file.fileno()).st_size
        columns = _header(str(path), stream.readline())
        line = 2
        for block in _whole_lines(stream, chunk_bytes):
            chunk = _trades(delimited.table(str(path), line, columns, block))
            line += len(chunk)
            yield replace(chunk, share=file.tell() / size if size else 1.0)  # a pipe has none


def read_trades_csv(path: Path, *, since_ms: int | None = None, until_ms: int | None = None) -> Iterator[RecordedTrade]:
    """The trades of a history one by one, in file order, received in [since_ms, until_ms) where those are given.

    Raises CsvError at the first wrong line.
    """
    low, high = -(2**63) if since_ms is None else since_ms, 2**63 - 1 if until_ms is None else until_ms
    for chunk in read_trade_chunks(path):
        if chunk.received_at_ms.max() >= low and chunk.received_at_ms.min() < high:
            yield from (trade for trade in _rows(chunk) if low <= trade.received_at_ms < high)


def read_frames(path: Path) -> Iterator[RecordedLine]:
    """The lines of a frame recording in file order; a torn last line (no newline) is left out.

    Raises CsvError, naming file and line, for a line that is none of the known forms.
    """
    decoder = msgspec.json.Decoder(_JournalLine)
    with open_recording(path) as stream:
        for number, text in enumerate(stream, start=1):
            if not text.strip():
                continue
            try:
                yield _recorded(decoder.decode(text), text, number)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if not text.endswith(b"\n"):
                    return
                raise CsvError(str(path), number, None, f"not a recorded frame: {error}") from None


def _recorded(line: _JournalLine, text: bytes, number: int) -> RecordedLine:
    bare = line.raw is None and line.gap is None
    if bare and line.tx_type is None and line.message is None:
        raise msgspec.DecodeError("neither raw, gap, txType nor message")
    if not 0 <= line.t_wall < _LAST_SECOND:
        raise msgspec.DecodeError(f"t_wall is not a time in seconds since 1970: {line.t_wall:g}")
    raw = text.decode().strip() if bare else line.raw
    return RecordedLine(line.t_wall, raw, line.gap, number)


def _header(path: str, line: bytes) -> tuple[str, ...]:
    if not line.strip():
        raise CsvError(path, 1, None, "the header is missing: the file is empty or begins with an empty line")
    columns = tuple(name.strip() for name in delimited.split_line(path, 1, line))
    for name in REQUIRED:
        if name not in columns:
            raise CsvError(path, 1, name, "this column is missing in the header")
    return columns


def _whole_lines(stream: BinaryIO, chunk_bytes: int) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(chunk_bytes):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:
            rest += block
    if rest.strip():
        yield rest


def _trades(source: Table) -> TradeChunk:
    return TradeChunk(
        path=source.path,
        line=np.arange(source.first_line, source.first_line + source.rows, dtype=np.int64),
        received_at_ms=_times(source),
        mint=_mints(source),
        is_buy=_sides(source),
        side_certain=_certain(source),
        sol_lamports=delimited.integers(source, "sol_amount", 9),
        token_base_units=delimited.integers(source, "token_amount", 6),
        virtual_sol_lamports=delimited.integers(source, "v_sol_in_bonding_curve", 9),
        virtual_token_base_units=delimited.integers(source, "v_tokens_in_bonding_curve", 6),
        market_cap_sol=_statistics(source, "market_cap_sol"),
        sol_usd=_statistics(source, "sol_usd"),
    )


def _certain(source: Table) -> NDArray[np.bool_]:
    """`side_certain`, 0 or 1; without it every side is certain."""
    if "side_certain" not in source.columns:
        return np.ones(source.rows, bool)
    values = delimited.integers(source, "side_certain", 0, empty=1)
    for row in np.flatnonzero(values > 1)[:1].tolist():
        raise source.error(row, "side_certain", "is neither 0 nor 1")
    return values > 0


def _statistics(source: Table, column: str) -> NDArray[np.float64]:
    if column not in source.columns:
        return np.full(source.rows, math.nan)
    billionths = delimited.integers(source, column, 9, empty=_UNKNOWN)
    return np.where(billionths == _UNKNOWN, math.nan, billionths / 1e9)


def _times(source: Table) -> Integers:
    """`received_at` as epoch milliseconds; all-UTC columns of the usual form at once, others one by one."""
    starts, ends = source.bounds("received_at")
    data = np.frombuffer(source.text, dtype=np.uint8)
    if source.rows and (ends - starts == _ISO_MS).all() and (data[ends - 1] == ord("Z")).all():
        letters = data[starts[:, None] + np.arange(_ISO_MS - 1)]
        try:
            moments = np.ascontiguousarray(letters).view(f"S{_ISO_MS - 1}").ravel().astype("datetime64[ms]")
        except ValueError:
            return _times_one_by_one(source)
        return moments.astype(np.int64)
    return _times_one_by_one(source)


def _times_one_by_one(source: Table) -> Integers:
    return np.array([_time(source, row) for row in range(source.rows)], dtype=np.int64)


def _time(source: Table, row: int) -> int:
    try:
        moment = datetime.fromisoformat(source.field(row, "received_at").strip())
    except ValueError:
        raise source.error(row, "received_at", "is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise source.error(row, "received_at", "has no time zone (write Z for UTC)")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _mints(source: Table) -> list[str]:
    mints = delimited.texts(source, "mint")
    strange = {mint for mint in set(mints) if not _MINT.fullmatch(mint)}
    if strange:
        row = next(row for row, mint in enumerate(mints) if mint in strange)
        raise source.error(row, "mint", "is not a Solana address")
    return mints


def _sides(source: Table) -> NDArray[np.bool_]:
    sides = delimited.texts(source, "side")
    if not set(sides) <= {"buy", "sell"}:
        row = next(row for row, side in enumerate(sides) if side not in ("buy", "sell"))
        raise source.error(row, "side", "is neither buy nor sell")
    return np.array([side == "buy" for side in sides], dtype=bool)


def _rows(chunk: TradeChunk) -> Iterator[RecordedTrade]:
    columns = zip(
        chunk.line.tolist(),
        chunk.received_at_ms.tolist(),
        chunk.mint,
        chunk.is_buy.tolist(),
        chunk.side_certain.tolist(),
        chunk.sol_lamports.tolist(),
        chunk.token_base_units.tolist(),
        chunk.virtual_sol_lamports.tolist(),
        chunk.virtual_token_base_units.tolist(),
        chunk.market_cap_sol.tolist(),
        chunk.sol_usd.tolist(),
        strict=True,
    )
    for line, at_ms, mint, is_buy, *rest in columns:
        yield RecordedTrade(line, at_ms, mint, "buy" if is_buy else "sell", *rest)
