"""What a score means, and which coins a model looks at. Pure; all arrays have one element a coin (shape (n,)).

Times are epoch seconds of feed time. A tag is its position in `TAGS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]

TAGS = ("negative", "positive", "alert")
NEGATIVE, POSITIVE, ALERT = range(3)
POSITIVE_FROM = 0.5

_SENDS = {
    "all": frozenset(TAGS),
    "alerts_only": frozenset({"alert"}),
    "positive_only": frozenset({"positive", "alert"}),
    "negative_only": frozenset({"negative"}),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """One model's own settings; triples go by tag (negative, positive, alert)."""

    threshold: float
    phases: frozenset[int] = frozenset()
    ignore_seconds: tuple[int, int, int] = (0, 0, 0)
    min_scan_interval_seconds: int = 0
    max_log_entries: tuple[int, int, int] = (0, 0, 0)

    @property
    def longest_memory_seconds(self) -> int:
        """How far back a score can still keep a coin quiet."""
        return max(*self.ignore_seconds, self.min_scan_interval_seconds)


def tags_of(probability: Floats, threshold: float) -> Codes:
    """Alert at or above the threshold, else positive from one half, else negative."""
    tags = np.where(probability >= POSITIVE_FROM, POSITIVE, NEGATIVE)
    return np.where(probability >= threshold, ALERT, tags).astype(np.int8)


def quiet_until(rules: Rules, last_at: Floats, last_tag: Codes) -> Floats:
    """When the model may look at a coin again, from its last score; -inf where there was none (`last_at` NaN)."""
    waits = np.array([max(seconds, rules.min_scan_interval_seconds) for seconds in rules.ignore_seconds], np.float64)
    return np.where(np.isnan(last_at), -np.inf, last_at + waits[last_tag])


def in_phases(rules: Rules, phases: npt.NDArray[np.int16]) -> Bools:
    """Which coins are in a phase the model looks at; no phases means all."""
    if not rules.phases:
        return np.ones(len(phases), np.bool_)
    return np.isin(phases, np.array(sorted(rules.phases), np.int16))


def has_room(rules: Rules, tags: Codes, logged: npt.NDArray[np.int64]) -> Bools:
    """Which scores may still be logged; `logged` (n, 3) counts those of the coin by tag, a limit of 0 is none."""
    limits = np.array(rules.max_log_entries, np.int64)[tags]
    room: Bools = (limits == 0) | (logged[np.arange(len(tags)), tags] < limits)
    return room


def sends(send_mode: str, tag: str) -> bool:
    """Whether a webhook with this mode tells of a score with this tag; `positive_only` includes alerts."""
    return tag in _SENDS[send_mode]
