from datetime import timedelta

import numpy as np
import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.discovery.models import ExchangeRate
from apps.training import features
from apps.training.columns import RECORD, load_columns
from apps.training.market import BUCKET_US, FIGURES, REACH_SECONDS, Market, nowhere
from apps.training.market_queries import MarketReader
from apps.training.queries import to_us
from apps.training.tests import market as fake

S = 1_000_000
START = 1_780_000_000 * S
AT = START + REACH_SECONDS * S  # the first moment that the market below can speak of
NONE = np.empty(0, np.int64)


def made(trades: list[int], creates: list[int] | None = None, rates: dict[int, float] | None = None) -> Market:
    """Buckets from START, a lamport each trade of which half is bought; rates by seconds after AT."""
    counts = np.array(trades)
    at_us = np.array([AT + second * S for second in (rates or {})], np.int64)
    values = np.array(list((rates or {}).values()), float)
    return Market(
        START, counts, counts * 10**9, counts * 10**9 // 2, np.array(creates or [1] * len(trades)), at_us, values
    )


EVEN = [2] * 400


@pytest.mark.parametrize(
    ("figure", "seconds", "ago", "expected"),
    [("trades", 60, 0, 24), ("trades", 300, 300, 120), ("lamports", 60, 0, 24.0), ("buy_lamports", 60, 0, 12.0),
     ("creates", 60, 0, 12)],
)  # fmt: skip
def test_a_window_sums_the_buckets_that_had_ended(figure, seconds, ago, expected):
    assert made(EVEN).total(figure, np.array([AT]), seconds, ago=ago).tolist() == [expected]


def test_a_bucket_counts_when_it_is_over():
    market = made([*EVEN[:372], 100, *EVEN[373:]])
    moments = np.array([AT + 4_999_999, AT + 5_000_000])
    assert market.total("trades", moments, 60).tolist() == [24, 122]


def test_where_nobody_listened_nothing_is_known():
    silent = [*EVEN[:300], *[0] * 12, *EVEN[312:]]
    lively = [*EVEN[:300], *[0] * 11, *EVEN[311:]]
    quiet = [0] * 400
    assert np.isnan(made(silent, quiet).total("trades", np.array([AT]), 1800)).all()
    assert made(lively, quiet).total("trades", np.array([AT]), 1800).tolist() == [2 * (360 - 11)]
    assert made(silent, quiet).total("trades", np.array([AT]), 60).tolist() == [24]


def test_creations_that_were_never_seen_are_unknown_and_not_none():
    assert np.isnan(made(EVEN, [0] * 400).total("creates", np.array([AT]), 60)).all()
    assert made(EVEN, [1, *[0] * 399]).total("creates", np.array([AT]), 60).tolist() != [0.0]
    assert made(EVEN, [*[0] * 300, 1, *[0] * 99]).total("creates", np.array([AT]), 60).tolist() == [0.0]


@pytest.mark.parametrize(
    ("seconds", "ago", "expected"),
    [
        (59, 0, np.nan),
        (60, 0, 150.0),
        (3659, 0, 150.0),
        (3660, 0, 160.0),
        (3660, 3600, 150.0),
        (3660 + 172_801, 0, np.nan),
    ],
)
def test_a_rate_counts_a_minute_after_it_was_written_and_for_two_days(seconds, ago, expected):
    market = made(EVEN, rates={0: 150.0, 3600: 160.0})
    np.testing.assert_array_equal(market.sol_usd(np.array([AT + seconds * S]), ago=ago), [expected])


def test_rows_beyond_the_market_are_refused():
    for moment in (AT - 1, AT + 41 * BUCKET_US):
        with pytest.raises(ValueError, match="do not reach"):
            made(EVEN).total("trades", np.array([moment]), 60)


def test_without_a_market_its_features_are_unknown():
    records = np.zeros(1, RECORD)
    names = [name for name in features.NAMES if name.startswith(("market_", "sol_usd")) and name != "market_cap_close"]
    assert len(names) == 22
    assert np.isnan(features.compute(load_columns(records), nowhere(), names=names)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 600))
def test_what_was_known_at_a_moment_stays_the_same_when_more_comes(seed, seconds):
    rng = np.random.default_rng(seed)
    trades, creates = (np.where(rng.random(500) < 0.9, rng.integers(0, 9, 500), 0).tolist() for _ in range(2))
    market = made(trades, creates, {second: 150 + second / 900 for second in range(-90_000, 700, 300)})
    moment = np.array([AT + seconds * S])
    before = market.until(int(moment[0]))
    for figure in FIGURES:
        one, other = (held.total(figure, moment, 300, ago=300) for held in (market, before))
        assert one.tobytes() == other.tobytes()
    assert market.sol_usd(moment, ago=3600).tobytes() == before.sol_usd(moment, ago=3600).tobytes()


@pytest.mark.django_db
def test_a_reader_that_goes_on_reads_what_one_reads_at_once():
    fake.fill(coins=40, minutes=50)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE discovered_coins SET created_at = first_seen_at")
    for minutes in range(-1500, 50, 7):
        at = fake.START + timedelta(minutes=minutes)
        ExchangeRate.objects.create(currency="USD", rate=150 + minutes / 100, source="test", at=at)
    first = to_us(fake.START + timedelta(minutes=35))
    step_by_step = MarketReader()
    for second in range(0, 800, 37):
        moment = first + second * S
        mine = step_by_step.between(moment - 20 * S, moment)
        whole = MarketReader().between(moment - 20 * S, moment)
        at = np.array([moment - 20 * S, moment])
        for figure in FIGURES:
            assert mine.total(figure, at, 1800).tobytes() == whole.total(figure, at, 1800).tobytes()
        for ago in (0, 3600, 86_400):
            assert mine.sol_usd(at, ago=ago).tobytes() == whole.sol_usd(at, ago=ago).tobytes()
    assert not np.isnan(mine.total("creates", at, 1800)).any() and not np.isnan(mine.sol_usd(at, ago=86_400)).any()
    assert mine.total("trades", at, 60).min() > 0


@pytest.mark.django_db
def test_the_reader_lets_old_buckets_go():
    fake.fill(coins=5, minutes=10)
    reader = MarketReader()
    first = to_us(fake.START)
    held = [reader.between(first + hour * 3600 * S, first + hour * 3600 * S) for hour in range(6)]
    assert max(len(one.trades) for one in held) <= (REACH_SECONDS + 2 * 3600) * S // BUCKET_US
