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
from apps.training.calibrating import calibrated
from apps.training.columns import Floats, Integers
from apps.training.dataset import Dataset
from apps.training.recipes import Recipe

if TYPE_CHECKING:
    from xgboost import Booster, QuantileDMatrix

MIN_POSITIVES_TRAIN, MIN_POSITIVES_VALIDATION = 10, 5  # and as many negatives
LACKING = ("NOT_ENOUGH_POSITIVES", "NOT_ENOUGH_NEGATIVES")

Round = Callable[[int, float], None]
"""Called after each round with its number and the validation's PR-AUC; raises to stop."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A booster cut to its best round, with the threshold chosen on validation, and what else fixes its bytes."""

    booster: Booster
    rounds: int
    threshold: evaluation.Threshold
    importances: dict[str, float]
    made_with: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Material:
    """What fits of the same rows share: both parts, binned once."""

    names: tuple[str, ...]
    matrix: QuantileDMatrix
    watched: QuantileDMatrix
    label_train: Floats
    validation: Validation
    max_bin: int
    threads: int


@dataclass(frozen=True, slots=True)
class Validation:
    """The rows that choose rounds and threshold; `value` is what an alert on each earns after costs."""

    x: NDArray[np.float32]
    label: Floats
    value: Floats
    coin: Integers


def fit(
    data: Dataset,
    train: Integers,
    validation: Integers,
    recipe: Recipe,
    *,
    value: Floats,
    threads: int,
    on_round: Round = lambda number, value: None,
) -> Fitted:
    """Fit on the rows `train`, stop early and choose the threshold on the rows `validation` by `value`, which says what
    an alert on each row of `data` earns after costs (`judging.values`).

    The same recipe on the same data with the same number of threads gives the same bytes.
    Raises PlatformError NOT_ENOUGH_POSITIVES, NOT_ENOUGH_NEGATIVES.
    """
    return fit_on(material(data, train, validation, recipe, value=value, threads=threads), recipe, on_round=on_round)


def material(
    data: Dataset, train: Integers, validation: Integers, recipe: Recipe, *, value: Floats, threads: int
) -> Material:
    """The rows of both parts, checked and binned. Raises NOT_ENOUGH_POSITIVES, NOT_ENOUGH_NEGATIVES."""
    import xgboost

    if problem := lacking(data.label[train], data.label[validation]):
        raise PlatformError(*problem)
    watched = validation_of(data, validation, value)
    bins = {"max_bin": recipe.xgboost.max_bin, "nthread": threads}
    matrix = xgboost.QuantileDMatrix(data.x[train], data.label[train], **bins)
    seen = xgboost.QuantileDMatrix(watched.x, watched.label, ref=matrix, **bins)
    return Material(data.names, matrix, seen, data.label[train], watched, recipe.xgboost.max_bin, threads)


def validation_of(data: Dataset, rows: Integers, value: Floats) -> Validation:
    """These rows of a dataset."""
    return Validation(data.x[rows], data.label[rows], value[rows], data.coin[rows])


def fit_on(material: Material, recipe: Recipe, *, on_round: Round = lambda number, value: None) -> Fitted:
    """Fit a recipe on rows that were binned for its `max_bin`; `on_round` may raise to stop."""
    import xgboost

    if recipe.xgboost.max_bin != material.max_bin:
        raise ValueError("the rows were binned for another max_bin")
    booster = xgboost.train(
        parameters(recipe, material.label_train, material.threads),
        material.matrix,
        num_boost_round=recipe.xgboost.n_estimators,
        evals=[(material.watched, "validation")],
        early_stopping_rounds=recipe.xgboost.early_stopping_rounds,
        callbacks=[_callback(on_round)],
        verbose_eval=False,
    )
    return finish(booster, material.names, material.validation, recipe, {"threads": material.threads})


def finish(
    booster: Booster, names: tuple[str, ...], validation: Validation, recipe: Recipe, made_with: dict[str, Any]
) -> Fitted:
    """A trained booster cut to its best round and calibrated, with names, threshold and importances."""
    best = booster[: booster.best_iteration + 1]
    best.feature_names = list(names)
    booster, scaling = calibrated(best, validation.x, validation.label)
    threshold = evaluation.choose_threshold(
        validation.label,
        predict(booster, validation.x),
        validation.value,
        min_alerts=recipe.min_alerts,
        coin=validation.coin,
    )
    made_with = {**made_with, "calibration": scaling.as_json()}
    return Fitted(booster, booster.num_boosted_rounds(), threshold, _importances(booster), made_with)


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
