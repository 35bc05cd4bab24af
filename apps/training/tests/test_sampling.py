import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.training.columns import RECORD, load_columns
from apps.training.sampling import Filter, Sample, kept, passing
from apps.training.windowing import History

MINTS = [f"coin{number}" for number in range(8)]
S = 1_000_000


def rows_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coin numbers and times of rows, sorted."""
    rng = np.random.default_rng(seed)
    coin = np.sort(rng.integers(0, len(MINTS), 120))
    at_us = 1_780_000_000 * S + np.cumsum(rng.integers(1, 30, 120)) * S
    return coin, at_us


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(0, 99))
def test_a_coins_draw_does_not_depend_on_the_other_coins(seed, most, draw):
    coin, at_us = rows_of(seed)
    sample = Sample(most, None, draw)
    keep = kept(MINTS, coin, at_us, sample)
    for number in range(len(MINTS)):
        mine = coin == number
        assert keep[mine].sum() == min(most, mine.sum())
        alone = kept([MINTS[number]], np.zeros(mine.sum(), np.int64), at_us[mine], sample)
        np.testing.assert_array_equal(keep[mine], alone)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 100))
def test_at_most_one_row_in_each_stretch_of_seconds(seed, every):
    coin, at_us = rows_of(seed)
    keep = kept(MINTS, coin, at_us, Sample(None, every, 1))
    stretches = list(zip(coin[keep], at_us[keep] // (every * S), strict=True))
    assert len(set(stretches)) == len(stretches) == len(set(zip(coin, at_us // (every * S), strict=True)))


def test_another_seed_draws_other_rows():
    coin, at_us = rows_of(3)
    one, other = (kept(MINTS, coin, at_us, Sample(3, None, seed)) for seed in (1, 2))
    assert one.sum() == other.sum() and (one != other).any()


@pytest.mark.parametrize(
    ("creators", "expected"),
    [("all", [1, 1, 1]), ("known", [0, 1, 1]), ("new", [0, 1, 0]), ("veteran", [0, 0, 1])],
)
def test_a_coin_passes_by_what_was_known_of_its_creator(creators, expected):
    records = np.zeros(3, RECORD)
    records["coin"], records["as_of_us"], records["creator_coins"] = [0, 1, 2], 5 * S, [np.nan, 0, 4]
    assert passing(History(load_columns(records), np.arange(3)), Filter(creators)).tolist() == [
        bool(one) for one in expected
    ]


def test_a_row_passes_once_its_coin_has_traded_enough_and_not_by_what_comes_later():
    records = np.zeros(4, RECORD)
    records["as_of_us"] = np.array([5, 10, 15, 2000]) * S
    records["num_buys"], records["num_sells"] = [1, 1, 5, 1], [0, 1, 0, 0]
    assert passing(History(load_columns(records), np.arange(4)), Filter(min_trades=3)).tolist() == [
        False,
        True,
        True,
        False,
    ]
