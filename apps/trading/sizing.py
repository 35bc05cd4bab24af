"""How much to put on one entry. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FixedStake:
    """The same lamports every time, whatever the probability and the equity."""

    lamports: int

    def size(self, *, equity_lamports: int, probability: float) -> int:
        """Lamports to spend on the curve, its fees included. Limits are the risk gate's business, not cut here."""
        return self.lamports
