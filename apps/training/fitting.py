"""Fits an XGBoost model and picks its threshold. XGBoost is imported inside the functions: it hangs after a fork, so
only the process that trains or scores may load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.core.errors import PlatformError
from apps.training import evaluation
from apps.training.columns import Floats, Integers
from apps.training.dataset import Dataset
from apps.training.recipes import Recipe

if TYPE_CHECKING:
    from xgboost import Booster

MIN_POSITIVES_TRAIN, MIN_POSITIVES_VALIDATION = 10, 5  # and as many negatives

Round = Callable[[int, float], None]
"""Called after each round with its number and the validation's PR-AUC; raises to stop."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A booster cut to its best round, with the threshold chosen on validation."""

    booster: Booster
    rounds: int
    threshold: evaluation.Threshold
    importances: dict[str, float]


def fit(
    data: Dataset,
    train: Integers,
    validation: Integers,
    recipe: Recipe,
    *,
    threads: int,
    on_round: Round = lambda number, value: None,
) -> Fitted:
    """Fit on the rows `train`, stop early and choose the threshold on the rows `validation`.

    The same recipe on the same data with the same number of threads gives the same bytes.
    Raises PlatformError NOT_ENOUGH_POSITIVES, NOT_ENOUGH_NEGATIVES.
    """
    import xgboost

    if problem := lacking(data.label[train], data.label[validation]):
        raise PlatformError(*problem)
    x_validation = data.x[validation]
    bins = {"max_bin": recipe.xgboost.max_bin, "nthread": threads}
    matrix = xgboost.QuantileDMatrix(data.x[train], data.label[train], **bins)
    watched = xgboost.QuantileDMatrix(x_validation, data.label[validation], ref=matrix, **bins)
    booster = xgboost.train(
        parameters(recipe, data.label[train], threads),
        matrix,
        num_boost_round=recipe.xgboost.n_estimators,
        evals=[(watched, "validation")],
        early_stopping_rounds=recipe.xgboost.early_stopping_rounds,
        callbacks=[_callback(on_round)],
        verbose_eval=False,
    )
    booster = booster[: booster.best_iteration + 1]
    booster.feature_names = list(data.names)
    threshold = evaluation.choose_threshold(
        data.label[validation],
        predict(booster, x_validation),
        data.payoff[validation],
        costs=recipe.costs_pct / 100,
        min_alerts=recipe.min_alerts,
    )
    return Fitted(booster, booster.num_boosted_rounds(), threshold, _importances(booster))


def predict(booster: Booster, x: NDArray[np.float32]) -> Floats:
    """Probabilities (n,) as float64 of XGBoost's float32, for rows whose columns are in the booster's order."""
    if not len(x):
        return np.empty(0)
    result: Floats = booster.inplace_predict(x, validate_features=False).astype(np.float64)
    return result


def parameters(recipe: Recipe, label: Floats, threads: int) -> dict[str, Any]:
    """XGBoost's parameters for a recipe on these labels."""
    chosen = recipe.xgboost.model_dump(exclude={"n_estimators", "early_stopping_rounds", "scale_pos_weight"})
    weight = recipe.xgboost.scale_pos_weight
    if weight == "balanced":
        weight = float((label == 0).sum() / label.sum())
    return {
        **chosen,
        "objective": "binary:logistic",
        "tree_method": "hist",
        # The last one stops: log loss keeps probabilities calibrated, but means nothing once positives weigh more.
        "eval_metric": ["aucpr", "logloss"] if weight == 1 else ["logloss", "aucpr"],
        "scale_pos_weight": weight,
        "seed": recipe.seed,
        "nthread": threads,
    }


def _callback(on_round: Round) -> Any:
    import xgboost

    class Report(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            on_round(epoch + 1, evals_log["validation"]["aucpr"][-1])
            return False

    return Report()


def _importances(booster: Booster) -> dict[str, float]:
    """Share of the total gain of each used feature."""
    gain = {name: float(value) for name, value in booster.get_score(importance_type="total_gain").items()}  # type: ignore[arg-type]
    total = sum(gain.values()) or 1.0
    return {name: value / total for name, value in gain.items()}


def lacking(train: Floats, validation: Floats) -> tuple[str, str] | None:
    """What keeps these labels from being fitted, as a code and a sentence; None where nothing does."""
    parts = (("training", train, MIN_POSITIVES_TRAIN), ("validation", validation, MIN_POSITIVES_VALIDATION))
    for part, label, least in parts:
        positives, rows = int(label.sum()), len(label)
        counted = (
            f"The {part} part has {positives} positive rows of {rows}; {least} of each kind are needed. Take more data"
        )
        if positives < least:
            return "NOT_ENOUGH_POSITIVES", f"{counted} or an easier target."
        if rows - positives < least:
            return "NOT_ENOUGH_NEGATIVES", f"{counted} or a harder target."
    return None
