"""What pages and API read of strategies: SQL beside its function."""

from __future__ import annotations

from django.db import connection
from django.db.models import Count, Q, QuerySet

from apps.trading.models import Order, Strategy


def strategies_listed() -> QuerySet[Strategy]:
    """Strategies with their wallet and how many positions they hold (`held`), by name."""
    held = Count("positions", filter=Q(positions__status="OPEN"))
    return Strategy.objects.select_related("wallet").annotate(held=held).order_by("name")


FILTERED_BY_REASON = """
SELECT reason, sum(alerts)::bigint FROM strategy_filtered
WHERE strategy_id = %(strategy)s
  AND hour > coalesce((SELECT processed_at FROM trader_progress WHERE id = 1), now())
             - make_interval(hours => %(hours)s)
GROUP BY reason ORDER BY 2 DESC, 1
"""


def filtered_by_reason(strategy_id: int, *, hours: int) -> list[tuple[str, int]]:
    """How many alerts a strategy let pass in the last hours of feed time, by condition, the most first."""
    with connection.cursor() as cursor:
        cursor.execute(FILTERED_BY_REASON, {"strategy": strategy_id, "hours": hours})
        return cursor.fetchall()


def orders_by_version(strategy_id: int) -> dict[int, int]:
    """How many orders each version of a strategy has made."""
    rows = Order.objects.filter(strategy_id=strategy_id, strategy_version__isnull=False).order_by("strategy_version")
    return dict(rows.values_list("strategy_version").annotate(orders=Count("id")))
