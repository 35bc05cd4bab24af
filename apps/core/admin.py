"""Admin of core: tokens are seen and revoked here, never made or read."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.core.models import ApiToken, Heartbeat, WebhookEndpoint, WebhookMessage
from apps.core.tokens import token_revoke

admin.site.site_title = admin.site.site_header = "Pump Platform"
admin.site.index_title = _("Managed tables")
# The one login page, with its limits and second factor, also for the admin.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that only the platform itself writes."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ["name", "prefix", "user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["revoked_at", "expires_at"]
    search_fields = ["name", "prefix", "user__username"]
    exclude = ["digest"]
    actions = ["revoke"]

    @admin.action(description=_("Revoke the chosen tokens"))
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        for token in tokens:
            token_revoke(token=token, now=timezone.now())


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ["name", "instance", "started_at", "beat_at"]


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    list_display = ["name", "enabled", "off_reason", "kinds", "failures", "last_success_at"]
    list_filter = ["enabled", "off_reason"]
    exclude = ["secret", "old_secret", "header_value"]


@admin.register(WebhookMessage)
class WebhookMessageAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "endpoint", "kind", "status", "attempts", "response_status", "sent_at"]
    list_filter = ["status", "kind"]
    list_select_related = ["endpoint"]
