"""The market of all coins as it was known at a moment: creations, trades and volume by stretches of seconds, and what a
SOL cost. Pure.

A moment knows the whole stretches of BUCKET_SECONDS that ended by then, and the rates that were written down at least
RATE_LAG_SECONDS before: what a scorer that asked at once could have read. Sums are of integers, so they are the same
bits however far back the buckets begin. Unknown is NaN: where in the window, or in the minute before it, nobody traded
and nothing was created for SILENCE_SECONDS (nobody listened; so also before the data begins); creations where none was
seen in half an hour (an imported history has none); a rate older than RATE_LIFE_SECONDS.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from apps.training.columns import Floats, Integers
from apps.training.ranges import running

BUCKET_SECONDS = 5
SILENCE_SECONDS = 60
HISTORY_SECONDS = 1800
# So far before a row its market must be there.
REACH_SECONDS = HISTORY_SECONDS + SILENCE_SECONDS
RATE_LAG_SECONDS = 60
RATE_LIFE_SECONDS = 2 * 86_400
RATE_REACH_SECONDS = 86_400 + RATE_LAG_SECONDS + RATE_LIFE_SECONDS
BUCKET_US = BUCKET_SECONDS * 1_000_000
_LAMPORTS_PER_SOL = 1e9
_SILENT = SILENCE_SECONDS // BUCKET_SECONDS

Figure = Literal["trades", "lamports", "buy_lamports", "creates"]
FIGURES: tuple[Figure, ...] = ("trades", "lamports", "buy_lamports", "creates")


@dataclass(frozen=True)
class Market:
    """Buckets without a hole from `start_us` (a multiple of BUCKET_US), a value each; rates of SOL in USD by time."""

    start_us: int
    trades: Integers
    lamports: Integers
    buy_lamports: Integers
    creates: Integers
    rate_at_us: Integers
    rate: Floats

    @property
    def end_us(self) -> int:
        """The end of the last bucket."""
        return self.start_us + len(self.trades) * BUCKET_US

    def total(self, figure: Figure, as_of_us: Integers, seconds: int, *, ago: int = 0) -> Floats:
        """Sum over the whole buckets of the window that ended `ago` seconds before; NaN where it is unknown.

        Raises ValueError where the buckets do not reach so far."""
        if not len(self.trades):
            return np.full(len(as_of_us), np.nan)
        high = self._place(as_of_us) - ago // BUCKET_SECONDS
        low = high - seconds // BUCKET_SECONDS
        sums = self._sums[figure]
        values = (sums[high] - sums[low]).astype(np.float64)
        if figure.endswith("lamports"):
            values /= _LAMPORTS_PER_SOL
        values[self._silences[high] > self._silences[low]] = np.nan
        if figure == "creates":
            values[self._creates_unseen(as_of_us)] = np.nan
        return values

    def sol_usd(self, as_of_us: Integers, *, ago: int = 0) -> Floats:
        """USD a SOL, as it was known `ago` seconds before; NaN where it was not."""
        moment = as_of_us - (RATE_LAG_SECONDS + ago) * 1_000_000
        place = np.searchsorted(self.rate_at_us, moment, side="right") - 1
        if not len(self.rate):
            return np.full(len(as_of_us), np.nan)
        fresh = (place >= 0) & (moment - self.rate_at_us[place] <= RATE_LIFE_SECONDS * 1_000_000)
        return np.where(fresh, self.rate[place], np.nan)

    def until(self, moment_us: int) -> Market:
        """What of it was known at a moment."""
        held = max(0, (moment_us - self.start_us) // BUCKET_US)
        rates = np.searchsorted(self.rate_at_us, moment_us, side="right")
        figures = {name: getattr(self, name)[:held] for name in FIGURES}
        return Market(self.start_us, **figures, rate_at_us=self.rate_at_us[:rates], rate=self.rate[:rates])

    def _place(self, as_of_us: Integers) -> Integers:
        """How many buckets had ended at each moment."""
        place = as_of_us // BUCKET_US - self.start_us // BUCKET_US
        if len(place) and (place.max() > len(self.trades) or place.min() < REACH_SECONDS // BUCKET_SECONDS):
            raise ValueError("the market's buckets do not reach as far as the rows")
        return place

    def _creates_unseen(self, as_of_us: Integers) -> Integers:
        place, sums = self._place(as_of_us), self._sums["creates"]
        unseen: Integers = sums[place] == sums[place - HISTORY_SECONDS // BUCKET_SECONDS]
        return unseen

    @cached_property
    def _sums(self) -> dict[Figure, Integers]:
        return {name: running(getattr(self, name)) for name in FIGURES}

    @cached_property
    def _silences(self) -> Integers:
        """Cumulative count of the buckets that are at least the last of a silence."""
        index = np.arange(len(self.trades))
        alive = (self.trades > 0) | (self.creates > 0)
        last_alive = np.maximum.accumulate(np.where(alive, index, -1))
        return running(index - last_alive >= _SILENT)


def nowhere() -> Market:
    """No market: everything about it is unknown."""
    none = np.empty(0, np.int64)
    return Market(0, none, none, none, none, none, np.empty(0))
