"""The ledger in the tables: booked with what it books, balanced, and the same as wallets, orders and trades."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from apps.discovery.models import StreamGap
from apps.trading import services, transfers
from apps.trading.bookings import adjustment_book
from apps.trading.ledger import ACCOUNTS
from apps.trading.ledger_queries import accounts_of, difference_now, difference_of
from apps.trading.models import LedgerEntry, Order, TradeLog, Wallet
from apps.trading.pages_ledger import ledger_table
from apps.trading.tests.conftest import SOL, World, at
from apps.trading.tests.rounds import held, run
from apps.trading.tests.test_api import Caller

pytestmark = pytest.mark.django_db


def kinds() -> list[str]:
    return list(LedgerEntry.objects.order_by("id").values_list("kind", flat=True))


def books_agree() -> None:
    for wallet in Wallet.objects.all():
        found = difference_of(wallet)
        assert found.total == 0, found
    assert difference_now() == 0


def test_every_step_of_a_trade_is_booked(started: World) -> None:
    mint, _ = held(started)
    assert kinds() == ["DEPOSIT", "RESERVE", "TRADE"]
    books_agree()
    started.trade(mint, -15 * SOL, 8)
    run(started, 10)
    assert kinds() == ["DEPOSIT", "RESERVE", "TRADE", "RESERVE", "TRADE"]
    books_agree()
    accounts = accounts_of(Wallet.objects.get())
    trades = list(TradeLog.objects.all())
    assert accounts["deposits"] == -10 * SOL
    assert accounts["protocol_fee"] == sum(one.protocol_fee_lamports for one in trades) > 0
    assert accounts["rent"] == accounts["reserved"] == 0
    assert set(accounts) == set(ACCOUNTS)


def test_failure_is_booked_at_its_cost(started: World, settings: Any) -> None:
    settings.PAPER_FAILURE_RATE = 1.0
    mint = started.coin()
    started.wallet()
    started.strategy()
    started.alert(mint, 5)
    run(started, 6)
    entry = LedgerEntry.objects.get(kind="TRADE")
    fee = TradeLog.objects.get().network_fee_lamports
    reserved = -LedgerEntry.objects.get(kind="RESERVE").cash
    assert entry.amounts() == {"cash": reserved - fee, "reserved": -reserved, "network_fee": fee}
    books_agree()


def test_buy_that_falls_due_in_a_gap_expires_and_costs_nothing(started: World) -> None:
    mint = started.coin()
    started.wallet()
    started.strategy()
    started.alert(mint, 5)
    run(started, 5)
    StreamGap.objects.create(started_at=at(5.5), ended_at=at(20), reason="closed")
    run(started, 25)
    order = Order.objects.get()
    assert (order.status, order.deny_code, order.finished_at) == ("EXPIRED", "COIN_IN_GAP", at(6))
    assert kinds() == ["DEPOSIT", "RESERVE", "RELEASE"]
    assert not TradeLog.objects.exists()
    assert Wallet.objects.get().cash_lamports == 10 * SOL
    books_agree()


def test_orders_of_a_time_that_the_feed_has_left_expire(started: World) -> None:
    mint = started.coin(seconds=-100)
    started.wallet()
    started.strategy()
    started.alert(mint, 50)
    run(started, 50)
    run(started, 10)
    order = Order.objects.get()
    assert (order.status, order.deny_code) == ("EXPIRED", "FEED_WENT_BACK")
    assert Wallet.objects.get().cash_lamports == 10 * SOL
    books_agree()


def test_transfers_and_adjustments_are_booked_on_both_sides(started: World) -> None:
    started.wallet("a", sol=2)
    started.wallet("b", sol=1)
    services.wallet_update(alias="a", transfer_enabled=True)
    transfers.transfer(from_alias="a", to_alias="b", lamports=SOL)
    a, b = Wallet.objects.order_by("alias")
    assert (accounts_of(a)["outside"], accounts_of(b)["outside"]) == (SOL, -SOL)
    assert accounts_of(a)["network_fee"] == 5_000
    books_agree()
    b.cash_lamports -= 7
    b.save()
    assert difference_now() == 7
    adjustment_book(b, -7, at(0), "seen on the chain")
    assert difference_now() == 0
    assert accounts_of(b)["outside"] == -SOL + 7


def test_table_refuses_what_does_not_balance_and_what_is_booked_twice(started: World) -> None:
    held(started)
    entry = LedgerEntry.objects.get(kind="TRADE")
    entry.pk = None
    with pytest.raises(IntegrityError, match="ledger_order_once"), transaction.atomic():
        entry.save(force_insert=True)
    entry.order, entry.tip = None, entry.tip + 1
    with pytest.raises(IntegrityError, match="ledger_balanced"), transaction.atomic():
        entry.save(force_insert=True)


def test_check_finds_a_lamport_that_vanished(started: World) -> None:
    held(started)
    out = StringIO()
    call_command("ledgercheck", "--json", stdout=out)
    assert json.loads(out.getvalue())["wallets"][0]["total"] == 0
    Wallet.objects.update(virtual_balance_lamports=1)
    with pytest.raises(SystemExit):
        call_command("ledgercheck", "--json", stdout=(out := StringIO()))
    found = json.loads(out.getvalue())["wallets"][0]
    assert found["cash"] == found["traded"] < 0


def test_page_and_api_show_the_bookings(started: World) -> None:
    held(started)
    api = Caller("read")
    shown = api("get", "ledger?wallet=test&kind=TRADE")
    assert shown["count"] == 1
    assert sum(shown["items"][0]["lamports"].values()) == 0
    assert api("get", "ledger/test")["difference_lamports"] == dict.fromkeys(
        ("cash", "reserved", "traded", "unbalanced"), 0
    )
    table = ledger_table(LedgerEntry.objects.all())
    assert [len(row.cells) for row in table.rows] == [len(table.columns)] * 3


def test_older_wallets_open_their_books_with_what_they_have(started: World) -> None:
    held(started)
    before = accounts_of(Wallet.objects.get())
    LedgerEntry.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute((settings.BASE_DIR / "sql" / "041_ledger.sql").read_text().split("COMMENT ON")[0])
    assert kinds() == ["OPENING"]
    assert accounts_of(Wallet.objects.get()) == before
    books_agree()
