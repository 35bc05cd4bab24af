"""Which coins' trades are asked for when more are wanted than the cap allows. Pure.

Pinned coins (held positions) always, also beyond the cap and also when the coin is no longer tracked. Of the places
that are left one half goes to the newest coins, the rest to those that traded last. A new coin is asked for at once;
the rule is applied every few seconds, so that for as long the cap may be exceeded by newborns.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Protocol


class Wanted(Protocol):
    """A tracked coin, as far as the rule looks at it."""

    mint: str
    started_us: int | None
    last_trade_us: int | None


def choose(coins: Iterable[Wanted], pinned: frozenset[str], cap: int) -> set[str]:
    """The coins to ask for; `cap` 0 means no limit."""
    candidates = [coin for coin in coins if coin.mint not in pinned]
    places = max(0, cap - len(pinned))
    if cap == 0 or len(candidates) <= places:
        return {*pinned, *(coin.mint for coin in candidates)}
    newest = heapq.nlargest(places // 2, candidates, key=lambda coin: (coin.started_us or 0, coin.mint))
    chosen = {*pinned, *(coin.mint for coin in newest)}
    rest = [coin for coin in candidates if coin.mint not in chosen]
    busiest = heapq.nlargest(places - len(newest), rest, key=lambda coin: (coin.last_trade_us or 0, coin.mint))
    return chosen | {coin.mint for coin in busiest}


class Coverage:
    """What is asked for now. Every method returns what has to change: True to subscribe, False to unsubscribe."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.pinned: frozenset[str] = frozenset()
        self.wanted: set[str] = set()
        self.covered: set[str] = set()

    @property
    def left_out(self) -> int:
        """Coins that are tracked but not asked for."""
        return len(self.wanted - self.covered)

    def follow(self, changes: dict[str, bool]) -> dict[str, bool]:
        """The tracker wants (True) or no longer wants (False) coins; a pinned one stays."""
        told = {}
        for mint, is_wanted in changes.items():
            if is_wanted:
                self.wanted.add(mint)
                self.covered.add(mint)
                told[mint] = True
            else:
                self.wanted.discard(mint)
                if mint not in self.pinned:
                    self.covered.discard(mint)
                    told[mint] = False
        return told

    def settle(self, coins: Iterable[Wanted], pinned: frozenset[str]) -> dict[str, bool]:
        """Apply the rule to the coins that are wanted now."""
        self.pinned = pinned
        if self.cap == 0 or len(self.wanted | pinned) <= self.cap:
            chosen = {*self.wanted, *pinned}
        else:
            chosen = choose((coin for coin in coins if coin.mint in self.wanted), pinned, self.cap)
        told = dict.fromkeys(sorted(chosen - self.covered), True) | dict.fromkeys(sorted(self.covered - chosen), False)
        self.covered = chosen
        return told
