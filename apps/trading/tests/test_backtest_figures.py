"""Figures of a backtest as tables."""

from __future__ import annotations

import pytest

from apps.trading.backtest_figures import Closed, by_exit, drawdown_ratio, monte_carlo


@pytest.mark.parametrize(
    ("equity", "ratio"),
    [([], 0.0), ([5, 6, 7], 0.0), ([100, 50, 200, 150], 0.5), ([100, 0], 1.0), ([100, 200, 50, 300], 0.75)],
)
def test_drawdown_is_the_deepest_fall_from_a_peak(equity: list[int], ratio: float) -> None:
    assert drawdown_ratio(equity) == ratio


def test_results_are_added_up_by_exit() -> None:
    rows = by_exit([Closed("TIMEOUT", 10, -3, 4.0), Closed("STOP_LOSS", 10, -5, 1.0), Closed("TIMEOUT", 10, 9, 6.0)])
    assert rows == [
        {"exit_reason": "STOP_LOSS", "positions": 1, "winners": 0, "pnl_lamports": -5, "mean_held_seconds": 1.0},
        {"exit_reason": "TIMEOUT", "positions": 2, "winners": 1, "pnl_lamports": 6, "mean_held_seconds": 5.0},
    ]


def test_other_orders_of_the_same_results_fall_differently_deep() -> None:
    found = monte_carlo([50, -50] * 10, 200, runs=200)
    assert found is not None
    assert 0 < found["drawdown_p5"] < found["drawdown_p95"] <= 1.0
    assert found == monte_carlo([50, -50] * 10, 200, runs=200)
    ruin = monte_carlo([-100, 100, -100, 100], 150, runs=200)
    assert ruin is not None
    assert 0 < ruin["ruined_share"] < 1
    assert monte_carlo([], 100) is None
