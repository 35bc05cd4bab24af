"""Pages of webhooks: endpoints, their log, secrets, tests, and sending again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.core import webhooks
from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.models import WebhookEndpoint, WebhookMessage
from apps.core.tokens import changes_need
from apps.predictions import endpoints, webhook_pages
from apps.predictions.webhook_forms import EndpointForm, SecretForm
from apps.training.forms import saved

REPLAY_DAYS = 30


@changes_need("admin")
@never_cache
def endpoints_page(request: HttpRequest) -> HttpResponse:
    """Where webhooks go, and a form for one more; its secret is shown once, on the answer to it."""
    webhooks.settings_follow()
    form = EndpointForm(request.POST or None)
    if request.method == "POST" and (made := saved(form)):
        endpoint, secret = made
        return _endpoint(request, endpoint, {"secret": secret})
    context = {"form": form, "table": webhook_pages.endpoints_table()}
    return render(request, "predictions/webhooks.html", context)


@changes_need("admin")
def endpoint_page(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    """One endpoint: state, log and settings."""
    endpoint = _get(endpoint_id)
    form = EndpointForm(request.POST or None, endpoint)
    if request.method == "POST" and saved(form):
        messages.success(request, _("Saved."))
        return redirect("predictions:webhook", endpoint_id)
    return _endpoint(request, _get(endpoint_id), {"form": form})


def _endpoint(request: HttpRequest, endpoint: WebhookEndpoint, context: dict[str, Any]) -> HttpResponse:
    page, table = webhook_pages.messages_page(request, endpoint)
    common = {
        "endpoint": webhook_pages.endpoint_facts(endpoint),
        "form": EndpointForm(None, endpoint),
        "secret_form": SecretForm(),
        "page": page,
        "table": table,
        "statuses": [(status, title) for status, (_tone, title) in webhook_pages.STATUS.items()],
    }
    return render(request, "predictions/webhook.html", common | context)


@never_cache
@changes_need("admin")
@require_POST
def endpoint_secret(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    """A new secret, shown on the answer and never again."""
    endpoint, form, shown = _get(endpoint_id), SecretForm(request.POST), ""
    if form.is_valid():
        try:
            shown = webhooks.secret_rotate(endpoint=endpoint, **form.cleaned_data)
        except PlatformError as error:
            form.add_error("secret", error_text(error.message))
    return _endpoint(request, endpoint, {"secret": shown, "secret_form": SecretForm() if shown else form})


@changes_need("admin")
@require_POST
def endpoint_test(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    """Send a test and show what was answered."""
    endpoint = _get(endpoint_id)
    try:
        attempt = webhooks.endpoint_test(endpoint=endpoint)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("predictions:webhook", endpoint_id)
    return _endpoint(request, endpoint, {"test": webhook_pages.attempt_facts(attempt)})


@changes_need("admin")
@require_POST
def endpoint_switch(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    """On becomes off, off becomes on."""
    endpoint = _get(endpoint_id)
    try:
        endpoints.endpoint_switch(endpoint=endpoint, on=not endpoint.enabled)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    return redirect("predictions:webhook", endpoint_id)


@changes_need("admin")
@require_POST
def endpoint_replay(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    """Send again what was given up."""
    try:
        since = timezone.now() - timedelta(days=REPLAY_DAYS)
        count = webhooks.failed_replay(endpoint=_get(endpoint_id), since=since)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    else:
        text = ngettext("%(n)d message is sent again.", "%(n)d messages are sent again.", count) % {"n": count}
        messages.success(request, text)
    return redirect("predictions:webhook", endpoint_id)


@changes_need("admin")
@require_POST
def endpoint_delete(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    """Forget it with its log."""
    try:
        endpoints.endpoint_delete(endpoint=_get(endpoint_id))
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("predictions:webhook", endpoint_id)
    messages.success(request, _("The endpoint and its log are gone."))
    return redirect("predictions:webhooks")


@require_safe
def message_page(request: HttpRequest, message_id: int) -> HttpResponse:
    """One message: what is sent, every attempt, what was answered."""
    message = get_object_or_404(WebhookMessage.objects.select_related("endpoint"), pk=message_id)
    return render(request, "predictions/webhook_message.html", {"message": webhook_pages.message_facts(message)})


@changes_need("admin")
@require_POST
def message_replay(request: HttpRequest, message_id: int) -> HttpResponse:
    """Send it again."""
    try:
        webhooks.message_replay(message=get_object_or_404(WebhookMessage, pk=message_id))
        messages.success(request, _("It is sent again within seconds."))
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    return redirect("predictions:webhook_message", message_id)


def _get(endpoint_id: int) -> WebhookEndpoint:
    return get_object_or_404(WebhookEndpoint, pk=endpoint_id)
