"""Double-entry bookkeeping of a wallet: every lamport that moves leaves one account and enters another. Pure.

Accounts: `cash` (what the wallet can spend), `reserved` (set aside for orders under way), `curve` (what stands in
coins' reserves, by what we paid and took), one for each kind of cost, `deposits` (where its money came from) and
`outside` (other wallets and addresses). Each booking sums to zero, and so does any number of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

COSTS = ("protocol_fee", "creator_fee", "venue_fee", "network_fee", "tip", "rent", "virtual_loss")
ACCOUNTS = ("cash", "reserved", "curve", *COSTS, "deposits", "outside")


class UnbalancedError(ValueError):
    """A booking in which lamports appear or vanish."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`lamports` into an account (negative: out of it)."""

    account: str
    lamports: int


def deposit_entries(lamports: int) -> list[Entry]:
    """Money put into the wallet."""
    return [Entry("cash", lamports), Entry("deposits", -lamports)]


def reserve_entries(lamports: int) -> list[Entry]:
    """Money set aside for an order; negative: given back."""
    return [Entry("cash", -lamports), Entry("reserved", lamports)]


def outside_entries(lamports: int, fee: int = 0) -> list[Entry]:
    """Money sent to another wallet or address at the cost of a network fee; negative: received from there."""
    return [Entry("cash", -lamports - fee), Entry("outside", lamports), Entry("network_fee", fee)]


def trade_entries(
    *, action: str, curve_lamports: int, balance_change_lamports: int, costs: Mapping[str, int]
) -> list[Entry]:
    """A fill, or a failure that cost something. `costs` by part, as in COSTS. Raises UnbalancedError.

    The cash is what the wallet was changed by, not worked out from the parts: so a part that is missing shows.
    """
    on_curve = curve_lamports if action == "buy" else -curve_lamports
    moved = {"cash": balance_change_lamports, "curve": on_curve, **costs}
    entries = [Entry(account, lamports) for account, lamports in moved.items() if lamports]
    if off := sum(entry.lamports for entry in entries):
        raise UnbalancedError(f"a {action} is off by {off} lamports")
    return entries


def balances(entries: Iterable[Entry]) -> dict[str, int]:
    """What stands on each account, by name; together it is zero."""
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[entry.account] += entry.lamports
    return dict(sorted(sums.items()))
