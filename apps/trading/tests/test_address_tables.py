"""Transactions whose accounts come from address tables, as our own node knows them."""

from __future__ import annotations

from typing import Any

import pytest
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from apps.trading.tests.chain import CREATOR, PROTOCOL, VENUE
from apps.trading.tests.chain_servers import packed
from apps.trading.tests.order_desk import MINT, SOL, WALLET, Desk, desk, server
from apps.trading.venues import Filled, Rejected, programs

__all__ = ["desk", "server"]
TABLE, OTHER_TABLE, THIEF = (Keypair.from_seed(bytes([n] * 32)).pubkey() for n in (70, 71, 72))
OWN = programs.token_accounts(WALLET, MINT)[0]
KNOWN = [THIEF, PROTOCOL, MINT, programs.bonding_curve(MINT), CREATOR, VENUE, OWN, programs.WRAPPED_SOL]


def through(desk: Desk, *more: Any, knows: list[Pubkey] | None = None) -> None:
    """PumpPortal packs its transactions with a table; our node `knows` it so."""
    table = desk.chain.table(TABLE, KNOWN)
    desk.server.portal.twist = lambda made, payer: packed([*made, *more], payer, table)
    if knows is not None:
        desk.chain.table(TABLE, knows)


def landed(desk: Desk) -> MessageV0:
    message = VersionedTransaction.from_bytes(next(iter(desk.chain.landed.values())).raw).message
    assert isinstance(message, MessageV0)
    return message


def test_a_buy_and_a_sale_through_a_table_are_filled_as_the_chain_says(desk: Desk) -> None:
    through(desk)
    before = desk.chain.lamports(WALLET)
    bought = desk.done(desk.buy())
    assert isinstance(bought, Filled)
    (lookup,) = landed(desk).address_table_lookups
    assert lookup.account_key == TABLE and lookup.writable_indexes and lookup.readonly_indexes
    assert bought.fill.balance_change == desk.chain.lamports(WALLET) - before
    assert bought.fill.base_units == desk.chain.tokens(WALLET, MINT) > 0
    assert bought.fill.protocol_fee > 0 < bought.fill.venue_fee
    sold = desk.done(desk.sale(bought.fill.base_units))
    assert isinstance(sold, Filled)
    assert desk.chain.tokens(WALLET, MINT) == 0
    assert sold.fill.balance_change + bought.fill.balance_change == desk.chain.lamports(WALLET) - before


def test_a_theft_behind_a_table_is_seen(desk: Desk) -> None:
    through(desk, transfer(TransferParams(from_pubkey=WALLET, to_pubkey=THIEF, lamports=SOL)))
    answer = desk.send(desk.buy())
    assert isinstance(answer, Rejected)
    assert (answer.code, desk.chain.sent) == ("TRANSACTION_OTHER_TRANSFER", [])


@pytest.mark.parametrize(
    ("knows", "code"),
    [
        ([WALLET, *KNOWN[1:3]], "TRANSACTION_GARBAGE"),  # shorter than PumpPortal says
        ([*KNOWN[:2], THIEF, *KNOWN[3:]], "TRANSACTION_OTHER_INSTRUCTION"),  # another mint than PumpPortal means
        ([*KNOWN[:6], THIEF, *KNOWN[7:]], "TRANSACTION_OTHER_TRADE"),  # another account for the tokens
        ([THIEF] * len(KNOWN), "TRANSACTION_OTHER_INSTRUCTION"),
    ],
)
def test_what_our_own_node_knows_counts(desk: Desk, knows: list[Pubkey], code: str) -> None:
    through(desk, knows=knows)
    answer = desk.send(desk.buy())
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.is_final, desk.chain.sent) == (code, True, [])


@pytest.mark.parametrize("owner", [None, programs.SYSTEM])
def test_a_table_that_is_none_is_refused(desk: Desk, owner: Pubkey | None) -> None:
    through(desk)
    desk.chain.forget(TABLE)
    if owner is not None:
        desk.chain.fund(TABLE, SOL)
    answer = desk.send(desk.buy())
    assert isinstance(answer, Rejected)
    assert (answer.code, desk.chain.sent) == ("TRANSACTION_GARBAGE", [])
