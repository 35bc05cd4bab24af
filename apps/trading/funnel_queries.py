"""What became of the alerts of strategies, counted by the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connection

RECENT_ALERTS = 1_000
FILTERED = """
SELECT strategy_id, reason, sum(alerts)::bigint FROM strategy_filtered
WHERE strategy_id = ANY(%s) AND hour >= %s AND hour < %s GROUP BY 1, 2 ORDER BY 3 DESC, 2
"""


def filtered_counted(strategies: Sequence[int], since: datetime, until: datetime) -> list[tuple[int, str, int]]:
    """(strategy, reason, alerts) of alerts that were let pass in these hours, the most first."""
    with connection.cursor() as cursor:
        cursor.execute(FILTERED, [list(strategies), since, until])
        return cursor.fetchall()


ORDERS = """
SELECT strategy_id, status, CASE status WHEN 'FILLED' THEN '' ELSE deny_code END, count(*) FROM orders
WHERE strategy_id = ANY(%s) AND side = 'buy' AND decided_at >= %s AND decided_at < %s
GROUP BY 1, 2, 3 ORDER BY 4 DESC, 3
"""


def orders_counted(strategies: Sequence[int], since: datetime, until: datetime) -> list[tuple[int, str, str, int]]:
    """(strategy, status, code, orders) of the entries decided on in this time, the most first."""
    with connection.cursor() as cursor:
        cursor.execute(ORDERS, [list(strategies), since, until])
        return cursor.fetchall()


RECENT = """
SELECT active_model_id, count(*), max(probability) FROM (
    SELECT active_model_id, probability FROM alert_evaluations
    WHERE alert_id IS NOT NULL AND fired_at >= %s AND fired_at < %s ORDER BY alert_id DESC LIMIT %s
) recent GROUP BY 1
"""


def alerts_recent(since: datetime, until: datetime) -> dict[int, tuple[int, float]]:
    """Alerts by model in this time, of the RECENT_ALERTS newest: how many, and the highest probability."""
    with connection.cursor() as cursor:
        cursor.execute(RECENT, [since, until, RECENT_ALERTS])
        return {model: (count, best) for model, count, best in cursor.fetchall()}
