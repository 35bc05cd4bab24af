"""How far a day's features and scores have drifted from those of the training. Pure.

The index is `apps.training.profiles.psi`. Up to SOME nothing is to be said, up to MUCH a shift, from there a drift
under which a model should not be trusted without a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from apps.training import profiles
from apps.training.features import REGISTRY
from apps.training.profiles import Values

SOME, MUCH = 0.1, 0.25
LEAST_ROWS = 200
# A day so far holds other hours than a whole one: what only tells the time is not compared.
CLOCK = frozenset(feature.name for feature in REGISTRY if feature.inputs == ("as_of_us",))

Degree = Literal["unknown", "none", "some", "much"]


@dataclass(frozen=True, slots=True)
class Drift:
    """The indices of one day: by feature, and of the score; None where there is nothing to compare with."""

    rows: int
    scores: int
    features: Mapping[str, float | None]
    score: float | None

    @property
    def highest(self) -> tuple[str, float] | None:
        """The feature with the highest index, and the index."""
        known = [(value, name) for name, value in self.features.items() if value is not None]
        return (max(known)[1], max(known)[0]) if known else None

    def as_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "scores": self.scores, "features": dict(self.features), "score": self.score}


def drift_of(profile: Mapping[str, Any], names: Sequence[str], x: Values, scores: Values) -> Drift:
    """The drift of rows `x` (n, k), columns as `names`, and of `scores`, from a model's profile.

    Fewer than LEAST_ROWS rows say nothing: their index would be mostly chance.
    """
    kept = profile.get("features", {})
    comparable = kept.keys() - CLOCK
    indices = {
        name: profiles.psi(profiles.spread_read(kept[name]), x[:, place]) if name in comparable else None
        for place, name in enumerate(names)
    }
    score = profiles.psi(profiles.spread_read(profile["score"]), scores) if profile.get("score") else None
    enough = len(x) >= LEAST_ROWS
    return Drift(
        rows=len(x),
        scores=len(scores),
        features=indices if enough else dict.fromkeys(indices),
        score=score if len(scores) >= LEAST_ROWS else None,
    )


def drift_read(source: Mapping[str, Any]) -> Drift:
    """A stored drift; an empty one where none was computed."""
    return Drift(source.get("rows", 0), source.get("scores", 0), source.get("features", {}), source.get("score"))


def degree_of(index: float | None) -> Degree:
    """What an index means."""
    if index is None:
        return "unknown"
    if index < SOME:
        return "none"
    return "some" if index < MUCH else "much"
