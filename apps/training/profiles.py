"""How values were spread when a model was made, and how far others have drifted from that (PSI). Pure numpy.

A spread cuts the values of a sample at its ends and deciles and keeps the share of each part: below all that was seen,
the tenths, above all that was seen and, last, the undefined ones (NaN). The population stability index compares two
lists of shares: sum of (now - then) * ln(now / then).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = 10
SAMPLE_ROWS = 200_000
LEAST_SHARE = 1e-4  # added to each part of both sides: a part that one side does not know makes no infinite index

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Spread:
    """Cuts in ascending order (a value on a cut lies above it), and len(cuts) + 2 shares, the last of NaN."""

    cuts: list[float]
    shares: list[float]
    rows: int

    def as_json(self) -> dict[str, Any]:
        return {"cuts": self.cuts, "shares": self.shares, "rows": self.rows}


def spread_of(values: Values, parts: int = PARTS) -> Spread:
    """The spread of a sample; equal cuts fall together, and nothing known gives none."""
    known = values[~np.isnan(values)].astype(np.float64)
    cuts = np.empty(0)
    if len(known):
        inner = np.quantile(known, np.linspace(0, 1, parts + 1)[:-1], method="lower")
        cuts = np.unique(np.r_[inner, np.nextafter(known.max(), np.inf)])
    return Spread(cuts.tolist(), (counts_in(cuts.tolist(), values) / max(len(values), 1)).tolist(), len(values))


def counts_in(cuts: Sequence[float], values: Values) -> NDArray[np.int64]:
    """How many values lie in each part, the undefined ones last."""
    place = np.searchsorted(np.asarray(cuts, np.float64), values.astype(np.float64), side="right")
    place = np.where(np.isnan(values), len(cuts) + 1, place)
    return np.bincount(place, minlength=len(cuts) + 2).astype(np.int64)


def psi(then: Spread, values: Values) -> float | None:
    """The index of these values against a spread; None where one side has no rows."""
    if not len(values) or not then.rows:
        return None
    before = np.array(then.shares) + LEAST_SHARE
    now = counts_in(then.cuts, values) / len(values) + LEAST_SHARE
    return float(((now - before) * np.log(now / before)).sum())


def sampled(rows: NDArray[np.int64], most: int = SAMPLE_ROWS) -> NDArray[np.int64]:
    """At most so many of the row numbers, evenly taken."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def profile_of(names: Sequence[str], x: Values, rows: NDArray[np.int64], scores: Values) -> dict[str, Any]:
    """What a model keeps for the comparison: the spread of each column of `x` (n, k) over its training `rows` (at most
    SAMPLE_ROWS of them), and of the scores it gave to rows it had not learned from."""
    chosen = sampled(rows)
    columns = {name: spread_of(x[chosen, place]).as_json() for place, name in enumerate(names)}
    return {"features": columns, "score": spread_of(scores).as_json()}


def spread_read(source: dict[str, Any]) -> Spread:
    """A spread from its JSON. Raises KeyError or TypeError where it is none."""
    return Spread(list(source["cuts"]), list(source["shares"]), int(source["rows"]))
