"""A real order through the whole of it: books, dispatch, PumpPortal, chain; killed on any line, it is found again."""

from __future__ import annotations

import linecache
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.utils import timezone
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from apps.core import sealing
from apps.trading import dispatch, keys, real, services, unlocking
from apps.trading.ledger_queries import difference_of
from apps.trading.models import Order, Position, TradeLog, VenueFeeAccount, Wallet
from apps.trading.tests.chain import FINAL_AFTER, GOOD_FOR, VENUE
from apps.trading.tests.chain_servers import Server, open_chain, silence, taken_in_silence
from apps.trading.tests.conftest import SOL, World
from apps.trading.tests.rounds import run
from apps.trading.tests.test_dispatch import made_real
from apps.trading.venues import programs, pumpportal, rpc

pytestmark = pytest.mark.django_db
MINT = Keypair.from_seed(bytes([11] * 32)).pubkey()
CASH = 10 * SOL


class KilledError(BaseException):
    """What kill -9 would be."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with open_chain() as opened:
        yield opened


@pytest.fixture
def order(started: World, server: Server, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Order:
    """A buy of a real wallet, SUBMITTED, with its key here and the same money and coin on the chain."""
    monkeypatch.setattr("apps.trading.tests.conftest.mint_of", lambda number: str(MINT))
    settings.SOLANA_RPC_URL, settings.PUMPPORTAL_TRADE_URL = server.url("/rpc"), server.url("/trade")
    settings.SOLANA_RPC_FALLBACK_URLS, settings.ORDER_VALID_SECONDS = [], 3600.0
    settings.REAL_TRADING = True
    mint = started.coin()
    wallet = started.wallet()
    started.strategy(stop_loss_bps=None, take_profit_bps=None, timeout_seconds=60)
    started.alert(mint, 5)
    run(started, 5)
    made_real(wallet)
    address = key_give(wallet)
    started.feed(6, mode="live", updated_at=timezone.now())
    _chain_reset(server, Pubkey.from_string(address), started)
    return Order.objects.get()


def key_give(wallet: Wallet) -> str:
    """A key for a wallet that had none; its address."""
    key = keys.key_new()
    address = keys.address_of(key)
    sealed = sealing.seal(key, bound=keys.binding(wallet.pk, address))
    Wallet.objects.filter(pk=wallet.pk).update(address=address, encrypted_key=sealed)
    return address


def _chain_reset(server: Server, address: Pubkey, world: World) -> None:
    chain = server.chain
    chain.landed.clear(), chain.waiting.clear(), chain.sent.clear()
    chain.coin(MINT, world.reserves[str(MINT)])
    chain.fund(address, CASH)
    for account in programs.token_accounts(address, MINT):
        chain.forget(account)


def rounds(server: Server, many: int = 1, *, ticks: int = 0) -> None:
    for _ in range(many):
        venue = real.venue_open()
        try:
            dispatch.round_once(venue)
        finally:
            venue.close()
        if ticks:
            server.chain.tick(ticks)


def agrees_with_the_chain(server: Server) -> None:
    """Cash, position and ledger are what the chain has, to the lamport and the base unit."""
    wallet = Wallet.objects.get(alias="test")
    address = Pubkey.from_string(wallet.address)
    held = sum(Position.objects.filter(status="OPEN").values_list("quantity_base_units", flat=True))
    assert held == server.chain.tokens(address, MINT)
    assert wallet.real_balance_lamports == server.chain.lamports(address)
    assert difference_of(wallet).total == 0


def test_a_real_order_is_filled_and_the_books_are_the_chain(order: Order, server: Server) -> None:
    rounds(server, 3, ticks=2)
    order.refresh_from_db()
    trade = TradeLog.objects.get()
    assert (order.status, trade.is_simulation, trade.signature) == ("FILLED", False, order.signature)
    assert trade.price_impact_bps is None and trade.network_fee_lamports == 105_000
    agrees_with_the_chain(server)


# Where the order of lines decides: what only reads, or has not signed yet, can be repeated without harm.
PLACES = {
    dispatch.__file__: {"_begin", "claim", "_book", "receipt_note", "settle"},
    pumpportal.__file__: {"send", "_give"},
    rpc.__file__: {"send"},
}


class Lines:
    """Counts the lines that run in PLACES for the first time, and dies before the one numbered `kill_at`.

    Lines with `with` are left out: an error raised by a tracer as a block ends would leave the block open.
    """

    def __init__(self, kill_at: int = -1) -> None:
        self.kill_at, self.seen = kill_at, set[tuple[str, int]]()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        names = PLACES.get(frame.f_code.co_filename)
        return self._line if names and frame.f_code.co_name in names else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in self.seen and not linecache.getline(*place).lstrip().startswith("with "):
            if len(self.seen) == self.kill_at:
                sys.settrace(None)
                raise KilledError
            self.seen.add(place)
        return self._line

    def run(self, server: Server) -> bool:
        """The way of an order, up to its end or its death; whether it died."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            rounds(server, 2, ticks=2)
        except KilledError:
            return True
        finally:
            sys.settrace(before)
        return False


def test_killed_on_any_line_an_order_is_bought_once_or_never_and_never_lost(
    order: Order, server: Server, started: World
) -> None:
    ends: Counter[tuple[str, int]] = Counter()
    start, number, died = Order.objects.get(), 0, True
    while died:
        before = transaction.savepoint()
        died = Lines(number).run(server)
        if Order.objects.filter(signature=None, sent_at__isnull=False).exists():  # its claim runs out
            Order.objects.update(sent_at=timezone.now() - timedelta(hours=1))
        rounds(server, 2, ticks=2)
        end = Order.objects.get()
        assert end.status in ("FILLED", "EXPIRED"), (number, end.status, end.deny_code)
        assert len(set(server.chain.sent)) == len(server.chain.landed) == (end.status == "FILLED"), number
        agrees_with_the_chain(server)
        ends[end.status, len(server.chain.landed)] += 1
        transaction.savepoint_rollback(before)
        _chain_reset(server, Pubkey.from_string(start.wallet.address), started)
        number += 1
    assert number > 25 and set(ends) == {("FILLED", 1), ("EXPIRED", 0)}


def test_a_timeout_after_accepting_is_reconciled_not_repeated(order: Order, server: Server) -> None:
    server.next("sendTransaction", taken_in_silence)
    rounds(server)
    order.refresh_from_db()
    assert order.status == "UNKNOWN" and order.signature and order.reserved_lamports > 0
    server.chain.tick(2)
    rounds(server)
    order.refresh_from_db()
    assert (order.status, len(set(server.chain.sent))) == ("FILLED", 1)
    agrees_with_the_chain(server)


@pytest.mark.parametrize("stop", ["HALTED", "REDUCING", "locked"])
def test_what_was_signed_but_never_arrived_is_not_sent_after_a_stop(order: Order, server: Server, stop: str) -> None:
    """It can land until its blockhash has expired: that is waited for, and nobody helps it on its way."""
    server.next("sendTransaction", silence)
    rounds(server)
    if stop != "locked":
        services.trading_state_set(state=stop)
    else:
        unlocking.wallets_lock(username="owner", now=timezone.now())
    rounds(server, 2, ticks=2)
    order.refresh_from_db()
    assert (order.status, server.chain.sent) == ("UNKNOWN", [])
    server.chain.tick(GOOD_FOR + 2 * FINAL_AFTER)
    rounds(server)
    order.refresh_from_db()
    assert (order.status, order.deny_code) == ("EXPIRED", "BLOCKHASH_EXPIRED")
    agrees_with_the_chain(server)


def test_the_kill_switch_counts_up_to_the_first_byte(
    order: Order, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turned between the committed signature and the sending: nothing leaves, then or later."""
    note = dispatch.receipt_note

    def noted_then_halted(*given: Any) -> None:
        note(*given)
        services.trading_state_set(state="HALTED")

    monkeypatch.setattr(dispatch, "receipt_note", noted_then_halted)
    rounds(server, 3, ticks=2)
    order.refresh_from_db()
    assert (order.status, bool(order.signature), server.chain.sent) == ("SUBMITTED", True, [])
    server.chain.tick(GOOD_FOR + 2 * FINAL_AFTER)
    rounds(server)
    order.refresh_from_db()
    assert (order.status, order.deny_code, server.chain.sent) == ("EXPIRED", "BLOCKHASH_EXPIRED", [])
    agrees_with_the_chain(server)


# --- The account that takes PumpPortal's fee -----------------------------------------------------------
def test_the_first_order_notes_the_fee_account_and_the_page_shows_it(order: Order, server: Server) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("reader"))
    assert "first real order" in client.get("/trading/real/").text
    rounds(server, 3, ticks=2)
    noted = VenueFeeAccount.objects.get()
    assert (noted.address, noted.order_id) == (str(VENUE), order.pk)
    assert str(VENUE) in client.get("/trading/real/").text


@pytest.mark.parametrize(
    "known, allowed, end",
    [
        ("somebody else", [], ("EXPIRED", "VENUE_FEE_ACCOUNT_OTHER")),
        ("", ["somebody else"], ("EXPIRED", "VENUE_FEE_ACCOUNT_OTHER")),
        ("somebody else", [str(VENUE), "another"], ("FILLED", "")),
    ],
)
def test_a_buy_that_pays_another_fee_account_is_not_sent(
    order: Order, server: Server, settings: Any, known: str, allowed: list[str], end: tuple[str, str]
) -> None:
    settings.PUMPPORTAL_FEE_ACCOUNTS = allowed
    if known:
        VenueFeeAccount.objects.create(address=known, order_id=1, noted_at=timezone.now())
    rounds(server, 3, ticks=2)
    order.refresh_from_db()
    assert (order.status, order.deny_code) == end
    assert bool(server.chain.sent) is (end[0] == "FILLED")
    agrees_with_the_chain(server)


def test_a_sale_is_sent_whoever_takes_the_fee(order: Order, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    rounds(server, 3, ticks=2)
    VenueFeeAccount.objects.update(address="somebody else")
    sale = services.sell_manual(alias="test", mint=str(MINT))
    rounds(server, 3, ticks=2)
    sale.refresh_from_db()
    assert sale.status == "FILLED" and "instead of somebody else" in caplog.text
    agrees_with_the_chain(server)


@pytest.mark.parametrize("is_held", [True, False])
def test_reducing_stops_a_buy_that_was_not_sent_and_lets_a_sale_go(order: Order, server: Server, is_held: bool) -> None:
    if is_held:
        rounds(server, 3, ticks=2)
        order = services.sell_manual(alias="test", mint=str(MINT), percent=50)
    services.trading_state_set(state="REDUCING")
    rounds(server, 3, ticks=2)
    order.refresh_from_db()
    assert (order.status, order.deny_code) == (("FILLED", "") if is_held else ("EXPIRED", "TRADING_REDUCING"))
    agrees_with_the_chain(server)
