"""What the real venue signs and what it fills, and what it never signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from apps.discovery import curve
from apps.discovery.curve import INITIAL, Reserves
from apps.trading.fills import Costs
from apps.trading.tests.chain import FEES, RENT
from apps.trading.tests.chain_servers import (
    opening,
    packed,
    says,
    trade,
)
from apps.trading.tests.order_desk import COSTS, MINT, NETWORK_FEE, SOL, STAKE, WALLET, Desk, desk, server
from apps.trading.venues import Filled, Pending, Rejected, programs

__all__ = ["desk", "server"]


def test_a_buy_is_filled_as_the_chain_says(desk: Desk) -> None:
    before = desk.chain.lamports(WALLET)
    answer = desk.done(desk.buy())
    assert isinstance(answer, Filled)
    fill = answer.fill
    assert fill.balance_change == desk.chain.lamports(WALLET) - before
    assert fill.base_units == desk.chain.tokens(WALLET, MINT) > 0
    assert (fill.network_fee, fill.rent, fill.tip) == (NETWORK_FEE, RENT, 0)
    assert -fill.balance_change <= desk.buy().most_lamports
    quote = curve.buy_exact_in(curve.buy_exact_in(INITIAL, 10 * SOL, FEES).after, STAKE * 10_000 // 10_500, FEES)
    assert fill.curve_lamports == pytest.approx(quote.net_lamports, abs=2)
    assert fill.protocol_fee + fill.creator_fee == pytest.approx(quote.protocol_fee + quote.creator_fee, abs=2)
    assert fill.venue_fee == STAKE * 10_000 // 10_500 // 200
    assert fill.price_impact_bps is None
    assert answer.signature == desk.receipts[0].signature


def test_a_sale_brings_what_the_chain_says(desk: Desk) -> None:
    desk.done(desk.buy())
    held, before = desk.chain.tokens(WALLET, MINT), desk.chain.lamports(WALLET)
    answer = desk.done(desk.sale(held))
    assert isinstance(answer, Filled)
    assert answer.fill.balance_change == desk.chain.lamports(WALLET) - before > 0
    assert (answer.fill.base_units, answer.fill.rent) == (held, 0)
    assert desk.chain.tokens(WALLET, MINT) == 0


def test_an_order_says_exactly_what_is_wanted(desk: Desk) -> None:
    desk.done(desk.buy())
    desk.done(desk.sale(1_234_567_890_123))
    buy, sale = desk.server.portal.asked
    assert (buy["action"], buy["denominatedInSol"], buy["pool"], buy["slippage"]) == ("buy", "true", "pump", 5.0)
    assert (buy["amount"], buy["priorityFee"]) == (0.095238095, 0.0001)
    assert (sale["action"], sale["denominatedInSol"], sale["amount"]) == ("sell", "false", 1234567.890123)


@pytest.mark.parametrize("form", ["buy", "buy_v2", "buy_exact_sol_in", "buy_exact_quote_in_v2"])
def test_no_form_of_a_buy_spends_more_than_the_order(desk: Desk, form: str) -> None:
    desk.server.portal.form = form
    ticket = desk.buy()
    answer = desk.done(ticket)
    assert isinstance(answer, Filled)
    assert answer.fill.base_units >= ticket.least_base_units
    assert answer.fill.curve_lamports + answer.fill.protocol_fee + answer.fill.creator_fee <= STAKE


def test_what_is_signed_carries_the_orders_own_limits(desk: Desk) -> None:
    """PumpPortal's limit is wide open; between signing and landing the price doubles: the program refuses."""
    desk.server.portal.twist = lambda made, payer: packed([_open_limit(one) for one in made], payer)
    ticket = desk.buy()
    assert isinstance(desk.send(ticket), Pending)
    desk.sold_to_others(30 * SOL)
    before = desk.chain.lamports(WALLET)
    desk.chain.tick(2)
    answer = desk.look(ticket)
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.network_fee, answer.is_final) == ("TOO_MUCH_SOL_REQUIRED", NETWORK_FEE, False)
    assert before - desk.chain.lamports(WALLET) == NETWORK_FEE


def _open_limit(one: Instruction) -> Instruction:
    if one.program_id != programs.PUMP:
        return one
    data = bytes(one.data)
    return Instruction(one.program_id, data[:16] + (10 * SOL).to_bytes(8, "little") + data[24:], one.accounts)


# --- Other transactions than asked for -----------------------------------------------------------------
THIEF = Keypair.from_seed(bytes([66] * 32)).pubkey()
OTHER = Keypair.from_seed(bytes([67] * 32)).pubkey()


def _with_transfer(lamports: int) -> Callable[[list[Instruction], Pubkey], bytes]:
    def twist(made: list[Instruction], payer: Pubkey) -> bytes:
        stolen = transfer(TransferParams(from_pubkey=payer, to_pubkey=THIEF, lamports=lamports))
        return packed([*made, stolen], payer)

    return twist


def _with(*more: Instruction) -> Callable[[list[Instruction], Pubkey], bytes]:
    return lambda made, payer: packed([*made, *more], payer)


def _trade_instead(**changes: Any) -> Callable[[list[Instruction], Pubkey], bytes]:
    def twist(made: list[Instruction], payer: Pubkey) -> bytes:
        given = {"program": programs.PUMP, "form": "buy", "wallet": payer, "mint": MINT, "first": 10**12, "limit": SOL}
        return packed([*made[:3], trade(**{**given, **changes})], payer)

    return twist


def _token(data: bytes, *keys: Pubkey) -> Instruction:
    return Instruction(programs.TOKEN, data, [AccountMeta(key, key == WALLET, True) for key in keys])


OWN = programs.token_accounts(WALLET, MINT)[0]
NONCE = Instruction(programs.SYSTEM, b"\x04\0\0\0", [AccountMeta(THIEF, False, True), AccountMeta(WALLET, True, False)])
ASSIGN = Instruction(programs.SYSTEM, b"\x01\0\0\0" + bytes(THIEF), [AccountMeta(WALLET, True, True)])
WRONG: dict[str, tuple[Callable[[list[Instruction], Pubkey], bytes], str]] = {
    "other payer": (lambda made, payer: packed(made, THIEF), "TRANSACTION_OTHER_PAYER"),
    "other signer": (
        _with(transfer(TransferParams(from_pubkey=THIEF, to_pubkey=WALLET, lamports=1))),
        "TRANSACTION_OTHER_SIGNER",
    ),
    "other program": (_with(Instruction(THIEF, b"", [AccountMeta(WALLET, True, True)])), "TRANSACTION_OTHER_PROGRAM"),
    "more SOL out": (_with_transfer(SOL), "TRANSACTION_OTHER_TRANSFER"),
    "a little more SOL out": (_with_transfer(STAKE // 150), "TRANSACTION_OTHER_TRANSFER"),
    "a lamport to a second account": (_with_transfer(1), "TRANSACTION_OTHER_TRANSFER"),
    "tip not asked for": (
        _with(transfer(TransferParams(from_pubkey=WALLET, to_pubkey=min(programs.JITO_TIPS, key=str), lamports=1))),
        "TRANSACTION_TIP_TOO_HIGH",
    ),
    "durable nonce": (_with(NONCE), "TRANSACTION_OTHER_INSTRUCTION"),
    "wallet given away": (_with(ASSIGN), "TRANSACTION_OTHER_INSTRUCTION"),
    "token approval": (_with(_token(b"\x04" + bytes(8), OWN, THIEF, WALLET)), "TRANSACTION_OTHER_INSTRUCTION"),
    "token transfer": (_with(_token(b"\x03" + bytes(8), OWN, THIEF, WALLET)), "TRANSACTION_OTHER_INSTRUCTION"),
    "account closed to another": (_with(_token(b"\x09", OWN, THIEF, WALLET)), "TRANSACTION_OTHER_INSTRUCTION"),
    "account for another": (
        lambda made, payer: packed([*made, opening(payer, MINT, THIEF)], payer),
        "TRANSACTION_OTHER_INSTRUCTION",
    ),
    "other mint": (_trade_instead(mint=OTHER), "TRANSACTION_OTHER_TRADE"),
    "other side": (_trade_instead(form="sell"), "TRANSACTION_OTHER_TRADE"),
    "other wallet's tokens": (
        lambda made, payer: packed(
            [*made[:3], Instruction(programs.PUMP, made[3].data, [*made[3].accounts[:1], *made[3].accounts[2:]])], payer
        ),
        "TRANSACTION_OTHER_TRADE",
    ),
    "other instruction of the program": (_trade_instead(form="migrate"), "TRANSACTION_OTHER_INSTRUCTION"),
    "two trades": (lambda made, payer: packed([*made, made[3]], payer), "TRANSACTION_OTHER_TRADE"),
    "no trade": (lambda made, payer: packed(made[:3], payer), "TRANSACTION_OTHER_TRADE"),
    "fee above the cap": (
        lambda made, payer: packed([made[0], set_compute_unit_price(10**8), *made[2:]], payer),
        "TRANSACTION_FEE_TOO_HIGH",
    ),
    "garbage": (lambda made, payer: b"\xff" * 300, "TRANSACTION_GARBAGE"),
    "nothing": (lambda made, payer: b"", "TRANSACTION_GARBAGE"),
    "a web page": (lambda made, payer: b"<html>Welcome</html>", "TRANSACTION_GARBAGE"),
    "cut off": (lambda made, payer: packed(made, payer)[:-40], "TRANSACTION_GARBAGE"),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_transaction_is_never_signed(desk: Desk, name: str) -> None:
    twist, code = WRONG[name]
    desk.chain.coin(OTHER, INITIAL)
    desk.server.portal.twist = twist
    answer = desk.send(desk.buy())
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.is_final) == (code, True)
    assert not desk.receipts and not desk.chain.sent


def test_a_sale_of_another_amount_is_never_signed(desk: Desk) -> None:
    desk.done(desk.buy())
    held = desk.chain.tokens(WALLET, MINT)
    desk.server.portal.twist = lambda made, payer: packed(
        [*made[:2], trade(programs.PUMP, "sell", payer, MINT, held, 0)], payer
    )
    answer = desk.send(desk.sale(held // 2))
    assert isinstance(answer, Rejected)
    assert answer.code == "TRANSACTION_OTHER_AMOUNT"
    assert len(desk.chain.sent) == 1


def _reaching(one: Instruction, key: Pubkey) -> Instruction:
    """The same instruction with one more account that it may write to."""
    return Instruction(one.program_id, bytes(one.data), [*one.accounts, AccountMeta(key, False, True)])


@pytest.mark.parametrize(
    ("effect", "code"),
    [
        ("more out", "SIMULATED_TOO_MUCH_OUT"),
        ("less in", "SIMULATED_TOO_LITTLE_IN"),
        ("approval", "SIMULATED_APPROVAL"),
        ("other token", "SIMULATED_OTHER_TOKEN"),
    ],
)
def test_a_program_that_does_something_else_is_seen_in_the_simulation(desk: Desk, effect: str, code: str) -> None:
    """The instructions look right; what the simulation leaves behind does not."""
    other = desk.chain.hold(WALLET, OTHER, 5_000_000)
    desk.server.portal.twist = lambda made, payer: packed([*made[:3], _reaching(made[3], other)], payer)
    desk.chain.mischief = lambda accounts: desk.chain.harm(effect, WALLET, OWN, other, accounts)
    try:
        answer = desk.send(desk.buy())
    finally:
        desk.chain.mischief = None
    assert isinstance(answer, Rejected)
    assert answer.code == code
    assert not desk.receipts and not desk.chain.sent


def test_a_price_that_moved_is_refused_before_anything_is_signed_and_may_be_tried_anew(desk: Desk) -> None:
    ticket = desk.buy()
    desk.sold_to_others(10 * SOL)
    answer = desk.send(ticket)
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.is_final, answer.network_fee) == ("TOO_MUCH_SOL_REQUIRED", False, 0)
    assert not desk.chain.sent


# --- Fees and tips -------------------------------------------------------------------------------------
def test_a_tip_is_added_and_paid_at_jito(desk: Desk) -> None:
    desk.venue.terms = replace(desk.venue.terms, jito_url=desk.server.url("/jito"))
    ticket = desk.buy(costs=replace(COSTS, tip_lamports=50_000), most_lamports=SOL)
    answer = desk.done(ticket)
    assert isinstance(answer, Filled)
    assert answer.fill.tip == 50_000
    assert len(desk.chain.sent) == 2 and len(set(desk.chain.sent)) == 1


@pytest.mark.parametrize(
    ("costs", "code"),
    [
        (replace(COSTS, tip_lamports=2_000_000), "TIP_ABOVE_CAP"),
        (replace(COSTS, network_fee_lamports=1_005_001), "PRIORITY_FEE_ABOVE_CAP"),
    ],
)
def test_fees_above_the_caps_are_refused(desk: Desk, costs: Costs, code: str) -> None:
    desk.venue.terms = replace(desk.venue.terms, jito_url=desk.server.url("/jito"))
    answer = desk.send(desk.buy(costs=costs))
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.is_final) == (code, True)
    assert not desk.server.calls


# --- Graduation ----------------------------------------------------------------------------------------
def test_a_graduated_coin_is_sold_at_its_pool(desk: Desk) -> None:
    desk.done(desk.buy())
    answer = desk.done(desk.sale(desk.chain.tokens(WALLET, MINT), is_graduated=True))
    assert isinstance(answer, Filled)
    assert desk.server.portal.asked[-1]["pool"] == "pump-amm"


@pytest.mark.parametrize("portal_knows", [True, False])
def test_a_coin_that_has_just_graduated_is_sold_where_it_is(desk: Desk, portal_knows: bool) -> None:
    desk.done(desk.buy())
    if portal_knows:
        desk.server.next("trade", says(400, b"the curve is complete"))
    held = desk.chain.tokens(WALLET, MINT)
    ticket = desk.sale(held, least_lamports=0)
    desk.chain.coin(MINT, Reserves(curve.INITIAL.virtual_sol * 4, 279_900_000_000_000))
    answer = desk.done(ticket)
    assert [asked["pool"] for asked in desk.server.portal.asked[1:]] == ["pump", "auto"][portal_knows:]
    assert isinstance(answer, Filled)
