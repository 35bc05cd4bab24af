"""The page of the feed's health: rate, lag, connection, coverage, journal, cost, gaps and odd frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import Page, page_of
from apps.core.sparkline import sparkline
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table, Text
from apps.discovery import queries, usage
from apps.discovery.cost import price_on
from apps.discovery.gaps import reason_kind
from apps.discovery.models import StreamGap, StreamState
from apps.discovery.pages_feed import REASONS, STATES, feed_trouble, feed_warnings
from apps.discovery.pumpportal.client import LEFT, LOST
from apps.discovery.state import NO_TRADES, REFUSED

NEW_KIND = timedelta(days=1)
SLOW_SECONDS = 2.0
DAYS_SHOWN = 14
GAP_REASONS = {
    "restart": gettext_lazy("the stream process was started anew"),
    "silent": gettext_lazy("nothing came any more"),
    "disk": gettext_lazy("the disk took no journal"),
    "banned": gettext_lazy("PumpPortal has banned this client"),
    "stopped": gettext_lazy("the stream was stopped"),
    REFUSED: REASONS[NO_TRADES],
    **{reason: REASONS[reason] for reason in (LOST, *LEFT.values())},
    "closed": gettext_lazy("closed by the feed"),
}


@dataclass(frozen=True, slots=True)
class Tile:
    """What `partials/tile.html` draws."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A card of names and values."""

    title: str
    rows: list[tuple[str, str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class OddKind:
    """A kind of odd frame with its newest samples (time, number, text)."""

    kind: str
    count: str
    first: str
    is_new: bool
    samples: list[tuple[str, str, str]]


def feed_page(request: HttpRequest) -> dict[str, Any]:
    """Everything the page shows."""
    state = StreamState.objects.filter(pk=1).first() or StreamState()
    health, now = state.health or {}, state.feed_at or timezone.now()
    hour = usage.period(now - usage.HOUR, now)
    gaps = page_of(request, StreamGap.objects.all())
    days = usage.usage_by_day((now - (DAYS_SHOWN - 1) * usage.DAY).date(), now.date())
    return {
        "warnings": [text for text in (feed_trouble(state), *feed_warnings(state)) if text],
        "tiles": _tiles(health, hour, days, now),
        "frames": _frames(now),
        "facts": [
            _connection(state, health),
            _coverage(health),
            _journal(state, health),
            _canary(hour),
            _cost(state, now),
        ],
        "days": _days_table(days),
        "gaps": gaps,
        "gaps_table": _gaps_table(gaps),
        "odd": _odd_kinds(state),
        "topics": "coins,health",
    }


def _tiles(health: dict[str, Any], hour: usage.Period, days: list[usage.DayUsage], now: datetime) -> list[Tile]:
    return [
        _rate_tile(hour, now),
        _lag_tile(health),
        _gaps_tile(now),
        _coverage_tile(health),
        _exact_tile(hour),
        _cost_tile([day for day in days if day.day == now.date()]),
    ]


def _rate_tile(hour: usage.Period, now: datetime) -> Tile:
    minute = usage.period(now - timedelta(minutes=1), now)
    whole = _("%(rate)s over the last hour") % {"rate": display.number(hour.frames / 3600, 1)}
    return Tile(_("Frames a second"), display.number(minute.frames / (60 + now.second), 1), whole)


def _lag_tile(health: dict[str, Any]) -> Tile:
    lag, worst = health.get("lag_seconds"), health.get("worst_lag_seconds")
    note = _("worst of a minute: %(worst)s") % {"worst": _milliseconds(worst)}
    return Tile(_("Receive to commit"), _milliseconds(lag), note, _warn(worst is not None and worst > SLOW_SECONDS))


def _gaps_tile(now: datetime) -> Tile:
    gaps = queries.gaps_between(now - usage.DAY, now)
    away = sum((end - start).total_seconds() for start, end, _reason in gaps)
    return Tile(_("Gaps in a day"), display.count(len(gaps)), display.seconds(away), _warn(bool(gaps)))


def _coverage_tile(health: dict[str, Any]) -> Tile:
    left_out = health.get("left_out", 0)
    note = _("%(n)s left out") % {"n": display.count(left_out)} if left_out else _("all that are tracked")
    return Tile(_("Coins covered"), display.count(health.get("covered")), note, _warn(bool(left_out)))


def _exact_tile(hour: usage.Period) -> Tile:
    note = _("of %(n)s checked in the last hour") % {"n": display.count(hour.judged)}
    is_low = hour.exact_ratio is not None and hour.exact_ratio < settings.FEED_EXACT_SHARE
    return Tile(_("Exact on the curve"), display.ratio_pct(hour.exact_ratio), note, _warn(is_low))


def _cost_tile(today: list[usage.DayUsage]) -> Tile:
    trades, lamports = sum(day.trades for day in today), sum(day.lamports for day in today)
    note = _("%(n)s trades") % {"n": display.count(trades)}
    return Tile(_("Cost today, SOL"), display.sol(lamports), note)


def _warn(is_bad: bool) -> str:
    return "warn" if is_bad else ""


def _milliseconds(value: float | None) -> str:
    if value is None:
        return display.NONE
    return f"{display.count(round(value * 1000))} ms" if value < 10 else display.seconds(value)


def _frames(now: datetime) -> dict[str, Any]:
    counts = usage.frames_by_minute(now)
    drawing = sparkline(counts, _("Frames a minute over the last hour")) if any(counts) else SafeString("")
    return {"drawing": drawing, "least": display.count(min(counts)), "most": display.count(max(counts))}


def _joined(*parts: str | Promise) -> str:
    """What there is of them."""
    return " · ".join(str(part) for part in parts if part)


def _connection(state: StreamState, health: dict[str, Any]) -> Facts:
    behind = (timezone.now() - state.feed_at).total_seconds() if state.feed_at and state.mode != "replay" else None
    since = health.get("owner_since")
    return Facts(
        _("Connection"),
        [
            (_("Address"), _("built-in simulator") if state.mode == "simulator" else settings.WS_URI.split("?")[0]),
            (_("State"), _joined(STATES.get(state.state, state.state), REASONS.get(state.detail, state.detail))),
            (_("Owner"), health.get("owner", display.NONE)),
            (_("Owner since"), display.moment(datetime.fromisoformat(since) if since else None)),
            (_("Reconnects since then"), display.count(health.get("reconnects"))),
            (_("Subscriptions confirmed"), _of(health.get("acknowledged"), health.get("asked"))),
            (_("Tables complete to"), display.moment(state.feed_at)),
            (_("Behind by"), display.seconds(behind)),
            (_("Frames in all"), display.count(state.frames_total)),
        ],
    )


def _of(part: int | None, whole: int | None) -> str:
    return _("%(part)s of %(whole)s") % {"part": display.count(part), "whole": display.count(whole)}


def _coverage(health: dict[str, Any]) -> Facts:
    cap = health.get("cap")
    rule = _(
        "Beyond the cap (SUBSCRIPTION_CAP) coins are chosen by rule: those of held positions always, half of the other "
        "places for the newest coins, the rest for those that traded last. What is left out gets no trades."
    )
    rows = [
        (_("Tracked"), display.count(health.get("wanted"))),
        (_("Asked for"), display.count(health.get("covered"))),
        (_("Held, always asked for"), display.count(health.get("pinned"))),
        (_("Left out"), display.count(health.get("left_out"))),
        (_("Cap"), _("none") if cap == 0 else display.count(cap)),
    ]
    return Facts(_("Coins whose trades are asked for"), rows, rule)


def _journal(state: StreamState, health: dict[str, Any]) -> Facts:
    keep = [_("%(n)s GB") % {"n": settings.JOURNAL_KEEP_GB}] if settings.JOURNAL_KEEP_GB else []
    keep += [_("%(n)s days") % {"n": settings.JOURNAL_KEEP_DAYS}] if settings.JOURNAL_KEEP_DAYS else []
    rows = [
        (_("Cursor"), f"{state.segment or display.NONE} : {display.count(state.offset)}"),
        (_("Next frame"), display.count(state.next_seq)),
        (_("Segments"), display.count(health.get("journal_segments"))),
        (_("Size"), _bytes(health.get("journal_bytes"))),
        (_("Free on the disk"), _bytes(health.get("disk_free_bytes"))),
        (_("Kept"), ", ".join(keep) or _("without limit")),
        (_("Waiting for the disk"), display.count(health.get("waiting_for_disk"))),
        (_("Lost to a full disk"), display.count(health.get("frames_lost"))),
    ]
    return Facts(_("Journal"), rows)


def _bytes(value: int | None) -> str:
    if value is None:
        return display.NONE
    return f"{display.number(value / 2**30, 1)} GB" if value >= 2**30 else f"{display.number(value / 2**20, 1)} MB"


def _canary(hour: usage.Period) -> Facts:
    begun = _of(hour.seamless, hour.compared)
    rows = [
        (_("Exact"), f"{display.ratio_pct(hour.exact_ratio)} ({_of(hour.exact, hour.judged)})"),
        (_("Begin where the trade before ended"), f"{display.ratio_pct(hour.seamless_ratio)} ({begun})"),
        (_("Warning below"), display.ratio_pct(settings.FEED_EXACT_SHARE, 0)),
    ]
    note = _(
        "Every create and every eighth trade of the last hour, held against the formulas of the bonding curve. "
        "A changed protocol shows here the day it comes."
    )
    return Facts(_("Does the feed still speak as it did?"), rows, note)


def _cost(state: StreamState, now: datetime) -> Facts:
    spent, projected = usage.month_cost(now)
    price, words = price_on(now.date()), _("free")
    if price is not None:
        values = {"sol": display.sol(price.lamports, 2), "n": display.count(price.events)}
        words = _("%(sol)s SOL for %(n)s trades") % values
    rows = [
        (_("This month so far, SOL"), display.sol(spent)),
        (_("This month, if it goes on so, SOL"), display.sol(projected)),
        (_("Price"), words),
    ]
    note = "" if state.mode == "live" else _("Nothing is charged now: this is what it would cost on the real feed.")
    return Facts(_("Cost of the trades"), rows, note)


def _days_table(days: list[usage.DayUsage]) -> Table:
    columns = [Column(_("Day (UTC)")), Column(_("Frames"), NUMBER), Column(_("Trades"), NUMBER), Column("SOL", NUMBER)]
    rows = [
        [str(day.day), display.count(day.frames), display.count(day.trades), display.sol(day.lamports)] for day in days
    ]
    return Table(
        columns,
        [Row([Cell(text) for text in row]) for row in rows],
        _("Usage by day"),
        _("Nothing has come yet."),
        _("It fills as frames arrive."),
    )


def _gaps_table(page: Page) -> Table:
    columns = [
        Column(_("From"), "nowrap"),
        Column(_("Length"), NUMBER),
        Column(_("Reason")),
        Column(_("Coins followed"), WIDE_NUMBER),
        Column(_("Traded unseen"), NUMBER),
        Column(_("Unknown"), WIDE_NUMBER),
        Column(_("At least, SOL"), NUMBER),
    ]
    rows = [_gap_row(gap) for gap in page.items]
    title = _("Gaps: times without a connection")
    return Table(columns, rows, title, _("No gap so far."), icon="circle-check")


def _gap_row(gap: StreamGap) -> Row:
    figures = [gap.coins_followed, gap.coins_changed, gap.coins_unseen]
    followed, changed, unseen = (display.count(figure) for figure in figures)
    length = display.seconds((gap.ended_at - gap.started_at).total_seconds())
    moved = display.sol(gap.moved_lamports, 2)
    cells = [display.moment(gap.started_at), length, gap_reason(gap.reason), followed, changed, unseen, moved]
    return Row([Cell(text) for text in cells], f"gap-{gap.pk}")


def gap_reason(reason: str) -> Text:
    """A reason of the ledger in words; what is not known is shown as it was noted."""
    return GAP_REASONS.get(reason_kind(reason), reason)


def _odd_kinds(state: StreamState) -> list[OddKind]:
    """The kinds of odd frames by name, the new ones first: seen within a day, and not at the recording's beginning."""
    samples, found = queries.odd_samples(), []
    begun = min((first for first, _newest in samples.values()), default=timezone.now())
    new_from = max(begun + usage.HOUR, timezone.now() - NEW_KIND)
    for kind, count in sorted(state.oddities.items()):
        first, newest = samples.get(kind, (None, []))
        shown = [(display.moment(at), display.count(seq), text) for at, seq, text in newest]
        is_new = first is not None and first >= new_from
        found.append(OddKind(kind, display.count(count), display.moment(first), is_new, shown))
    return sorted(found, key=lambda one: not one.is_new)
