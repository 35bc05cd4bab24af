"""Ending by hand what the chain cannot tell any more: only what the chain leaves open, once, balanced, never sent."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.models import F
from django.test import Client
from django.utils import timezone
from solders.transaction import VersionedTransaction

from apps.core.errors import PlatformError
from apps.discovery.curve import Fees
from apps.trading import dispatch, settling
from apps.trading.bookings import transfer_book
from apps.trading.fills import Costs
from apps.trading.ledger_queries import difference_of
from apps.trading.models import Order, Position, Settlement, TradeLog, TransferLog, Wallet
from apps.trading.settling import Verdict
from apps.trading.tests.chain import FINAL_AFTER, GOOD_FOR, Landed
from apps.trading.tests.chain_servers import Server, open_chain, rpc_error, silence
from apps.trading.tests.conftest import SOL
from apps.trading.tests.test_real_orders import order, rounds  # noqa: F401 - a fixture
from apps.trading.venues import Expired, Ticket
from apps.trading.venues.hand_fill import ImpossibleError, Told, fill_told
from apps.trading.venues.rpc import Rpc

LATER = timedelta(hours=1)
FEES = Fees(95, 30)
TICKET = Ticket(
    order_id=1, key="k", wallet_id=1, mint="m", side="buy", amount=SOL, quoted_base_units=30_000_000_000_000,
    quoted_lamports=SOL, least_base_units=28_000_000_000_000, least_lamports=0, most_lamports=SOL + 8_000_000,
    slippage_bps=500, costs=Costs(network_fee_lamports=105_000, tip_lamports=0), moves_rent=True, is_graduated=False,
)  # fmt: skip
SALE = replace(TICKET, side="sell", amount=29_000_000_000_000, least_lamports=SOL // 2, most_lamports=105_000)
BOUGHT = Told(-SOL - 2_000_000, 29_000_000_000_000, 5_000)


# --- Pure ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "ticket, told, tip",
    [
        (TICKET, BOUGHT, 0),
        (TICKET, replace(BOUGHT, lamports=-1_000_000, network_fee=0), 0),  # less than the rent: there was none
        (replace(TICKET, moves_rent=False), BOUGHT, 7_000),
        (SALE, Told(SOL, SALE.amount, 5_000), 0),
        (SALE, Told(900_000, SALE.amount, 5_000), 0),
        (replace(SALE, moves_rent=False), Told(-1, SALE.amount, 5_000), 11),
    ],
)
def test_the_parts_of_a_told_fill_are_the_change_to_the_lamport(ticket: Ticket, told: Told, tip: int) -> None:
    fill = fill_told(ticket, told, FEES, tip)
    assert (fill.balance_change, fill.base_units, fill.tip) == (told.lamports, told.base_units, tip)
    assert min(fill.curve_lamports, fill.protocol_fee, fill.creator_fee, fill.venue_fee) >= 0


@pytest.mark.parametrize(
    "ticket, told",
    [
        (TICKET, replace(BOUGHT, lamports=SOL)),
        (TICKET, replace(BOUGHT, lamports=0)),
        (TICKET, replace(BOUGHT, lamports=-TICKET.most_lamports - 1)),
        (TICKET, replace(BOUGHT, lamports=-5_000)),
        (TICKET, replace(BOUGHT, base_units=TICKET.least_base_units - 1)),
        (TICKET, replace(BOUGHT, base_units=10**15 + 1)),
        (TICKET, replace(BOUGHT, network_fee=-1)),
        (SALE, Told(SOL, SALE.amount - 1, 5_000)),
        (SALE, Told(-200_000, SALE.amount, 5_000)),
        (SALE, Told(10**18 + 1, SALE.amount, 5_000)),
    ],
)
def test_what_the_signed_transaction_cannot_have_done_is_refused(ticket: Ticket, told: Told) -> None:
    with pytest.raises(ImpossibleError):
        fill_told(ticket, told, FEES, 0)


# --- Orders --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with open_chain() as opened:
        yield opened


@pytest.fixture
def rpc(server: Server) -> Iterator[Rpc]:
    client = Rpc([server.url("/rpc")], timeout_seconds=2.0)
    yield client
    client.close()


@pytest.fixture
def owner(db: None) -> Any:
    return get_user_model().objects.get_or_create(username="owner", defaults={"is_staff": True})[0]


@pytest.fixture
def lost(order: Order, server: Server) -> Iterator[Order]:  # noqa: F811
    """A buy that was signed, given to a node that was silent, and never seen again; the node's history is gone."""
    server.script.clear()
    server.next("sendTransaction", silence)
    rounds(server)
    server.chain.tick(GOOD_FOR + 2 * FINAL_AFTER)
    server.chain.first_slot = server.chain.slot
    rounds(server)
    order.refresh_from_db()
    assert (order.status, order.deny_code) == ("UNKNOWN", "HISTORY_MISSING")
    server.calls.clear()
    yield order
    server.chain.first_slot = 0
    assert "sendTransaction" not in server.calls


def verdict(order: Order, outcome: str, told: Told | None = None, **other: str) -> Verdict:  # noqa: F811
    texts = {"reason": "looked it up in an explorer", "typed": f"settle order {order.pk} as {outcome}", **other}
    return Verdict(outcome=outcome, told=told, **texts)


def settle(order: Order, said: Verdict, rpc: Rpc, owner: Any, **other: Any) -> Settlement:  # noqa: F811
    given = {"now": timezone.now() + LATER, "user": owner, "rpc": rpc, **other}
    return settling.order_settle_by_hand(order_id=order.pk, verdict=said, **given)


def bought(order: Order) -> Told:  # noqa: F811
    return Told(-order.reserved_lamports + 1_000, order.quoted_base_units or 0, 105_000)


def balanced() -> Wallet:
    wallet = Wallet.objects.get(alias="test")
    assert difference_of(wallet).total == 0
    return wallet


@pytest.mark.django_db
def test_what_never_happened_gives_everything_back_once(lost: Order, rpc: Rpc, owner: Any, server: Server) -> None:
    before = balanced().real_balance_lamports
    row = settle(lost, verdict(lost, "never"), rpc, owner)
    lost.refresh_from_db()
    assert (lost.status, lost.deny_code, lost.reserved_lamports) == ("EXPIRED", "SETTLED_BY_HAND", 0)
    assert balanced().real_balance_lamports == 10 * SOL > before
    assert (row.username, row.chain, row.code_before) == ("owner", "forgotten", "HISTORY_MISSING")
    with pytest.raises(PlatformError, match="known already"):
        settle(lost, verdict(lost, "done", bought(lost)), rpc, owner)
    rounds(server)
    assert not TradeLog.objects.exists() and Settlement.objects.count() == 1


@pytest.mark.django_db
def test_who_is_slower_than_the_chain_settles_nothing(lost: Order, owner: Any) -> None:
    """Between the question to the chain and the booking the trader has ended it."""
    dispatch.settle(lost.pk, Expired("BLOCKHASH_EXPIRED", "it never landed"))
    with pytest.raises(PlatformError) as error:
        settling._order_settled(
            lost.pk, verdict(lost, "done", bought(lost)), settling.Chain.SILENT, owner, timezone.now()
        )
    assert (error.value.code, error.value.status) == ("ORDER_HAS_ENDED", 409)
    assert balanced().real_balance_lamports == 10 * SOL and not Settlement.objects.exists()


@pytest.mark.django_db
def test_what_happened_is_booked_with_the_amounts_that_were_told(lost: Order, rpc: Rpc, owner: Any) -> None:
    told = bought(lost)
    row = settle(lost, verdict(lost, "done", told), rpc, owner)
    lost.refresh_from_db()
    trade, position = TradeLog.objects.get(), Position.objects.get()
    assert (lost.status, trade.code, lost.deny_code) == ("FILLED", "SETTLED_BY_HAND", "SETTLED_BY_HAND")
    assert trade.balance_change_lamports == row.balance_change_lamports == told.lamports
    assert position.quantity_base_units == row.base_units == told.base_units
    assert balanced().real_balance_lamports == 10 * SOL + told.lamports


@pytest.mark.django_db
def test_what_failed_costs_its_fee(lost: Order, rpc: Rpc, owner: Any) -> None:
    settle(lost, verdict(lost, "failed", Told(0, 0, 5_000)), rpc, owner)
    lost.refresh_from_db()
    assert (lost.status, balanced().real_balance_lamports) == ("REJECTED", 10 * SOL - 5_000)


@pytest.mark.django_db
def test_dry_it_says_the_same_and_writes_nothing(lost: Order, rpc: Rpc, owner: Any) -> None:
    row = settle(lost, verdict(lost, "done", bought(lost)), rpc, owner, dry_run=True)
    lost.refresh_from_db()
    assert (row.balance_change_lamports, lost.status) == (bought(lost).lamports, "UNKNOWN")
    assert not Settlement.objects.exists() and not TradeLog.objects.exists() and balanced()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "outcome, other, code",
    [
        ("never", {"reason": "short"}, "REASON_MISSING"),
        ("never", {"reason": "x" * 501}, "REASON_MISSING"),
        ("never", {"typed": "settle it"}, "CONFIRMATION_WRONG"),
        ("perhaps", {}, "OUTCOME_UNKNOWN"),
        ("done", {}, "AMOUNTS_MISSING"),
    ],
)
def test_text_and_amounts_are_asked_for(
    lost: Order, rpc: Rpc, owner: Any, outcome: str, other: dict[str, str], code: str
) -> None:
    with pytest.raises(PlatformError) as caught:
        settle(lost, verdict(lost, outcome, **other), rpc, owner)
    lost.refresh_from_db()
    assert (caught.value.code, lost.status) == (code, "UNKNOWN")


@pytest.mark.django_db
def test_amounts_beyond_the_order_are_refused(lost: Order, rpc: Rpc, owner: Any) -> None:
    for told in (replace(bought(lost), lamports=-lost.reserved_lamports - 1), Told(0, 0, 5_000)):
        with pytest.raises(PlatformError, match="cannot have happened"):
            settle(lost, verdict(lost, "done", told), rpc, owner)
    with pytest.raises(PlatformError, match="network fee alone"):
        settle(lost, verdict(lost, "failed", Told(0, 0, lost.reserved_lamports + 1)), rpc, owner)
    assert balanced() and not Settlement.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "chain, outcome, age, code",
    [
        ("forgotten", "never", timedelta(minutes=5), "TOO_EARLY_TO_SETTLE"),
        ("open", "never", LATER, "TRANSACTION_STILL_OPEN"),
        ("never", "done", LATER, "CHAIN_SAYS_OTHERWISE"),
        ("silent", "never", LATER, "CHAIN_SILENT"),
        ("landed", "never", LATER, "CHAIN_SAYS_OTHERWISE"),
        ("landed", "done", LATER, "CHAIN_KNOWS"),
        ("silent", "never", timedelta(hours=25), ""),
        ("never", "never", LATER, ""),
    ],
)
def test_the_chain_has_the_last_word(
    lost: Order, rpc: Rpc, owner: Any, server: Server, chain: str, outcome: str, age: timedelta, code: str
) -> None:
    if chain != "forgotten":
        server.chain.first_slot = 0
    if chain == "open":
        Order.objects.update(receipt={**lost.receipt, "last_valid_height": server.chain.slot + 5})
    elif chain == "silent":
        server.next("getEpochInfo", *[rpc_error(-32603)] * 2)
    elif chain == "landed":
        _land(lost, server)
    try:
        settle(lost, verdict(lost, outcome, bought(lost)), rpc, owner, now=timezone.now() + age)
        said = ""
    except PlatformError as error:
        said = error.code
    finally:
        server.script.clear()
    assert (said, Settlement.objects.count()) == (code, 0 if code else 1)
    balanced()


def _land(order: Order, server: Server) -> None:  # noqa: F811
    """Its bytes come into a block after all: the node had lost the count."""
    raw = base64.b64decode(order.receipt["transaction"])
    blockhash = str(VersionedTransaction.from_bytes(raw).message.recent_blockhash)
    server.chain.blockhashes[blockhash] = server.chain.slot + 10
    server.chain.take(raw)
    server.chain.tick(2)


@pytest.mark.django_db
@pytest.mark.parametrize("other, said", [("knows", "landed"), ("silent", "forgotten")])
def test_every_node_is_asked(lost: Order, server: Server, other: str, said: str) -> None:
    """One that has lost its history, or says nothing, does not outvote one that knows."""
    with open_chain() as second:
        if other == "knows":
            second.chain.slot = server.chain.slot
            second.chain.landed[lost.signature or ""] = Landed(b"", server.chain.slot - 2, {"err": None})
        else:
            second.next("getEpochInfo", silence, silence)
        rpc = Rpc([server.url("/rpc"), second.url("/rpc")], timeout_seconds=2.0)
        assert settling.chain_of(lost, rpc) == said
        rpc.close()


@pytest.mark.django_db
def test_what_was_executed_but_cannot_be_read_is_settled_as_done(
    lost: Order, rpc: Rpc, owner: Any, server: Server
) -> None:
    _land(lost, server)
    Order.objects.update(deny_code="FILL_UNREADABLE")
    lost.refresh_from_db()
    row = settle(lost, verdict(lost, "done", bought(lost)), rpc, owner)
    assert (row.chain, Order.objects.get().status) == ("landed", "FILLED")
    server.chain.landed.clear()
    balanced()


# --- Doors ---------------------------------------------------------------------------------------------
def signed_in(*, is_staff: bool) -> Client:
    user = get_user_model().objects.create_user(
        "boss" if is_staff else "hand", password="secret-123", is_staff=is_staff
    )
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
def test_the_page_asks_for_the_password_and_the_sentence(lost: Order) -> None:
    Order.objects.update(sent_at=timezone.now() - LATER)
    page, staff = f"/trading/real/orders/{lost.pk}/settle/", signed_in(is_staff=True)
    sent = {
        "outcome": "done", "reason": "looked it up in an explorer", "phrase": f"settle order {lost.pk} as done",
        "change": "-0.05", "tokens": f"{(lost.quoted_base_units or 0) / 10**6:.6f}", "network_fee": "0.000105",
        "password": "wrong",
    }  # fmt: skip
    assert page in staff.get("/trading/real/").text
    assert "PASSWORD_WRONG" in staff.post(page, sent).text
    assert "CONFIRMATION_WRONG" in staff.post(page, {**sent, "password": "secret-123", "phrase": "yes"}).text
    assert "This is needed." in staff.post(page, {**sent, "password": "secret-123", "change": ""}).text
    assert signed_in(is_staff=False).post(page, {**sent, "password": "secret-123"}).status_code == 200
    assert not Settlement.objects.exists()
    assert staff.post(page, {**sent, "password": "secret-123"}).status_code == 302
    row = Settlement.objects.get()
    assert (row.username, row.balance_change_lamports, row.order_id) == ("boss", -SOL // 20, lost.pk)
    assert row.reason in staff.get("/trading/real/").text and staff.get(page).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body, status, code",
    [
        ({"outcome": "done"}, 400, "AMOUNTS_MISSING"),
        ({"outcome": "failed"}, 400, "AMOUNTS_MISSING"),
        ({"outcome": "never", "base_units": 5}, 400, "AMOUNTS_NOT_WANTED"),
        ({"outcome": "done", "network_fee_lamports": 5_000, "base_units": 5}, 400, "AMOUNTS_MISSING"),
        ({"outcome": "failed", "network_fee_lamports": 5_000, "base_units": 5}, 400, "AMOUNTS_NOT_WANTED"),
        ({"outcome": "never", "balance_change_lamports": "NaN"}, 422, "VALIDATION_FAILED"),
        ({"outcome": "failed", "network_fee_lamports": -1}, 422, "VALIDATION_FAILED"),
        ({"outcome": "perhaps"}, 422, "VALIDATION_FAILED"),
        ({"outcome": "never", "dry_run": True}, 200, ""),
        ({"outcome": "never"}, 200, ""),
    ],
)
def test_the_api_wants_the_amounts_that_belong_to_the_outcome(
    lost: Order, body: dict[str, Any], status: int, code: str
) -> None:
    Order.objects.update(sent_at=timezone.now() - LATER)
    texts = {"reason": "looked it up in an explorer", "confirm": f"settle order {lost.pk} as {body['outcome']}"}
    url = f"/api/buy/orders/{lost.pk}/settle"
    assert signed_in(is_staff=False).post(url, {**texts, **body}, "application/json").status_code == 403
    staff = signed_in(is_staff=True)
    answer = staff.post(url, {**texts, **body}, "application/json")
    assert (answer.status_code, answer.json().get("code", "")) == (status, code)
    is_done = status == 200 and "dry_run" not in body
    assert staff.get("/api/buy/settlements").json()["count"] == is_done
    assert (Order.objects.get().status == "EXPIRED") is is_done


# --- Transfers -----------------------------------------------------------------------------------------
@pytest.fixture
def sent(lost: Order) -> TransferLog:
    """A transfer that went the same way as the order: signed, sent into silence, forgotten."""
    Wallet.objects.update(real_balance_lamports=F("real_balance_lamports") - SOL - 5_000)
    wallet = Wallet.objects.get()
    row = TransferLog.objects.create(
        wallet=wallet, to_address="out", lamports=SOL, fee_lamports=5_000, status="UNKNOWN", code="HISTORY_MISSING",
        is_simulation=False, signature=lost.signature, receipt=lost.receipt, sent_at=timezone.now(), at=timezone.now(),
    )  # fmt: skip
    transfer_book(wallet, row, SOL, 5_000)
    return row


@pytest.mark.django_db
@pytest.mark.parametrize(
    "outcome, status, left", [("never", "EXPIRED", 0), ("failed", "FAILED", -5_000), ("done", "SUCCESS", -SOL - 5_000)]
)
def test_a_transfer_is_settled_the_same_way(
    sent: TransferLog, rpc: Rpc, owner: Any, outcome: str, status: str, left: int
) -> None:
    before = balanced().real_balance_lamports + SOL + 5_000
    said = Verdict(outcome=outcome, reason="asked the exchange", typed=f"settle transfer {sent.pk} as {outcome}")
    given = {"transfer_id": sent.pk, "user": owner, "rpc": rpc}
    with pytest.raises(PlatformError, match="quarter"):
        settling.transfer_settle_by_hand(verdict=said, now=timezone.now(), **given)
    row = settling.transfer_settle_by_hand(verdict=said, now=timezone.now() + LATER, **given)
    assert (TransferLog.objects.get().status, row.balance_change_lamports) == (status, left)
    assert balanced().real_balance_lamports == before + left
    with pytest.raises(PlatformError, match="known already"):
        settling.transfer_settle_by_hand(verdict=said, now=timezone.now() + LATER, **given)
