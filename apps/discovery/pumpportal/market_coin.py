"""A simulated coin: its hidden nature, and its books."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from apps.discovery import curve
from apps.discovery.curve import LAMPORTS_PER_SOL, Quote, Reserves
from apps.discovery.pumpportal import market_draws as draws
from apps.discovery.pumpportal.market_draws import blend, quantile, share_below

FRONT_LOAD, BUSY_TRADES, CALMER_PER_DECADE = 2.8, 300, 1.2


@dataclass(slots=True)
class Nature:
    """What nobody sees: how a coin will be treated."""

    quality: float
    trades: int
    active_seconds: float
    peak_sol: float
    peak_share: float
    floor_share: float
    fresh_wallets: float
    size: float
    wash: float
    exit_after: float
    calm_seconds: float

    @property
    def front_load(self) -> float:
        """How strongly the trades crowd at the beginning; the busiest coins cannot have a tenth of them in a second."""
        return FRONT_LOAD - CALMER_PER_DECADE * math.log10(max(1.0, self.trades / BUSY_TRADES))


@dataclass(slots=True)
class Coin:
    """A coin that still trades. `holders` hold base units; `names` lists them for a fair draw of a seller."""

    mint: str
    creator: str
    curve_key: str
    created_at: float
    nature: Nature
    reserves: Reserves = curve.INITIAL
    holders: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    bots: tuple[str, ...] = ()
    trades_left: int = 0
    clock: float = 0.0
    mood: float = 0.0
    swayed_at: float = 0.0
    spoiled: float = 1.0
    stake_sol: float = 0.0

    @property
    def real_sol(self) -> float:
        return (self.reserves.virtual_sol - curve.INITIAL.virtual_sol) / LAMPORTS_PER_SOL

    def settle(self, wallet: str, change: int, quote: Quote) -> int:
        """Book a trade; the wallet's new balance in base units."""
        self.reserves = quote.after
        balance = self.holders.get(wallet, 0) + change
        if wallet not in self.holders:
            self.names.append(wallet)
        self.holders[wallet] = balance
        if not balance:
            del self.holders[wallet]
            if wallet in self.names:
                self.names.remove(wallet)
        return balance


def draw_nature(rng: Random) -> Nature:
    """Draw a coin: everything leans on its quality, nothing is decided by it alone."""
    quality, normal = rng.gauss(0.0, 1.0), rng.gauss
    fate = blend(0.75, quality, normal(0.0, 1.0))
    interest = blend(0.85, fate, normal(0.0, 1.0))
    stay = blend(0.6, interest, normal(0.0, 1.0))
    restraint = blend(0.55, quality, normal(0.0, 1.0))
    variety = blend(0.8, quality, normal(0.0, 1.0))
    return Nature(
        quality=quality,
        trades=round(quantile(draws.TRADES_PER_COIN, share_below(interest))),
        active_seconds=quantile(draws.ACTIVE_SECONDS, share_below(stay)),
        peak_sol=quantile(draws.PEAK_SOL, share_below(fate)),
        peak_share=0.01 + 0.35 * share_below(blend(0.7, quality, normal(0.0, 1.0))) * rng.random() ** 0.5,
        floor_share=rng.uniform(0.02, 0.35),
        fresh_wallets=0.35 + 0.55 * share_below(variety),
        size=math.exp(0.22 * blend(0.6, quality, normal(0.0, 1.0))),
        wash=0.35 * share_below(-variety) ** 2,
        exit_after=quantile(draws.CREATOR_EXIT_SECONDS, share_below(restraint)),
        calm_seconds=55.0 * math.exp(0.8 * blend(0.7, quality, normal(0.0, 1.0))),
    )
