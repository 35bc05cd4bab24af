"""A fill of which only the balance changes are known, as a person tells them. Pure.

The wallet's change of SOL and the tokens traded are taken as they are. The parts are what the order expected (tip,
rent) and the dated rates of the rest; together they are the change to the lamport.
"""

from __future__ import annotations

from dataclasses import dataclass

from apps.discovery.curve import BPS, Fees
from apps.trading.fills import Fill
from apps.trading.venues import Ticket
from apps.trading.venues.chain_fill import slippage_bps_of, split

MOST_BASE_UNITS = 10**15  # the supply of a coin
MOST_LAMPORTS = 10**18


class ImpossibleError(ValueError):
    """The transaction that was signed cannot have done this; the text says which number to look at again."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an executed order did: the wallet's change of lamports (negative: paid), tokens traded, the network fee."""

    lamports: int
    base_units: int
    network_fee: int


def fill_told(ticket: Ticket, told: Told, fees: Fees, tip: int) -> Fill:
    """The fill of an order that did this. Raises ImpossibleError."""
    _require_possible(ticket, told)
    rent, moved = _trade_and_venue(ticket, told, tip)
    bps = ticket.costs.venue_fee_bps
    venue_fee = moved * bps // (BPS + bps if ticket.side == "buy" else BPS - bps)
    traded = moved - venue_fee if ticket.side == "buy" else moved + venue_fee
    curve_lamports, protocol, creator = split(traded, None, ticket.side, fees)
    return Fill(
        side=ticket.side,
        base_units=told.base_units,
        curve_lamports=curve_lamports,
        protocol_fee=protocol,
        creator_fee=creator,
        venue_fee=venue_fee,
        network_fee=told.network_fee,
        tip=tip,
        rent=rent,
        virtual_loss=0,
        price_impact_bps=None,
        slippage_bps=slippage_bps_of(
            ticket.side, ticket.quoted_base_units, ticket.quoted_lamports, told.base_units, traded
        ),
    )


def _trade_and_venue(ticket: Ticket, told: Told, tip: int) -> tuple[int, int]:
    """Rent, and the lamports of trade and PumpPortal's fee together; no rent where nothing would be left with it."""
    expected = ticket.costs.rent_lamports if ticket.moves_rent else 0
    for rent in (expected if ticket.side == "buy" else -expected, 0):
        others = told.network_fee + tip + rent
        moved = -told.lamports - others if ticket.side == "buy" else told.lamports + others
        if moved > 0:
            return rent, moved
    raise ImpossibleError("the change of SOL is not larger than the network fee and the tip alone")


def _require_possible(ticket: Ticket, told: Told) -> None:
    """What was signed bounds what can have happened: a number beyond it is a mistake in typing."""
    if not 0 <= told.network_fee <= MOST_LAMPORTS:
        raise ImpossibleError("a network fee is not negative")
    if not -ticket.most_lamports <= told.lamports <= MOST_LAMPORTS:
        raise ImpossibleError(f"the transaction could take {ticket.most_lamports} lamports out of the wallet at most")
    if ticket.side == "sell":
        if told.base_units != ticket.amount:
            raise ImpossibleError(f"the transaction sells exactly {ticket.amount} base units")
    elif told.lamports >= 0:
        raise ImpossibleError("a buy takes SOL out of the wallet: its change is negative")
    elif not max(1, ticket.least_base_units) <= told.base_units <= MOST_BASE_UNITS:
        raise ImpossibleError(f"the transaction brings {max(1, ticket.least_base_units)} base units at least")
