"""What the feed costs."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from apps.discovery.cost import cost_lamports, month_projected, price_on


@pytest.mark.parametrize(
    ("events", "day", "lamports"),
    [
        (10_000, date(2026, 4, 30), 0),
        (10_000, date(2026, 5, 1), 10_000_000),
        (1, date(2026, 11, 22), 1_000),
        (0, date(2026, 11, 22), 0),
        (3_024_000, date(2026, 11, 22), 3_024_000_000),  # a day at 35 trades a second: 3.024 SOL
    ],
)
def test_trades_cost_from_may_2026_on(events: int, day: date, lamports: int) -> None:
    assert cost_lamports(events, day) == lamports


def test_a_month_is_projected_by_the_rate_of_late() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)  # ten days are left
    assert month_projected(5, recent_events=100, recent_seconds=86_400, now=now) == 5 + 10 * 100 * 1_000
    assert month_projected(5, recent_events=0, recent_seconds=0, now=now) == 5
    assert month_projected(7, recent_events=100, recent_seconds=60, now=datetime(2026, 2, 1, tzinfo=UTC)) == 7
    assert price_on(date(2026, 4, 30)) is None


def test_the_last_second_of_december_has_a_month() -> None:
    now = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert month_projected(0, recent_events=60, recent_seconds=60, now=now) == 1_000
