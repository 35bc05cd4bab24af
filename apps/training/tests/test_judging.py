"""What judging takes out of a dataset and out of a booster."""

import numpy as np
import pytest

from apps.training import features, judging
from apps.training.dataset import Counts, Dataset
from apps.training.recipes import recipe_parse

US = 1_780_000_000_000_000


def dataset_of(**columns) -> Dataset:
    """Four rows of two coins that are quoted, bought and sold at the given prices."""
    rows, start = 4, 30 / 1_073_000_000
    price = {"quoted_price": np.ones(rows), "entry_price": np.ones(rows), "exit_price": np.ones(rows)}
    price = {name: start * columns.get(name, ones) for name, ones in price.items()}
    names = tuple(judging.columns(["price_close"]))
    x = np.arange(rows * len(names), dtype=np.float32).reshape(rows, -1)
    fields = {
        "names": names, "x": x, "label": np.array([0.0, 1, 0, 1]), **price, "as_of_us": US + np.arange(rows),
        "coin": np.array([0, 0, 1, 1]), "coin_first_us": np.full(rows, US), "phase": np.ones(rows, np.int16),
        "mints": ("a", "b"), "counts": Counts(), "content_hash": "",
    }  # fmt: skip
    return Dataset(**fields)


def recipe(**label):
    return recipe_parse({"name": "r", "label": label})


def test_an_alert_is_worth_its_prices_after_costs_and_a_refused_entry_the_network_fee():
    data = dataset_of(
        entry_price=np.array([1, 1, 1.5, 1]), exit_price=np.array([1, 2, 3, np.nan]), quoted_price=np.ones(4)
    )
    value = judging.values(data, recipe(change_pct=20))
    assert -0.04 < value[0] < -0.03 and 0.8 < value[1] < 1.0
    assert value[2] == pytest.approx(-0.00105) and np.isnan(value[3])


@pytest.mark.parametrize(
    ("label", "bought"),
    [({"change_pct": 20}, True), ({"change_pct": -20}, False), ({"kind": "close", "change_pct": -5}, False)],
)
def test_nobody_buys_on_a_question_about_a_fall(label, bought):
    assert bool(np.isfinite(judging.values(dataset_of(), recipe(**label))).all()) is bought


def test_judging_reads_more_features_than_the_model_has():
    data = dataset_of()
    assert data.names[0] == "price_close" and judging.REGIME in features.NAMES
    assert judging.view(data, ["price_close"]).x.shape == (4, 1) and judging.view(data, data.names) is data
    sample = judging.sample_of(data, np.zeros(4), np.array([1, 3]))
    assert sample.context[judging.REGIME].tolist() == data.x[[1, 3], data.names.index(judging.REGIME)].tolist()


def test_shuffling_finds_the_feature_that_counts_and_contributions_add_up():
    import xgboost

    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    label = (x[:, 1] + 0.3 * rng.normal(size=600) > 0.7).astype(float)
    names = ["noise", "signal", "unused"]
    x[:, 2] = 0.0
    matrix = xgboost.DMatrix(x, label, feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, matrix, 8)
    gain = booster.get_score(importance_type="total_gain")
    falls = judging.permutation(booster, x, label, gain, seed=1)
    assert next(iter(falls)) == "signal" and "unused" not in falls and falls["signal"] > 0.3
    assert falls == judging.permutation(booster, x, label, gain, seed=1)
    probability = booster.inplace_predict(x[:5]).astype(float)
    parts = judging.contributions(booster, x[:5])
    assert parts.shape == (5, 4)
    assert parts.sum(axis=1) == pytest.approx(np.log(probability / (1 - probability)), abs=1e-4)
    assert (parts[:, 2] == 0).all()
