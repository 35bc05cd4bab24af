"""Exported trades come back in by import_trades as they went out; under ASGI a file comes in pieces."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import AsyncClient, Client
from django.urls import reverse

from apps.discovery import exports
from apps.discovery.models import CoinTransaction
from apps.discovery.tests import tables
from apps.discovery.tests.test_exports import market_run
from apps.discovery.tests.test_importer import ROWS, history, imported

pytestmark = pytest.mark.usefixtures("feed_tables")


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> str:
    """A market that has run, exported in many chunks; the mint of its busiest coin."""
    monkeypatch.setattr(exports, "CHUNK_ROWS", 37)
    return market_run()


def test_exported_trades_can_be_imported_again(tmp_path: Path) -> None:
    imported(history(tmp_path, ROWS))
    names = ("coin_transactions", "coin_metrics", "coin_streams")
    before, file = tables.dump(*names), tmp_path / "again.csv"
    call_command("export", "trades", "--output", str(file))
    tables.reset()
    assert imported(file).trades == len(ROWS)
    assert tables.dump(*names) == before


def test_real_trades_can_be_imported_again(tmp_path: Path, recordings: Path) -> None:
    from apps.discovery.tests.test_importer import real_rows

    imported(history(tmp_path, real_rows(recordings, 3_000)))
    before, file = tables.dump("coin_transactions", "coin_metrics"), tmp_path / "again.csv"
    call_command("export", "trades", "--output", str(file))
    tables.reset()
    imported(file)
    assert tables.dump("coin_transactions", "coin_metrics") == before


def test_a_market_of_any_coins_can_be_imported_again(market: str, tmp_path: Path) -> None:
    amounts = ("mint", "tx_type", "sol_amount", "token_amount")
    before, file = list(CoinTransaction.objects.order_by("timestamp", "seq").values_list(*amounts)), tmp_path / "a.csv"
    call_command("export", "trades", "--output", str(file))
    tables.reset()
    imported(file)
    after = list(CoinTransaction.objects.order_by("timestamp", "seq").values_list(*amounts))
    assert sorted(after) == sorted(before)


def test_under_asgi_the_file_comes_in_pieces(market: str) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("reader"))

    async def read() -> list[bytes]:
        reader = AsyncClient()
        reader.cookies = client.cookies
        answer = await reader.get(reverse("discovery:export"), {"kind": "trades", "format": "csv"})
        found = [part async for part in answer.streaming_content]
        await sync_to_async(connections.close_all)()
        return found

    parts = asyncio.run(read())
    assert len(parts) > 3
    assert b"".join(parts).count(b"\n") == 1 + CoinTransaction.objects.count()
