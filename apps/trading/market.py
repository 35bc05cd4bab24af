"""A coin's market as it was known at one moment. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.discovery import curve
from apps.discovery.curve import Reserves
from apps.trading.risk import CoinState


@dataclass(frozen=True, slots=True)
class Market:
    """The reserves left by the coin's last trade at or before `at`, and what else decides whether it can be traded.

    `gap_ended_at`: the end of a time without a connection after that trade (what was traded then is unknown);
    it may lie after `at`: then `at` is inside the gap. `last_seq` orders trades of one instant. `began_at`: the coin's
    creation, or when it was first seen.
    """

    mint: str
    at: datetime
    reserves: Reserves | None = None
    last_trade_at: datetime | None = None
    last_seq: int = -1
    is_known: bool = True
    is_standard: bool = True
    is_graduated: bool = False
    gap_ended_at: datetime | None = None
    began_at: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every token of the curve is sold."""
        return self.reserves is not None and curve.is_complete(self.reserves)

    @property
    def is_inside_gap(self) -> bool:
        """Whether nothing is received at this very moment."""
        return self.gap_ended_at is not None and self.gap_ended_at > self.at

    def facts(self) -> dict[str, float | None]:
        """What conditions ask of the market of this moment."""
        since_trade = (self.at - self.last_trade_at).total_seconds() if self.last_trade_at else None
        sold, cap = None, None
        if self.reserves is not None:
            sold = 100.0 * (1 - curve.tokens_left(self.reserves) / curve.REAL_TOKENS_INITIAL)
            cap = self.reserves.virtual_sol * curve.SUPPLY / self.reserves.virtual_token / curve.LAMPORTS_PER_SOL
        return {
            "coin.age_seconds": (self.at - self.began_at).total_seconds() if self.began_at else None,
            "coin.market_cap_sol": cap,
            "coin.curve_pct": sold,
            "coin.seconds_since_trade": since_trade,
        }

    def coin_state(self) -> CoinState:
        """What the risk gate must know."""
        age = (self.at - self.last_trade_at).total_seconds() if self.last_trade_at else float("inf")
        return CoinState(
            is_known=self.is_known and self.reserves is not None,
            is_standard=self.is_standard,
            is_graduated=self.is_graduated,
            is_complete=self.is_complete,
            is_in_gap=self.gap_ended_at is not None,
            age_of_last_trade_seconds=age,
        )
