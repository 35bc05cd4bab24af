"""Who carries real money in the background: the desk's thread, the trader that starts it, and three tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from solders.pubkey import Pubkey

from apps.trading import tasks
from apps.trading.desk import Desk
from apps.trading.models import ChainCheck, Difference, Order, ShadowFill, Wallet
from apps.trading.rehearsal import TraderProcess, wait_until
from apps.trading.tests.chain_servers import Server, blocks_come
from apps.trading.tests.conftest import SOL, World
from apps.trading.tests.test_real_orders import agrees_with_the_chain, order, rounds, server
from apps.trading.tests.test_sending import BANK, books_agree, ended, node, real_wallet, send, wallet
from tests.warm import Process

__all__ = ["node", "order", "server", "wallet"]


# --- The desk ------------------------------------------------------------------------------------------
@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    if made.is_alive():
        made.stop()


def is_filled() -> bool:
    return Order.objects.get().status == "FILLED"


@pytest.mark.django_db(transaction=True)
def test_desk_sends_and_follows_what_waits_and_ends_when_told(order: Order, server: Server, desk: Desk) -> None:
    server.next("getSignatureStatuses", blocks_come(2))
    desk.start()
    wait_until(is_filled, "the fill")
    desk.stop()
    assert (desk.is_alive(), desk.failed) == (False, None)
    assert len(set(server.chain.sent)) == 1
    agrees_with_the_chain(server)


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_desk_without_its_database_says_so_and_the_next_one_goes_on(order: Order, server: Server, desk: Desk) -> None:
    server.chain.lands = False
    desk.start()
    wait_until(lambda: bool(server.chain.sent), "the sending")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    desk.join(timeout=30)
    assert isinstance(desk.failed, OperationalError)
    server.chain.lands = True
    server.next("getSignatureStatuses", blocks_come(2))
    following = Desk()
    following.start()
    wait_until(is_filled, "the fill")
    following.stop()
    assert len(set(server.chain.sent)) == 1
    agrees_with_the_chain(server)


# --- The trader ----------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_trader_compares_with_the_chain_at_its_start_and_fills_real_orders(
    order: Order, server: Server, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    other = real_wallet(server, "other", 1)
    server.chain.fund(Pubkey.from_string(other.address), 3 * SOL)
    server.next("getSignatureStatuses", blocks_come(2))
    monkeypatch.setattr(TraderProcess, "launch", staticmethod(Process))
    trader = TraderProcess(
        SOLANA_RPC_URL=server.url("/rpc"),
        PUMPPORTAL_TRADE_URL=server.url("/trade"),
        ENCRYPTION_KEY=settings.ENCRYPTION_KEY,
        REAL_TRADING="true",
        ORDER_VALID_SECONDS="3600",
    )
    trader.start()
    try:
        wait_until(lambda: Difference.objects.filter(wallet=other).exists(), "the comparison")
        wait_until(is_filled, "the fill")
    finally:
        assert trader.stop() == 0
    found = Difference.objects.get(wallet=other)
    assert (found.booked, found.on_chain, found.ended_at) == (SOL, 3 * SOL, None)
    other.refresh_from_db()
    assert other.real_balance_lamports == SOL, "shown, not overwritten"
    agrees_with_the_chain(server)


# --- The tasks -----------------------------------------------------------------------------------------
@pytest.fixture
def nodes(node: Server, settings: Any) -> Server:
    settings.SOLANA_RPC_URL, settings.SOLANA_RPC_FALLBACK_URLS = node.url("/rpc"), []
    return node


@pytest.mark.django_db
def test_task_sends_and_follows_transfers(wallet: Wallet, nodes: Server) -> None:
    assert tasks.transfers_follow() == 0
    assert nodes.calls == []
    row = send()
    assert tasks.transfers_follow() == 1
    nodes.chain.tick(40)
    assert (tasks.transfers_follow(), ended(row)[0]) == (1, "SUCCESS")
    assert tasks.transfers_follow() == 0
    assert nodes.chain.lamports(BANK) == 2 * SOL
    assert books_agree(wallet, nodes)


@pytest.mark.django_db
def test_task_compares_real_wallets_with_the_chain(nodes: Server, settings: Any, started: World) -> None:
    started.wallet()
    assert tasks.chain_reconcile() == 0
    assert (nodes.calls, ChainCheck.objects.count()) == ([], 0)
    real = real_wallet(nodes)
    assert tasks.chain_reconcile() == 0
    nodes.chain.fund(Pubkey.from_string(real.address), 2 * SOL)
    assert tasks.chain_reconcile() == 1
    settings.SOLANA_RPC_URL = "http://127.0.0.1:9/"
    assert tasks.chain_reconcile() == 1
    assert ChainCheck.objects.get().error


@pytest.mark.django_db
def test_task_gives_a_real_order_its_shadow_once(order: Order, server: Server) -> None:
    assert tasks.shadows_fill() == 0, "it has not ended"
    rounds(server, 3, ticks=2)
    assert (tasks.shadows_fill(), tasks.shadows_fill()) == (1, 0)
    assert (ShadowFill.objects.get().order, ShadowFill.objects.get().status) == (order, "SUCCESS")
