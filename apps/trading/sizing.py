"""How much to put on one entry. Pure.

A size is what to spend on the curve, its fees included. Limits of the wallet are the risk gate's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

BPS = 10_000


class Sizing(Protocol):
    """A way to choose a stake."""

    def size(self, *, equity_lamports: int, probability: float) -> int:
        """Lamports to spend; 0 is no entry."""


@dataclass(frozen=True, slots=True)
class FixedStake:
    """The same lamports every time, whatever the probability and the equity."""

    lamports: int

    def size(self, *, equity_lamports: int, probability: float) -> int:
        return self.lamports


@dataclass(frozen=True, slots=True)
class EquityShare:
    """A share of the equity, at most so much."""

    share_bps: int
    most_lamports: int

    def size(self, *, equity_lamports: int, probability: float) -> int:
        return min(max(0, equity_lamports) * self.share_bps // BPS, self.most_lamports)


@dataclass(frozen=True, slots=True)
class KellyShare:
    """A fraction of Kelly's share of the equity, at most `most_bps` of it and at most so many lamports.

    An entry that is won makes `gain_bps` of its stake, one that is lost loses `loss_bps` of it, both after all costs.
    """

    fraction_bps: int
    most_bps: int
    most_lamports: int
    gain_bps: int
    loss_bps: int

    def size(self, *, equity_lamports: int, probability: float) -> int:
        share = kelly_ratio(probability, self.gain_bps, self.loss_bps) * self.fraction_bps / BPS
        share_bps = min(int(share * BPS), self.most_bps)
        return min(max(0, equity_lamports) * share_bps // BPS, self.most_lamports)


def sizing_of(stake_lamports: int, chosen: Mapping[str, Any]) -> Sizing:
    """The sizing of a strategy: its stake (or the most of it) and what was chosen; empty is fixed. `payoff_bps` of
    Kelly is what a won entry gains and a lost one loses."""
    kind = chosen.get("kind", "fixed")
    if kind == "share":
        return EquityShare(chosen["share_bps"], stake_lamports)
    if kind == "kelly":
        gain_bps, loss_bps = chosen["payoff_bps"]
        return KellyShare(chosen["fraction_bps"], chosen["most_bps"], stake_lamports, gain_bps, loss_bps)
    return FixedStake(stake_lamports)


def kelly_ratio(probability: float, gain_bps: int, loss_bps: int) -> float:
    """The share of all money that grows it fastest when this bet comes again and again: p / loss - (1 - p) / gain.

    0 where the bet has nothing to gain on average. It can be above 1 where little is lost.
    """
    gain, loss = gain_bps / BPS, loss_bps / BPS
    return max(0.0, probability / loss - (1 - probability) / gain)
