"""Sums by the minute turned into usage and money."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from apps.discovery import usage
from apps.discovery.models import FeedMeter

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def note(at: datetime, frames: int, trades: int = 0, **counts: int) -> None:
    rest = dict.fromkeys(("judged", "exact", "compared", "seamless"), 0) | counts
    FeedMeter.objects.create(at=at, frames=frames, trades=trades, **rest)


def test_minutes_are_differences_and_empty_ones_are_zero() -> None:
    note(NOON - timedelta(hours=5), 100)
    note(NOON - timedelta(minutes=3), 130)
    note(NOON - timedelta(minutes=1), 150)
    note(NOON, 155)
    assert usage.frames_by_minute(NOON + timedelta(seconds=30), 4) == [0, 30, 0, 20]


def test_the_first_minute_of_all_counts_from_zero() -> None:
    note(NOON - timedelta(minutes=1), 7, 5, judged=4, exact=3, compared=2, seamless=1)
    found = usage.period(NOON - timedelta(hours=1), NOON)
    assert (found.frames, found.trades, found.exact_ratio, found.seamless_ratio) == (7, 5, 0.75, 0.5)


def test_where_nothing_came_there_is_no_share() -> None:
    found = usage.period(NOON - timedelta(hours=1), NOON)
    assert (found.frames, found.exact_ratio, found.seamless_ratio) == (0, None, None)
    assert usage.frames_by_minute(NOON, 3) == [0, 0, 0]


def test_days_are_utc_and_cost_what_their_trades_cost() -> None:
    note(datetime(2026, 10, 31, 23, 59, tzinfo=UTC), 1_000, 900)
    note(datetime(2026, 11, 1, 0, 0, tzinfo=UTC), 1_100, 950)
    note(datetime(2026, 11, 1, 23, 59, tzinfo=UTC), 1_200, 1_000)
    note(datetime(2026, 11, 3, 8, tzinfo=UTC), 1_500, 1_200)
    days = usage.usage_by_day(date(2026, 11, 1), date(2026, 11, 30))
    assert [(day.day.day, day.frames, day.trades, day.lamports) for day in days] == [
        (3, 300, 200, 200_000),
        (1, 200, 100, 100_000),
    ]


def test_a_month_costs_what_is_spent_and_the_rest_at_the_rate_of_the_last_day() -> None:
    note(NOON - timedelta(days=2), 0, 1_000)
    note(NOON - timedelta(hours=10), 0, 1_600)
    spent, projected = usage.month_cost(NOON)
    left = (datetime(2026, 12, 1, tzinfo=UTC) - NOON).total_seconds()
    assert (spent, projected) == (1_600_000, round(1_600_000 + 600 * 1_000 * left / 36_000))


def test_thinning_keeps_every_day_and_every_sum() -> None:
    for hours in range(0, 24 * 20, 6):
        note(NOON - timedelta(hours=hours), 10_000 - hours, 5_000 - hours)
    days = usage.usage_by_day(date(2026, 11, 1), date(2026, 11, 30))
    assert usage.meter_thin(NOON) > 0
    assert usage.usage_by_day(date(2026, 11, 1), date(2026, 11, 30)) == days
    assert usage.meter_thin(NOON) == 0
