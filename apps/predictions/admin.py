"""Admin of predictions: settings of models at work; scores, alerts and deliveries are only looked at."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from pydantic import StrictInt, TypeAdapter, ValidationError

from apps.core.admin import ReadOnlyAdmin
from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.predictions import champions, services, webhooks
from apps.predictions.models import ActiveModel, ScorerState

SHAPES: dict[str, tuple[TypeAdapter[Any], Any]] = {
    "phases": (TypeAdapter(list[StrictInt]), [1, 2]),
    "whitelist": (TypeAdapter(list[str]), ["mint"]),
    "max_log_entries": (TypeAdapter(dict[str, StrictInt]), {"negative": 10}),
}


class ActiveModelForm(forms.ModelForm):
    """Checks like the service that saves."""

    webhook_url = forms.URLField(required=False, max_length=200, assume_scheme="https")

    class Meta:
        model = ActiveModel
        fields = [
            "model",
            "custom_name",
            "is_active",
            "threshold",
            "phases",
            "coin_filter",
            "whitelist",
            "ignore_bad_seconds",
            "ignore_positive_seconds",
            "ignore_alert_seconds",
            "min_scan_interval_seconds",
            "max_log_entries",
            "webhook_url",
            "send_mode",
            "webhook_enabled",
        ]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name, (shape, example) in SHAPES.items():
            try:
                cleaned[name] = shape.validate_python(cleaned.get(name) or type(example)())
            except ValidationError:
                self.add_error(name, _("Write it as JSON such as %(example)s.") % {"example": json.dumps(example)})
        if self.errors:
            return cleaned
        try:
            changed = changes(cleaned, self.initial) if self.instance.pk else None
            services.model_check(active=ActiveModel(pk=self.instance.pk, **cleaned), changed=changed)
            if url := cleaned.get("webhook_url"):
                webhooks.url_check(url)
        except PlatformError as error:
            raise forms.ValidationError(error_text(error.message), code=error.code) from error
        return cleaned


def changes(cleaned: Mapping[str, Any], initial: Mapping[str, Any]) -> dict[str, Any]:
    """What is other than it was when the form was shown; a form takes a list that was emptied for unchanged."""
    return {name: value for name, value in cleaned.items() if value != initial.get(name)}


@admin.register(ActiveModel)
class ActiveModelAdmin(admin.ModelAdmin):
    form = ActiveModelForm
    list_display = ["custom_name", "model", "is_active", "threshold", "coin_filter", "webhook_enabled", "activated_at"]
    list_filter = ["is_active", "webhook_enabled"]
    search_fields = ["custom_name", "model__name"]
    list_select_related = ["model"]

    def get_queryset(self, request: Any) -> QuerySet[ActiveModel]:
        """Without shadows: they follow the model they challenge."""
        return super().get_queryset(request).filter(shadow_of=None)

    def get_readonly_fields(self, request: Any, obj: ActiveModel | None = None) -> list[str]:
        """The trained model of a place changes by a challenge alone."""
        return ["model"] if obj else []

    def save_model(self, request: Any, obj: ActiveModel, form: ActiveModelForm, change: bool) -> None:
        """As everywhere else: the scorer hears of it and a shadow follows."""
        fields = changes(form.cleaned_data, form.initial) if change else form.cleaned_data
        services.model_configure(active=obj, fields=fields)

    def delete_model(self, request: Any, obj: ActiveModel) -> None:
        champions.place_delete(place=obj, by=request.user.get_username())

    def delete_queryset(self, request: Any, queryset: QuerySet[ActiveModel]) -> None:
        for place in queryset:
            self.delete_model(request, place)

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return obj is not None and not obj.is_active and super().has_delete_permission(request, obj)


@admin.register(ScorerState)
class ScorerStateAdmin(ReadOnlyAdmin):
    list_display = ["last_row_id", "scored_to", "judged_to", "skipped_total", "updated_at"]
