"""How good probabilities are: one number a measure. Pure numpy.

Arrays are aligned: `label` 0/1, `probability` 0..1 or any score that ranks (then log loss and Brier are not defined),
`value` what an alert on the row earns after costs (ratio, NaN unknown). What is not defined is None, never 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers

CALIBRATION_BINS = 10
SUSPICIOUS_AUC = 0.95
_TINY = 1e-7


def scores(label: Floats, probability: Floats, value: Floats, *, threshold: float) -> dict[str, Any]:
    """Every measure of one sample as JSON, PR-AUC beside its base rate."""
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
        **at_threshold(label, probability, value, threshold=threshold),
    }


def at_threshold(label: Floats, probability: Floats, value: Floats, *, threshold: float) -> dict[str, Any]:
    """Alerts at the threshold: precision, recall, MCC, expected value per alert after costs and if all were bought."""
    alert = probability >= threshold
    hits, alerts, positives, rows = float(label[alert].sum()), int(alert.sum()), float(label.sum()), len(label)
    return {
        "threshold": threshold,
        "alerts": alerts,
        "precision": hits / alerts if alerts else None,
        "recall": hits / positives if positives else None,
        "mcc": matthews(hits, alerts - hits, positives - hits, rows - alerts - positives + hits),
        "expected_value": mean(value[alert]),
        "expected_value_of_all": mean(value),
    }


def average_precision(label: Floats, probability: Floats) -> float | None:
    """Area under the precision-recall curve (as steps, ties together)."""
    hits, count = ranked(label, probability)
    if not len(hits) or hits[-1] == 0:
        return None
    gained = np.diff(np.r_[0.0, hits])
    return float((gained * hits / count).sum() / hits[-1])


def roc_auc(label: Floats, probability: Floats) -> float | None:
    """Probability that a positive scores above a negative, ties counting half."""
    hits, count = ranked(label, probability)
    if not len(hits) or hits[-1] in (0, count[-1]):
        return None
    true, false = np.r_[0.0, hits], np.r_[0.0, count - hits]
    return float(np.trapezoid(true, false) / (true[-1] * false[-1]))


def log_loss(label: Floats, probability: Floats) -> float | None:
    """Mean negative log likelihood."""
    return mean(row_log_loss(label, probability)) if is_probability(probability) else None


def brier(label: Floats, probability: Floats) -> float | None:
    """Mean squared difference of probability and outcome."""
    return mean(row_brier(label, probability)) if is_probability(probability) else None


def is_probability(score: Floats) -> bool:
    """Whether a score can be read as a probability."""
    return bool(((score >= 0) & (score <= 1)).all())


def row_log_loss(label: Floats, probability: Floats) -> Floats:
    """Negative log likelihood of each row."""
    sure = np.clip(probability.astype(np.float64), _TINY, 1 - _TINY)
    result: Floats = -np.where(label == 1, np.log(sure), np.log1p(-sure))
    return result


def row_brier(label: Floats, probability: Floats) -> Floats:
    """Squared difference of probability and outcome of each row."""
    result: Floats = (probability.astype(np.float64) - label) ** 2
    return result


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


def ranked(label: Floats, probability: Floats) -> tuple[Floats, NDArray[np.float64]]:
    """Cumulative positives and rows at each distinct probability, highest first."""
    order = np.argsort(-probability, kind="stable")
    last = np.flatnonzero(ends_of_ties(probability[order]))
    return np.cumsum(label[order])[last].astype(np.float64), (last + 1).astype(np.float64)


def ends_of_ties(ordered: Floats) -> NDArray[np.bool_]:
    """Where a run of equal values ends, in an ordered array."""
    ends: NDArray[np.bool_] = np.r_[ordered[1:] != ordered[:-1], True][: len(ordered)]
    return ends


def coins_so_far(coin: Integers) -> Integers:
    """How many different coins there are up to each row."""
    fresh = np.zeros(len(coin), np.int64)
    fresh[np.unique(coin, return_index=True)[1]] = 1
    return np.cumsum(fresh)


def mean(values: Floats) -> float | None:
    """Mean of what is known; None where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
