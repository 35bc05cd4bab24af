"""Recorded input: exact amounts, and errors that name the place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from apps.discovery import delimited
from apps.discovery import recordings as files
from apps.discovery.delimited import CsvError

HISTORY = "trades_2025-09-05_to_07.csv.gz"

MINT = "So11111111111111111111111111111111111111112"
HEADER = ",".join(files.REQUIRED + files.OPTIONAL)
ROW = f"2025-09-05T20:56:20.929Z,{MINT},sell,1.873902,49477270.489,33.992148,946983413.162,1,35.8952,205.32"


def _write(tmp_path: Path, *lines: str, name: str = "trades.csv") -> Path:
    path = tmp_path / name
    data = ("\n".join(lines) + "\n").encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["trades.csv", "trades.csv.gz", "trades.csv.zst"])
def test_row_becomes_exact_integers_however_it_is_packed(tmp_path: Path, name: str) -> None:
    (trade,) = files.read_trades_csv(_write(tmp_path, HEADER, ROW, name=name))
    assert trade.received_at == datetime(2025, 9, 5, 20, 56, 20, 929_000, tzinfo=UTC)
    assert (trade.line, trade.mint, trade.side, trade.side_certain) == (2, MINT, "sell", True)
    assert (trade.sol_lamports, trade.token_base_units) == (1_873_902_000, 49_477_270_489_000)
    assert (trade.virtual_sol_lamports, trade.virtual_token_base_units) == (33_992_148_000, 946_983_413_162_000)
    assert (trade.market_cap_sol, trade.sol_usd) == (35.8952, 205.32)


def test_quotes_windows_line_ends_a_byte_order_mark_and_column_order_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    names = list(reversed(HEADER.split(",")))
    fields = [f'"{field}"' for field in reversed(ROW.split(","))]
    path.write_bytes(b"\xef\xbb\xbf" + (",".join(names) + "\r\n" + ",".join(fields)).encode())
    (plain,) = files.read_trades_csv(_write(tmp_path, HEADER, ROW, name="plain.csv"))
    assert list(files.read_trades_csv(path)) == [plain]


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"", 1, "the header is missing"),
        (b"\n", 1, "the header is missing"),
        (gzip.compress(b"packed, but not named so", mtime=0), 1, "not a line of comma-separated text in UTF-8"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), 1, "not a line of comma-separated text in UTF-8"),
        (f"{HEADER}\r{ROW}\r".encode(), 1, "not a line of comma-separated text in UTF-8"),
        (f'{HEADER}\n{ROW}\n"never closed,\n{ROW}\n'.encode() * 3000, 3, "not a line of comma-separated text in UTF-8"),
        (f'{HEADER}\n{ROW}\n"2025",more\n'.encode(), 3, "2 fields where the header has 10"),
    ],
)
def test_what_is_no_table_is_named_by_file_and_line(tmp_path: Path, data: bytes, line: int, reason: str) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(data)
    with pytest.raises(CsvError, match=reason) as caught:
        list(files.read_trades_csv(path))
    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_statistics_that_are_missing_become_nan(tmp_path: Path) -> None:
    short = ",".join(ROW.split(",")[:7])
    (trade,) = files.read_trades_csv(_write(tmp_path, ",".join(files.REQUIRED), short))
    assert math.isnan(trade.sol_usd)
    assert math.isnan(trade.market_cap_sol)
    (empty,) = files.read_trades_csv(_write(tmp_path, HEADER, f"{short},,,"))
    assert math.isnan(empty.sol_usd)
    assert empty.side_certain


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        (3, "x1", "column sol_amount: 'x1' is not a number"),
        (3, "", "column sol_amount: '' is not a number"),
        (4, "-5", "column token_amount: '-5' is not a number from 0"),
        (5, "nan", "column v_sol_in_bonding_curve: 'nan' is not a number"),
        (6, "99999999999999999999", "column v_tokens_in_bonding_curve: '99999999999999999999' is not a number from 0"),
        (3, "1_000", "column sol_amount: '1_000' is not a number"),
        (3, "\u0661\u0662", "column sol_amount: '\u0661\u0662' is not a number"),
        (7, "7", "column side_certain: '7' is neither 0 nor 1"),
        (2, "hold", "column side: 'hold' is neither buy nor sell"),
        (1, "not-a-mint", "column mint: 'not-a-mint' is not a Solana address"),
        (0, "yesterday", "column received_at: 'yesterday' is not an ISO 8601 time"),
        (0, "2025-09-05T20:56:99.929Z", "column received_at: '2025-09-05T20:56:99.929Z' is not an ISO 8601 time"),
        (0, "2025-09-05T20:56:20", "column received_at: '2025-09-05T20:56:20' has no time zone"),
    ],
)
def test_wrong_field_is_named_by_file_line_and_column(tmp_path: Path, column: int, text: str, expected: str) -> None:
    fields = ROW.split(",")
    fields[column] = text
    path = _write(tmp_path, HEADER, ROW, ",".join(fields), ROW)
    with pytest.raises(CsvError) as caught:
        list(files.read_trades_csv(path))
    assert str(caught.value).startswith(f"{path}: line 3, {expected}")


@pytest.mark.parametrize("chunk_bytes", [1, 50, 200, 2**20])
def test_line_with_a_field_too_few_is_named_at_any_chunk_size(tmp_path: Path, chunk_bytes: int) -> None:
    path = _write(tmp_path, HEADER, ROW, ROW, ROW.rpartition(",")[0], ROW)
    with pytest.raises(CsvError, match="line 4: 9 fields where the header has 10"):
        list(files.read_trade_chunks(path, chunk_bytes=chunk_bytes))


def test_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(CsvError, match="line 1, column side: this column is missing"):
        list(files.read_trades_csv(_write(tmp_path, HEADER.replace("side,", "direction,", 1), ROW)))


def test_cut_off_packed_file_is_an_error_not_a_shorter_file(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER, *[ROW] * 1000, name="trades.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CsvError, match="damaged"):
        list(files.read_trades_csv(path))


numbers = st.one_of(
    st.decimals(min_value=0, max_value=9 * 10**9, allow_nan=False, allow_infinity=False, places=9).map(str),
    st.integers(0, 9 * 10**9).map(str),
    st.floats(0, 9e9, allow_nan=False).map(repr),
)


@given(texts=st.lists(numbers, min_size=1, max_size=20))
def test_every_number_is_read_as_decimal_reads_it(texts: list[str]) -> None:
    source = delimited.table("x.csv", 1, ["amount"], "".join(f"{text}\n" for text in texts).encode())
    expected = [int((Decimal(text) * 10**9).to_integral_value()) for text in texts]
    assert delimited.integers(source, "amount", 9).tolist() == expected


def test_frames_gaps_and_bare_objects_are_told_apart(tmp_path: Path) -> None:
    lines = [
        '{"t_wall": 1.5, "raw": "{\\"message\\":\\"hello\\"}"}',
        '{"t_wall": 2, "gap": {"from": 1, "to": 2, "reason": "closed"}}',
        '{"t_wall":3.25,"txType":"buy","solAmount":0.1}',
    ]
    first, gap, bare = files.read_frames(_write(tmp_path, *lines, name="frames.jsonl"))
    assert (first.t_wall, first.raw) == (1.5, '{"message":"hello"}')
    assert gap.gap == {"from": 1, "to": 2, "reason": "closed"}
    assert gap.raw is None
    assert bare.raw == lines[2]


def test_torn_last_line_is_left_out_but_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b'{"t_wall":1,"raw":"a"}\n{"t_wall":2,"ra')
    assert [line.raw for line in files.read_frames(path)] == ["a"]
    path.write_bytes(b'{"t_wall":1,"raw":"a"}\n{"t_wall":2}\n')
    with pytest.raises(CsvError, match="line 2: not a recorded frame"):
        list(files.read_frames(path))


@pytest.mark.parametrize("moment", ["-5", "1e18", "1783089923111"])
def test_frame_at_no_time_is_named(tmp_path: Path, moment: str) -> None:
    path = _write(tmp_path, '{"t_wall":1,"raw":"a"}', f'{{"t_wall":{moment},"raw":"a"}}', name="frames.jsonl")
    with pytest.raises(CsvError, match="line 2: not a recorded frame: t_wall is not a time in seconds since 1970"):
        list(files.read_frames(path))


@pytest.mark.recordings
def test_three_days_of_real_trades_are_read_whole(recordings: Path) -> None:
    trades = 0
    mints: set[str] = set()
    for chunk in files.read_trade_chunks(recordings / HISTORY):
        trades += len(chunk)
        mints.update(chunk.mint)
    assert (trades, len(mints)) == (904_738, 16_343)


@pytest.mark.recordings
def test_first_real_trades_equal_what_decimal_reads(recordings: Path) -> None:
    with gzip.open(recordings / HISTORY, "rt", newline="") as stream:
        rows = csv.DictReader(io.StringIO("".join(stream.readline() for _ in range(2001))))
        expected = [(int(Decimal(r["sol_amount"]) * 10**9), int(Decimal(r["token_amount"]) * 10**6)) for r in rows]
    trades = zip(files.read_trades_csv(recordings / HISTORY), expected, strict=False)
    assert all((trade.sol_lamports, trade.token_base_units) == pair for trade, pair in trades)


@pytest.mark.recordings
def test_real_frames_keep_their_exact_text(recordings: Path) -> None:
    lines = list(files.read_frames(recordings / "frames_2026-07-03.jsonl"))
    assert len(lines) == 208
    assert all(line.raw is not None and json.loads(line.raw) for line in lines)
