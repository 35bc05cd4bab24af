"""What a recipe would find, before any fit: rows, coins, positives, and how its parts would look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.training import dataset, fitting, selections
from apps.training.recipes import Recipe
from apps.training.samples import Counts
from apps.training.splits import Split

# So many rows are looked at: a second or two.
MOST_ROWS = 60_000


@dataclass(frozen=True, slots=True)
class PartCounts:
    """One part of a split."""

    rows: int
    positives: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """`share` of the rows was looked at; below 1 all but the counts of rows found is projected from it. `folds` is how
    many walks forward have rows to fit and to test on."""

    counts: Counts
    parts: Mapping[str, PartCounts]
    share: float
    purged: int
    embargoed: int
    sampled_out: int
    folds: int

    @property
    def lacking(self) -> str:
        """What keeps the recipe from being fitted, as a sentence; empty where nothing does."""
        found = fitting.lacking(*(_labels(self.parts[name]) for name in ("train", "validation")))
        return found[1] if found else ""

    def as_json(self) -> dict[str, Any]:
        """For programs: the counts, and beside them the parts and whether they are exact."""
        parts = {name: {"rows": part.rows, "positives": part.positives} for name, part in self.parts.items()}
        left_out = {"purged": self.purged, "embargoed": self.embargoed, "sampled_out": self.sampled_out}
        rest = {"exact": self.share == 1, "share": self.share, "parts": parts, "folds": self.folds}
        return {**self.counts.as_json(), **left_out, **rest, "lacking": self.lacking}


def outlook_of(recipe: Recipe, *, most_rows: int = MOST_ROWS) -> Outlook:
    """What a recipe would find. Raises UNKNOWN_PHASE, NO_DATA, NO_KNOWN_ROWS."""
    selection = selections.selection_of(recipe)
    data, counts, share = dataset.estimate(selection, most_rows)
    split = selections.split_of(data, recipe, selection)
    parts = {name: _counted(data.label[getattr(split, name)], share) for name in ("train", "validation", "test")}
    folds = [fold for fold in selections.folds_of(data, recipe, selection) if _can_walk(fold)]
    purged, embargoed, sampled_out = (
        round(rows / share) for rows in (split.purged, split.embargoed, split.sampled_out)
    )
    return Outlook(counts, parts, share, purged, embargoed, sampled_out, len(folds))


def _counted(label: np.ndarray[Any, np.dtype[np.float64]], share: float) -> PartCounts:
    return PartCounts(round(len(label) / share), round(float(label.sum()) / share))


def _can_walk(fold: Split) -> bool:
    return bool(len(fold.train) and len(fold.validation) and len(fold.test))


def _labels(part: PartCounts) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Labels of which there are as many."""
    return np.r_[np.ones(part.positives), np.zeros(part.rows - part.positives)]
