"""kill -9 on the lines of real orders and transfers that matter: bought once or never, nothing lost sight of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from apps.core.scratch import database_url
from apps.trading import sending
from apps.trading.models import Order, TransferLog, Wallet
from apps.trading.tests.chain import FINAL_AFTER
from apps.trading.tests.chain_servers import Server, blocks_come
from apps.trading.tests.kills import Mill, open_mill
from apps.trading.tests.test_real_orders import agrees_with_the_chain, order, rounds, server
from apps.trading.tests.test_sending import BANK, books_agree, ended, rpc, send, wallet
from apps.trading.venues.rpc import Rpc

__all__ = ["order", "rpc", "server", "wallet"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node(server: Server) -> Server:
    """The node of the transfers is the one that the processes know."""
    server.chain.fund(BANK, 10**9)
    server.chain.sent.clear()
    return server


@pytest.fixture(scope="module")
def mill(server: Server, django_db_setup: None) -> Iterator[Mill]:
    environment = {
        "DATABASE_URL": database_url(),
        "ENCRYPTION_KEY": settings.ENCRYPTION_KEY,
        "SOLANA_RPC_URL": server.url("/rpc"),
        "SOLANA_RPC_FALLBACK_URLS": "",
        "PUMPPORTAL_TRADE_URL": server.url("/trade"),
        "REAL_TRADING": "true",
        "ORDER_VALID_SECONDS": "3600",
    }
    with open_mill(environment) as opened:
        yield opened


@pytest.mark.parametrize(
    ("file", "line", "end"),
    [
        ("trading/dispatch.py", "order.sent_at = timezone.now()", "EXPIRED"),  # claimed, nothing built
        ("venues/pumpportal.py", "note(Receipt(", "EXPIRED"),  # signed, not noted, not sent
        ("venues/pumpportal.py", "return self._give(ticket, signed.raw", "FILLED"),  # noted, not sent
        ("venues/pumpportal.py", "if said != signature:", "FILLED"),  # sent
        ("trading/dispatch.py", "wallet_locked(Order.objects", "FILLED"),  # landed, not booked
        ("trading/dispatch.py", "if order.sent_at is not None:  # what", "FILLED"),  # booked, not committed
    ],
)
def test_killed_order_is_bought_once_or_never(
    order: Order,
    server: Server,
    mill: Mill,
    file: str,
    line: str,
    end: str,
) -> None:
    server.script.clear()
    server.next("getSignatureStatuses", blocks_come(2))
    assert mill.run("order", file, line) == -9
    server.script.clear()
    if Order.objects.get().signature is None:  # its claim runs out
        assert Order.objects.update(sent_at=timezone.now() - timedelta(hours=1)) == 1
    rounds(server, 3, ticks=2)
    order.refresh_from_db()
    assert order.status == end
    assert len(set(server.chain.sent)) == len(server.chain.landed) == (end == "FILLED")
    agrees_with_the_chain(server)


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("recent = rpc.blockhash()", "EXPIRED"),  # claimed
        ("if not transfer_sign(", "EXPIRED"),  # signed, not noted
        ("rpc.send(bytes(signed), may_send", "SUCCESS"),  # noted, not sent
        ("height = rpc.height()", "SUCCESS"),  # sent
        ("ends = TransferLog.objects", "SUCCESS"),  # landed, not booked
        ("changed()", "SUCCESS"),  # booked, not committed
    ],
)
def test_killed_transfer_is_sent_once_or_never(
    wallet: Wallet,
    node: Server,
    rpc: Rpc,
    mill: Mill,
    line: str,
    end: str,
) -> None:
    row = send()
    node.script.clear()
    node.next("getSignatureStatuses", blocks_come(2))
    assert mill.run("transfer", "trading/sending.py", line) == -9
    later = timezone.now() + 2 * sending.CLAIM_LASTS
    for _ in range(3):
        sending.round_once(rpc, later)
        node.chain.tick(FINAL_AFTER + 2)
    assert ended(row)[0] == end
    assert node.chain.lamports(BANK) == 10**9 * (2 if end == "SUCCESS" else 1)
    assert len(set(node.chain.sent)) == (end == "SUCCESS")
    assert books_agree(wallet, node)
    assert TransferLog.objects.count() == 1
