"""Real transfers and the comparison with the chain, over a node on loopback whose transfers LiteSVM executes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from apps.core import display
from apps.core.errors import PlatformError
from apps.trading import pages_real, reconciliation, sending, services, transfers, unlocking, wallet_keys
from apps.trading.ledger_queries import difference_of
from apps.trading.models import (
    ChainCheck,
    Difference,
    LedgerEntry,
    Position,
    RealUnlock,
    SavedAddress,
    TransferLog,
    Wallet,
)
from apps.trading.tests.chain import FINAL_AFTER, GOOD_FOR
from apps.trading.tests.chain_servers import Server, open_chain, rpc_error, says, silence, taken_in_silence
from apps.trading.tests.conftest import SOL, World
from apps.trading.venues.rpc import Rpc

pytestmark = pytest.mark.django_db
BANK = Keypair.from_seed(bytes([9] * 32)).pubkey()
FEE = transfers.FEE_LAMPORTS + 7_000
COIN = Keypair.from_seed(bytes([8] * 32)).pubkey()


@pytest.fixture
def node() -> Iterator[Server]:
    with open_chain() as server:
        server.chain.fund(BANK, SOL)
        yield server


@pytest.fixture
def rpc(node: Server) -> Iterator[Rpc]:
    client = Rpc([node.url("/rpc")], timeout_seconds=2.0)
    yield client
    client.close()


def real_wallet(node: Server, alias: str = "real", sol: int = 3) -> Wallet:
    """An unlocked wallet with a key, limits and the same balance in the books as on the chain."""
    user, _ = get_user_model().objects.get_or_create(username="owner", defaults={"is_staff": True})
    wallet = wallet_keys.wallet_create_real(alias=alias, user=user, now=timezone.now())
    names = (*unlocking.CAPS, *unlocking.TRANSFER_LIMITS)
    limits = dict.fromkeys(names, 10 * SOL)
    Wallet.objects.filter(pk=wallet.pk).update(transfer_enabled=True, **limits)
    now = timezone.now()
    RealUnlock.objects.create(
        wallet=wallet, username="owner", caps=limits, unlocked_at=now, expires_at=now + timedelta(1)
    )
    wallet.refresh_from_db()
    reconciliation.cash_move(wallet, sol * SOL)
    reconciliation.adjustment_book(wallet, sol * SOL, now, "the beginning")
    node.chain.fund(Pubkey.from_string(wallet.address), sol * SOL)
    return wallet


@pytest.fixture
def wallet(started: World, node: Server, settings: Any) -> Wallet:
    settings.REAL_TRADING, settings.TRANSFER_PRIORITY_FEE_LAMPORTS = True, 7_000
    now = timezone.now()
    SavedAddress.objects.create(name="bank", address=str(BANK), added_by="owner", added_at=now, usable_at=now)
    return real_wallet(node)


def send(lamports: int | None = SOL, **to: str) -> TransferLog:
    return transfers.transfer(from_alias="real", lamports=lamports, **(to or {"to_saved": "bank"}))


def ended(row: TransferLog) -> tuple[str, str]:
    row.refresh_from_db()
    return row.status, row.code


def books_agree(wallet: Wallet, node: Server) -> bool:
    """No lamport appeared or vanished, and the books say what the chain says."""
    wallet.refresh_from_db()
    on_chain = node.chain.lamports(Pubkey.from_string(wallet.address))
    return difference_of(wallet).total == 0 and wallet.real_balance_lamports == on_chain


def rounds(node: Server, rpc: Rpc, *, ticks: int = FINAL_AFTER + 2, times: int = 1) -> None:
    for _ in range(times):
        sending.round_once(rpc, timezone.now())
        node.chain.tick(ticks)
        sending.round_once(rpc, timezone.now())


def test_transfer_lands_and_is_booked(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    row = send()
    rounds(node, rpc)
    assert ended(row) == ("SUCCESS", "")
    assert node.chain.lamports(BANK) == 2 * SOL
    assert books_agree(wallet, node)
    assert set(node.chain.sent) == {row.signature}


def test_sweep_empties_the_wallet_into_another_one(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    other = real_wallet(node, "other", 1)
    row = send(None, to_alias="other")
    rounds(node, rpc)
    assert (ended(row), row.lamports) == (("SUCCESS", ""), 3 * SOL - FEE)
    assert books_agree(wallet, node)
    assert books_agree(other, node)
    assert other.real_balance_lamports == 4 * SOL - FEE


@pytest.mark.parametrize("answer", [taken_in_silence, silence, says(502, b"?"), rpc_error(-32603), says(200, b"junk")])
def test_unclear_answer_to_sending_is_followed_and_never_sent_anew(
    wallet: Wallet, node: Server, rpc: Rpc, answer: Any
) -> None:
    row = send()
    node.next("sendTransaction", answer)
    sending.round_once(rpc, timezone.now())
    assert ended(row)[0] == "UNKNOWN"
    rounds(node, rpc, times=2)
    assert ended(row)[0] == "SUCCESS"
    assert set(node.chain.sent) == {row.signature}
    assert node.chain.lamports(BANK) == 2 * SOL
    assert books_agree(wallet, node)


def test_transfer_that_never_lands_expires_and_gives_everything_back(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    row = send()
    node.chain.takes = False
    sending.round_once(rpc, timezone.now())
    node.chain.tick(GOOD_FOR)
    sending.round_once(rpc, timezone.now())
    assert ended(row)[0] == "SUBMITTED"
    node.chain.first_slot = node.chain.slot
    node.chain.tick(2 * FINAL_AFTER)
    sending.round_once(rpc, timezone.now())
    assert ended(row)[0] == "SUBMITTED", "a node that has forgotten those blocks cannot know"
    node.chain.first_slot = 0
    sending.round_once(rpc, timezone.now())
    assert ended(row) == ("EXPIRED", "BLOCKHASH_EXPIRED")
    assert books_agree(wallet, node)


def test_reorganised_block_changes_nothing(wallet: Wallet, node: Server, rpc: Rpc, settings: Any) -> None:
    settings.SOLANA_COMMITMENT = "finalized"
    row = send()
    sending.round_once(rpc, timezone.now())
    node.chain.tick()
    node.chain.reorganise()
    rounds(node, rpc, times=2)
    assert ended(row)[0] == "SUCCESS"
    assert set(node.chain.sent) == {row.signature}
    assert books_agree(wallet, node)


def test_transfer_that_would_fail_is_not_sent(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    row = send()
    node.chain.fund(Pubkey.from_string(wallet.address), SOL // 2)
    sending.round_once(rpc, timezone.now())
    assert ended(row) == ("EXPIRED", "SIMULATION_FAILED")
    wallet.refresh_from_db()
    assert (wallet.real_balance_lamports, node.chain.sent) == (3 * SOL, [])


def test_transfer_that_fails_on_the_chain_costs_its_fee(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    row = send()
    sending.round_once(rpc, timezone.now())
    node.chain.fund(Pubkey.from_string(wallet.address), SOL // 2)
    node.chain.tick(FINAL_AFTER + 2)
    sending.round_once(rpc, timezone.now())
    assert ended(row) == ("FAILED", "TRANSACTION_FAILED")
    wallet.refresh_from_db()
    assert (wallet.real_balance_lamports, difference_of(wallet).total) == (3 * SOL - FEE, 0)


class DiedError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("place", ["_send", "transfer_signed", "transfer_sign", "_look", "transfer_end"])
def test_process_that_dies_on_the_way_loses_nothing(
    wallet: Wallet, node: Server, rpc: Rpc, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = send()

    def dies(*_: Any, **__: Any) -> Any:
        raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(sending, place, dies)
        for _ in range(2):
            with contextlib.suppress(DiedError):
                sending.round_once(rpc, timezone.now())
            node.chain.tick(FINAL_AFTER + 2)
    later = timezone.now() + 2 * sending.CLAIM_LASTS
    for _ in range(3):
        sending.round_once(rpc, later)
        node.chain.tick(FINAL_AFTER + 2)
    status = ended(row)[0]
    assert status == ("EXPIRED" if place in ("_send", "transfer_signed", "transfer_sign") else "SUCCESS")
    assert node.chain.lamports(BANK) == (2 * SOL if status == "SUCCESS" else SOL)
    assert len(set(node.chain.sent)) <= 1
    assert books_agree(wallet, node)


def test_slow_process_sends_nothing_after_its_claim_was_given_up(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    row = sending.transfer_claim(send().pk, timezone.now())
    assert row is not None
    sending.round_once(rpc, timezone.now() + 2 * sending.CLAIM_LASTS)
    sending._send(row, rpc)
    assert ended(row) == ("EXPIRED", "NEVER_SENT")
    assert node.chain.sent == []
    assert books_agree(wallet, node)


def test_locking_stops_what_was_not_sent_yet(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    row = send()
    unlocking.wallets_lock(username="owner", now=timezone.now())
    sending.round_once(rpc, timezone.now())
    assert ended(row) == ("EXPIRED", "REAL_TRADING_LOCKED")
    assert (node.chain.sent, books_agree(wallet, node)) == ([], True)


@pytest.mark.parametrize(
    "after, end",
    [
        ("transfer_signed", ("EXPIRED", "TRADING_HALTED")),  # between the claim and the note
        ("transfer_sign", ("EXPIRED", "BLOCKHASH_EXPIRED")),  # between the note and the first byte
    ],
)
def test_kill_switch_counts_up_to_the_first_byte(
    wallet: Wallet, node: Server, rpc: Rpc, monkeypatch: pytest.MonkeyPatch, after: str, end: tuple[str, str]
) -> None:
    step = getattr(sending, after)

    def halted_then(*given: Any) -> Any:
        done = step(*given)
        services.trading_state_set(state="HALTED")
        return done

    monkeypatch.setattr(sending, after, halted_then)
    row = send()
    sending.round_once(rpc, timezone.now())
    node.chain.tick(GOOD_FOR + 2 * FINAL_AFTER)
    sending.round_once(rpc, timezone.now())
    assert ended(row) == end
    assert (node.chain.sent, books_agree(wallet, node)) == ([], True)


def test_kill_switch_stops_what_was_not_sent_yet(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    row = send()
    services.trading_state_set(state="HALTED")
    sending.round_once(rpc, timezone.now())
    assert ended(row) == ("EXPIRED", "TRADING_HALTED")
    assert (node.chain.sent, books_agree(wallet, node)) == ([], True)


@pytest.mark.parametrize("stop", ["halted", "locked"])
def test_what_was_signed_but_never_arrived_is_not_sent_after_a_stop(
    wallet: Wallet, node: Server, rpc: Rpc, stop: str
) -> None:
    row = send()
    node.next("sendTransaction", silence)
    sending.round_once(rpc, timezone.now())
    if stop == "halted":
        services.trading_state_set(state="HALTED")
    else:
        unlocking.wallets_lock(username="owner", now=timezone.now())
    rounds(node, rpc)
    assert (ended(row)[0], node.chain.sent) == ("UNKNOWN", [])
    node.chain.tick(GOOD_FOR + 2 * FINAL_AFTER)
    sending.round_once(rpc, timezone.now())
    assert ended(row) == ("EXPIRED", "BLOCKHASH_EXPIRED")
    assert books_agree(wallet, node)


# --- Reconciliation ------------------------------------------------------------------------------------
def open_differences() -> list[tuple[str, str, int, int]]:
    rows = Difference.objects.filter(ended_at=None).order_by("kind", "mint")
    return [(row.kind, row.mint, row.booked, row.on_chain) for row in rows]


def test_agreeing_wallet_has_no_difference(wallet: Wallet, rpc: Rpc) -> None:
    assert reconciliation.wallets_check(rpc, timezone.now()) == 0
    assert wallet.chain_check.balance_lamports == 3 * SOL


def test_difference_is_shown_until_it_is_gone_and_overwrites_nothing(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    address = Pubkey.from_string(wallet.address)
    node.chain.fund(address, 2 * SOL)
    node.chain.hold(address, COIN, 7_000)
    for _ in range(2):
        assert reconciliation.wallets_check(rpc, timezone.now()) == 2
    assert open_differences() == [("BALANCE", "", 3 * SOL, 2 * SOL), ("POSITION", str(COIN), 0, 7_000)]
    wallet.refresh_from_db()
    assert (wallet.real_balance_lamports, Position.objects.count(), Difference.objects.count()) == (3 * SOL, 0, 2)
    node.chain.fund(address, 3 * SOL)
    assert reconciliation.wallets_check(rpc, timezone.now()) == 1
    assert Difference.objects.get(kind="BALANCE").end == "GONE"


@pytest.mark.parametrize("held", [0, 5_000, 9_000])
def test_adopting_takes_over_what_the_chain_says(
    wallet: Wallet, node: Server, rpc: Rpc, started: World, held: int
) -> None:
    address = Pubkey.from_string(wallet.address)
    node.chain.fund(address, 2 * SOL)
    node.chain.hold(address, COIN, 7_000)
    if held:
        at = started.feed(1)
        amounts = {"quantity_base_units": held, "bought_base_units": held, "cost_lamports": SOL}
        Position.objects.create(wallet=wallet, mint=str(COIN), opened_at=at, **amounts)
    reconciliation.wallets_check(rpc, timezone.now())
    for row in Difference.objects.all():
        reconciliation.difference_adopt(difference_id=row.pk, username="owner", now=timezone.now())
    assert reconciliation.wallets_check(rpc, timezone.now()) == 0
    assert books_agree(wallet, node)
    assert Position.objects.get(mint=str(COIN), status="OPEN").quantity_base_units == 7_000
    assert LedgerEntry.objects.filter(kind="ADJUSTMENT", note__contains="by owner").count() == 2


def test_position_that_is_gone_on_the_chain_is_closed_when_adopted(wallet: Wallet, rpc: Rpc, started: World) -> None:
    amounts = {"quantity_base_units": 5, "bought_base_units": 5, "cost_lamports": SOL}
    Position.objects.create(wallet=wallet, mint=str(COIN), opened_at=started.feed(1), **amounts)
    reconciliation.wallets_check(rpc, timezone.now())
    reconciliation.difference_adopt(difference_id=Difference.objects.get().pk, username="owner", now=timezone.now())
    position = Position.objects.get()
    assert (position.status, position.realized_pnl_lamports) == ("CLOSED", -SOL)


def test_moved_books_are_not_adopted_over(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    node.chain.fund(Pubkey.from_string(wallet.address), 2 * SOL)
    reconciliation.wallets_check(rpc, timezone.now())
    found = Difference.objects.get()

    def refusal() -> str:
        with pytest.raises(PlatformError) as error:
            reconciliation.difference_adopt(difference_id=found.pk, username="owner", now=timezone.now())
        return error.value.code

    row = send(SOL // 10)
    assert refusal() == "DIFFERENCE_MOVED"
    sending.transfer_end(row.pk, "FAILED")
    assert refusal() == "DIFFERENCE_MOVED"
    Difference.objects.update(ended_at=timezone.now())
    assert refusal() == "DIFFERENCE_ENDED"


@pytest.mark.parametrize("method", ["getBalance", "getTokenAccountsByOwner"])
def test_silent_node_is_said_and_ends_no_difference(wallet: Wallet, node: Server, rpc: Rpc, method: str) -> None:
    node.chain.fund(Pubkey.from_string(wallet.address), 2 * SOL)
    reconciliation.wallets_check(rpc, timezone.now())
    node.next(method, silence)
    assert reconciliation.wallets_check(rpc, timezone.now()) == 1
    assert "no answer" in wallet.chain_check.error


def test_moving_wallet_is_not_compared_and_after_a_while_that_is_said(wallet: Wallet, node: Server, rpc: Rpc) -> None:
    node.chain.fund(Pubkey.from_string(wallet.address), 2 * SOL)
    row = send()
    assert reconciliation.wallets_check(rpc, timezone.now()) == 0
    assert not ChainCheck.objects.exists()
    assert reconciliation.wallets_check(rpc, timezone.now() + 2 * reconciliation.STUCK_AFTER) == 0
    assert f"transfer {row.pk}" in wallet.chain_check.error
    assert wallet.chain_check.checked_at is None
    never = [cell.text for cell in pages_real.checks_table().rows[0].cells[1:3]]
    assert never == [display.NONE] * 2, "what was never asked for is not shown as a figure"
    sending.transfer_end(row.pk, "EXPIRED")
    assert reconciliation.wallets_check(rpc, timezone.now()) == 1
    wallet.chain_check.refresh_from_db()
    assert wallet.chain_check.error == ""


def test_books_that_move_while_the_chain_is_read_prove_nothing(wallet: Wallet, node: Server) -> None:
    class Slow(Rpc):
        """Something is booked while the node answers."""

        def lamports(self, *asked: Any) -> int:
            reconciliation.cash_move(Wallet.objects.get(pk=wallet.pk), -SOL)
            return super().lamports(*asked)

    client = Slow([node.url("/rpc")])
    assert not reconciliation.wallet_check(wallet, client, timezone.now())
    assert not Difference.objects.exists()
    client.close()
