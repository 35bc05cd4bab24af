"""`/api/find/`: coins, streams, metrics, phases and the configuration of the feed."""

import re
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import AwareDatetime

from apps.core.errors import NotFoundError, PlatformError
from apps.core.pagination import Page, PageQuery, page_of, paginate
from apps.core.tokens import admin, read
from apps.discovery import api_creators, api_export, api_feed, api_rates, candles, gaps, queries, services
from apps.discovery.models import Coin, CoinMetric, CoinStream, Phase, StreamGap, StreamState
from apps.discovery.pumpportal.client import banned_until
from apps.discovery.schemas import (
    AnalyticsOut,
    CandlesOut,
    CoinDetailOut,
    ConfigIn,
    ConfigOut,
    HealthOut,
    MetricFilter,
    MetricOut,
    PhaseIn,
    PhaseOut,
    StatsOut,
    StreamFilter,
    StreamOut,
)

router = Router(tags=["find"])
router.add_router("/creators", api_creators.router)
router.add_router("/export", api_export.router)
router.add_router("/feed", api_feed.router)
router.add_router("/rates", api_rates.router)

DEFAULT_WINDOWS = "30s,1m,3m,5m,15m,30m,1h"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS = 7 * 86_400
_MOST_WINDOWS = 20


def seconds_of(text: str) -> int:
    """`30s`, `5m`, `1h` as seconds. Raises PlatformError."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1 <= seconds <= _LONGEST_SECONDS:
        raise PlatformError("WINDOW_INVALID", f"Write a window such as 30s, 5m or 1h (at most 7d), not {text[:20]!r}.")
    return seconds


def coin_or_404(mint: str) -> Coin:
    coin = Coin.objects.filter(mint=mint).first()
    if coin is None:
        raise NotFoundError("COIN_NOT_FOUND", f"No coin with the mint {mint[:64]} was ever seen.", mint=mint[:64])
    return coin


@router.get("/health", response=HealthOut, auth=read)
def get_health(request: HttpRequest) -> dict[str, Any]:
    """The stream: connection, feed time, journal, oddities."""
    state = StreamState.objects.get(pk=1)
    now = timezone.now()
    fresh = state.updated_at is not None and (now - state.updated_at).total_seconds() < 30
    lag = (now - state.feed_at).total_seconds() if state.feed_at and state.mode != "replay" else None
    return {
        "status": "ok" if fresh and state.connected else "degraded",
        "mode": state.mode,
        "state": "silent" if not fresh else "banned" if banned_until(state.detail) else state.state,
        "connected": state.connected and fresh,
        "detail": state.detail,
        "feed_at": state.feed_at,
        "updated_at": state.updated_at,
        "lag_seconds": lag,
        "frames_total": state.frames_total,
        "journal_segment": state.segment,
        "journal_next_seq": state.next_seq,
        "oddities": state.oddities,
        "gaps_total": StreamGap.objects.count(),
    }


def _config() -> dict[str, Any]:
    return services.config_as_dict(services.config_read()) | {
        "feed_mode": settings.FEED_MODE,
        "ws_uri": settings.WS_URI.partition("?")[0],
        "has_api_key": bool(settings.PUMPPORTAL_API_KEY),
    }


@router.get("/config", response=ConfigOut, auth=read)
def get_config(request: HttpRequest) -> dict[str, Any]:
    """The configuration in force."""
    return _config()


@router.put("/config", response=ConfigOut, auth=admin)
def put_config(request: HttpRequest, body: ConfigIn) -> dict[str, Any]:
    """Change some of it; the stream uses it within seconds."""
    services.config_write(changes=body.dict(exclude_none=True))
    services.stream_reload()
    return _config()


@router.post("/reload-config", response={202: dict[str, bool]}, auth=admin)
def reload_config(request: HttpRequest) -> Status:
    """Let the stream read phases and configuration again now. `told` false: Redis is away, it will within 10 s."""
    return Status(202, {"told": services.stream_reload()})


@router.get("/phases", response=Page[PhaseOut], auth=read)
def list_phases(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Every phase in order."""
    return paginate(Phase.objects.order_by("id"), page)


@router.post("/phases", response={201: PhaseOut}, auth=admin)
def create_phase(request: HttpRequest, body: PhaseIn) -> Status:
    """A new phase; its ages may not overlap another's."""
    phase = services.phase_save(**body.dict())
    services.stream_reload()
    return Status(201, phase)


@router.put("/phases/{phase_id}", response=PhaseOut, auth=admin)
def update_phase(request: HttpRequest, phase_id: int, body: PhaseIn) -> Phase:
    """Change a phase."""
    phase = services.phase_save(phase_id=phase_id, **body.dict())
    services.stream_reload()
    return phase


@router.delete("/phases/{phase_id}", response=dict[str, int], auth=admin)
def delete_phase(request: HttpRequest, phase_id: int) -> dict[str, int]:
    """Delete a phase; its streams move to the next one."""
    moved = services.phase_delete(phase_id=phase_id)
    services.stream_reload()
    return {"streams_moved": moved}


@router.get("/streams", response=Page[StreamOut], auth=read)
def list_streams(request: HttpRequest, page: Query[StreamFilter]) -> dict[str, Any]:
    """Tracked coins, youngest first."""
    return paginate(queries.streams_found(active=page.active, phase_id=page.phase_id, search=page.search), page)


@router.get("/streams/stats", response=StatsOut, auth=read)
def get_stream_stats(request: HttpRequest) -> dict[str, Any]:
    """How many coins are tracked, in all and by phase."""
    return queries.stream_stats()


@router.get("/metrics", response=Page[MetricOut], auth=read)
def list_metrics(request: HttpRequest, page: Query[MetricFilter]) -> dict[str, Any]:
    """Closed windows, newest first, of one coin or of all."""
    rows = queries.metrics_newest(page.mint)[page.offset : page.offset + page.limit]
    return page_of(gaps.mark_windows(list(rows)), count=queries.metrics_count(page.mint), page=page)


@router.get("/coins/{mint}", response=CoinDetailOut, auth=read)
def get_coin(request: HttpRequest, mint: str) -> dict[str, Any]:
    """Master data, tracking state, the last 20 windows and the open one."""
    coin = coin_or_404(mint)
    now = queries.feed_at() or timezone.now()
    metrics: list[CoinMetric] = gaps.mark_windows(list(queries.metrics_newest(mint)[:20]))
    return {
        "coin": coin,
        "stream": CoinStream.objects.select_related("coin", "phase").filter(pk=mint).first(),
        "metrics": metrics,
        "live_window": queries.live_window(mint, services.stream_config_load(), now),
    }


@router.get("/coins/{mint}/candles", response=CandlesOut, auth=read)
def get_candles(
    request: HttpRequest,
    mint: str,
    bucket: str = "5s",
    limit: int = Query(300, ge=1, le=2_000),
    since: AwareDatetime | None = None,
    before: AwareDatetime | None = None,
) -> dict[str, Any]:
    """The newest candles (of 1s to 1d, between `since` and `before`), oldest first; times without a trade have none."""
    coin_or_404(mint)
    seconds = seconds_of(bucket)
    if seconds > candles.LONGEST_SECONDS:
        raise PlatformError("WINDOW_INVALID", "Candles are of 1s to 1d.")
    items = candles.candles(mint, bucket_seconds=seconds, limit=limit, since=since, before=before)
    return {"mint": mint, "bucket_seconds": seconds, "items": items, "count": len(items)}


@router.get("/analytics/{mint}", response=AnalyticsOut, auth=read)
def get_analytics(request: HttpRequest, mint: str, windows: str = DEFAULT_WINDOWS) -> dict[str, Any]:
    """What a coin did in the last `windows` (such as `30s,1m,1h`), counted from feed time."""
    coin_or_404(mint)
    names = [name.strip() for name in windows.split(",") if name.strip()]
    if not 1 <= len(names) <= _MOST_WINDOWS:
        raise PlatformError("WINDOW_INVALID", f"Write 1 to {_MOST_WINDOWS} windows with commas, such as 30s,5m.")
    lengths = [(name, seconds_of(name)) for name in names]
    stream = CoinStream.objects.filter(pk=mint).first()
    now = queries.feed_at() or timezone.now()
    if stream is not None and not stream.is_active and stream.last_trade_at is not None:
        now = stream.last_trade_at  # a coin of the past: as it was at its last trade
    facts = queries.analytics(mint, seconds=[seconds for _, seconds in lengths], now=now)
    found = [{"window": name} | one for (name, _), one in zip(lengths, facts, strict=True)]
    return {"mint": mint, "as_of": now, "windows": found}
