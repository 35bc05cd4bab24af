"""Which addresses webhooks may go to: public ones, and the operator's own as the settings name them."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from apps.core.errors import PlatformError
from apps.core.outbound import AddressPrivateError, AddressRefusedError, Endpoint, endpoint_of, public_address

SETTINGS = ("N8N_FIND_WEBHOOK_URL", "N8N_SERVER_WEBHOOK_URL")


def endpoints_allowed() -> frozenset[Endpoint]:
    """Hosts with ports that may be anywhere: those of the n8n addresses and of WEBHOOK_ALLOWED."""
    named = (endpoint_of(getattr(settings, name)) for name in SETTINGS)
    return frozenset(one for one in (*named, *map(endpoint_named, settings.WEBHOOK_ALLOWED)) if one is not None)


def endpoint_named(text: str) -> Endpoint | None:
    """`host:port`, `host` (port 80) or `[::1]:5678` as host and port; None for anything else."""
    return endpoint_of(f"http://{text}") if text and not set(text) & set("/@?# ") else None


def webhooks_wrong() -> Iterator[str]:
    """A sentence for each setting of webhooks that cannot be."""
    if settings.WEBHOOK_TIMEOUT_SECONDS > 60:
        yield f"WEBHOOK_TIMEOUT_SECONDS must be at most 60, not {settings.WEBHOOK_TIMEOUT_SECONDS}."
    for text in settings.WEBHOOK_ALLOWED:
        if endpoint_named(text) is None:
            yield f'WEBHOOK_ALLOWED must hold hosts with ports such as n8n:5678, not "{text}".'


def url_check(url: str) -> None:
    """Look the host up; every address it resolves to must be public. Raises PlatformError WEBHOOK_URL_REFUSED."""
    try:
        public_address(url, allowed=endpoints_allowed())
    except AddressPrivateError as error:
        raise PlatformError(
            "WEBHOOK_URL_REFUSED", f"{error} To use your own n8n, name its host and port in WEBHOOK_ALLOWED."
        ) from None
    except AddressRefusedError as error:
        raise PlatformError("WEBHOOK_URL_REFUSED", str(error)) from None
