"""Pages of no single part: what the platform is, and a person's API tokens."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from apps.core import display
from apps.core.errors import PlatformError
from apps.core.htmx import StyledForm
from apps.core.models import ApiToken
from apps.core.tokens import token_create, token_revoke

INFO_PARTS = {
    "overview": _("Overview"),
    "discovery": _("Discovery"),
    "training": _("Training"),
    "predictions": _("Predictions"),
    "trading": _("Trading"),
}


@require_safe
def info(request: HttpRequest, part: str) -> HttpResponse:
    """What a part does, how to read it, what it does not do."""
    if part not in INFO_PARTS:
        raise Http404
    context = {"part": part, "parts": INFO_PARTS, "title": INFO_PARTS[part]}
    return render(request, f"core/info_{part}.html", context)


class TokenForm(StyledForm):
    """A new API token."""

    name = forms.CharField(label=_("Name"), max_length=100, help_text=_("What it is for."))
    scopes = forms.MultipleChoiceField(
        label=_("Rights"), choices=ApiToken.Scope.choices, widget=forms.CheckboxSelectMultiple, initial=["read"]
    )
    days = forms.IntegerField(label=_("Valid for, days"), min_value=1, max_value=366, initial=30)


def tokens(request: HttpRequest) -> HttpResponse:
    """The user's tokens; a new one is shown this once."""
    form, fresh = TokenForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        try:
            fresh, _token = token_create(user=request.user, now=timezone.now(), **form.cleaned_data)
            form = TokenForm()
        except PlatformError as error:
            form.add_error(None, error.message)
    rows = [token_row(token) for token in ApiToken.objects.filter(user__username=request.user.get_username())[:100]]
    return render(request, "core/tokens.html", {"form": form, "fresh": fresh, "rows": rows})


def token_row(token: ApiToken) -> dict[str, Any]:
    ended = bool(token.revoked_at) or token.expires_at <= timezone.now()
    return {
        "id": token.pk,
        "name": token.name,
        "prefix": token.prefix,
        "scopes": ", ".join(token.scopes),
        "expires": display.moment(token.expires_at),
        "used": display.moment(token.last_used_at),
        "ended": ended,
    }


@require_POST
def token_end(request: HttpRequest, token_id: int) -> HttpResponse:
    """End a token of one's own."""
    token_revoke(token=get_object_or_404(ApiToken, pk=token_id, user=request.user), now=timezone.now())
    return redirect("core:tokens")
