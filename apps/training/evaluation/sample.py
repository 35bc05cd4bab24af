"""The rows on which models, baselines and rules are judged alike."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers


@dataclass(frozen=True, slots=True)
class Sample:
    """One value a row, rows of a coin in order of time. `value` is the ratio an alert earns after costs (NaN unknown),
    `context` has the columns that baselines and slices read, by feature name."""

    label: Floats
    value: Floats
    coin: Integers
    as_of_us: Integers
    phase: NDArray[np.int16]
    context: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[np.bool_] | Integers) -> Sample:
        """The chosen rows (mask or ascending indices)."""
        chosen = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "context"}
        return Sample(**chosen, context={name: column[rows] for name, column in self.context.items()})

    def coins(self) -> Integers:
        """The rows' coins numbered from 0 without holes."""
        return np.unique(self.coin, return_inverse=True)[1]
