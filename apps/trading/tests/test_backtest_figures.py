"""Figures of a backtest as tables."""

from __future__ import annotations

import pytest

from apps.trading.backtest_figures import LEAST_DRAWN, Closed, by_exit, drawdown_ratio, monte_carlo
from apps.trading.backtest_pairs import paired_difference


@pytest.mark.parametrize(
    ("equity", "ratio"),
    [([], 0.0), ([5, 6, 7], 0.0), ([100, 50, 200, 150], 0.5), ([100, 0], 1.0), ([100, 200, 50, 300], 0.75)],
)
def test_drawdown_is_the_deepest_fall_from_a_peak(equity: list[int], ratio: float) -> None:
    assert drawdown_ratio(equity) == ratio


def test_results_are_added_up_by_exit() -> None:
    rows = by_exit([Closed("TIMEOUT", 10, -3, 4.0), Closed("STOP_LOSS", 10, -5, 1.0), Closed("TIMEOUT", 10, 9, 6.0)])
    assert rows == [
        {"exit_reason": "STOP_LOSS", "positions": 1, "winners": 0, "pnl_lamports": -5, "best_lamports": -5,
         "worst_lamports": -5, "return_ratio": -0.5, "mean_held_seconds": 1.0},
        {"exit_reason": "TIMEOUT", "positions": 2, "winners": 1, "pnl_lamports": 6, "best_lamports": 9,
         "worst_lamports": -3, "return_ratio": 0.3, "mean_held_seconds": 5.0},
    ]  # fmt: skip


def test_other_orders_of_the_same_results_fall_differently_deep() -> None:
    found = monte_carlo([50, -50] * 10, 200, runs=200)
    assert found is not None
    assert 0 < found["drawdown_p5"] < found["drawdown_p95"] <= 1.0
    assert found == monte_carlo([50, -50] * 10, 200, runs=200)
    ruin = monte_carlo([-100, 100, -100, 100], 150, runs=200)
    assert ruin is not None
    assert 0 < ruin["ruined_share"] < 1
    assert monte_carlo([], 100) is None


def test_drawn_results_end_differently_and_the_seed_fixes_them() -> None:
    found, again, other = (monte_carlo([30, -20] * 10, 500, runs=200, seed=seed) for seed in (3, 3, 4))
    assert found is not None and other is not None
    drawn = found["drawn"]
    assert drawn["end_lamports_p5"] < 500 + 100 < drawn["end_lamports_p95"]
    assert 0 < drawn["lost_share"] < 0.5
    assert found == again
    assert drawn != other["drawn"]


def test_few_results_say_nothing_of_those_that_could_have_come() -> None:
    found = monte_carlo([5] * (LEAST_DRAWN - 1), 100, runs=10)
    assert found is not None
    assert found["drawn"] is None
    assert (found["drawdown_p95"], found["ruined_share"]) == (0.0, 0.0)


def test_runs_are_compared_coin_by_coin() -> None:
    first = {f"coin{n}": 10 + n % 3 for n in range(30)}
    second = {**dict.fromkeys(first, 5), "other": -1}
    found = paired_difference(first, second, seed=1)
    assert found["difference_lamports"] == sum(first.values()) - 5 * 30 + 1
    low, high = found["interval_lamports"]
    assert 0 < low < found["difference_lamports"] < high
    assert (found["coins_only_first"], found["coins_only_second"], found["better_share"]) == (0, 1, 1.0)
    assert paired_difference(second, first, seed=1)["difference_lamports"] == -found["difference_lamports"]


def test_runs_that_hardly_differ_have_no_interval() -> None:
    same = {f"coin{n}": n for n in range(30)}
    found = paired_difference(same, {**same, "coin1": 7}, seed=1)
    assert (found["difference_lamports"], found["interval_lamports"], found["better_share"]) == (-6, None, None)
