"""Endpoints of webhooks as people and programs change them: what `core.webhooks` does, and what needs the models."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.utils import timezone

from apps.core import webhooks
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.models import WebhookEndpoint, WebhookMessage
from apps.core.sentences import worded
from apps.predictions.models import ActiveModel
from apps.predictions.webhooks import url_of


def endpoint_get(endpoint_id: int) -> WebhookEndpoint:
    """Raises NotFoundError."""
    found = WebhookEndpoint.objects.filter(pk=endpoint_id).first()
    if found is None:
        raise NotFoundError("WEBHOOK_NOT_FOUND", "There is no endpoint with this id: list them at GET server/webhooks.")
    return found


def message_get(message_id: int) -> WebhookMessage:
    """Raises NotFoundError."""
    found = WebhookMessage.objects.select_related("endpoint").filter(pk=message_id).first()
    if found is None:
        raise NotFoundError("WEBHOOK_MESSAGE_NOT_FOUND", "There is no such message, or it was forgotten after a while.")
    return found


def endpoint_create(**fields: Any) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is never shown again. Raises PlatformError."""
    _check(fields)
    return webhooks.endpoint_create(**fields)


def endpoint_change(*, endpoint: WebhookEndpoint, **fields: Any) -> WebhookEndpoint:
    """Raises PlatformError."""
    _check(fields, held=endpoint.model_ids)
    return webhooks.endpoint_change(endpoint=endpoint, **fields)


def endpoint_switch(*, endpoint: WebhookEndpoint, on: bool) -> None:
    """On, with a clean slate, or off. Raises PlatformError."""
    if on:
        webhooks.endpoint_enable(endpoint=endpoint)
    else:
        webhooks.endpoint_disable(endpoint=endpoint, reason=WebhookEndpoint.Off.PERSON, now=timezone.now())


def endpoint_delete(*, endpoint: WebhookEndpoint) -> None:
    """Forget it with its messages. Raises PlatformError where a model at work or a setting names it."""
    for active in models_of(endpoint):
        raise ConflictError(
            "WEBHOOK_IN_USE",
            worded(
                "The model %(custom_name)s sends to it: take the address out there first.",
                custom_name=active.custom_name,
            ),
        )
    webhooks.endpoint_delete(endpoint=endpoint)


def models_of(endpoint: WebhookEndpoint) -> list[ActiveModel]:
    """The models at work, also stopped ones, whose own webhook this is."""
    enabled = ActiveModel.objects.filter(webhook_enabled=True, shadow_of=None).order_by("id")
    return [active for active in enabled if url_of(active) == endpoint.url]


def _check(fields: dict[str, Any], held: Collection[int] = ()) -> None:
    """One that was chosen before may stay, although its model is gone."""
    known = {*ActiveModel.objects.values_list("id", flat=True), *held}
    if unknown := set(fields.get("model_ids", ())) - known:
        raise PlatformError(
            "MODEL_UNKNOWN",
            worded("No model at work has the id %(unknown)s: see GET server/models.", unknown=sorted(unknown)[0]),
        )
