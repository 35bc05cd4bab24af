"""Figures for the trading dashboard: sums over wallets, results by day, by exit and by code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Max, Sum
from django.db.models.functions import TruncDate

from apps.trading import gate_queries, queries
from apps.trading.models import EquityPoint, Order, Position, TradeLog, Wallet
from apps.trading.risk import day_of, day_start
from apps.trading.valuation import positions_valued


@dataclass(frozen=True, slots=True)
class Stats:
    """The state of all test wallets together, at one feed time."""

    at: datetime
    trading_state: str
    wallets: int
    cash_lamports: int
    positions_lamports: int
    equity_lamports: int
    open_positions: int
    orders_in_flight: int
    unrealized_pnl_lamports: int
    realized_pnl_lamports: int
    realized_today_lamports: int
    closed_positions: int
    winners: int
    day_start_equity_lamports: int
    drawdown_ratio: float | None


def stats(at: datetime) -> Stats:
    """What the test wallets own, hold and have made, positions at the sell quote of `at`."""
    wallets = Wallet.objects.filter(wallet_type=Wallet.Type.TEST)
    free = wallets.aggregate(a=Sum("virtual_balance_lamports"))["a"] or 0
    in_flight = queries.orders_in_flight(wallet__in=wallets)
    cash = int(free) + int(in_flight.aggregate(a=Sum("reserved_lamports"))["a"] or 0)
    valued = positions_valued(list(queries.positions_open(wallet__in=wallets)), at)
    worth = sum(one.value_lamports for one in valued)
    all_positions = Position.objects.filter(wallet__in=wallets)
    closed = all_positions.filter(status="CLOSED")
    today = closed.filter(closed_at__gte=day_start(at, settings.RISK_TIMEZONE))
    return Stats(
        at=at,
        trading_state=queries.trading_state().state,
        wallets=wallets.count(),
        cash_lamports=cash,
        positions_lamports=worth,
        equity_lamports=cash + worth,
        open_positions=len(valued),
        orders_in_flight=in_flight.count(),
        unrealized_pnl_lamports=sum(one.unrealized_pnl_lamports for one in valued),
        realized_pnl_lamports=int(all_positions.aggregate(a=Sum("realized_pnl_lamports"))["a"] or 0),
        realized_today_lamports=int(today.aggregate(a=Sum("realized_pnl_lamports"))["a"] or 0),
        closed_positions=closed.count(),
        winners=closed.filter(realized_pnl_lamports__gt=0).count(),
        day_start_equity_lamports=gate_queries.money_of_all("TEST")[1],
        drawdown_ratio=_drawdown(at, cash + worth),
    )


def _drawdown(at: datetime, equity: int) -> float | None:
    """How far the equity of all test wallets lies below the highest of 30 days; None where none is written."""
    sums = EquityPoint.objects.filter(wallet__wallet_type="TEST", at__gte=at - timedelta(days=30)).values("at")
    totals = sums.annotate(total=Sum(F("cash_lamports") + F("positions_lamports")))
    highest = totals.aggregate(most=Max("total"))["most"]
    return max(0.0, 1 - equity / max(highest, equity)) if highest and equity > 0 else None


def risk_zone() -> ZoneInfo:
    """The timezone in which days are counted."""
    return ZoneInfo(settings.RISK_TIMEZONE)


def risk_day(at: datetime) -> date:
    """The day of `at` in RISK_TIMEZONE."""
    return day_of(at, settings.RISK_TIMEZONE)


WALLET_PERFORMANCE = """
SELECT wallet_id, alias, wallet_type, virtual_balance_lamports, closed_positions, winners, open_positions,
       realized_pnl_lamports, best_lamports, worst_lamports, win_rate, gross_profit_lamports, gross_loss_lamports,
       profit_factor, max_drawdown_lamports, average_held_seconds, fees_lamports, trades, failures
FROM wallet_performance ORDER BY alias
"""
WALLET_EXITS = """
SELECT exit_reason, positions, winners, realized_pnl_lamports, average_pnl_lamports, average_held_seconds
FROM wallet_exit_performance WHERE wallet_id = %s ORDER BY exit_reason
"""


def wallet_performance() -> list[dict[str, Any]]:
    """One row a wallet, from the view `wallet_performance`; undefined is None."""
    return _rows(WALLET_PERFORMANCE)


def wallet_exits(wallet: Wallet) -> list[dict[str, Any]]:
    """How a wallet's closed positions did by the reason for which they were left."""
    return _rows(WALLET_EXITS, wallet.pk)


def _rows(statement: str, *values: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        names = [column.name for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def pnl_by_day(limit: int = 90) -> list[dict[str, Any]]:
    """Realized results of closed positions by day (in RISK_TIMEZONE), newest first."""
    closed = Position.objects.filter(status="CLOSED")
    days = closed.annotate(day=TruncDate("closed_at", tzinfo=risk_zone())).values("day")
    rows = days.annotate(positions=Count("id"), realized_pnl_lamports=Sum("realized_pnl_lamports")).order_by("-day")
    return [dict(row) for row in rows[:limit]]


def pnl_by_exit() -> list[dict[str, Any]]:
    """Realized results of closed positions by exit reason."""
    closed = Position.objects.filter(status="CLOSED").values("exit_reason")
    rows = closed.annotate(positions=Count("id"), realized_pnl_lamports=Sum("realized_pnl_lamports"))
    return [dict(row) for row in rows.order_by("exit_reason")]


def costs_by_part() -> dict[str, int]:
    """Lamports that all trades have cost, by part (rent stands positive while accounts are open)."""
    parts = ("protocol_fee", "creator_fee", "venue_fee", "network_fee", "tip", "rent", "virtual_loss")
    sums = TradeLog.objects.aggregate(**{part: Sum(f"{part}_lamports") for part in parts})
    return {part: int(sums[part] or 0) for part in parts}


def orders_by_code() -> list[dict[str, Any]]:
    """How many orders ended how, and why: `status`, `code`, `orders`."""
    rows = Order.objects.values("status", "deny_code").annotate(orders=Count("id")).order_by("status", "deny_code")
    return [{"status": row["status"], "code": row["deny_code"], "orders": row["orders"]} for row in rows]
