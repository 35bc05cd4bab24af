"""What a model has to beat on the same rows: nobody buys, everybody buys, two rules, a small logistic regression.

Fitted on the training part; thresholds are chosen on validation like the model's. The result is JSON, so that the same
baselines judge any later stretch of data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.training.columns import Floats
from apps.training.evaluation.measures import roc_auc
from apps.training.evaluation.sample import Sample
from apps.training.evaluation.threshold import choose_threshold

MOMENTUM, CURVE_POSITION = "price_change_60s", "bonding_curve_pct"
REGRESSORS = (MOMENTUM, "buy_pressure_60s", "trades_60s", CURVE_POSITION, "age_seconds")
CONTEXT = tuple(dict.fromkeys((MOMENTUM, CURVE_POSITION, *REGRESSORS)))
ALWAYS_NO, ALWAYS_YES = "always_no", "always_yes"
NAMES = (ALWAYS_NO, ALWAYS_YES, "momentum", "curve_position", "logistic")
_NEVER = 2.0
_LEAST = -1e300

Baselines = dict[str, dict[str, Any]]


def fit(train: Sample, validation: Sample, *, min_alerts: int) -> Baselines:
    """The baselines by name, each with its threshold."""
    rate = float(train.label.mean())
    found: Baselines = {
        ALWAYS_NO: {"kind": "constant", "value": rate, "threshold": _NEVER},
        ALWAYS_YES: {"kind": "constant", "value": rate, "threshold": 0.0},
        "momentum": {"kind": "rule", "feature": MOMENTUM, "sign": 1},
        "curve_position": {"kind": "rule", "feature": CURVE_POSITION, "sign": _direction(train, CURVE_POSITION)},
        "logistic": _logistic(train),
    }
    for baseline in found.values():
        if "threshold" not in baseline:
            score = score_of(baseline, validation)
            chosen = choose_threshold(
                validation.label, score, validation.value, min_alerts=min_alerts, coin=validation.coin
            )
            baseline["threshold"] = chosen.value
    return found


def score_of(baseline: dict[str, Any], sample: Sample) -> Floats:
    """A score a row, higher is likelier; a row for which the rule is not defined comes last."""
    if baseline["kind"] == "constant":
        return np.full(len(sample), float(baseline["value"]))
    if baseline["kind"] == "rule":
        score = baseline["sign"] * sample.context[baseline["feature"]].astype(np.float64)
        return np.where(np.isnan(score), _LEAST, score)
    places = _scaled(sample, baseline["features"], np.array(baseline["mean"]), np.array(baseline["scale"]))
    result: Floats = 1 / (1 + np.exp(-(places @ np.array(baseline["weights"]) + baseline["intercept"])))
    return result


def _direction(train: Sample, feature: str) -> int:
    """Whether high (1) or low (-1) values of a feature go with the label, on the training part."""
    score = np.nan_to_num(train.context[feature].astype(np.float64))
    return 1 if (roc_auc(train.label, score) or 0.5) >= 0.5 else -1


def _logistic(train: Sample) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    raw = np.column_stack([_squashed(train.context[name]) for name in REGRESSORS])
    known = ~np.isnan(raw).all(axis=0)
    mean, scale = np.zeros(raw.shape[1]), np.ones(raw.shape[1])
    mean[known], scale[known] = np.nanmean(raw[:, known], axis=0), np.nanstd(raw[:, known], axis=0)
    scale[scale == 0] = 1.0
    fitted = LogisticRegression(max_iter=200).fit(_scaled(train, REGRESSORS, mean, scale), train.label)
    return {
        "kind": "logistic",
        "features": list(REGRESSORS),
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "weights": fitted.coef_[0].tolist(),
        "intercept": float(fitted.intercept_[0]),
    }


def _scaled(sample: Sample, names: Any, mean: Floats, scale: Floats) -> Floats:
    """Standardised regressors (n, k); an unknown value counts as the mean."""
    raw = np.column_stack([_squashed(sample.context[name]) for name in names])
    return np.nan_to_num((raw - mean) / scale, nan=0.0, posinf=0.0, neginf=0.0)


def _squashed(values: Floats) -> Floats:
    """Heavy tails pulled in: the sign and the logarithm of the size."""
    wide = values.astype(np.float64)
    result: Floats = np.sign(wide) * np.log1p(np.abs(wide))
    return result
