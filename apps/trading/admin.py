"""Admin of trading: limits may be changed; strategies, money, orders and logs are only looked at."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.core.admin import ReadOnlyAdmin
from apps.trading.models import (
    LedgerEntry,
    Order,
    Position,
    Strategy,
    StrategyVersion,
    TradeLog,
    TraderProgress,
    TradingState,
    TransferLog,
    Wallet,
)


class ChangedFieldsAdmin(admin.ModelAdmin):
    """Writes only the fields that were changed: balances and cursors move while the form is open."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_data)
        else:
            super().save_model(request, obj, form, change)


@admin.register(Wallet)
class WalletAdmin(ChangedFieldsAdmin):
    """Switches and limits; balances move by orders and transfers alone, keys are never shown."""

    list_display = ["alias", "wallet_type", "status", "trading_enabled", "virtual_balance_lamports", "tag"]
    list_filter = ["wallet_type", "status"]
    search_fields = ["alias", "address"]
    fields = [
        "alias",
        "wallet_type",
        "address",
        "status",
        "tag",
        "trading_enabled",
        "transfer_enabled",
        "max_consecutive_losses",
        "max_daily_loss_bps",
        "max_position_lamports",
        "max_open_positions",
        "virtual_loss_percent",
        "virtual_balance_lamports",
        "deposited_lamports",
    ]
    readonly_fields = ["alias", "wallet_type", "address", "virtual_balance_lamports", "deposited_lamports"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Strategy)
class StrategyAdmin(ReadOnlyAdmin):
    """Looked at only: every change is a version, made on the pages or by the API."""

    list_display = ["name", "is_active", "version", "wallet", "stake_lamports", "stop_loss_bps", "take_profit_bps"]
    list_filter = ["is_active"]
    list_select_related = ["wallet"]
    search_fields = ["name"]


@admin.register(StrategyVersion)
class StrategyVersionAdmin(ReadOnlyAdmin):
    list_display = ["strategy", "number", "sha256", "note", "created_at"]
    list_select_related = ["strategy"]


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    list_display = ["id", "wallet", "mint", "status", "cost_lamports", "realized_pnl_lamports", "exit_reason"]
    list_filter = ["status", "exit_reason", "wallet"]
    list_select_related = ["wallet"]
    search_fields = ["mint"]


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ["id", "wallet", "mint", "side", "status", "deny_code", "decided_at"]
    list_filter = ["status", "side", "deny_code"]
    list_select_related = ["wallet"]
    search_fields = ["mint", "idempotency_key"]


@admin.register(TradeLog)
class TradeLogAdmin(ReadOnlyAdmin):
    list_display = ["id", "wallet", "mint", "action", "status", "code", "balance_change_lamports", "at"]
    list_filter = ["action", "status", "code"]
    list_select_related = ["wallet"]
    search_fields = ["mint"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ["id", "wallet", "kind", "cash", "reserved", "cash_after", "at"]
    list_filter = ["kind"]
    list_select_related = ["wallet"]


@admin.register(TransferLog)
class TransferLogAdmin(ReadOnlyAdmin):
    list_display = ["id", "wallet", "to_address", "lamports", "status", "at"]
    list_select_related = ["wallet"]


@admin.register(TradingState)
class TradingStateAdmin(ReadOnlyAdmin):
    list_display = ["state", "reason", "changed_at"]


@admin.register(TraderProgress)
class TraderProgressAdmin(ReadOnlyAdmin):
    list_display = ["processed_at", "updated_at"]
