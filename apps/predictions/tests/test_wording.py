"""Reasons in words."""

import numpy as np
import pytest

from apps.predictions import wording
from apps.predictions.reasons import MOST, probability_of, reasons_of
from apps.training.features import NAMES


@pytest.mark.parametrize(
    ("name", "value", "title", "text"),
    [
        ("price_change_60s", 0.423, "change of price, last 60 s", "+42.3 %"),
        ("price_change_900s", -0.1, "change of price, last 15 min", "-10.0 %"),
        ("buy_pressure_30s", 0.75, "buy pressure, last 30 s", "75.0 %"),
        ("volume_sol", 1.5, "volume", "1.50 SOL"),
        ("num_buys", 12.0, "number of buys", "12"),
        ("age_seconds", 95.0, "age of the coin", "95 s"),
        ("is_koth", 1.0, "king of the hill", "yes"),
        ("bonding_curve_pct", 12.345, "share of the curve sold", "12.35 %"),
        ("creator_coins", None, "earlier coins of the creator", "unknown"),
        ("of_another_release_60s", 3.0, "of another release, last 60 s", "3.00"),
    ],
)
def test_a_feature_reads_as_words_with_its_unit(name, value, title, text) -> None:
    assert (wording.feature_title(name), wording.feature_value(name, value)) == (title, text)


def test_every_feature_of_this_release_has_words() -> None:
    stems = {(wording._WINDOWED.match(name) or [name, name])[1] for name in NAMES}
    assert stems <= set(wording.TITLES)


@pytest.mark.parametrize(("contribution", "text"), [(0.7, "×2.01"), (-0.7, "÷2.01"), (0.0, "×1.00"), (3.0, "×20")])
def test_a_contribution_multiplies_the_odds(contribution: float, text: str) -> None:
    assert wording.effect(contribution) == text


def test_the_strongest_reasons_are_kept_and_the_rest_summed() -> None:
    names = [f"feature {number}" for number in range(9)]
    moved = np.array([0.1, -0.9, 0.3, 0.0, 0.5, -0.2, 0.05, 0.7, -0.4, -2.0])
    reasons = reasons_of(names, np.r_[np.arange(8.0), np.nan], moved)
    assert [one["feature"][-1] for one in reasons["top"]] == list("174825") and len(reasons["top"]) == MOST
    assert reasons["top"][3] == {"feature": "feature 8", "value": None, "contribution": -0.4}
    assert (reasons["base"], reasons["rest"]) == (-2.0, pytest.approx(0.15))
    assert probability_of(reasons) == pytest.approx(1 / (1 + np.exp(-moved.sum())))
    lines = wording.reason_lines(reasons, 2)
    assert [(line["effect"], line["tone"]) for line in lines] == [("÷2.46", "down"), ("×2.01", "up")]
    assert 'width="50.0"' in lines[0]["bar"] and 'x="50.0"' in lines[1]["bar"]
    assert wording.reason_lines(None) == []
