"""A sample cut by phase, by UTC day and by how busy the market was, so that no average hides a bad part. Pure.

The market is calm, normal or busy by the terciles of a feature that was known at the row; they are those of the
training part, so that a later day is measured with the same rod.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats
from apps.training.evaluation.sample import Sample

REGIMES = ("calm", "normal", "busy")
_DAY_US = 86_400_000_000


def regime_fit(train: Sample, feature: str) -> dict[str, Any]:
    """The terciles of the feature over the training rows; without edges where it is never known."""
    values = train.context[feature]
    known = values[np.isfinite(values)]
    edges = [float(edge) for edge in np.percentile(known, [100 / 3, 200 / 3])] if len(known) else []
    return {"feature": feature, "edges": edges}


def slices(sample: Sample, regime: dict[str, Any]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """(kind, key, rows) of every slice that has rows: phase by id, day as ISO date, market by REGIMES."""
    for phase in np.unique(sample.phase):
        yield "phase", str(phase), sample.phase == phase
    days = (sample.as_of_us - 1) // _DAY_US
    for day in np.unique(days):
        yield "day", datetime.fromtimestamp(int(day) * 86_400, UTC).date().isoformat(), days == day
    if regime.get("edges"):
        place = _regimes(sample.context[regime["feature"]], regime["edges"])
        for number, name in enumerate(REGIMES):
            if (place == number).any():
                yield "market", name, place == number


def _regimes(values: Floats, edges: list[float]) -> NDArray[np.int64]:
    """0 calm, 1 normal, 2 busy, -1 unknown."""
    place = np.searchsorted(np.array(edges), values, side="right")
    return np.where(np.isfinite(values), place, -1)
