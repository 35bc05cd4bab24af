"""What the discovery pages show: rows of the database turned into ready texts."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.discovery import curve
from apps.discovery.models import Coin, CoinMetric, CoinStream, CoinTransaction, Phase, StreamState

SORTS: dict[str, Any] = {
    "age": "-started_at",
    "trade": F("last_trade_at").desc(nulls_last=True),
    "cap": F("last_market_cap_sol").desc(nulls_last=True),
    "volume": "-volume_lamports",
    "trades": "-trades_total",
    "progress": F("virtual_sol_lamports").desc(nulls_last=True),
}
COLUMNS = (
    ("age", gettext_lazy("Age")),
    ("cap", gettext_lazy("Market cap, SOL")),
    ("progress", gettext_lazy("Curve")),
    ("volume", gettext_lazy("Volume, SOL")),
    ("trades", gettext_lazy("Trades")),
    ("trade", gettext_lazy("Last trade")),
)


def feed_time() -> datetime:
    """The market's now: feed time, or the wall clock before the first frame."""
    known = StreamState.objects.filter(pk=1).values_list("feed_at", flat=True).first()
    return known or timezone.now()


# --- Coins ---------------------------------------------------------------------------------------------
def streams_found(request: HttpRequest, *, only_active: bool) -> QuerySet[CoinStream]:
    """The tracked coins that the filters of the query string choose, in the asked order."""
    rows = CoinStream.objects.select_related("coin", "phase")
    if only_active:
        rows = rows.filter(is_active=True)
    phase = request.GET.get("phase", "")
    if phase.isdecimal():
        rows = rows.filter(phase_id=int(phase))
    if text := request.GET.get("q", "").strip():
        found = Q(coin__name__icontains=text) | Q(coin__symbol__icontains=text)
        rows = rows.filter(found | Q(coin__mint__startswith=text) | Q(coin__creator=text))
    return rows.order_by(SORTS.get(request.GET.get("sort", ""), SORTS["trade"]), "coin_id")


def stream_row(stream: CoinStream, now: datetime) -> dict[str, Any]:
    """A row of the coin tables."""
    coin = stream.coin
    progress = progress_pct(stream)
    return {
        "mint": coin.mint,
        "mint_short": display.mint_short(coin.mint),
        "symbol": coin.symbol.strip() or "?",
        "name": coin.name.strip(),
        "flags": flags(coin, stream),
        "phase": stream.phase.name,
        "age": display.seconds((now - stream.started_at).total_seconds()),
        "cap": display.number(stream.last_market_cap_sol),
        "cap_value": stream.last_market_cap_sol or 0,
        "progress": display.pct(progress),
        "progress_value": progress,
        "volume": display.sol(stream.volume_lamports, 2),
        "trades": f"{stream.trades_total:,}",
        "last_trade": display.clock(stream.last_trade_at),
    }


def progress_pct(stream: CoinStream) -> float | None:
    """How much of the curve is sold, 0..100; None away from the standard curve."""
    if stream.virtual_sol_lamports is None or stream.coin.curve != Coin.Curve.STANDARD:
        return None
    return min(max(curve.curve_progress_pct(stream.virtual_sol_lamports), 0.0), 100.0)


def flags(coin: Coin, stream: CoinStream) -> list[tuple[str, str]]:
    """Short marks as (tone, text)."""
    marks = []
    if stream.is_graduated:
        marks.append(("good", _("graduated")))
    if coin.is_mayhem:
        marks.append(("wait", _("mayhem")))
    elif coin.curve != Coin.Curve.STANDARD:
        marks.append(("wait", _("other curve")))
    if coin.filtered_reason:
        marks.append(("wait", _("filtered")))
    if not stream.is_active and not stream.is_graduated:
        marks.append(("", _("quiet")))
    return marks


def phases() -> list[Phase]:
    return list(Phase.objects.order_by("id"))


def streams_by_phase() -> list[dict[str, Any]]:
    """How many coins are tracked in each phase."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.id, p.name, count(s.mint) FILTER (WHERE s.is_active), count(s.mint), p.interval_seconds "
            "FROM ref_coin_phases p LEFT JOIN coin_streams s ON s.phase_id = p.id "
            "GROUP BY p.id ORDER BY p.id"
        )
        return [
            {"id": id_, "name": name, "active": f"{active:,}", "total": f"{total:,}", "interval": interval}
            for id_, name, active, total, interval in cursor.fetchall()
        ]


def market_figures() -> dict[str, str]:
    """Counts for the tiles of the overview: the last minute and in all."""
    now = feed_time()
    since = now - timedelta(minutes=1)
    return {
        "coins": f"{Coin.objects.count():,}",
        "active": f"{CoinStream.objects.filter(is_active=True).count():,}",
        "new": f"{Coin.objects.filter(first_seen_at__gt=since).count():,}",
        "trades": f"{CoinTransaction.objects.filter(timestamp__gt=since).count():,}",
        "windows": f"{CoinMetric.objects.filter(timestamp__gt=since).count():,}",
        "graduated": f"{Coin.objects.filter(graduated=True).count():,}",
    }


# --- One coin ------------------------------------------------------------------------------------------
def coin_facts(coin: Coin, stream: CoinStream | None) -> dict[str, Any]:
    """Everything on the coin page above the tables."""
    now = feed_time()
    progress = progress_pct(stream) if stream else None
    return {
        "mint": coin.mint,
        "symbol": coin.symbol.strip() or "?",
        "name": coin.name.strip() or _("without a name"),
        "flags": flags(coin, stream) if stream else [],
        "phase": stream.phase.name if stream else _("not tracked"),
        "age": display.seconds((now - stream.started_at).total_seconds()) if stream else display.NONE,
        "created": display.moment(coin.created_at),
        "creator": coin.creator,
        "pool": coin.pool or display.NONE,
        "cap": display.number(stream.last_market_cap_sol if stream else coin.market_cap_sol),
        "price": display.price(stream.last_price_sol if stream else None),
        "ath": display.price(stream.ath_price_sol if stream else None),
        "ath_at": display.clock(stream.ath_at if stream else None),
        "volume": display.sol(stream.volume_lamports if stream else None, 2),
        "trades": f"{stream.trades_total:,}" if stream else "0",
        "reserves": display.sol(stream.virtual_sol_lamports if stream else None, 3),
        "progress": display.pct(progress),
        "progress_value": progress,
        "initial_buy": display.sol(coin.initial_buy_lamports, 3),
        "uri": coin.uri,
        "description": coin.description,
        "links": [(_("Website"), coin.website), ("X", coin.twitter), ("Telegram", coin.telegram)],
        "filtered_reason": coin.filtered_reason,
        "nonstandard": coin.curve != Coin.Curve.STANDARD,
    }


def trade_row(trade: CoinTransaction) -> dict[str, Any]:
    return {
        "key": trade.trade_key,
        "at": display.clock(trade.timestamp),
        "side": trade.tx_type,
        "sol": display.sol(trade.sol_amount),
        "tokens": display.tokens(trade.token_amount),
        "price": display.price(trade.price_sol),
        "trader": display.mint_short(trade.trader_public_key or display.NONE),
        "whale": trade.is_whale,
    }


def coin_trades(mint: str, count: int = 50) -> list[dict[str, Any]]:
    rows = CoinTransaction.objects.filter(mint=mint).order_by("-timestamp", "-seq", "-trade_key")[:count]
    return [trade_row(trade) for trade in rows]


def coin_windows(mint: str, count: int = 30) -> list[dict[str, Any]]:
    """The newest closed windows of a coin."""
    return [
        {
            "at": display.clock(row.timestamp),
            "close": display.price(row.price_close),
            "change": display.signed_pct((row.price_close / row.price_open - 1) * 100),
            "tone": display.tone(row.price_close - row.price_open),
            "volume": display.number(row.volume_sol, 3),
            "buys": row.num_buys,
            "sells": row.num_sells,
            "wallets": display.NONE if row.unique_wallets is None else row.unique_wallets,
            "pressure": display.ratio_pct(row.buy_pressure_ratio, 0),
        }
        for row in CoinMetric.objects.filter(mint=mint).order_by("-timestamp")[:count]
    ]


CANDLES = """
SELECT extract(epoch FROM time_bucket(%(bucket)s * INTERVAL '1 second', "timestamp"))::bigint,
       first(price_sol, seq) * 1e6, max(price_sol) * 1e6, min(price_sol) * 1e6, last(price_sol, seq) * 1e6,
       sum(sol_amount) / 1e9
FROM coin_transactions
WHERE mint = %(mint)s AND "timestamp" >= to_timestamp(%(since)s)
GROUP BY 1 ORDER BY 1 DESC LIMIT %(limit)s
"""


def candles(mint: str, bucket_seconds: int, since: int = 0, limit: int = 500) -> list[dict[str, Any]]:
    """The newest candles from `since` (epoch seconds) on, oldest first; prices in SOL per million tokens."""
    with connection.cursor() as cursor:
        cursor.execute(CANDLES, {"mint": mint, "bucket": bucket_seconds, "since": since, "limit": limit})
        names = ("time", "open", "high", "low", "close", "volume")
        return [dict(zip(names, (row[0], *map(float, row[1:])), strict=True)) for row in reversed(cursor.fetchall())]
