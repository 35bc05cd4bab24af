"""How good a model is: measures, curves, thresholds, costs, intervals, baselines, slices, comparisons. Pure.

`report.judge` puts them together; each module has one subject.
"""

from apps.training.evaluation.curves import curves
from apps.training.evaluation.measures import (
    SUSPICIOUS_AUC,
    average_precision,
    brier,
    calibration,
    log_loss,
    matthews,
    roc_auc,
    scores,
)
from apps.training.evaluation.sample import Sample
from apps.training.evaluation.threshold import Threshold, choose_threshold

__all__ = [
    "SUSPICIOUS_AUC",
    "Sample",
    "Threshold",
    "average_precision",
    "brier",
    "calibration",
    "choose_threshold",
    "curves",
    "log_loss",
    "matthews",
    "roc_auc",
    "scores",
]
