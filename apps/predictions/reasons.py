"""Why a score is what it is: the features that moved it most, in the form in which an alert keeps them. Pure.

Contributions are those of `pred_contribs` (exact TreeSHAP): log-odds, which add up to the score. A contribution c
multiplies the odds by exp(c).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from apps.training.columns import Floats

MOST = 6


def reasons_of(names: Sequence[str], values: Floats, contributions: Floats) -> dict[str, Any]:
    """The strongest contributions of one score, strongest first, as JSON.

    `values` (k,) are the features, `contributions` (k + 1,) end with the base: what the model says of a coin it knows
    nothing of. `rest` is the sum of those that are not listed; an undefined feature's value is None.
    """
    own, base = contributions[:-1].tolist(), float(contributions[-1])
    order = sorted(range(len(own)), key=lambda place: (-abs(own[place]), place))
    top = [place for place in order[:MOST] if own[place]]
    return {
        "base": base,
        "rest": math.fsum(own) - math.fsum(own[place] for place in top),
        "top": [{"feature": names[place], "value": _known(values[place]), "contribution": own[place]} for place in top],
    }


def probability_of(reasons: dict[str, Any]) -> float:
    """The probability to which base, rest and contributions add up."""
    total = math.fsum([reasons["base"], reasons["rest"], *(one["contribution"] for one in reasons["top"])])
    return 1 / (1 + math.exp(-total))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
