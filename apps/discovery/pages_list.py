"""The table of coins: its columns, what may be asked of it in the address, its rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import caches
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import Page, page_of
from apps.core.tables import NUMBER, WIDE, WIDE_NUMBER, Cell, Column, Row, Table
from apps.core.units import LAMPORTS_PER_SOL
from apps.discovery import curve, queries
from apps.discovery.models import Coin, CoinStream, Phase
from apps.discovery.pages_creator import OUTCOMES

COOKIE = "coin_columns"
LIVE_SORT, EVERY_SORT = "trade", "age"
NEAR_GRADUATION_LAMPORTS = 98_004_287_245  # 80 % of the curve, as in the view coins_near_graduation
FIGURES_SECONDS, PHASES_SECONDS, TOTALS_SECONDS = 2, 5, 30


# --- Columns -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Listed:
    """A column of the coin table: what it shows, what it is sorted by, and which way first."""

    title: str | Promise
    order: str
    cell: Callable[[dict[str, Any]], Cell]
    descends: bool = True
    css: str = NUMBER
    is_default: bool = True


COIN = Listed(gettext_lazy("Coin"), "coin__symbol", lambda row: coin_cell(row), descends=False, css="coin")
LISTED: dict[str, Listed] = {
    "phase": Listed(gettext_lazy("Phase"), "phase_id", lambda row: Cell(row["phase"]), descends=False, css=WIDE),
    "age": Listed(gettext_lazy("Age"), "started_at", lambda row: Cell(row["age"]), descends=False),
    "price": Listed(
        gettext_lazy("Price"), "last_price_sol", lambda row: Cell(row["price"]), css=NUMBER, is_default=False
    ),
    "cap": Listed(gettext_lazy("Market cap, SOL"), "last_market_cap_sol", lambda row: cap_cell(row)),
    "high": Listed(gettext_lazy("Highest price"), "ath_price_sol", lambda row: Cell(row["ath"]), is_default=False),
    "progress": Listed(
        gettext_lazy("Curve"), "virtual_sol_lamports", lambda row: Cell(row["progress"], bar=row["progress_value"])
    ),
    "volume": Listed(gettext_lazy("Volume, SOL"), "volume_lamports", lambda row: Cell(row["volume"]), css=WIDE_NUMBER),
    "trades": Listed(gettext_lazy("Trades"), "trades_total", lambda row: Cell(row["trades"])),
    "trade": Listed(gettext_lazy("Last trade"), "last_trade_at", lambda row: Cell(row["last_trade"]), css=WIDE_NUMBER),
    "creator": Listed(
        gettext_lazy("Creator"), "coin__creator", lambda row: creator_cell(row), False, "mono", is_default=False
    ),
    "ended": Listed(gettext_lazy("Outcome"), "ended_at", lambda row: outcome_cell(row), css="", is_default=False),
}
DEFAULT_COLUMNS = tuple(key for key, column in LISTED.items() if column.is_default)
STREAM_COLUMNS = ("age", "high", "volume", "trades", "trade", "ended")  # what a coin came to, not where it stands now
# Coins that are known and not tracked have no stream to sort by.
UNTRACKED_ORDER = {
    "coin__symbol": "symbol",
    "coin__creator": "creator",
    "last_market_cap_sol": "market_cap_sol",
    "started_at": "first_seen_at",
}


def coin_cell(row: dict[str, Any]) -> Cell:
    symbol, name = _clipped(row["symbol"], 12), _clipped(row["name"], 24)
    return Cell(symbol, href=row["url"], note=name, below=row["mint_short"], pills=row["flags"])


def cap_cell(row: dict[str, Any]) -> Cell:
    return Cell(row["cap"], id=f"cap-{row['mint']}", value=f"{row['cap_value']:.4f}")


def creator_cell(row: dict[str, Any]) -> Cell:
    if not row["creator"]:
        return Cell(display.NONE)
    search = QueryDict(mutable=True)
    search["q"] = row["creator"]
    return Cell(display.mint_short(row["creator"]), href=f"{reverse('discovery:streams')}?{search.urlencode()}")


def outcome_cell(row: dict[str, Any]) -> Cell:
    """How the tracking of a coin ended, and when."""
    if not row["outcome"]:
        return Cell(display.NONE)
    return Cell(OUTCOMES[row["outcome"]][1], below=row["ended"])


def _clipped(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def columns_chosen(request: HttpRequest, *, only_active: bool) -> tuple[str, ...]:
    """The columns this browser wants to see, in the order of the table."""
    wanted = request.COOKIES.get(COOKIE, "").split(".")
    usual = DEFAULT_COLUMNS if only_active else STREAM_COLUMNS
    return tuple(key for key in LISTED if key in wanted) or usual


def column_choices(request: HttpRequest, *, only_active: bool) -> list[tuple[str, str | Promise, bool]]:
    """Every column as (key, title, is shown)."""
    chosen = columns_chosen(request, only_active=only_active)
    return [(key, column.title, key in chosen) for key, column in LISTED.items()]


# --- What is asked -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Flag:
    """A mark by which coins are chosen; some choose coins that trade no more, or were never tracked."""

    title: str | Promise
    condition: Q
    of_the_quiet: bool = False


FLAGS: dict[str, Flag] = {
    "near": Flag(
        gettext_lazy("near graduation"),
        Q(is_graduated=False, coin__curve=Coin.Curve.STANDARD, virtual_sol_lamports__gte=NEAR_GRADUATION_LAMPORTS),
    ),
    "graduated": Flag(gettext_lazy("graduated"), Q(is_graduated=True), of_the_quiet=True),
    "mayhem": Flag(gettext_lazy("mayhem"), Q(coin__is_mayhem=True)),
    "other": Flag(gettext_lazy("other curve"), Q(coin__curve=Coin.Curve.NONSTANDARD, coin__is_mayhem=False)),
    "quiet": Flag(gettext_lazy("quiet"), Q(is_active=False, is_graduated=False), of_the_quiet=True),
    "filtered": Flag(gettext_lazy("filtered"), ~Q(coin__filtered_reason=""), of_the_quiet=True),
}


TRACKED_FIELDS = ("started_at", "last_market_cap_sol", "coin_id")
KNOWN_FIELDS = ("first_seen_at", "market_cap_sol", "mint")
NO_COIN = Q(pk__in=())


def conditions(asked: dict[str, Any], now: datetime, *, is_tracked: bool = True) -> Q:
    """What the readable filters of the form ask of a stream, or of a coin that is only known: it has an age and the
    market cap of its creation, but neither a phase nor volume. Ages in minutes at `now`, amounts in SOL."""
    start, cap, mint = TRACKED_FIELDS if is_tracked else KNOWN_FIELDS
    found = Q()
    limits = {
        "phase": lambda value: Q(phase_id=value) if is_tracked else NO_COIN,
        "min_age": lambda value: Q((f"{start}__lte", now - timedelta(minutes=value))),
        "max_age": lambda value: Q((f"{start}__gte", now - timedelta(minutes=value))),
        "min_cap": lambda value: Q((f"{cap}__gte", value)),
        "max_cap": lambda value: Q((f"{cap}__lte", value)),
        "min_volume": lambda value: _volume_from(round(value * LAMPORTS_PER_SOL), is_tracked=is_tracked),
        "q": lambda text: Q((f"{mint}__in", queries.coins_named(text).values("mint"))),
    }
    for name, limit in limits.items():
        if asked.get(name) not in (None, ""):
            found &= limit(asked[name])
    return found


def _volume_from(lamports: int, *, is_tracked: bool) -> Q:
    if is_tracked:
        return Q(volume_lamports__gte=lamports)
    return NO_COIN if lamports > 0 else Q()


def order_of(request: HttpRequest, usual: str) -> tuple[str, bool]:
    """The key of the sorted column and whether it descends; anything unreadable is the usual order."""
    key = request.GET.get("sort", "")
    if key != "coin" and key not in LISTED:
        key = usual
    natural = (COIN if key == "coin" else LISTED[key]).descends
    return key, {"up": False, "down": True}.get(request.GET.get("way", ""), natural)


def mints_found(asked: dict[str, Any], order: tuple[str, bool], now: datetime, *, only_active: bool) -> QuerySet[Any]:
    """The mints of the tracked coins that are asked for, in order; the coins' own table is read only where needed."""
    flag = FLAGS.get(asked.get("flag") or "")
    key, descends = order
    by = (COIN if key == "coin" else LISTED[key]).order
    if key == "age":  # the youngest has the latest start
        descends = not descends
    if asked.get("flag") == "filtered":
        return _untracked(asked, by, descends, now)
    rows = CoinStream.objects.filter(conditions(asked, now))
    if flag:
        rows = rows.filter(flag.condition)
    if only_active and not (flag and flag.of_the_quiet):
        rows = rows.filter(is_active=True)
    return rows.order_by(_way(by, descends), "coin_id").values_list("coin_id", flat=True)


def _untracked(asked: dict[str, Any], by: str, descends: bool, now: datetime) -> QuerySet[Any]:
    """The mints of coins that are only known."""
    rows = Coin.objects.exclude(filtered_reason="").filter(conditions(asked, now, is_tracked=False))
    way = _way(UNTRACKED_ORDER[by], descends) if by in UNTRACKED_ORDER else F("first_seen_at").desc()
    return rows.order_by(way, "mint").values_list("mint", flat=True)


def _way(field: str, descends: bool) -> Any:
    if field == "started_at":  # never null: in the words of the index
        return F(field).desc() if descends else F(field).asc()
    return F(field).desc(nulls_last=True) if descends else F(field).asc(nulls_last=True)


# --- Rows ----------------------------------------------------------------------------------------------
def coins_table(request: HttpRequest, asked: dict[str, Any], now: datetime, *, only_active: bool) -> tuple[Page, Table]:
    """The asked page of the coins and its table."""
    order = order_of(request, LIVE_SORT if only_active else EVERY_SORT)
    is_all = not only_active and not any(value not in (None, "") for value in asked.values())
    mints = mints_found(asked, order, now, only_active=only_active)
    page = page_of(request, mints, count=streams_counted() if is_all else None)
    page = replace(page, items=rows_of(page.items, now))
    keys = columns_chosen(request, only_active=only_active)
    head = [_column(request, "coin", COIN, order), *(_column(request, key, LISTED[key], order) for key in keys)]
    table = Table(
        head,
        [Row([coin_cell(row), *(LISTED[key].cell(row) for key in keys)], f"coin-{row['mint']}") for row in page.items],
        empty=_("No coins here."),
        hint=_("Wait for the feed, or choose fewer filters."),
        icon="coins",
    )
    return page, table


def _column(request: HttpRequest, key: str, listed: Listed, order: tuple[str, bool]) -> Column:
    """The head of a column: a click sorts by it, another one turns the order round."""
    is_sorted, descends = order[0] == key, order[1]
    query = request.GET.copy()
    query.pop("page", None)
    query.pop("way", None)
    query["sort"] = key
    if is_sorted and descends == listed.descends:
        query["way"] = "up" if descends else "down"
    css = listed.css if COOKIE not in request.COOKIES else listed.css.replace(WIDE, "").strip()
    way: Any = ("descending" if descends else "ascending") if is_sorted else ""
    return Column(listed.title, css, f"?{query.urlencode()}", way)


def rows_of(mints: Sequence[str], now: datetime) -> list[dict[str, Any]]:
    """The coins of these mints, in this order, as rows."""
    coins = Coin.objects.select_related("stream__phase").in_bulk(mints)
    return [coin_row(coins[mint], now) for mint in mints if mint in coins]


def coin_row(coin: Coin, now: datetime) -> dict[str, Any]:
    """Everything a table may show of a coin, tracked or only known."""
    stream: CoinStream | None = getattr(coin, "stream", None)
    progress = progress_pct(coin, stream)
    begun = stream.started_at if stream else coin.first_seen_at
    cap = stream.last_market_cap_sol if stream else coin.market_cap_sol
    return {
        "mint": coin.mint,
        "url": reverse("discovery:coin", args=[coin.mint]),
        "mint_short": display.mint_short(coin.mint),
        "symbol": display.visible(coin.symbol) or "?",
        "name": display.visible(coin.name),
        "creator": coin.creator,
        "flags": flags(coin, stream),
        "phase": stream.phase.name if stream else _("not tracked"),
        "age": display.seconds((now - begun).total_seconds()),
        "price": display.price(stream.last_price_sol if stream else None),
        "ath": display.price(stream.ath_price_sol if stream else None),
        "cap": display.number(cap),
        "cap_value": cap or 0,
        "progress": display.pct(progress),
        "progress_value": progress,
        "volume": display.sol(stream.volume_lamports if stream else None, 2),
        "trades": display.count(stream.trades_total if stream else None),
        "last_trade": display.clock(stream.last_trade_at if stream else None),
        "outcome": outcome_of(coin, stream),
        "ended": display.clock(stream.ended_at if stream else None),
    }


def outcome_of(coin: Coin, stream: CoinStream | None) -> str:
    """One of OUTCOMES; empty while the coin is tracked."""
    if stream is None:
        return "untracked"
    if stream.is_graduated:
        return "graduated"
    return "" if stream.is_active else coin.final_outcome if coin.final_outcome in OUTCOMES else "ended"


def progress_pct(coin: Coin, stream: CoinStream | None) -> float | None:
    """How much of the curve is sold, 0..100; None away from the standard curve."""
    if stream is None or stream.virtual_sol_lamports is None or coin.curve != Coin.Curve.STANDARD:
        return None
    return min(max(curve.curve_progress_pct(stream.virtual_sol_lamports), 0.0), 100.0)


def flags(coin: Coin, stream: CoinStream | None) -> list[tuple[str, str]]:
    """Short marks as (tone, text)."""
    near = stream and stream.is_active and (stream.virtual_sol_lamports or 0) >= NEAR_GRADUATION_LAMPORTS
    marks = []
    if coin.graduated or (stream and stream.is_graduated):
        marks.append(("good", _("graduated")))
    elif near and coin.curve == Coin.Curve.STANDARD:
        marks.append(("info", _("near graduation")))
    if coin.is_mayhem:
        marks.append(("wait", _("mayhem")))
    elif coin.curve != Coin.Curve.STANDARD:
        marks.append(("wait", _("other curve")))
    if coin.filtered_reason:
        marks.append(("wait", _("filtered")))
    if stream and not stream.is_active and not stream.is_graduated:
        marks.append(("", _("quiet")))
    return marks


def feed_time() -> datetime:
    """The market's now: feed time, or the wall clock before the first frame."""
    return queries.feed_at() or timezone.now()


# --- Figures -------------------------------------------------------------------------------------------
def phases() -> list[Phase]:
    return list(Phase.objects.order_by("id"))


BY_PHASE = "SELECT phase_id, count(*) FILTER (WHERE is_active), count(*) FROM coin_streams GROUP BY phase_id"


def _by_phase() -> list[tuple[int, int, int]]:
    return _kept("discovery.phases", PHASES_SECONDS, BY_PHASE, {})


def streams_counted() -> int:
    """How many coins were ever tracked, as in the counts by phase."""
    return sum(total for _phase, _active, total in _by_phase())


def streams_by_phase() -> list[dict[str, Any]]:
    """How many coins are in each phase; counted anew every few seconds."""
    counts = {row[0]: row[1:] for row in _by_phase()}
    shown = [(phase, *counts.get(phase.id, (0, 0))) for phase in phases()]
    return [
        {"id": phase.id, "name": phase.name, "active": display.count(active), "total": display.count(total)}
        for phase, active, total in shown
    ]


TOTALS = "SELECT count(*), count(*) FILTER (WHERE graduated) FROM discovered_coins"
MINUTE = """
SELECT (SELECT count(*) FROM coin_streams WHERE is_active),
       (SELECT count(*) FROM discovered_coins WHERE first_seen_at > %(since)s),
       (SELECT count(*) FROM coin_transactions WHERE "timestamp" > %(since)s),
       (SELECT count(*) FROM coin_metrics WHERE "timestamp" > %(since)s)
"""


def market_figures(now: datetime) -> dict[str, str]:
    """Counts for the tiles of the overview: the last minute and in all; kept for moments, whoever asks."""
    totals = _kept("discovery.totals", TOTALS_SECONDS, TOTALS, {})
    minute = _kept("discovery.minute", FIGURES_SECONDS, MINUTE, {"since": now - timedelta(minutes=1)})
    names = ("coins", "graduated", "active", "new", "trades", "windows")
    return {name: display.count(value) for name, value in zip(names, (*totals[0], *minute[0]), strict=True)}


def _kept(key: str, seconds: int, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement, counted again once they are `seconds` old, or 200 times as old as counting took: over
    millions of coins it takes a second, and pages that stand open ask every few."""
    found: list[tuple[Any, ...]] | None = caches["local"].get(key)
    if found is None:
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found = cursor.fetchall()
        caches["local"].set(key, found, max(seconds, 200 * (time.monotonic() - began)))
    return found
