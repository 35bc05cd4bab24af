"""Reads of discovery that need SQL: figures over time, counts, the window that is open now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Count, Max, Model, Q, QuerySet, Sum

from apps.discovery import candles
from apps.discovery.loading import DatabaseStore, rebuild_windows
from apps.discovery.models import Coin, CoinMetric, CoinStream, CoinTransaction, Phase, StreamGap, StreamState
from apps.discovery.state import Config
from apps.discovery.windows import METRIC_COLUMNS, metric_row
from apps.discovery.writer import moment

EXACT_COUNT_BELOW = 200_000
ADDRESS_LENGTH = 32  # the shortest base58 text of a mint or a wallet
Rows = TypeVar("Rows", bound=Model)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

_FIRST = '(array_agg(price_sol ORDER BY "timestamp", seq))[1]'
_LAST = '(array_agg(price_sol ORDER BY "timestamp" DESC, seq DESC))[1]'
ANALYTICS = f"""
    SELECT w.seconds, a.*, b.price_sol
    FROM unnest(%(seconds)s::int[]) WITH ORDINALITY w(seconds, number)
    CROSS JOIN LATERAL (
        SELECT count(*), least(coalesce(sum(sol_amount), 0), 9223372036854775807)::bigint,
               least(coalesce(sum(sol_amount) FILTER (WHERE tx_type = 'buy'), 0), 9223372036854775807)::bigint,
               count(*) FILTER (WHERE tx_type = 'buy'), {_FIRST}, {_LAST}, max(price_sol), min(price_sol)
        FROM coin_transactions
        WHERE mint = %(mint)s AND "timestamp" > %(now)s - w.seconds * INTERVAL '1 second'
          AND "timestamp" >= %(first)s AND "timestamp" <= %(now)s) a
    LEFT JOIN LATERAL (
        SELECT price_sol FROM coin_transactions
        WHERE mint = %(mint)s AND "timestamp" <= %(now)s - w.seconds * INTERVAL '1 second'
          AND "timestamp" >= %(first)s AND "timestamp" <= %(now)s
        ORDER BY "timestamp" DESC, seq DESC LIMIT 1) b ON true
    ORDER BY w.number
"""


def analytics(mint: str, *, seconds: Sequence[int], now: datetime) -> list[dict[str, Any]]:
    """What a coin did in the `seconds` before `now`, for each of them. Changes and ratios are None where there is
    nothing to compare."""
    first = first_trade_from(mint) or now
    with connection.cursor() as cursor:
        cursor.execute(ANALYTICS, {"mint": mint, "seconds": list(seconds), "now": now, "first": first})
        return [_analytics_of(*row) for row in cursor.fetchall()]


def _analytics_of(
    seconds: int,
    trades: int,
    volume: int,
    bought: int,
    buys: int,
    first: float | None,
    last: float | None,
    high: float | None,
    low: float | None,
    before: float | None,
) -> dict[str, Any]:
    base = before if before is not None else first
    return {
        "seconds": seconds,
        "trades": trades,
        "buys": buys,
        "sells": trades - buys,
        "volume_lamports": volume,
        "volume_sol": volume / 1e9,
        "net_volume_sol": (2 * bought - volume) / 1e9,
        "buy_pressure_ratio": bought / volume if volume else None,
        "price_open": base,
        "price_close": last if last is not None else before,
        "price_high": high,
        "price_low": low,
        "price_change_pct": (last / base - 1) * 100 if last is not None and base else None,
    }


def first_trade_from(mint: str) -> datetime | None:
    """A time before every trade of a coin, so that a query looks into the days of its life only; None: not tracked."""
    with connection.cursor() as cursor:
        span = candles.lifetime(cursor, mint)
    return span[0] if span else None


def feed_at() -> datetime | None:
    """The time up to which the tables are complete."""
    return StreamState.objects.filter(pk=1).values_list("feed_at", flat=True).first()


ODD_SAMPLES = """
    SELECT kind, first_at, seen_at, seq, sample FROM (
        SELECT kind, seen_at, seq, sample, min(seen_at) OVER (PARTITION BY kind) AS first_at,
               row_number() OVER (PARTITION BY kind ORDER BY seen_at DESC, id DESC) AS place
        FROM stream_odd_frames
    ) numbered WHERE place <= %(most)s ORDER BY kind, place
"""


def odd_samples(most: int = 3) -> dict[str, tuple[datetime, list[tuple[datetime, int, str]]]]:
    """By kind of odd frame: when it was first seen, and its newest samples (time, number of the frame, text)."""
    found: dict[str, tuple[datetime, list[tuple[datetime, int, str]]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(ODD_SAMPLES, {"most": most})
        for kind, first_at, *sample in cursor.fetchall():
            found.setdefault(kind, (first_at, []))[1].append((sample[0], sample[1], sample[2]))
    return found


def gaps_between(start: datetime, end: datetime) -> list[tuple[datetime, datetime, str]]:
    """Times without a connection that overlap [start, end], oldest first: from, to, reason."""
    rows = StreamGap.objects.filter(ended_at__gt=start, started_at__lt=end).order_by("started_at", "id")
    return list(rows.values_list("started_at", "ended_at", "reason"))


def live_window(mint: str, config: Config, now: datetime) -> dict[str, Any] | None:
    """The window of a coin that is open at `now`, as a metric row so far with its `started_at`; None without trades."""
    coins = DatabaseStore().load_coins([mint])
    at_us = (now - _EPOCH) // timedelta(microseconds=1)
    with connection.cursor() as cursor:
        rebuild_windows(cursor, coins, config, {mint: at_us})
    if not coins or coins[0].window is None:
        return None
    coin, window = coins[0], coins[0].window
    koth = config.thresholds.koth_market_cap_sol
    row = metric_row(mint, window, is_standard=coin.is_standard, creator=coin.creator, koth_market_cap_sol=koth)
    values = dict(zip(METRIC_COLUMNS, row, strict=True))
    return values | {"timestamp": moment(window.end_us), "started_at": moment(window.start_us)}


def metrics_count(mint: str | None) -> int:
    """How many metric rows there are; a good estimate where there are very many."""
    if mint:
        return CoinMetric.objects.filter(mint=mint).count()
    with connection.cursor() as cursor:
        cursor.execute("SELECT approximate_row_count('coin_metrics')")
        estimate = int(cursor.fetchone()[0])
    return estimate if estimate >= EXACT_COUNT_BELOW else CoinMetric.objects.count()


def metrics_newest(mint: str | None) -> QuerySet[CoinMetric]:
    """Metric rows, newest first."""
    rows = CoinMetric.objects.order_by("-timestamp", "mint")
    return _of_coin(rows, mint) if mint else rows


def trades_newest(mint: str) -> QuerySet[CoinTransaction]:
    """The trades of a coin, newest first."""
    return _of_coin(CoinTransaction.objects.order_by("-timestamp", "-seq", "-trade_key"), mint)


def _of_coin(rows: QuerySet[Rows], mint: str) -> QuerySet[Rows]:
    """Rows of a coin from the beginning of its life on: planning looks at every day that the range leaves in."""
    first = first_trade_from(mint)
    return rows.filter(mint=mint) if first is None else rows.filter(mint=mint, timestamp__gte=first)


def streams_found(*, active: bool | None, phase_id: int | None, search: str) -> QuerySet[CoinStream]:
    """Tracked coins, youngest first."""
    rows = CoinStream.objects.select_related("coin", "phase").order_by("-started_at", "coin_id")
    if active is not None:
        rows = rows.filter(is_active=active)
    if phase_id is not None:
        rows = rows.filter(phase_id=phase_id)
    if search:
        rows = rows.filter(coin_id__in=coins_named(search).values("mint"))
    return rows


def coins_named(text: str) -> QuerySet[Coin]:
    """Coins by mint or creator (whole, or how they begin), by name and symbol (any part); each part has its index."""
    if len(text) >= ADDRESS_LENGTH and text.isalnum() and text.isascii():
        addressed = Coin.objects.filter(Q(mint=text) | Q(creator=text)).order_by()
        if addressed.exists():  # else a word as long as an address
            return addressed
    begins = Q(mint__startswith=text) | Q(creator__startswith=text)
    return Coin.objects.filter(begins | Q(name__icontains=text) | Q(symbol__icontains=text)).order_by()


def stream_stats() -> dict[str, Any]:
    """Counts of tracked coins, in all and by phase."""
    totals = CoinStream.objects.aggregate(
        total=Count("coin_id"),
        active=Count("coin_id", filter=Q(is_active=True)),
        graduated=Count("coin_id", filter=Q(is_graduated=True)),
        trades=Sum("trades_total"),
        volume_lamports=Sum("volume_lamports"),
        last_trade_at=Max("last_trade_at"),
    )
    active = Count("streams", filter=Q(streams__is_active=True))
    phases = Phase.objects.order_by("id").annotate(total=Count("streams"), active=active)
    totals["phases"] = list(phases.values("id", "name", "active", "total"))
    return {**totals, "trades": totals["trades"] or 0, "volume_lamports": totals["volume_lamports"] or 0}
