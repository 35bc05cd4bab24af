"""Measurements of trading, each on the real trader process in a scratch database (`make bench NAME=...`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.core.listener import Listener
from apps.core.scratch import scratch_database
from apps.trading import queries, rehearsal
from apps.trading.backtest_benchmarks import backtest_ratio_to_numpy, backtest_trades_per_second
from apps.trading.crashes import crash_run
from apps.trading.execution import order_execute
from apps.trading.models import Order, Position, Wallet
from apps.trading.orders import BuyIntent, order_buy
from apps.trading.rehearsal import SOL, Beat, beat_write, mint_of, reserves_at, trader_running

ALERTS_A_SECOND = 10
ALERTS = 200
POSITIONS = 500
EXITS = 100
EXITS_A_SECOND = 5
KILLS = 20
SILENT_SECONDS = 30.0


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _detail(seconds: Sequence[float], **more: Any) -> dict[str, Any]:
    ms = [one * 1000 for one in seconds]
    return {"p50_ms": round(percentile(ms, 0.5), 1), "max_ms": round(max(ms), 1), "count": len(ms), **more}


TELL_ORDERS = """
CREATE FUNCTION order_told() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('orders_' || NEW.side, NEW.mint); RETURN NULL; END $$;
CREATE TRIGGER order_told AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_told()
"""


def _measured(mints: Sequence[str], write: Callable[[str], None], a_second: float, side: str) -> list[float]:
    """Seconds from the commit of each event to the commit of its order, events coming at a steady pace.

    The database tells of each order as it is committed: asking for them would take the cores from the trader.
    """
    with connection.cursor() as cursor:
        cursor.execute(TELL_ORDERS)
    written: dict[str, float] = {}
    seen: dict[str, float] = {}
    with Listener([f"orders_{side}"]) as listener, trader_running():
        began = time.monotonic()
        for number, mint in enumerate(mints):
            while (left := began + number / a_second - time.monotonic()) > 0:
                _hear(listener, seen, left)
            write(mint)
            written[mint] = time.monotonic()
        _hear_out(listener, seen, written)
    return [seen[mint] - written[mint] for mint in written]


def _hear(listener: Listener, seen: dict[str, float], seconds: float) -> int:
    """Note when the orders became visible; how many were told of."""
    told = listener.heard(seconds)
    now = time.monotonic()
    for _, mint in told:
        seen.setdefault(mint, now)
    return len(told)


def _hear_out(listener: Listener, seen: dict[str, float], written: dict[str, float]) -> None:
    """Wait for the rest as long as orders come. Raises TimeoutError, with where the trader is."""
    while written.keys() - seen.keys():
        if not _hear(listener, seen, SILENT_SECONDS):
            missing, place = len(written.keys() - seen.keys()), queries.progress()
            raise TimeoutError(
                f"{missing} orders were not made: none for {SILENT_SECONDS:g} s; the trader is at {place.processed_at}"
                f" (round ended {place.updated_at}), the feed at {queries.feed_at()}"
            )


def order_p99_ms() -> dict[str, Any]:
    """Alert committed to order committed, at 10 alerts a second."""
    with scratch_database():
        rehearsal.stage(coins=ALERTS, at=timezone.now(), mode="live")
        taken = _measured([mint_of(number) for number in range(ALERTS)], _write_alert, ALERTS_A_SECOND, "buy")
        denied = Order.objects.filter(status="DENIED").count()
    detail = _detail(taken, alerts_a_second=ALERTS_A_SECOND, denied=denied)
    return {"value": round(percentile(taken, 0.99) * 1000, 1), "unit": "ms", "detail": detail}


def _write_alert(mint: str) -> None:
    beat_write(Beat(timezone.now(), [(mint, reserves_at(41 * SOL))], [mint]), mode="live")


def exit_p99_ms() -> dict[str, Any]:
    """Trade committed to exit order committed, with 500 open positions."""
    with scratch_database():
        at = timezone.now()
        rehearsal.stage(coins=POSITIONS, at=at, mode="live", timeout_seconds=None)
        _open_positions(at)
        mints = list(Position.objects.order_by("mint").values_list("mint", flat=True)[:EXITS])
        held = Position.objects.count()
        taken = _measured(mints, _write_fall, EXITS_A_SECOND, "sell")
    detail = _detail(taken, open_positions=held, exits_a_second=EXITS_A_SECOND)
    return {"value": round(percentile(taken, 0.99) * 1000, 1), "unit": "ms", "detail": detail}


def _write_fall(mint: str) -> None:
    beat_write(Beat(timezone.now(), [(mint, reserves_at(32 * SOL))]), mode="live")


def _open_positions(at: datetime) -> None:
    """Buy every staged coin, then give each position the exit levels of the strategy."""
    wallet = Wallet.objects.get(alias="rehearsal")
    for number in range(POSITIONS):
        key = f"bench:{number}"
        intent = BuyIntent(
            key=key, wallet_id=wallet.pk, mint=mint_of(number), lamports=SOL // 10, slippage_bps=500, decided_at=at
        )
        order = order_buy(intent=intent)
        order_execute(order_id=order.pk)
    opened = Position.objects.filter(status="OPEN")
    opened.update(stop_loss_bps=1500, take_profit_bps=100_000)
    Order.objects.filter(status="SUBMITTED").delete()


@cache
def _crashes() -> dict[str, int]:
    with scratch_database():
        damage = crash_run(kills=KILLS, orders=20 * KILLS)
    return {
        "orders_doubled": damage.doubled,
        "orders_lost": damage.lost,
        "ledger_difference": damage.ledger_difference,
        "different": damage.different,
        "orders": damage.orders,
    }


def _kills(what: str, unit: str) -> Callable[[], dict[str, Any]]:
    def measure() -> dict[str, Any]:
        """After kills of the trader at random points (`manage.py crashtest --kills 1000` for more)."""
        found = _crashes()
        detail = {"kills": KILLS, "orders": found["orders"], "different": found["different"]}
        return {"value": found[what], "unit": unit, "detail": detail}

    return measure


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "backtest_trades_per_second": backtest_trades_per_second,
    "backtest_ratio_to_numpy": backtest_ratio_to_numpy,
    "order_p99_ms": order_p99_ms,
    "exit_p99_ms": exit_p99_ms,
    "kills_orders_doubled": _kills("orders_doubled", "orders"),
    "kills_orders_lost": _kills("orders_lost", "orders"),
    "kills_ledger_difference": _kills("ledger_difference", "lamports"),
}
