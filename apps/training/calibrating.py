"""Probabilities that mean what they say: a booster's margins fitted to what came true on validation.

Platt scaling with the targets of Lin, Lin and Weng (2007): p = sigmoid(slope * margin + intercept). Slope and intercept
are written into the trees (every leaf times the slope) and the base score, so the artifact itself is calibrated:
scores, contributions and exports need to know nothing of it, and the order of the scores stays.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats

if TYPE_CHECKING:
    from xgboost import Booster

STEPS = 100
_CERTAIN = 30.0  # a margin beyond it is a certainty in float32


@dataclass(frozen=True, slots=True)
class Scaling:
    """p = sigmoid(slope * margin + intercept); the slope is positive."""

    slope: float
    intercept: float

    def as_json(self) -> dict[str, float]:
        """For the model's record."""
        return asdict(self)


def platt(margin: Floats, label: Floats) -> Scaling:
    """The scaling with the highest likelihood; both kinds must occur. Where the scores rank backwards only the
    intercept is fitted: turning the order round is no calibration."""
    positives, negatives = float((label == 1).sum()), float((label == 0).sum())
    target = np.where(label == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    both = _newton(np.column_stack((margin, np.ones(len(margin)))), np.zeros(len(margin)), target)
    if both[0] > 0:
        return Scaling(float(both[0]), float(both[1]))
    return Scaling(1.0, float(_newton(np.ones((len(margin), 1)), margin, target)[0]))


def _newton(x: Floats, offset: Floats, target: Floats) -> Floats:
    """Coefficients (k,) of a logistic regression on `x` (n, k) with a fixed offset, by damped Newton steps."""
    weights, ridge = np.zeros(x.shape[1]), 1e-9 * np.eye(x.shape[1])
    loss = _loss(x @ weights + offset, target)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights + offset, -_CERTAIN, _CERTAIN)))
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, x.T @ (p - target))
        size = 1.0
        while size > 1e-6 and _loss(x @ (weights - size * step) + offset, target) > loss:
            size /= 2
        moved = weights - size * step
        gained = loss - _loss(x @ moved + offset, target)
        if gained <= 1e-10 * loss:
            break
        weights, loss = moved, loss - gained
    return weights


def _loss(z: Floats, target: Floats) -> float:
    return float((np.logaddexp(0, z) - target * z).sum())


def calibrated(booster: Booster, x: NDArray[np.float32], label: Floats) -> tuple[Booster, Scaling]:
    """A booster of the same trees whose probabilities are calibrated on these rows, and by how much."""
    import xgboost

    margin: Floats = booster.inplace_predict(x, predict_type="margin", validate_features=False).astype(np.float64)
    scaling = platt(margin, label)
    model = json.loads(bytes(booster.save_raw("json")))
    _scale(model["learner"], scaling)
    changed = xgboost.Booster(model_file=bytearray(json.dumps(model), "utf-8"))
    changed.feature_names = booster.feature_names
    return changed, scaling


def _scale(learner: dict[str, Any], scaling: Scaling) -> None:
    """Write a scaling into XGBoost's JSON: leaves (`split_conditions` of nodes without children), the mean values of
    all nodes (`base_weights`) and the base score, which is kept as a probability."""
    for tree in learner["gradient_booster"]["model"]["trees"]:
        leaves = np.array(tree["left_children"]) == -1
        values = np.array(tree["split_conditions"], np.float64)
        tree["split_conditions"] = np.where(leaves, values * scaling.slope, values).tolist()
        tree["base_weights"] = (np.array(tree["base_weights"], np.float64) * scaling.slope).tolist()
    text = learner["learner_model_param"]["base_score"]
    base = float(text.strip("[]"))
    logit = np.clip(scaling.slope * np.log(base / (1 - base)) + scaling.intercept, -_CERTAIN / 2, _CERTAIN / 2)
    shown = f"{1 / (1 + np.exp(-logit)):.9E}"
    learner["learner_model_param"]["base_score"] = f"[{shown}]" if text.startswith("[") else shown
