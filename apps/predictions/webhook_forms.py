"""Forms of webhooks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core import webhooks
from apps.core.htmx import StyledForm
from apps.core.models import WebhookEndpoint, WebhookKind
from apps.predictions import endpoints
from apps.predictions.models import ActiveModel

KINDS = {
    WebhookKind.COINS: _("New coins"),
    WebhookKind.ALERTS: _("Alerts"),
    WebhookKind.PREDICTIONS: _("Scores"),
    WebhookKind.OUTCOMES: _("Outcomes of alerts"),
    WebhookKind.TRADES: _("Our trades"),
}


class EndpointForm(StyledForm):
    """A new endpoint (without one), or the settings of one."""

    url = forms.URLField(label=_("Address"), max_length=500, assume_scheme="https")
    name = forms.CharField(label=_("Name"), max_length=100, required=False, help_text=_("Empty: its host."))
    kinds = forms.MultipleChoiceField(
        label=_("It is told of"), choices=list(KINDS.items()), required=False, widget=forms.CheckboxSelectMultiple,
        help_text=_("Beside what single models send it by their own settings."),
    )  # fmt: skip
    model_ids = forms.TypedMultipleChoiceField(
        label=_("Only of these models"), coerce=int, required=False, widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )  # fmt: skip
    header_name = forms.CharField(
        label=_("Own header"), max_length=100, required=False,
        help_text=_("Sent with every message, where the receiver asks for one: Authorization, X-Api-Key."),
    )  # fmt: skip
    header_value = forms.CharField(
        label=_("Its value"), max_length=1_000, required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Kept encrypted and never shown again. Empty: as before."),
    )  # fmt: skip

    def __init__(self, data: Any = None, endpoint: WebhookEndpoint | None = None) -> None:
        names = ("url", "name", "kinds", "model_ids", "header_name")
        super().__init__(data, initial={name: getattr(endpoint, name) for name in names} if endpoint else {})
        self.endpoint = endpoint
        if endpoint is None:
            self.fields["header_value"].help_text = _("Kept encrypted and never shown again.")
        models = ActiveModel.objects.filter(shadow_of=None).order_by("custom_name", "id")
        choices: list[tuple[int, Any]] = list(models.values_list("id", "custom_name"))
        gone = set(endpoint.model_ids if endpoint else ()) - {pk for pk, _name in choices}
        # Else who saves the rest would choose none of them, which means all.
        choices += [(pk, _("No. %(id)s, no longer at work") % {"id": pk}) for pk in sorted(gone)]
        if choices:
            self.fields["model_ids"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["model_ids"]
        if endpoint and endpoint.setting:
            self.fields["url"].disabled = True
            self.fields["url"].help_text = _("Given by the setting %(name)s.") % {"name": endpoint.setting}

    def save(self) -> tuple[WebhookEndpoint, str]:
        """The endpoint, and the secret of a new one."""
        if self.endpoint is None:
            return endpoints.endpoint_create(**self.cleaned_data)
        return endpoints.endpoint_change(endpoint=self.endpoint, **self.cleaned_data), ""


class SecretForm(StyledForm):
    """A new secret."""

    keep_hours = forms.IntegerField(
        label=_("The old one counts for, hours"), min_value=0, max_value=webhooks.LONGEST_KEEP_HOURS, initial=24
    )
    secret = forms.CharField(
        label=_("Secret"), max_length=200, required=False, widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Empty: a new one is made. Else whsec_ and at least 24 random bytes in base64."),
    )  # fmt: skip
