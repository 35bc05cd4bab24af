"""A calibrated booster says what comes true, in the same order, and its reasons still add up."""

import numpy as np
import pytest

from apps.training.calibrating import Scaling, calibrated, platt


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.4, -1.0), (2.5, 0.7)])
def test_the_scaling_that_made_the_labels_is_found(slope: float, intercept: float) -> None:
    random = np.random.default_rng(3)
    margin = random.normal(0, 1.5, 60_000)
    label = (random.random(60_000) < sigmoid(slope * margin + intercept)).astype(float)
    found = platt(margin, label)
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept), abs=0.06)


@pytest.mark.parametrize("spread", [0.01, 1.0, 400.0])
def test_scores_that_separate_or_say_nothing_end_in_finite_numbers(spread: float) -> None:
    margin = np.array([-2.0, -1.0, 1.0, 2.0] * 5) * spread
    found = platt(margin, (margin > 0).astype(float))
    assert found.slope > 0 and np.isfinite([found.slope, found.intercept]).all()
    flat = platt(np.zeros(20), (margin > 0).astype(float))
    assert np.isfinite([flat.slope, flat.intercept]).all()


def test_an_order_is_never_turned_round() -> None:
    margin = np.linspace(-2, 2, 40)
    found = platt(margin, (margin < 0).astype(float))
    assert found == Scaling(1.0, pytest.approx(0.0, abs=0.1))


def test_a_booster_with_heavy_positives_says_shares_again_and_keeps_order_and_reasons() -> None:
    import xgboost

    random = np.random.default_rng(5)
    x = random.normal(size=(6_000, 4)).astype(np.float32)
    label = (random.random(6_000) < sigmoid(x[:, 0] - 2)).astype(float)
    train, rest = slice(0, 3_000), slice(3_000, 6_000)
    settings = {"objective": "binary:logistic", "scale_pos_weight": 8.0, "max_depth": 3, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(x[train], label[train]), num_boost_round=20)
    better, scaling = calibrated(booster, x[rest], label[rest])
    before, after = booster.inplace_predict(x[rest]), better.inplace_predict(x[rest])
    assert before.mean() > 1.5 * label[rest].mean()
    assert after.mean() == pytest.approx(label[rest].mean(), abs=0.005)
    margin = booster.inplace_predict(x[rest], predict_type="margin").astype(float)
    assert after == pytest.approx(sigmoid(scaling.slope * margin + scaling.intercept), abs=1e-5)
    assert (np.diff(after[np.argsort(margin, kind="stable")].astype(float)) > -1e-6).all()
    parts = better.predict(xgboost.DMatrix(x[rest]), pred_contribs=True)
    assert sigmoid(parts.sum(axis=1).astype(float)) == pytest.approx(after, abs=1e-5)
