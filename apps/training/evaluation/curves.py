"""The curves of a judged sample: precision against recall, found against false alarms. Pure numpy."""

from __future__ import annotations

import numpy as np

from apps.training.columns import Floats
from apps.training.evaluation.measures import ranked

CURVE_POINTS = 60


def curves(label: Floats, probability: Floats, points: int = CURVE_POINTS) -> dict[str, list[list[float]]]:
    """At most so many points of the precision-recall [recall, precision] and ROC [false, true positive rate] curves."""
    hits, count = ranked(label, probability)
    if not len(hits) or hits[-1] in (0, count[-1]):
        return {"pr": [], "roc": []}
    places = np.unique(np.linspace(0, len(hits) - 1, points).round().astype(int))
    hits, count, positives, negatives = hits[places], count[places], hits[-1], (count - hits)[-1]
    pr = np.column_stack((hits / positives, hits / count))
    roc = np.column_stack(((count - hits) / negatives, hits / positives))
    return {"pr": pr.round(5).tolist(), "roc": [[0.0, 0.0], *roc.round(5).tolist()]}
