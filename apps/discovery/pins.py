"""Coins whose trades must be received whatever else is left out: whoever needs one writes it here, and takes it back.

Call both inside the transaction that begins or ends the need (a position that opens or closes): then no crash leaves a
held coin unpinned. The stream reads the table every few seconds (`subscriptions.py`).
"""

from __future__ import annotations

from apps.core.prepared import execute_soon
from apps.discovery.models import PinnedCoin

PIN = """
INSERT INTO pinned_coins (mint, holder, pinned_at) VALUES (%(mint)s, %(holder)s, clock_timestamp())
ON CONFLICT DO NOTHING
"""


def coin_pin(*, mint: str, holder: str) -> None:
    """`holder` needs the coin, such as `position:12`; saying so twice is saying it once."""
    execute_soon(PIN, {"mint": mint, "holder": holder})


def coin_unpin(*, mint: str, holder: str) -> None:
    """`holder` no longer needs the coin."""
    unpin = "DELETE FROM pinned_coins WHERE mint = %(mint)s AND holder = %(holder)s"
    execute_soon(unpin, {"mint": mint, "holder": holder})


def pinned_mints() -> frozenset[str]:
    """The coins that somebody needs."""
    return frozenset(PinnedCoin.objects.values_list("mint", flat=True))
