"""Histories into the tables: the same as the stream would make of them, whole after any interruption."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from zstandard import compress as zstd

from apps.discovery import importer, recordings
from apps.discovery.importer import Imported, import_file
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import Coin, CoinCandle, CoinMetric, CoinStream, CoinTransaction, ExchangeRate
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal import replay
from apps.discovery.rollups import rollup_run
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor, Entry
from apps.discovery.tests import tables
from apps.discovery.tests.test_pipeline import commit

pytestmark = pytest.mark.usefixtures("feed_tables")

HEADER = (
    "received_at,mint,side,side_certain,sol_amount,token_amount,v_sol_in_bonding_curve,v_tokens_in_bonding_curve,"
    "market_cap_sol,sol_usd\n"
)
MINT, BONK = "M" * 40 + "pump", "B" * 40 + "bonk"
ROWS = [
    f"2025-09-05T20:56:20.929Z,{MINT},buy,1,3.992148,126016586.838,33.992148,946983413.162,35.8952,205.32\n",
    f"2025-09-05T20:56:21.000Z,{BONK},buy,1,0.5,1000000,30.5,1055409836.066,28.8987,205.32\n",
    f"2025-09-05T20:56:22.053Z,{MINT},sell,1,1.678930,49074174.532,32.313218,996190723.000,32.4368,205.35\n",
    f"2025-09-05T20:57:31.000Z,{MINT},buy,1,1.0,29884000.000,33.313218,966306723.000,34.4748,205.50\n",
    f"2025-09-05T21:10:00.500Z,{MINT},sell,0,0.000001,30.000,33.313217,966306753.000,34.4748,205.50\n",
]


def history(tmp_path: Path, rows: list[str], name: str = "trades.csv") -> Path:
    path = tmp_path / name
    path.write_text(HEADER + "".join(rows))
    return path


def imported(path: Path, **bounds: Any) -> Imported:
    result = Imported()
    import_file(path, stream_config_load(), result, **bounds)
    return result


def rows_of(name: str) -> list[Any]:
    return tables.dump(name)[name]


def real_rows(recordings_dir: Path, count: int) -> list[str]:
    with recordings.open_recording(recordings_dir / "trades_2025-09-05_to_07.csv.gz") as stream:
        return [line.decode() for line in islice(stream, 1, count + 1)]


def streamed(path: Path) -> None:
    """What the stream makes of a replay of the history."""
    config = stream_config_load()
    pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))
    entries = [
        Entry(seq, round((frame.t_wall or 0) * 1e6), frame.text) for seq, frame in enumerate(replay.read([path]))
    ]
    for begin in range(0, len(entries), 1_000):
        end = min(begin + 1_000, len(entries))
        pipeline.feed(entries[begin:end], Cursor("0000000000000000.jsonl", end, end))
        commit(pipeline)
    pipeline.advance(pipeline.feed_us + 120_000_000)
    commit(pipeline)


def without_seq(rows: list[Any]) -> list[Any]:
    """Trades without their number, which is the line here and the frame there."""
    names = [field.column for field in CoinTransaction._meta.concrete_fields]
    assert len(names) == len(rows[0])
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM coin_transactions LIMIT 0")
        position = [column.name for column in cursor.description].index("seq")
    return [row[:position] + row[position + 1 :] for row in rows]


def test_import_writes_trades_windows_coins_and_rates(tmp_path: Path) -> None:
    result = imported(history(tmp_path, ROWS))
    assert (result.rows, result.trades, result.windows, result.coins) == (5, 5, 4, 2)
    trade = CoinTransaction.objects.get(mint=MINT, sol_amount=1_678_930_000)
    assert (trade.tx_type, trade.token_amount, trade.virtual_sol_lamports) == (
        "sell",
        49_074_174_532_000,
        32_313_218_000,
    )
    assert (trade.signature, trade.trader_public_key, trade.seq) == (None, None, 4)
    window = CoinMetric.objects.filter(mint=MINT).order_by("timestamp").first()
    assert window is not None and (window.num_buys, window.num_sells, window.unique_wallets) == (1, 1, None)
    stream = CoinStream.objects.get(coin_id=MINT)
    assert (stream.is_active, stream.trades_total, stream.phase_id) == (False, 4, 2)
    assert stream.started_at == Coin.objects.get(mint=MINT).first_seen_at
    assert Coin.objects.get(mint=BONK).curve == "nonstandard"
    assert CoinTransaction.objects.get(mint=BONK).virtual_sol_lamports is None
    assert [str(rate.rate) for rate in ExchangeRate.objects.order_by("at")] == ["205.320000", "205.500000"]


def test_import_twice_changes_nothing(tmp_path: Path) -> None:
    path = history(tmp_path, ROWS)
    imported(path)
    before = tables.dump()
    again = imported(path)
    assert (again.rows, again.trades, again.windows) == (5, 0, 0)
    assert tables.dump() == before


@pytest.mark.parametrize("cut", range(1, 5))
def test_history_in_two_pieces_is_the_history_in_one(tmp_path: Path, cut: int) -> None:
    imported(history(tmp_path, ROWS))
    whole = tables.dump("coin_transactions", "coin_metrics", "discovered_coins", "coin_streams")
    tables.reset()
    imported(history(tmp_path, ROWS[:cut], "a.csv"))
    imported(history(tmp_path, ROWS[cut:], "b.csv"))
    pieces = tables.dump("coin_transactions", "coin_metrics", "discovered_coins", "coin_streams")
    assert without_seq(pieces.pop("coin_transactions")) == without_seq(whole.pop("coin_transactions"))
    assert pieces == whole


@pytest.mark.parametrize("first", [[0], [3, 4], [3], [0, 4]])
def test_what_was_known_of_dropped_trades_is_not_forgotten(tmp_path: Path, first: list[int]) -> None:
    def known() -> Any:
        rollup_run(now=datetime(2100, 1, 1, tzinfo=UTC))
        facts = "started_at ath_price_sol ath_at last_trade_at last_price_sol phase_id trades_total volume_lamports"
        return CoinStream.objects.values(*facts.split()).get()

    imported(history(tmp_path, [ROWS[number] for number in (0, 3, 4)]))
    whole = known()
    for model in (CoinTransaction, CoinStream, CoinCandle):
        model.objects.all().delete()
    imported(history(tmp_path, [ROWS[number] for number in first]))
    known()
    CoinTransaction.objects.all().delete()  # as retention does
    imported(history(tmp_path, [ROWS[number] for number in (0, 3, 4) if number not in first]))
    assert known() == whole


def test_bounds_leave_the_rest_out(tmp_path: Path) -> None:
    result = imported(history(tmp_path, ROWS), since_ms=1_757_105_781_000, until_ms=1_757_105_851_000)
    assert (result.rows, result.trades) == (2, 2)


def test_line_of_the_progress_ends_before_the_summary(tmp_path: Path) -> None:
    told = io.StringIO()
    call_command("import_trades", str(history(tmp_path, ROWS)), progress=True, stdout=told, stderr=told)
    progress, summary = told.getvalue().strip().split("\n")
    assert "a second" in progress and "New:" in summary
    last = progress.split("\r")[-1]
    assert f"[{'#' * 30}] 100%  {len(ROWS)} rows" in last


@pytest.mark.parametrize(("name", "pack"), [("a.csv", bytes), ("a.csv.gz", gzip.compress), ("a.csv.zst", zstd)])
def test_progress_knows_how_much_of_the_file_was_read(tmp_path: Path, name: str, pack: Any) -> None:
    plain = history(tmp_path, ROWS * 400).read_bytes()
    path = tmp_path / name
    path.write_bytes(pack(plain))
    shares = [chunk.share for chunk in importer.recordings.read_trade_chunks(path, chunk_bytes=len(plain) // 5)]
    assert len(shares) >= 5 and shares == sorted(shares) and 0 < shares[0] <= shares[-1] <= 1


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (ROWS[0].replace("3.992148", "x", 1), "sol_amount"),
        (ROWS[0].replace("buy", "bought"), "side"),
        (ROWS[0].replace("2025-09-05T20:56:20.929Z", "yesterday"), "received_at"),
        (ROWS[0].replace("2025-09-05T20:56:20.929Z", "2024-01-01T00:00:00.000Z"), "received_at"),
        (ROWS[0].replace("2025-09-05T20:56:20.929Z", "2999-01-01T00:00:00.000Z"), "received_at"),
    ],
)
def test_wrong_line_is_named_and_the_status_is_2(tmp_path: Path, line: str, column: str) -> None:
    path = history(tmp_path, [ROWS[1], line])
    with pytest.raises(CommandError, match=f"trades.csv: line 3, column {column}") as caught:
        call_command("import_trades", str(path))
    assert caught.value.returncode == 2


def test_command_prints_one_json_line(tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("import_trades", str(history(tmp_path, ROWS)), "--json", stdout=out)
    assert json.loads(out.getvalue())["trades_new"] == 5


def test_import_is_what_the_stream_makes_of_a_replay(tmp_path: Path, recordings: Path) -> None:
    path = history(tmp_path, real_rows(recordings, 6_000))
    streamed(path)
    trades, windows = without_seq(rows_of("coin_transactions")), rows_of("coin_metrics")
    tables.reset()
    imported(path)
    assert without_seq(rows_of("coin_transactions")) == trades
    assert rows_of("coin_metrics") == windows
    assert len(trades) == 6_000


def test_killed_import_is_completed_by_a_second_one(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = history(tmp_path, real_rows(recordings, 20_000))
    imported(path)
    whole = tables.dump()
    tables.reset()
    chunks = list(importer.recordings.read_trade_chunks(path, chunk_bytes=100_000))
    monkeypatch.setattr(importer.recordings, "read_trade_chunks", lambda path: iter(chunks))
    done = 0

    def killed(result: Imported) -> None:
        nonlocal done
        done += 1
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(path, progress=killed)
    assert 0 < CoinTransaction.objects.count() < 20_000
    imported(path)
    assert tables.dump() == whole
