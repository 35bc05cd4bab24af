"""How much the feed sends, and whether it still speaks as it did: cumulative counts, noted every minute of feed time.

Pure. Counts only grow and depend on frames alone, so a row of a minute is the same however often it is folded. The
canary: creates and every CANARY_EVERY-th trade are checked against the bonding curve, where almost all are exact
(domain.md, section 2); as many of the frames that mean nothing to us count as not exact. When the protocol or the
program changes, the share falls the minute it happens.
"""

from __future__ import annotations

from dataclasses import dataclass

from apps.discovery import curve
from apps.discovery.pumpportal.messages import Create, Trade

MINUTE_US = 60_000_000
CANARY_EVERY = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """The counts as they stood at the end of the minute that starts at `at_us` (`models.FeedMeter`)."""

    at_us: int
    frames: int = 0
    trades: int = 0
    judged: int = 0
    exact: int = 0
    compared: int = 0
    seamless: int = 0


class Meter:
    """Counts on from the last reading that was committed. `noted`: the last one; `end_us`: end of the open minute."""

    def __init__(self, last: Reading | None = None) -> None:
        last = last or Reading(0)
        self.frames, self.trades = last.frames, last.trades
        self.judged, self.exact, self.compared, self.seamless = last.judged, last.exact, last.compared, last.seamless
        self._minute_us, self.noted = last.at_us, last
        self.end_us = last.at_us + MINUTE_US
        self._readings: list[Reading] = []

    def turn(self, now_us: int) -> None:
        """Begin the minute of `now_us`, noting the one before where something came in it."""
        self._note()
        self._minute_us = now_us - now_us % MINUTE_US
        self.end_us = self._minute_us + MINUTE_US

    def take(self) -> list[Reading]:
        """The minutes in which something came since the last call, the open one as far as it is."""
        self._note()
        readings, self._readings = self._readings, []
        return readings

    def judge_create(self, create: Create) -> None:
        """Whether the reserves of a new standard coin keep the curve's identities (k, market cap)."""
        if create.pool == "pump" and not create.is_mayhem:
            self.judged += 1
            self.exact += create.is_standard

    def judge_trade(self, trade: Trade, before: curve.Reserves | None) -> None:
        """Whether a formula gives this trade of a standard coin to the last unit, and whether it goes on from the
        reserves that the trade before left."""
        if trade.pool != "pump":
            return
        self.judged += 1
        if not trade.is_standard or trade.virtual_sol is None or trade.virtual_token is None:
            return
        side: curve.Side = "buy" if trade.is_buy else "sell"
        after = curve.Reserves(trade.virtual_sol, trade.virtual_token)
        amounts = trade.sol_lamports, trade.token_base_units
        self.exact += curve.is_reproduced(trade.is_buy, *amounts, trade.virtual_sol, trade.virtual_token)
        if before is not None:
            self.compared += 1
            self.seamless += curve.reserves_before(side, *amounts, after) == before

    def _note(self) -> None:
        reading = Reading(
            self._minute_us, self.frames, self.trades, self.judged, self.exact, self.compared, self.seamless
        )
        if reading.frames > self.noted.frames:
            self._readings.append(reading)
            self.noted = reading
