"""The webhooks of predictions: which addresses may be called, and what is sent there.

The scorer writes the rows in the transaction of what they tell; a task (`tasks.webhooks_deliver`) sends them.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.core.errors import PlatformError
from apps.core.outbound import AddressPrivateError, AddressRefusedError, endpoint_of, public_address
from apps.predictions.models import ActiveModel


def url_check(url: str) -> str | None:
    """The public address to call `url` at; None for the operator's own n8n, which may be anywhere.

    Looks the host up; every address it resolves to must be public. Raises PlatformError WEBHOOK_URL_REFUSED.
    """
    own = [endpoint_of(one) for one in (settings.N8N_SERVER_WEBHOOK_URL, settings.N8N_FIND_WEBHOOK_URL) if one]
    try:
        return public_address(url, allowed={endpoint for endpoint in own if endpoint is not None})
    except AddressPrivateError as error:
        raise PlatformError(
            "WEBHOOK_URL_REFUSED", f"{error} To use your own n8n, set N8N_SERVER_WEBHOOK_URL to it."
        ) from None
    except AddressRefusedError as error:
        raise PlatformError("WEBHOOK_URL_REFUSED", str(error)) from None


def alert_payload(model_name: str, score: dict[str, Any]) -> dict[str, Any]:
    """The body that tells of one alert."""
    return {"type": "alert", "model": model_name, "data": score}


def predictions_payload(model_name: str, scores: list[dict[str, Any]]) -> dict[str, Any]:
    """The body that tells of the scores of one batch."""
    return {"type": "predictions", "model": model_name, "data": scores}


def url_of(active: ActiveModel) -> str:
    """Where a model at work sends what it says; empty where it sends nothing."""
    return (active.webhook_url or settings.N8N_SERVER_WEBHOOK_URL) if active.webhook_enabled else ""
