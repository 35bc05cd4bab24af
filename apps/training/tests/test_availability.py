from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.training import availability, data_pages, queries
from apps.training.queries import to_us
from apps.training.tests import market

MIDNIGHT = market.START + timedelta(days=1)
# Seconds from midnight. A silence of 90 s lies across it, one of exactly a minute is none, and a day has no trade.
TRADES = [-4000.0, -3990.0, -3930.0, -100.0, -50.0, 40.0, 41.0, 101.0, 101.5, 200_000.0, 200_030.0]


def coin(name: str, moments: list[float]) -> None:
    at_us = [to_us(MIDNIGHT) + round(moment * 1e6) for moment in moments]
    market.add_coin(name, at_us[0], [market.FakeTrade(us, True, 10**9, 1e-8) for us in at_us])


@pytest.fixture
def trades(db: None) -> list[float]:
    coin("A" * 44, TRADES[::2])
    coin("B" * 44, TRADES[1::2])
    return TRADES


def expected(moments: list[float], start: float, end: float) -> list[tuple[int, int]]:
    """By looking at every trade."""
    inside = [start, *(moment for moment in moments if start < moment <= end), end]
    found = [(low, high) for low, high in pairwise(inside) if high - low > queries.SILENCE_SECONDS]
    return [tuple(to_us(MIDNIGHT) + round(one * 1e6) for one in pair) for pair in found]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (-4000, 200_030),
        (-4060.1, -3900),
        (-75, -20),
        (0, 300_000),
        (90_000, 90_061),
        (5, 5),
        (9, 3),
        (-(10**9), 10**9),
        (10**8, 10**9),
        (-(10**9), -(10**8)),
    ],
)
def test_silences_are_those_between_neighbouring_trades(trades, start, end):
    span = [MIDNIGHT + timedelta(seconds=moment) for moment in (start, end)]
    starts, ends = queries.unknown_times(*span)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected(trades, start, end)


def test_range_of_decades_is_looked_at_only_where_something_is_recorded(trades, django_assert_max_num_queries):
    first, last = queries.metrics_span()
    decades = first - timedelta(days=9000), last + timedelta(days=9000)
    with django_assert_max_num_queries(12):
        queries.unknown_times(*decades)
    assert queries.metrics_within(*decades) == (first, last)
    assert queries.metrics_within(first, first) == (first, first)
    assert queries.metrics_within(decades[0], decades[0]) == (decades[0], decades[0])


def test_what_there_is_is_told_by_day_with_the_times_without_data(trades):
    found = availability.data_availability()
    days = [(day["day"], day["rows"], day["coins"]) for day in found["days"]]
    assert days == [("2026-03-01", 5, 2), ("2026-03-02", 4, 2), ("2026-03-04", 2, 2)]
    starts, ends = queries.unknown_times(found["from"], found["to"])
    told = [(to_us(gap["from"]), to_us(gap["to"])) for gap in found["unknown"]]
    assert told == list(zip(starts.tolist(), ends.tolist(), strict=True))
    assert np.any((starts < to_us(MIDNIGHT)) & (ends > to_us(MIDNIGHT)))


def test_a_day_is_read_again_only_when_something_came_to_it(trades):
    before = availability.data_availability()
    with CaptureQueriesContext(connection) as asked:
        assert availability.data_availability() == before
    assert not [one for one in asked if "RECURSIVE" in one["sql"] or "GROUP BY" in one["sql"]]
    coin("C" * 44, [-30.0, 100_000.0])
    after = availability.data_availability()
    assert [day["coins"] for day in after["days"]] == [3, 2, 1, 2]
    begins = [[to_us(gap["from"]) for gap in found["unknown"]] for found in (before, after)]
    assert begins[1] == [begins[0][0], to_us(MIDNIGHT) - 30 * 10**6, begins[0][2]]


def test_the_newest_days_alone_are_told_as_among_all(trades, monkeypatch, client, admin_user):
    whole, newest = availability.data_availability(), availability.data_availability(3)
    assert (newest["from"], newest["to"]) == (whole["from"], whole["to"])
    assert newest["days"] == [day for day in whole["days"] if day["day"] > "2026-03-01"]
    assert newest["unknown"] == [gap for gap in whole["unknown"] if gap["to"] > MIDNIGHT]
    client.force_login(admin_user)
    monkeypatch.setattr(data_pages, "DAYS_SHOWN", 2)
    assert "The newest 2 days" in client.get("/training/data/").content.decode()
