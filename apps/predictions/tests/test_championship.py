"""The gate between a challenger and its champion: alerts of known value go in, a verdict comes out."""

from __future__ import annotations

import numpy as np
import pytest

from apps.predictions import championship
from apps.predictions.championship import Alerts


def alerts(mean: float, count: int = 200, *, coins: int = 100, spread: float = 0.2, seed: int = 1) -> Alerts:
    rng = np.random.default_rng(seed)
    return Alerts(rng.integers(0, coins, count), rng.normal(mean, spread, count))


@pytest.mark.parametrize(
    ("champion", "challenger", "least", "verdict"),
    [
        (alerts(0.0), alerts(0.2, seed=2), 100, "better"),
        (alerts(0.2), alerts(0.0, seed=2), 100, "worse"),
        (alerts(0.05), alerts(0.05, seed=2), 100, "not_better"),
        # enough of one side is not enough
        (alerts(0.0), alerts(0.2, count=99, seed=2), 100, "too_few"),
        (alerts(0.0, count=99), alerts(0.2, seed=2), 100, "too_few"),
        (alerts(0.0), alerts(0.2, seed=2), 201, "too_few"),
        (alerts(0.0, count=0), alerts(0.2, count=0), 1, "too_few"),
        # a hundred alerts of five coins are five coins
        (alerts(0.0, coins=5), alerts(0.2, coins=5, seed=2), 100, "too_few"),
    ],
)
def test_only_a_difference_beyond_chance_passes(champion, challenger, least, verdict) -> None:
    gate = championship.decide(champion, challenger, look=1, least=least)
    assert gate.verdict == verdict
    if verdict != "too_few":
        low, high = gate.interval
        assert low < gate.difference < high
        assert gate.difference == pytest.approx(gate.challenger_value - gate.champion_value)


def test_alerts_both_share_leave_only_what_differs() -> None:
    """The same coins swing wildly for both; the pairing sees through it where two separate intervals would not."""
    rng = np.random.default_rng(3)
    swing = rng.normal(0, 3, 150)
    coin = np.arange(150)
    gate = championship.decide(Alerts(coin, swing), Alerts(coin, swing + 0.1), look=1, least=100)
    assert gate.verdict == "better"
    assert gate.interval == pytest.approx([0.1, 0.1])


def test_a_coin_that_says_the_same_many_times_counts_once() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0.05, 0.3, 40)
    once = championship.decide(alerts(0, spread=0.01, coins=40), Alerts(np.arange(40), values), look=1, least=1)
    often = championship.decide(
        alerts(0, spread=0.01, coins=40), Alerts(np.repeat(np.arange(40), 25), np.repeat(values, 25)), look=1, least=1
    )
    width = [high - low for low, high in (once.interval, often.interval)]
    assert width[1] == pytest.approx(width[0], rel=0.1)


def test_each_look_needs_twice_the_alerts_and_is_stricter() -> None:
    assert [championship.needed_alerts(look, 50) for look in (1, 2, 3, 4)] == [50, 100, 200, 400]
    errors = [1 - championship.level_of(look) for look in range(1, championship.MOST_LOOKS + 1)]
    assert sum(errors) < championship.ERROR
    assert not championship.is_due(10**9, 10**9, look=championship.MOST_LOOKS + 1, least=1)


def test_all_looks_together_rarely_let_chance_pass() -> None:
    """Two models worth the same, looked at four times: the whole procedure errs at most about as often as it says."""
    rng, passed, rounds = np.random.default_rng(5), 0, 120
    for _ in range(rounds):
        coin = rng.integers(0, 400, 400)
        one, other = rng.normal(0, 1, (2, 400))
        passed += any(
            championship.decide(
                Alerts(coin[:count], one[:count]), Alerts(coin[:count], other[:count]), look=look, least=50,
                resamples=400,
            ).verdict == "better"
            for look, count in enumerate((50, 100, 200, 400), start=1)
        )  # fmt: skip
    assert passed / rounds < 0.08
