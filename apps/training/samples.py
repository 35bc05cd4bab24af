"""What is loaded of the tables: which rows, what became of the others, and the matrix with its labels. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers
from apps.training.label_rules import LabelRule
from apps.training.labels import UNKNOWN
from apps.training.sampling import Filter


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: start < window end <= end, in these phases, of coins on the standard curve that pass the filter.

    `coins_from`: leave out the coins whose first row ever was before, `coins_unseen_in`: and those with a row in one of
    these times (from, to] (those a model may know from training).
    """

    start: datetime
    end: datetime
    phases: tuple[int, ...]
    rule: LabelRule
    coins_from: datetime | None = None
    filter: Filter = field(default_factory=Filter)
    coins_unseen_in: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(slots=True)
class Counts:
    """How many rows and coins there were, and what was left out and why. What follows on rows_unknown are its parts."""

    rows_found: int = 0
    rows_nonstandard_curve: int = 0
    rows_of_known_coins: int = 0
    rows_filtered: int = 0
    rows_unknown: int = 0
    rows_unknown_no_entry: int = 0
    rows_unknown_tracking_ended: int = 0
    rows_unknown_gap: int = 0
    rows_unknown_data_end: int = 0
    rows_unknown_graduated: int = 0
    rows_unknown_undefined: int = 0
    rows: int = 0
    coins: int = 0
    positives: int = 0

    def note_unknown(self, reasons: NDArray[np.int8]) -> None:
        """Count rows that are left out, by codes of labels.UNKNOWN."""
        found = np.bincount(reasons, minlength=len(UNKNOWN)).tolist()
        self.rows_unknown += sum(found[1:])
        for name, rows in zip(UNKNOWN[1:], found[1:], strict=True):
            setattr(self, f"rows_unknown_{name}", getattr(self, f"rows_unknown_{name}") + rows)

    def as_json(self) -> dict[str, int]:
        """For results and logs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One row a sample, by coin and time. `x` float32 (n, k); `coin` indexes `mints`; `coin_first_us` is its coin's
    first row ever.

    `quoted_price`, `entry_price` and `exit_price` (SOL per token, float64) are the market's prices at the row's end and
    at the feasible entry and exit: see labels.Outcomes. The exit is NaN where the data ends before it."""

    names: tuple[str, ...]
    x: NDArray[np.float32]
    label: Floats
    quoted_price: Floats
    entry_price: Floats
    exit_price: Floats
    as_of_us: Integers
    coin: Integers
    coin_first_us: Integers
    phase: NDArray[np.int16]
    mints: tuple[str, ...]
    counts: Counts
    content_hash: str

    def __len__(self) -> int:
        return len(self.label)

    @property
    def payoff(self) -> Floats:
        """Change from entry to exit before costs, float64 (n,)."""
        return self.exit_price / self.entry_price - 1


ARRAYS: tuple[str, ...] = (
    "x", "label", "quoted_price", "entry_price", "exit_price", "as_of_us", "coin", "coin_first_us", "phase",
)  # fmt: skip


def content_hash(names: Sequence[str], mints: Sequence[str], arrays: Sequence[NDArray[Any]]) -> str:
    """SHA-256 of everything a fit or a judgement sees, the arrays in the order of ARRAYS."""
    digest = hashlib.sha256(json.dumps([list(names), list(mints)]).encode())
    for array in arrays:
        digest.update(str(array.dtype).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
