"""Exports: every row once, exact, in pieces."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from apps.core.tokens import token_create
from apps.discovery import exports, formats
from apps.discovery.candles import candles
from apps.discovery.exports import COLUMNS, Wanted
from apps.discovery.models import Coin, CoinStream, CoinTransaction
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.test_pipeline import run

pytestmark = pytest.mark.django_db


def market_run() -> str:
    run(SmallMarket(12).entries(900), {})
    return str(CoinStream.objects.order_by("-trades_total", "coin_id").values_list("coin_id", flat=True)[0])


def csv_rows(wanted: Wanted) -> list[dict[str, str]]:
    text = b"".join(formats.pieces("csv", COLUMNS[wanted.kind], exports.chunks(wanted))).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def parquet_rows(wanted: Wanted) -> list[dict[str, Any]]:
    data = b"".join(formats.pieces("parquet", COLUMNS[wanted.kind], exports.chunks(wanted)))
    found: list[dict[str, Any]] = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
    return found


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff20"])
def test_names_never_become_formulas_in_a_csv_and_stay_as_they_are_in_parquet(start: str) -> None:
    name = f'{start}HYPERLINK("x")'
    Coin.objects.create(mint="M" * 44, name=name, symbol=start, first_seen_at=timezone.now())
    row = csv_rows(Wanted("coins"))[0]
    assert (row["name"], row["symbol"]) == ("'" + name, "'" + start)
    assert parquet_rows(Wanted("coins"))[0]["name"] == name


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("kind", exports.KINDS)
def test_nothing_to_export_is_a_file_without_rows(kind: str, form: str) -> None:
    read = csv_rows if form == "csv" else parquet_rows
    assert read(Wanted(kind)) == []


@pytest.fixture(scope="module")
def market_of_module(module_db: DjangoDbBlocker) -> str:
    """A market that has run, from here on; the mint of its busiest coin."""
    with module_db.unblock():
        return market_run()


@pytest.fixture
def market(market_of_module: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The market of the module, exported in many chunks."""
    monkeypatch.setattr(exports, "CHUNK_ROWS", 37)
    return market_of_module


def test_every_trade_goes_out_once_in_order_and_exact(market: str) -> None:
    rows, whole = csv_rows(Wanted("trades")), parquet_rows(Wanted("trades"))
    kept = list(CoinTransaction.objects.order_by("timestamp", "seq", "mint", "trade_key"))
    assert len(rows) > 3 * exports.CHUNK_ROWS
    assert [int(row["trade_key"]) for row in rows] == [trade.trade_key for trade in kept]
    assert [int(row["sol_lamports"]) for row in rows] == [trade.sol_amount for trade in kept]
    assert [int(row["sol_amount"].replace(".", "")) for row in rows] == [trade.sol_amount for trade in kept]
    assert [float(row["price_sol"]) for row in rows] == [trade.price_sol for trade in kept]
    for name, field in (("token_base_units", "token_amount"), ("received_at", "timestamp"), ("signature", "signature")):
        assert [row[name] for row in whole] == [getattr(trade, field) for trade in kept]


def test_every_coin_goes_out_once(market: str) -> None:
    mints = list(Coin.objects.order_by("first_seen_at", "mint").values_list("mint", flat=True))
    assert [row["mint"] for row in csv_rows(Wanted("coins"))] == mints
    assert [row["mint"] for row in parquet_rows(Wanted("coins"))] == mints


@pytest.mark.parametrize("seconds", [5, 60, 3_600])
def test_candles_go_out_as_the_page_shows_them(market: str, seconds: int) -> None:
    rows = parquet_rows(Wanted("candles", bucket_seconds=seconds))
    assert {row["mint"] for row in rows} == set(CoinTransaction.objects.values_list("mint", flat=True))
    shown = candles(market, bucket_seconds=seconds, limit=10_000)
    mine = [(row["time"], row["open"], row["volume_lamports"]) for row in rows if row["mint"] == market]
    assert mine == [(one.time, one.open, one.volume_lamports) for one in shown]


@pytest.mark.parametrize("seconds", [7, 300, 86_400])
def test_candles_of_all_coins_between_two_times_are_those_of_each(market: str, seconds: int) -> None:
    ends = sorted(at for at in CoinStream.objects.values_list("last_trade_at", flat=True) if at)
    since, until = ends[0] + timedelta(microseconds=1), ends[-1]  # one coin's last trade lies in the bucket of `since`
    each = [
        row
        for mint in sorted(set(CoinTransaction.objects.values_list("mint", flat=True)))
        for row in parquet_rows(Wanted("candles", mint, since, until, seconds))
    ]
    rows = parquet_rows(Wanted("candles", "", since, until, seconds))
    assert sorted(rows, key=lambda row: (row["mint"], row["time"])) == each


def test_candles_after_the_end_of_time_are_none(market: str) -> None:
    late = datetime.fromisoformat("9999-12-31T23:59:59-14:00")  # in UTC it is a year that no clock can say
    assert csv_rows(Wanted("candles", market, late, bucket_seconds=86_400)) == []
    assert csv_rows(Wanted("candles", "", late, bucket_seconds=86_400)) == []


def test_filters_choose_coin_and_time(market: str) -> None:
    trades = list(CoinTransaction.objects.filter(mint=market).order_by("timestamp", "seq"))
    since, until = trades[len(trades) // 3].timestamp, trades[-1].timestamp
    rows = parquet_rows(Wanted("trades", market, since, until))
    assert [row["seq"] for row in rows] == [trade.seq for trade in trades if since <= trade.timestamp < until]
    assert csv_rows(Wanted("trades", "Z" * 44)) == []
    assert [row["mint"] for row in csv_rows(Wanted("coins", market))] == [market]


def test_an_export_reads_one_chunk_at_a_time(market: str) -> None:
    parts = formats.pieces("csv", COLUMNS["trades"], exports.chunks(Wanted("trades")))
    next(parts)
    assert next(parts).count(b"\n") == exports.CHUNK_ROWS
    CoinTransaction.objects.all().delete()
    assert list(parts) == []


def test_command_writes_whole_files_only(market: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trades.parquet"
    call_command("export", "trades", "--format", "parquet", "-o", str(file), "--json", "--progress")
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["rows"] == CoinTransaction.objects.count() == pq.ParquetFile(file).metadata.num_rows
    assert summary["bytes"] == file.stat().st_size
    assert "rows" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["trades.parquet"]
    with pytest.raises(CommandError) as error:
        call_command("export", "trades", "-o", str(tmp_path / "no" / "such" / "folder.csv"))
    assert error.value.returncode == 2


@pytest.fixture
def client(market: str) -> Iterator[Client]:
    found = Client()
    found.force_login(get_user_model().objects.create_user("reader", password="long enough for this"))
    yield found


def test_a_reader_that_has_had_enough_ends_the_command_in_peace() -> None:
    program = "import sys; from django.core.management import execute_from_command_line as run; run(sys.argv)"
    command = [sys.executable, "-c", program, "export", "trades"]
    receiver, sender = os.pipe()
    os.close(receiver)
    try:
        found = subprocess.run(command, stdout=sender, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(sender)
    assert found.returncode == 0, found.stderr
    assert "Error" not in found.stderr


def test_page_offers_a_form_and_streams_the_file(client: Client, market: str) -> None:
    page = client.get(reverse("discovery:export"), {"mint": market})
    assert market in page.content.decode()
    asked = {"kind": "trades", "format": "csv", "mint": market, "bucket": "60"}
    answer = client.get(reverse("discovery:export"), asked)
    assert answer.streaming
    assert answer["Content-Disposition"] == f'attachment; filename="trades_{market[:8]}.csv"'
    assert answer.getvalue().count(b"\n") == 1 + CoinTransaction.objects.filter(mint=market).count()
    assert client.get(reverse("discovery:export"), asked | {"kind": "secrets"}).status_code == 400


def test_api_streams_files_to_who_may_read(client: Client, market: str) -> None:
    path = "/api/find/export/trades"
    assert Client().get(path).status_code == 401
    token, _ = token_create(user=get_user_model().objects.get(), name="x", scopes=["read"], days=1, now=timezone.now())
    headers = {"Authorization": f"Bearer {token}"}
    answer = Client().get(f"{path}?format=parquet&mint={market}", headers=headers)
    rows = pq.ParquetFile(io.BytesIO(answer.getvalue())).metadata.num_rows
    assert rows == CoinTransaction.objects.filter(mint=market).count()
    first = CoinTransaction.objects.order_by("timestamp")[0].timestamp + timedelta(seconds=1)
    cut = Client().get(path, {"until": first.isoformat()}, headers=headers).getvalue()
    assert cut.count(b"\n") == 1 + CoinTransaction.objects.filter(timestamp__lt=first).count()
    assert Client().get("/api/find/export/secrets", headers=headers).status_code == 422
    assert Client().get(path, {"mint": "a\x00"}, headers=headers).status_code == 422
