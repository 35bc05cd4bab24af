"""Django admin of the managed tables of discovery."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from apps.core.admin import ReadOnlyAdmin
from apps.discovery.models import (
    Coin,
    CoinMetadata,
    CoinStream,
    DiscoverySetting,
    ExchangeRate,
    HostPause,
    OddFrame,
    Phase,
    StreamGap,
    StreamState,
)


@admin.register(Phase)
class PhaseAdmin(admin.ModelAdmin):
    list_display = ["id", "name", "interval_seconds", "min_age_minutes", "max_age_minutes"]

    def has_delete_permission(self, request: HttpRequest, obj: Phase | None = None) -> bool:
        """Only the phases page deletes: it moves the streams first."""
        return False


@admin.register(DiscoverySetting)
class DiscoverySettingAdmin(admin.ModelAdmin):
    list_display = ["key", "value", "updated_at"]


@admin.register(Coin)
class CoinAdmin(ReadOnlyAdmin):
    list_display = ["mint", "symbol", "name", "pool", "curve_kind", "first_seen_at", "graduated", "filtered_reason"]
    list_filter = ["curve", "graduated", "filtered_reason", "is_mayhem"]
    search_fields = ["mint", "name", "symbol", "creator"]


@admin.register(CoinStream)
class CoinStreamAdmin(ReadOnlyAdmin):
    list_display = ["coin_id", "phase", "is_active", "is_graduated", "started_at", "last_trade_at", "trades_total"]
    list_filter = ["phase", "is_active", "is_graduated"]
    list_select_related = ["phase"]
    search_fields = ["coin__mint"]


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ReadOnlyAdmin):
    list_display = ["at", "currency", "rate", "source"]
    list_filter = ["currency", "source"]


@admin.register(StreamState)
class StreamStateAdmin(ReadOnlyAdmin):
    list_display = ["mode", "state", "connected", "feed_at", "frames_total", "segment", "next_seq"]


@admin.register(StreamGap)
class StreamGapAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "ended_at", "reason"]


@admin.register(OddFrame)
class OddFrameAdmin(ReadOnlyAdmin):
    list_display = ["seen_at", "kind", "seq", "sample"]
    list_filter = ["kind"]


@admin.register(CoinMetadata)
class CoinMetadataAdmin(ReadOnlyAdmin):
    list_display = ["coin_id", "status", "attempts", "next_at", "read_at", "host", "error"]
    list_filter = ["status"]
    search_fields = ["coin__mint"]


@admin.register(HostPause)
class HostPauseAdmin(ReadOnlyAdmin):
    list_display = ["host", "until", "failures"]
