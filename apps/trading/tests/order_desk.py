"""A wallet, a coin and the real venue on a chain and a PumpPortal on loopback: what tests of real orders share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from solders.keypair import Keypair

from apps.discovery import curve
from apps.discovery.curve import INITIAL
from apps.trading.fills import Costs
from apps.trading.tests.chain import FEES, RENT
from apps.trading.tests.chain_servers import (
    Server,
    open_chain,
)
from apps.trading.venues import Pending, Receipt, Ticket, Unknown, programs
from apps.trading.venues.pumpportal import PumpPortal, Terms
from apps.trading.venues.rpc import Rpc

SOL = 10**9
KEY = Keypair.from_seed(bytes(range(32)))
WALLET = KEY.pubkey()
MINT = Keypair.from_seed(bytes([9] * 32)).pubkey()
STAKE = SOL // 10
NETWORK_FEE = 105_000
COSTS = Costs(network_fee_lamports=NETWORK_FEE, tip_lamports=0)


class Signer:
    def address(self, wallet_id: int) -> str:
        return str(WALLET)

    def sign(self, wallet_id: int, message: bytes) -> bytes:
        return bytes(KEY.sign_message(message))


@dataclass
class Desk:
    """A wallet with ten SOL, a coin at 40 virtual SOL, and the venue."""

    server: Server
    venue: PumpPortal
    pauses: list[float]
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def chain(self) -> Any:
        return self.server.chain

    def buy(self, lamports: int = STAKE, slippage_bps: int = 500, **changes: Any) -> Ticket:
        quote = curve.buy_exact_in(self.chain.coins[MINT], lamports, FEES)
        ticket = Ticket(
            order_id=1,
            key="k",
            wallet_id=1,
            mint=str(MINT),
            side="buy",
            amount=lamports,
            quoted_base_units=quote.token_base_units,
            quoted_lamports=quote.total_lamports,
            least_base_units=quote.token_base_units * 10_000 // (10_000 + slippage_bps),
            least_lamports=0,
            most_lamports=lamports + lamports // 200 + 1 + NETWORK_FEE + RENT,
            slippage_bps=slippage_bps,
            costs=COSTS,
            moves_rent=True,
            is_graduated=False,
        )
        return replace(ticket, **changes)

    def sale(self, base_units: int, slippage_bps: int = 500, **changes: Any) -> Ticket:
        quoted = curve.sell(self.chain.coins[MINT], base_units, FEES).total_lamports
        ticket = replace(
            self.buy(slippage_bps=slippage_bps),
            side="sell",
            amount=base_units,
            quoted_base_units=base_units,
            quoted_lamports=quoted,
            least_base_units=0,
            least_lamports=quoted * (10_000 - slippage_bps) // 10_000,
            most_lamports=NETWORK_FEE,
        )
        return replace(ticket, **changes)

    def send(self, ticket: Ticket) -> Any:
        return self.venue.send(ticket, self.receipts.append)

    def look(self, ticket: Ticket) -> Any:
        return self.venue.look(replace(ticket, receipt=self.receipts[-1]))

    def done(self, ticket: Ticket) -> Any:
        """Send it, let the blocks come, and say what it was."""
        answer = self.send(ticket)
        if not isinstance(answer, Pending | Unknown):
            return answer
        self.chain.tick(2)
        return self.look(ticket)

    def sold_to_others(self, lamports: int) -> None:
        """Somebody else buys: the price rises."""
        self.chain.coin(MINT, curve.buy_exact_in(self.chain.coins[MINT], lamports, FEES).after)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with open_chain() as opened:
        yield opened


@pytest.fixture
def desk(server: Server) -> Iterator[Desk]:
    chain = server.chain
    chain.landed.clear(), chain.waiting.clear(), chain.sent.clear(), server.script.clear(), server.calls.clear()
    chain.takes, chain.lands, chain.first_slot = True, True, 0
    chain.slot += 1
    server.portal.twist, server.portal.form, server.portal.fee_bps = None, "buy", 50
    server.portal.asked.clear()
    chain.fund(WALLET, 10 * SOL)
    for account in programs.token_accounts(WALLET, MINT):
        chain.forget(account)
    chain.coin(MINT, curve.buy_exact_in(INITIAL, 10 * SOL, FEES).after)
    pauses: list[float] = []
    terms = Terms(trade_url=server.url("/trade"), fees=FEES, timeout_seconds=2.0)
    venue = PumpPortal(Rpc([server.url("/rpc")], timeout_seconds=2.0), Signer(), terms, pause=pauses.append)
    yield Desk(server, venue, pauses)
    venue.close()
