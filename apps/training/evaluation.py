"""How good a model's probabilities are, and which threshold to use. Pure numpy.

Arrays are aligned: `label` 0/1, `probability` 0..1, `payoff` the change per alert before costs (ratio, NaN unknown).
A measure that is not defined (no positives, no alerts) is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats

CALIBRATION_BINS = 10
CURVE_POINTS = 60
SUSPICIOUS_AUC = 0.95
_TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Threshold:
    """The chosen probability, how many rows of the sample reach it and what each is worth after costs (ratio)."""

    value: float
    alerts: int
    expected_value: float | None


def scores(label: Floats, probability: Floats, payoff: Floats, *, threshold: float, costs: float) -> dict[str, Any]:
    """Every measure of one sample as JSON: PR-AUC beside its base rate, the rest, calibration and curves."""
    positives = float(label.sum())
    auc = roc_auc(label, probability)
    return {
        "rows": len(label),
        "positives": int(positives),
        "base_rate": positives / len(label) if len(label) else None,
        "pr_auc": average_precision(label, probability),
        "roc_auc": auc,
        "log_loss": log_loss(label, probability),
        "brier": brier(label, probability),
        "suspicious": auc is not None and auc > SUSPICIOUS_AUC,
        **at_threshold(label, probability, payoff, threshold=threshold, costs=costs),
        "calibration": calibration(label, probability),
        "curves": curves(label, probability),
    }


def at_threshold(
    label: Floats, probability: Floats, payoff: Floats, *, threshold: float, costs: float
) -> dict[str, Any]:
    """Alerts at the threshold: precision, recall, MCC, expected value per alert after costs."""
    alert = probability >= threshold
    hits, alerts, positives, rows = float(label[alert].sum()), int(alert.sum()), float(label.sum()), len(label)
    return {
        "threshold": threshold,
        "alerts": alerts,
        "precision": hits / alerts if alerts else None,
        "recall": hits / positives if positives else None,
        "mcc": matthews(hits, alerts - hits, positives - hits, rows - alerts - positives + hits),
        "expected_value": _mean(payoff[alert] - costs),
        "expected_value_of_all": _mean(payoff - costs),
    }


def choose_threshold(label: Floats, probability: Floats, payoff: Floats, *, costs: float, min_alerts: int) -> Threshold:
    """The threshold with the highest mean payoff after costs among those that at least `min_alerts` rows reach.

    Where no payoff is known (a label that asks for a fall) the one with the highest F0.5 takes its place.
    Raises ValueError on an empty sample.
    """
    if not len(probability):
        raise ValueError("a threshold needs rows")
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    last = np.r_[ranked[1:] != ranked[:-1], True]
    count = np.arange(1, len(ranked) + 1)
    allowed = np.flatnonzero(last & (count >= min(min_alerts, len(ranked))))
    value = payoff[order] - costs
    known = np.cumsum(~np.isnan(value))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.cumsum(np.nan_to_num(value)) / known
    merit = mean if known[-1] else _f_half(label[order], count)
    best = int(allowed[np.nanargmax(np.where(np.isnan(merit[allowed]), -np.inf, merit[allowed]))])
    return Threshold(float(ranked[best]), int(count[best]), float(mean[best]) if known[best] else None)


def average_precision(label: Floats, probability: Floats) -> float | None:
    """Area under the precision-recall curve (as steps, ties together)."""
    hits, count = _ranked(label, probability)
    if not len(hits) or hits[-1] == 0:
        return None
    gained = np.diff(np.r_[0.0, hits])
    return float((gained * hits / count).sum() / hits[-1])


def roc_auc(label: Floats, probability: Floats) -> float | None:
    """Probability that a positive scores above a negative, ties counting half."""
    hits, count = _ranked(label, probability)
    if not len(hits) or hits[-1] in (0, count[-1]):
        return None
    true, false = np.r_[0.0, hits], np.r_[0.0, count - hits]
    return float(np.trapezoid(true, false) / (true[-1] * false[-1]))


def log_loss(label: Floats, probability: Floats) -> float | None:
    """Mean negative log likelihood."""
    sure = np.clip(probability.astype(np.float64), _TINY, 1 - _TINY)
    return _mean(-np.where(label == 1, np.log(sure), np.log1p(-sure)))


def brier(label: Floats, probability: Floats) -> float | None:
    """Mean squared difference of probability and outcome."""
    return _mean((probability.astype(np.float64) - label) ** 2)


def matthews(true_pos: float, false_pos: float, false_neg: float, true_neg: float) -> float | None:
    """Matthews correlation of alert and label."""
    product = (true_pos + false_pos) * (true_pos + false_neg) * (true_neg + false_pos) * (true_neg + false_neg)
    return float((true_pos * true_neg - false_pos * false_neg) / np.sqrt(product)) if product > 0 else None


def calibration(label: Floats, probability: Floats, bins: int = CALIBRATION_BINS) -> list[dict[str, float | int]]:
    """Predicted against observed share in bins of equal numbers of rows, lowest first; empty bins left out."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    return [
        {"rows": len(part), "predicted": float(probability[part].mean()), "observed": float(label[part].mean())}
        for part in parts
        if len(part)
    ]


def curves(label: Floats, probability: Floats, points: int = CURVE_POINTS) -> dict[str, list[list[float]]]:
    """At most so many points of the precision-recall [recall, precision] and ROC [false, true positive rate] curves."""
    hits, count = _ranked(label, probability)
    if not len(hits) or hits[-1] in (0, count[-1]):
        return {"pr": [], "roc": []}
    places = np.unique(np.linspace(0, len(hits) - 1, points).round().astype(int))
    hits, count, positives, negatives = hits[places], count[places], hits[-1], (count - hits)[-1]
    pr = np.column_stack((hits / positives, hits / count))
    roc = np.column_stack(((count - hits) / negatives, hits / positives))
    return {"pr": pr.round(5).tolist(), "roc": [[0.0, 0.0], *roc.round(5).tolist()]}


def _ranked(label: Floats, probability: Floats) -> tuple[Floats, NDArray[np.float64]]:
    """Cumulative positives and rows at each distinct probability, highest first."""
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True][: len(ranked)])
    return np.cumsum(label[order])[last].astype(np.float64), (last + 1).astype(np.float64)


def _f_half(label: Floats, count: NDArray[np.int64]) -> Floats:
    hits = np.cumsum(label)
    result: Floats = 1.25 * hits / (0.25 * max(float(label.sum()), 1.0) + count)
    return result


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
