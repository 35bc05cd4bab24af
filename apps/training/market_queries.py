"""The market's buckets out of the tables, and a reader that keeps the newest of them.

A metric row is committed after every trade and creation before its end, so whoever sees the row sees its whole market.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Integers
from apps.training.market import (
    BUCKET_SECONDS,
    BUCKET_US,
    FIGURES,
    RATE_LAG_SECONDS,
    RATE_REACH_SECONDS,
    REACH_SECONDS,
    Market,
)
from apps.training.queries import copy_records, to_datetime

_US = 1_000_000
# More than a scorer's step looks back; older buckets are let go.
_KEPT_US = 3_600 * _US
BUCKET = np.dtype([("at_us", "i8"), *((name, "i8") for name in FIGURES)])
RATE = np.dtype([("at_us", "i8"), ("rate", "f8")])

BUCKETS = f"""
    SELECT at, sum(trades)::bigint, least(sum(lamports), 9223372036854775807)::bigint,
           least(sum(buy_lamports), 9223372036854775807)::bigint, sum(creates)::bigint
    FROM (
        SELECT time_bucket('{BUCKET_SECONDS} seconds', timestamp) AS at, count(*) AS trades,
               sum(sol_amount) AS lamports, coalesce(sum(sol_amount) FILTER (WHERE tx_type = 'buy'), 0) AS buy_lamports,
               0 AS creates
        FROM coin_transactions WHERE timestamp >= %s AND timestamp < %s GROUP BY 1
        UNION ALL
        SELECT time_bucket('{BUCKET_SECONDS} seconds', created_at), 0, 0, 0, count(*)
        FROM discovered_coins WHERE created_at >= %s AND created_at < %s GROUP BY 1
    ) found GROUP BY at ORDER BY at"""
# Where two sources speak of one moment the first by name counts, as in apps.discovery.rates.rate_at.
RATES = """
    SELECT DISTINCT ON (at) at, rate::float8 FROM exchange_rates
    WHERE currency = 'USD' AND at > %s AND at <= %s ORDER BY at, source"""


class MarketReader:
    """The market as rows need it; what was read before is read no more. Not safe for threads."""

    def __init__(self) -> None:
        self._held: Market | None = None

    def between(self, first_us: int, last_us: int) -> Market:
        """The market of rows that ended between two moments, both included and committed."""
        begin_us = (first_us // BUCKET_US) * BUCKET_US - REACH_SECONDS * _US
        end_us = (last_us // BUCKET_US) * BUCKET_US
        held = self._held
        if held is None or not held.start_us <= begin_us <= held.end_us:
            held = _read(begin_us, end_us, begin_us - RATE_REACH_SECONDS * _US)
        elif held.end_us < end_us:
            rates_to = held.end_us - RATE_LAG_SECONDS * _US
            held = _joined(held, _read(held.end_us, end_us, rates_to))
        if begin_us - held.start_us > _KEPT_US:
            held = _from(held, begin_us)
        self._held = held
        return held


def _read(begin_us: int, end_us: int, rates_from_us: int) -> Market:
    """Buckets of [begin, end) and the rates known by then."""
    span = (to_datetime(begin_us), to_datetime(end_us))
    found = copy_records(BUCKETS, (*span, *span), BUCKET, times=("at_us",))
    rates_to = to_datetime(end_us + BUCKET_US - RATE_LAG_SECONDS * _US)
    rates = copy_records(RATES, (to_datetime(rates_from_us), rates_to), RATE, times=("at_us",))
    places = (found["at_us"] - begin_us) // BUCKET_US
    figures = {name: _spread(found[name], places, (end_us - begin_us) // BUCKET_US) for name in FIGURES}
    return Market(begin_us, **figures, rate_at_us=rates["at_us"].copy(), rate=rates["rate"].copy())


def _spread(values: NDArray[np.int64], places: Integers, length: int) -> Integers:
    spread = np.zeros(length, np.int64)
    spread[places] = values
    return spread


def _joined(held: Market, fresh: Market) -> Market:
    figures = {name: np.concatenate((getattr(held, name), getattr(fresh, name))) for name in FIGURES}
    new = fresh.rate_at_us > (held.rate_at_us[-1] if len(held.rate_at_us) else -1)
    rate_at_us = np.concatenate((held.rate_at_us, fresh.rate_at_us[new]))
    rate = np.concatenate((held.rate, fresh.rate[new]))
    return Market(held.start_us, **figures, rate_at_us=rate_at_us, rate=rate)


def _from(held: Market, begin_us: int) -> Market:
    gone = (begin_us - held.start_us) // BUCKET_US
    figures = {name: getattr(held, name)[gone:] for name in FIGURES}
    old = int(np.searchsorted(held.rate_at_us, begin_us - RATE_REACH_SECONDS * _US, side="right"))
    return Market(begin_us, **figures, rate_at_us=held.rate_at_us[old:], rate=held.rate[old:])
