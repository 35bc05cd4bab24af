"""What the page of one coin shows: its state, trades, windows, momentum, candles, the gaps of the chart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.sparkline import sparkline
from apps.core.tables import NUMBER, WIDE, WIDE_NUMBER, Cell, Column, Row, Table
from apps.discovery import curve, queries
from apps.discovery.candles import Candle, candles
from apps.discovery.gaps import mark_windows
from apps.discovery.models import Coin, CoinMetadata, CoinMetric, CoinStream, CoinTransaction
from apps.discovery.pages_feed import REASONS
from apps.discovery.pages_list import coin_row, feed_time

BUCKETS = (1, 5, 15, 30, 60, 300, 900, 3600, 14_400, 86_400)
MOMENTUM = (30, 60, 180, 300, 900, 1_800, 3_600)
TRADES_SHOWN, TRADES_A_PAGE, WINDOWS_SHOWN, CANDLES_SHOWN = 50, 100, 60, 30
MOST_CANDLES, MOST_GAPS = 500, 200
PRICES = ("open", "high", "low", "close")
NONSTANDARD = {
    "mayhem": gettext_lazy("it is a mayhem coin"),
    "other_quote": gettext_lazy("it is paid for in another coin than SOL"),
    "other_launchpad": gettext_lazy("it was launched elsewhere"),
    "pool_only": gettext_lazy("it was first seen after it had left its curve"),
    "off_curve": gettext_lazy("its reserves do not follow the curve, as with another quote or cashback"),
}
DIRECTION = {"buy": "up", "sell": "down"}


def span(seconds: int) -> str:
    """The length of a candle or window in one short word."""
    for size, text in ((86_400, _("%(n)d d")), (3_600, _("%(n)d h")), (60, _("%(n)d min"))):
        if seconds >= size:
            return text % {"n": seconds // size}
    return _("%(n)d s") % {"n": seconds}


# --- What is known of the coin -------------------------------------------------------------------------
def coin_facts(coin: Coin) -> dict[str, Any]:
    """Everything on the coin page beside the tables."""
    stream: CoinStream | None = getattr(coin, "stream", None)
    return coin_row(coin, feed_time()) | _reserves(coin, stream) | {
        "name": display.visible(coin.name) or _("without a name"),
        "created": display.moment(coin.created_at),
        "pool": coin.pool or display.NONE,
        "ath_at": display.clock(stream.ath_at if stream else None),
        "initial_buy": display.sol(coin.initial_buy_lamports, 3),
        "uri": coin.uri,
        "description": display.visible(coin.description),
        "links": [(_("Website"), coin.website), ("X", coin.twitter), ("Telegram", coin.telegram)],
        "metadata": metadata_text(coin),
        "has_picture": settings.THUMBNAILS and bool(coin.image_url),
        "filtered_reason": coin.filtered_reason,
        "nonstandard": NONSTANDARD.get(coin.curve_kind, ""),
        "outcome": coin.final_outcome,
        "graduated_at": display.clock(coin.graduated_at) if coin.graduated_at else "",
    }  # fmt: skip


def metadata_text(coin: Coin) -> str:
    """Why nothing is known of what its creator says; empty where it was read."""
    row: CoinMetadata | None = getattr(coin, "metadata", None)
    if row is None:
        return ""
    if row.status == CoinMetadata.Status.PENDING:
        return _("not read yet") + (f" ({row.error})" if row.error else "")
    return _("could not be read: %(error)s") % {"error": row.error} if row.error else ""


def _reserves(coin: Coin, stream: CoinStream | None) -> dict[str, str]:
    """Both reserves of the curve, and the SOL that is still to come in before it is complete."""
    lamports = stream.virtual_sol_lamports if stream else None
    tokens = stream.virtual_token_base_units if stream else None
    left = None
    if lamports is not None and coin.curve == Coin.Curve.STANDARD:
        left = max(curve.SOL_AT_COMPLETION - lamports, 0)
    return {
        "reserves": display.sol(lamports, 3),
        "tokens": display.tokens(tokens),
        "to_graduation": display.sol(left, 2),
    }


def progress_line(rows: list[CoinMetric]) -> SafeString:
    """How the curve filled over the newest windows, as a line; empty where nothing is known."""
    values = [row.bonding_curve_pct for row in reversed(rows) if row.bonding_curve_pct is not None]
    return sparkline(values, _("Curve sold over the windows below, percent"))


# --- Tables --------------------------------------------------------------------------------------------
def trade_columns() -> list[Column]:
    return [
        Column(_("Time"), "nowrap"),
        Column(_("Side")),
        Column("SOL", NUMBER),
        Column(_("Tokens"), NUMBER),
        Column(_("Price"), NUMBER),
        Column(_("Trader"), f"mono muted {WIDE}"),
    ]


def trade_row(trade: CoinTransaction) -> Row:
    side = {"buy": _("buy"), "sell": _("sell")}[trade.tx_type]
    cells = [
        Cell(display.clock(trade.timestamp)),
        Cell(side, css=DIRECTION[trade.tx_type], pills=[("info", _("whale"))] if trade.is_whale else ()),
        Cell(display.sol(trade.sol_amount)),
        Cell(display.tokens(trade.token_amount)),
        Cell(display.price(trade.price_sol)),
        Cell(display.mint_short(trade.trader_public_key or display.NONE)),
    ]
    return Row(cells, f"trade-{trade.trade_key}")


def trades_table(mint: str) -> Table:
    """The newest trades, and the way to all others."""
    rows = [trade_row(trade) for trade in queries.trades_newest(mint)[:TRADES_SHOWN]]
    more = (reverse("discovery:trades", args=[mint]), _("all trades")) if len(rows) == TRADES_SHOWN else None
    hint = _("They appear here by themselves as soon as somebody buys or sells.")
    return Table(trade_columns(), rows, _("Trades"), _("No trade yet."), hint, "receipt", more)


def trades_before(mint: str, place: str) -> tuple[Table, str]:
    """A page of trades older than a place in the list ("": the newest), and the place where the next page begins.

    A place is `microseconds.seq.key` of the last trade seen: trades that come in meanwhile move nothing.
    """
    rows = queries.trades_newest(mint)
    if known := _place(place):
        at, seq, key = known
        same = Q(timestamp=at) & (Q(seq__lt=seq) | Q(seq=seq, trade_key__lt=key))
        rows = rows.filter(timestamp__lte=at).filter(Q(timestamp__lt=at) | same)
    found = list(rows[: TRADES_A_PAGE + 1])
    shown = found[:TRADES_A_PAGE]
    table = Table(trade_columns(), [trade_row(one) for one in shown], "", _("No older trade."), icon="receipt")
    if len(found) <= TRADES_A_PAGE:
        return table, ""
    last = shown[-1]
    return table, f"{round(last.timestamp.timestamp() * 1e6)}.{last.seq}.{last.trade_key}"


def _place(text: str) -> tuple[datetime, int, int] | None:
    try:
        micros, seq, key = map(int, text.split("."))
        whole, rest = divmod(micros, 1_000_000)
        return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest), seq, key
    except (ValueError, OverflowError, OSError):
        return None


def windows_newest(mint: str) -> list[CoinMetric]:
    return mark_windows(list(queries.metrics_newest(mint)[:WINDOWS_SHOWN]))


def windows_table(rows: list[CoinMetric]) -> Table:
    """The newest closed windows of a coin."""
    columns = [
        Column(_("Closed"), "nowrap"),
        Column(_("Price"), NUMBER),
        Column(_("Change"), NUMBER),
        Column("SOL", NUMBER),
        Column(_("Buys/sells"), WIDE_NUMBER),
        Column(_("Wallets"), WIDE_NUMBER),
        Column(_("Buy pressure"), NUMBER),
    ]
    hint = _("A window closes every few seconds while the coin trades.")
    return Table(columns, [_window_row(row) for row in rows], _("Windows"), _("No closed window yet."), hint, "clock")


def _window_row(row: CoinMetric) -> Row:
    change = (row.price_close / row.price_open - 1) * 100
    return Row(
        [
            Cell(display.clock(row.timestamp), pills=[("wait", _("gap"))] if row.touches_gap else ()),  # type: ignore[attr-defined]
            Cell(display.price(row.price_close)),
            Cell(display.signed_pct(change), css=display.tone(change)),
            Cell(display.number(row.volume_sol, 3)),
            Cell(f"{row.num_buys}/{row.num_sells}"),
            Cell(display.NONE if row.unique_wallets is None else str(row.unique_wallets)),
            Cell(display.ratio_pct(row.buy_pressure_ratio, 0)),
        ],
        f"window-{row.timestamp.timestamp() * 1000:.0f}",  # two may end within a second: at the end of a phase
    )


def momentum_table(mint: str) -> Table:
    """What the coin did in the last moments, up to an hour: change, volume, trades, buy pressure."""
    now = feed_time()
    columns = [
        Column(_("Last"), "nowrap"),
        Column(_("Change"), NUMBER),
        Column("SOL", NUMBER),
        Column(_("Trades"), NUMBER),
        Column(_("Buy pressure"), NUMBER),
    ]
    rows = [_momentum_row(facts) for facts in queries.analytics(mint, seconds=MOMENTUM, now=now)]
    return Table(columns, rows, _("Momentum"))


def _momentum_row(facts: dict[str, Any]) -> Row:
    change, pressure = facts["price_change_pct"], facts["buy_pressure_ratio"]
    return Row(
        [
            Cell(span(facts["seconds"])),
            Cell(display.signed_pct(change), css=display.tone(change)),
            Cell(display.sol(facts["volume_lamports"], 2)),
            Cell(display.count(facts["trades"])),
            Cell(display.ratio_pct(pressure, 0), bar=None if pressure is None else pressure * 100),
        ],
        f"momentum-{facts['seconds']}",
    )


# --- The chart -----------------------------------------------------------------------------------------
def chart_data(mint: str, bucket_seconds: int, since: int) -> dict[str, Any]:
    """Candles from `since` (epoch seconds) on, and the gaps of the feed beside them; SOL per million tokens."""
    start = datetime.fromtimestamp(since, UTC) if since else None
    found = candles(mint, bucket_seconds=bucket_seconds, limit=MOST_CANDLES, since=start)
    return {"items": [_point(one) for one in found], "gaps": _gaps(found[0].time) if found else []}


def _point(candle: Candle) -> dict[str, float]:
    prices = {name: getattr(candle, name) * 1e6 for name in PRICES}
    return {"time": int(candle.time.timestamp()), **prices, "volume": candle.volume_sol}


def _gaps(start: datetime) -> list[dict[str, Any]]:
    """Times without a connection from a moment on: `from` and `to` in epoch seconds, and why."""
    found = queries.gaps_between(start, feed_time())[-MOST_GAPS:]
    return [
        {"from": begin.timestamp(), "to": end.timestamp(), "reason": str(REASONS.get(reason, reason))}
        for begin, end, reason in found
    ]


def candles_table(mint: str, bucket_seconds: int) -> Table:
    """The newest candles as a table: the chart for those who cannot see it."""
    columns = [
        Column(_("Begin"), "nowrap"),
        Column(_("Open"), NUMBER),
        Column(_("High"), NUMBER),
        Column(_("Low"), NUMBER),
        Column(_("Close"), NUMBER),
        Column("SOL", NUMBER),
        Column(_("Trades"), NUMBER),
    ]
    found = candles(mint, bucket_seconds=bucket_seconds, limit=CANDLES_SHOWN)
    return Table(columns, [_candle_row(one) for one in reversed(found)], "", _("No trade yet."))


def _candle_row(candle: Candle) -> Row:
    begin = Cell(display.clock(candle.time), pills=[("wait", _("gap"))] if candle.touches_gap else ())
    prices = [Cell(display.price(getattr(candle, name))) for name in PRICES]
    rest = [Cell(display.sol(candle.volume_lamports, 3)), Cell(display.count(candle.trades))]
    return Row([begin, *prices, *rest], f"candle-{candle.time.timestamp():.0f}")
