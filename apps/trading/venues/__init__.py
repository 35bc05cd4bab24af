"""Venues: where an order becomes a fill. All else (orders, risk, exits, positions, the ledger) is one code.

**The paper venue** (`paper.execute`) is a pure function of the recorded market: it answers at once, inside the
transaction that books the answer.

**A real venue** is a `Venue`. Its orders are executed outside of any database transaction (`dispatch`), in three steps
of a transaction each, so that a process may die between any two lines:

1. the order is committed SUBMITTED with its reservation (`orders`), by the engine;
2. it is claimed: `sent_at` is committed. Then, without a transaction, `send(ticket, note)` is called, once for an
   order, ever. The venue calls `note(Receipt)` **before** the first byte of something that can spend money leaves: this
   commits the signature, with the kill switch and the unlocking held as they are. `note` raises `OrderEndedError` where
   the order has ended or may not be sent any more: nothing may be sent then;
3. the answer is booked (`execution.order_settle`): FILLED, REJECTED or EXPIRED end the order, `Pending` leaves it
   SUBMITTED and `Unknown` makes it UNKNOWN; both are asked for with `look(ticket)` until an end is known.

An order that was claimed but has no receipt after a crash has never been sent: it is EXPIRED without asking. An
order with a receipt is never sent again: `look` may only send the very same bytes again. A venue answers `Expired` only
when the transaction can never land any more (its block height has passed and the signature is in no block, searched
with history). An exception that is not an answer (a bug, a lost database) counts as `Unknown` once there is a receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from apps.discovery.curve import Side
from apps.trading.fills import Costs, Fill


def always() -> bool:
    """Nothing stops it."""
    return True


class OrderEndedError(Exception):
    """The order has ended or has a receipt already: what was prepared must not be sent."""


class OrderStoppedError(OrderEndedError):
    """The order may not be sent any more: trading was halted or its wallet locked since it was claimed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.answer = Expired(code, message)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What finds a sent transaction again. `details` (JSON) is the venue's own: block height, bytes, pool, tip…"""

    signature: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An order as a real venue sees it. `amount` is lamports for a buy (curve fees included), base units for a sale.

    `most_lamports` is what was reserved: the transaction may never take more out of the wallet. `least_base_units` and
    `least_lamports` are what it must bring at least (a buy, a sale), from the quote and the slippage limit.
    `moves_rent`: whether a buy opens the token account (rent is paid) or a sale of everything may close it.
    `is_graduated`: whether the coin has left its curve for the pool, as far as the feed knows.
    `may_send` asks anew whether its bytes may be given to a node now: not once trading is halted or the wallet locked.
    """

    order_id: int
    key: str
    wallet_id: int
    mint: str
    side: Side
    amount: int
    quoted_base_units: int
    quoted_lamports: int
    least_base_units: int
    least_lamports: int
    most_lamports: int
    slippage_bps: int
    costs: Costs
    moves_rent: bool
    is_graduated: bool
    may_send: Callable[[], bool] = field(default=always, compare=False)
    sent_at: datetime | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """Executed; the fill is read from the chain's balance changes: `fill.balance_change` is exactly the wallet's."""

    fill: Fill
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused by us before signing, by the venue, or failed on the chain: nothing was traded.

    `network_fee` and `tip` are what it cost all the same. `is_final`: a sale is not tried again by itself (the position
    is kept and flagged); otherwise its exit is judged again, with a fresh quote. A buy is never tried again.
    """

    code: str
    message: str
    network_fee: int = 0
    tip: int = 0
    is_final: bool = False
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Expired:
    """Never executed and never will be; it cost nothing. A sale's exit is judged again."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Pending:
    """On its way, as it should be: ask again."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been executed or not (a timeout, an answer that makes no sense): ask again, never send again."""

    code: str
    message: str


Answer = Filled | Rejected | Expired
Note = Callable[[Receipt], None]


class Venue(Protocol):
    """A place that executes real orders. Both calls may take seconds; they run outside of any transaction."""

    def send(self, ticket: Ticket, note: Note) -> Answer | Pending | Unknown:
        """Execute an order that was never sent. Called once for an order, ever; asks `may_send` before each sending."""

    def look(self, ticket: Ticket) -> Answer | Pending | Unknown:
        """Where the order with `ticket.receipt` stands. May send the same bytes again (`may_send`), nothing else."""
