"""Judges a booster on rows of a dataset: what `evaluation` needs is taken out of the dataset, and back comes JSON.

Training keeps with the model what judging needs on any later day (`Model.judging`): baselines fitted on the same rows,
the terciles of the market, what each feature is worth when it is shuffled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.core.sentences import worded
from apps.training import features
from apps.training.columns import Floats, Integers
from apps.training.dataset import Dataset
from apps.training.evaluation import Sample, average_precision, baselines, costs, report, slices
from apps.training.label_rules import PRICE
from apps.training.recipes import Recipe

if TYPE_CHECKING:
    from xgboost import Booster

REGIME = "market_volume_sol_300s"
PERMUTED_ROWS, PERMUTED_FEATURES = 10_000, 30

Rows = Integers | slice
Progress = Callable[[float, str], None]


def columns(names: Sequence[str]) -> list[str]:
    """The features to load: the model's own, then those that only judging reads."""
    needed = [name for name in (*baselines.CONTEXT, REGIME) if name in features.NAMES]
    return list(dict.fromkeys([*names, *needed]))


def view(data: Dataset, names: Sequence[str]) -> Dataset:
    """The dataset with these features only, in this order."""
    if tuple(names) == data.names:
        return data
    places = [data.names.index(name) for name in names]
    return replace(data, names=tuple(names), x=np.ascontiguousarray(data.x[:, places]))


def values(data: Dataset, recipe: Recipe) -> Floats:
    """What an alert on each row would have earned after all costs, as a ratio of the stake; NaN where unknown, and
    for a question about a fall, on which nobody buys."""
    rule = recipe.label.rule()
    if rule.kind in ("path", "close") and rule.metric == PRICE and not rule.rises:
        return np.full(len(data), np.nan)
    entry_us = data.as_of_us + round(rule.latency_seconds * 1e6)
    exit_us = data.as_of_us + round(rule.reach_seconds * 1e6)
    prices = (data.entry_price, data.exit_price)
    return costs.values(*prices, entry_us, exit_us, recipe.costs.rule(), quoted_price=data.quoted_price)


def sample_of(data: Dataset, value: Floats, rows: Rows = slice(None)) -> Sample:
    """The chosen rows for `evaluation`."""
    wanted = [name for name in (*baselines.CONTEXT, REGIME) if name in data.names]
    context = {name: data.x[rows, data.names.index(name)].astype(np.float64) for name in wanted}
    return Sample(
        data.label[rows], value[rows], data.coin[rows], data.as_of_us[rows], data.phase[rows], context=context
    )


def keep(train: Sample, validation: Sample, recipe: Recipe) -> dict[str, Any]:
    """What a model keeps for judging: baselines and the market's terciles, from the training part."""
    return {
        "baselines": baselines.fit(train, validation, min_alerts=recipe.min_alerts),
        "regime": slices.regime_fit(train, REGIME) if REGIME in train.context else {},
    }


def judge(
    sample: Sample,
    probability: Floats,
    *,
    threshold: float,
    recipe: Recipe,
    kept: dict[str, Any],
    on_progress: Progress = lambda ratio, message: None,
) -> dict[str, Any]:
    """All measures of a model on a sample (see `evaluation.report`)."""
    return report.judge(
        sample,
        probability,
        threshold=threshold,
        seed=recipe.seed,
        judging=kept,
        on_step=lambda share: on_progress(share, worded("judging")),
    )


def permutation(
    booster: Booster,
    x: NDArray[np.float32],
    label: Floats,
    importances: dict[str, float],
    *,
    seed: int,
    on_progress: Progress = lambda ratio, message: None,
) -> dict[str, float]:
    """By how much PR-AUC falls when one feature's values are shuffled among the rows, largest first.

    At most PERMUTED_ROWS rows, drawn by the seed, and the PERMUTED_FEATURES features with the most gain: the others can
    hardly matter. A value near or below 0 means that the model can do without the feature.
    """
    names = list(booster.feature_names or [])
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(x))[:PERMUTED_ROWS])
    sample, wanted = np.ascontiguousarray(x[rows]), label[rows]
    before = average_precision(wanted, _predict(booster, sample))
    if before is None:
        return {}
    falls: dict[str, float] = {}
    for name in sorted(importances, key=lambda one: (-importances[one], one))[:PERMUTED_FEATURES]:
        on_progress(len(falls) / PERMUTED_FEATURES, worded("shuffling features"))
        column = sample[:, names.index(name)].copy()
        sample[:, names.index(name)] = column[rng.permutation(len(column))]
        falls[name] = before - (average_precision(wanted, _predict(booster, sample)) or 0.0)
        sample[:, names.index(name)] = column
    return dict(sorted(falls.items(), key=lambda one: (-one[1], one[0])))


def contributions(booster: Booster, x: NDArray[np.float32]) -> Floats:
    """What each feature adds to the logarithm of the odds, float64 (n, k + 1): the last column is the same for all.

    Rows add up to the log odds of the prediction (SHAP values of the trees). `x` is in the booster's order.
    """
    import xgboost

    matrix = xgboost.DMatrix(x, feature_names=booster.feature_names)
    result: Floats = booster.predict(matrix, pred_contribs=True).astype(np.float64)
    return result


def _predict(booster: Booster, x: NDArray[np.float32]) -> Floats:
    result: Floats = booster.inplace_predict(x, validate_features=False).astype(np.float64)
    return result
