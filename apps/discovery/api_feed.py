"""`/api/find/feed`: how the feed is, what it costs, its gaps, and what was not understood."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.tokens import read
from apps.discovery import usage
from apps.discovery.gaps import gaps_of_coin
from apps.discovery.models import OddFrame, StreamGap, StreamGapCoin, StreamState
from apps.discovery.pages_feed import feed_trouble, feed_warnings
from apps.discovery.pumpportal.client import banned_until

router = Router(tags=["find"])
DAYS = 31


class DayOut(Schema):
    """One UTC day of the feed; `lamports` is what its trades cost."""

    day: date
    frames: int
    trades: int
    lamports: int


class FeedOut(Schema):
    """`health` is what the stream process says of itself (feed_health.Health); ratios are None where nothing came."""

    connected: bool
    mode: str
    detail: str
    banned_until: datetime | None
    trouble: str
    warnings: list[str]
    health: dict[str, Any] | None
    frames_last_hour: int
    trades_last_hour: int
    frames_by_minute: list[int]
    exact_ratio: float | None
    seamless_ratio: float | None
    month_lamports: int
    month_projected_lamports: int
    days: list[DayOut]


class GapOut(Schema):
    """A time without a connection; the counts are None until it was looked at (a minute after its end)."""

    id: int
    started_at: datetime
    ended_at: datetime
    reason: str
    coins_followed: int | None
    coins_changed: int | None
    coins_unseen: int | None
    moved_lamports: int | None


class GapCoinOut(Schema):
    """A coin that was traded unseen: its virtual SOL before and after; `moved_lamports` is bought less sold."""

    mint: str
    lamports_before: int
    lamports_after: int
    moved_lamports: int


class OddFrameOut(Schema):
    """A kept sample of a frame that was not understood or is unusual. Its text is untrusted."""

    kind: str
    seen_at: datetime
    seq: int
    sample: str


class GapFilter(PageQuery):
    mint: str | None = None


class OddFilter(PageQuery):
    kind: str | None = None


@router.get("", response=FeedOut, auth=read)
def get_feed(request: HttpRequest) -> dict[str, Any]:
    """The feed: connection, coverage, lag, rate of the last hour, canary, cost."""
    state = StreamState.objects.get(pk=1)
    now = state.feed_at or timezone.now()
    hour = usage.period(now - usage.HOUR, now)
    spent, projected = usage.month_cost(now)
    return {
        "connected": state.connected,
        "mode": state.mode,
        "detail": state.detail,
        "banned_until": banned_until(state.detail),
        "trouble": feed_trouble(state),
        "warnings": feed_warnings(state),
        "health": state.health,
        "frames_last_hour": hour.frames,
        "trades_last_hour": hour.trades,
        "frames_by_minute": usage.frames_by_minute(now),
        "exact_ratio": hour.exact_ratio,
        "seamless_ratio": hour.seamless_ratio,
        "month_lamports": spent,
        "month_projected_lamports": projected,
        "days": usage.usage_by_day((now - timedelta(days=DAYS - 1)).date(), now.date()),
    }


@router.get("/gaps", response=Page[GapOut], auth=read)
def list_gaps(request: HttpRequest, page: Query[GapFilter]) -> dict[str, Any]:
    """Times without a connection, newest first, with what can be told of them; with `mint` those in which that coin was
    traded unseen."""
    return paginate(gaps_of_coin(page.mint) if page.mint else StreamGap.objects.all(), page)


@router.get("/gaps/{gap_id}/coins", response=Page[GapCoinOut], auth=read)
def list_gap_coins(request: HttpRequest, gap_id: int, page: Query[PageQuery]) -> dict[str, Any]:
    """The coins that were traded unseen during a gap."""
    if not StreamGap.objects.filter(pk=gap_id).exists():
        raise NotFoundError("GAP_NOT_FOUND", f"There is no gap {gap_id}.", id=gap_id)
    return paginate(StreamGapCoin.objects.filter(gap_id=gap_id).order_by("mint"), page)


@router.get("/odd-frames", response=Page[OddFrameOut], auth=read)
def list_odd_frames(request: HttpRequest, page: Query[OddFilter]) -> dict[str, Any]:
    """Kept samples of frames that were not understood or are unusual, newest first, of one kind or of all."""
    rows = OddFrame.objects.all()
    return paginate(rows.filter(kind=page.kind) if page.kind else rows, page)
