"""What PumpPortal charges for trade events. Pure; a price is dated, amounts are lamports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Price:
    """`lamports` for every `events` trades, from a UTC day on."""

    since: date
    lamports: int
    events: int


PRICES = (Price(date(2026, 5, 1), 10_000_000, 10_000),)  # in order; before the first one trades were free


def price_on(day: date) -> Price | None:
    """The price in force on a UTC day, None while trades were free."""
    return max((price for price in PRICES if price.since <= day), key=lambda price: price.since, default=None)


def cost_lamports(events: int, day: date) -> int:
    """What `events` trades of a UTC day cost, rounded up."""
    price = price_on(day)
    return 0 if price is None else -(-events * price.lamports // price.events)


def month_projected(spent_lamports: int, *, recent_events: int, recent_seconds: float, now: datetime) -> int:
    """What the UTC month of `now` costs in the end if it goes on as of late: what is spent, and the rest of the month
    at the rate of `recent_events` in `recent_seconds`."""
    now = now.astimezone(UTC)
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    end = (start + timedelta(days=32)).replace(day=1)
    price = price_on(now.date())
    if price is None or recent_seconds <= 0:
        return spent_lamports
    left = Fraction((end - now).total_seconds()) / Fraction(recent_seconds)
    return spent_lamports + round(left * recent_events * price.lamports / price.events)
