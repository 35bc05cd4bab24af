"""The real venue against a PumpPortal and a node that misbehave, and blocks that come, go and never come."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from apps.trading.tests.chain import GOOD_FOR, VENUE
from apps.trading.tests.chain_servers import (
    rpc_error,
    says,
    silence,
    taken_in_silence,
)
from apps.trading.tests.order_desk import KEY, MINT, WALLET, Desk, desk, server
from apps.trading.venues import Expired, Filled, Pending, Receipt, Rejected, Unknown

__all__ = ["desk", "server"]


# --- PumpPortal misbehaves: nothing is signed, nothing is lost -----------------------------------------
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ((says(400, b"Bad Request: mint"),), "VENUE_REFUSED"),
        ((says(429, b"slow", Retry_After="30"),) * 2, "VENUE_BUSY"),
        ((says(503, b""),) * 2, "VENUE_BUSY"),
        ((silence, silence), "VENUE_NO_ANSWER"),
        ((says(302, b"", Location="http://elsewhere/"),), "VENUE_REFUSED"),
        ((says(200, b"\0" * 64),), "TRANSACTION_GARBAGE"),
    ],
)
def test_a_portal_that_fails_costs_nothing(desk: Desk, script: tuple[Any, ...], code: str) -> None:
    desk.server.next("trade", *script)
    answer = desk.send(desk.buy())
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.network_fee) == (code, 0)
    assert not desk.receipts and not desk.chain.sent
    assert all(pause <= 1.0 for pause in desk.pauses)


def test_a_portal_that_stumbles_once_is_asked_again(desk: Desk) -> None:
    desk.server.next("trade", says(429, b"", Retry_After="0"))
    assert isinstance(desk.done(desk.buy()), Filled)


# --- The node misbehaves: sent once, found again --------------------------------------------------------
@pytest.mark.parametrize(
    "answer",
    [
        taken_in_silence,
        silence,
        says(429, b"", Retry_After="1"),
        says(502, b"bad gateway"),
        says(200, b"garbage"),
        says(200, b'{"jsonrpc":"2.0","id":0,"result":"1"}'),
        rpc_error(-32005, "behind"),
        rpc_error(-32603, "inside"),
        rpc_error(-32002, "already processed"),
    ],
)
def test_whatever_the_node_says_to_a_sending_nothing_is_bought_twice(desk: Desk, answer: Any) -> None:
    desk.server.next("sendTransaction", answer)
    ticket = desk.buy()
    assert isinstance(desk.send(ticket), Unknown)
    assert isinstance(desk.look(ticket), Pending)  # the same bytes again
    desk.chain.tick(2)
    found = desk.look(ticket)
    assert isinstance(found, Filled)
    assert len(set(desk.chain.sent)) == 1 and len(desk.chain.landed) == 1
    assert found.fill.base_units == desk.chain.tokens(WALLET, MINT)


@pytest.mark.parametrize("method", ["getLatestBlockhash", "getMultipleAccounts", "simulateTransaction"])
@pytest.mark.parametrize("answer", [silence, says(200, b"{}"), says(429, b"")])
def test_a_node_that_fails_before_the_signature_means_nothing_was_sent(desk: Desk, method: str, answer: Any) -> None:
    desk.server.next(method, answer)
    refused = desk.send(desk.buy())
    assert isinstance(refused, Rejected)
    assert refused.code.startswith("RPC_") and not refused.is_final
    assert not desk.receipts and not desk.chain.sent


@pytest.mark.parametrize("method", ["getEpochInfo", "getSignatureStatuses", "getTransaction"])
@pytest.mark.parametrize(
    "answer", [silence, says(200, b"[1]"), says(429, b""), says(200, b'{"jsonrpc":"2.0","id":null,"result":7}')]
)
def test_a_node_that_fails_while_following_leaves_the_order_unknown_not_lost(
    desk: Desk, method: str, answer: Any
) -> None:
    ticket = desk.buy()
    desk.send(ticket)
    desk.chain.tick(2)
    desk.server.next(method, answer)
    assert isinstance(desk.look(ticket), Unknown)
    assert isinstance(desk.look(ticket), Filled)


def test_the_receipt_is_noted_before_the_bytes_leave(desk: Desk) -> None:
    seen: list[int] = []
    desk.venue.send(desk.buy(), lambda receipt: seen.append(len(desk.chain.sent)))
    assert seen == [0] and len(desk.chain.sent) == 1


def test_an_order_that_has_ended_meanwhile_is_not_sent(desk: Desk) -> None:
    def ended(receipt: Receipt) -> None:
        raise RuntimeError("the order has ended")

    with pytest.raises(RuntimeError):
        desk.venue.send(desk.buy(), ended)
    assert not desk.chain.sent


# --- Blocks that come, go and never come ----------------------------------------------------------------
def test_an_order_counts_only_when_it_is_confirmed(desk: Desk) -> None:
    ticket = desk.buy()
    desk.send(ticket)
    desk.chain.tick(1)
    assert isinstance(desk.look(ticket), Pending)
    desk.chain.tick(1)
    assert isinstance(desk.look(ticket), Filled)


def test_with_finalized_set_a_confirmed_order_is_still_pending(desk: Desk) -> None:
    desk.venue.terms = replace(desk.venue.terms, commitment="finalized")
    ticket = desk.buy()
    desk.send(ticket)
    desk.chain.tick(10)
    assert isinstance(desk.look(ticket), Pending)
    desk.chain.tick(40)
    assert isinstance(desk.look(ticket), Filled)


def test_a_block_that_is_taken_back_is_followed_to_the_next(desk: Desk) -> None:
    ticket = desk.buy()
    before = desk.chain.coins[MINT]
    desk.send(ticket)
    desk.chain.tick(1)
    assert isinstance(desk.look(ticket), Pending)
    desk.chain.reorganise()
    desk.chain.coins[MINT] = before
    assert isinstance(desk.look(ticket), Pending)
    desk.chain.tick(2)
    found = desk.look(ticket)
    assert isinstance(found, Filled)
    assert found.fill.base_units == desk.chain.tokens(WALLET, MINT)
    assert len(set(desk.chain.sent)) == 1


def test_an_order_expires_only_when_it_can_never_land(desk: Desk) -> None:
    desk.chain.takes = False
    ticket = desk.buy()
    desk.send(ticket)
    assert isinstance(desk.look(ticket), Pending)
    desk.chain.tick(GOOD_FOR + 1)  # past the height, but that block is not final yet
    assert isinstance(desk.look(ticket), Pending)
    desk.chain.tick(40)
    sent = len(desk.chain.sent)
    assert isinstance(desk.look(ticket), Expired)
    assert len(desk.chain.sent) == sent and len(set(desk.chain.sent)) == 1


def test_a_late_landing_is_found_at_the_last_moment(desk: Desk) -> None:
    desk.chain.lands = False
    ticket = desk.buy()
    desk.send(ticket)
    desk.chain.tick(GOOD_FOR - 1)
    desk.chain.lands = True
    desk.chain.tick(60)
    assert isinstance(desk.look(ticket), Filled)


def test_a_node_without_the_old_blocks_cannot_let_an_order_expire(desk: Desk) -> None:
    desk.chain.takes = False
    ticket = desk.buy()
    desk.send(ticket)
    desk.chain.tick(GOOD_FOR + 60)
    desk.chain.first_slot = desk.chain.slot - 20
    answer = desk.look(ticket)
    assert isinstance(answer, Unknown)
    assert answer.code == "HISTORY_MISSING"


def test_signed_bytes_are_kept_with_the_receipt(desk: Desk) -> None:
    desk.send(desk.buy())
    details = desk.receipts[0].details
    assert set(details) == {"transaction", "last_valid_height", "slot", "fee_account"}
    assert details["fee_account"] == str(VENUE)
    assert bytes(KEY)[:32] not in base64.b64decode(details["transaction"])
