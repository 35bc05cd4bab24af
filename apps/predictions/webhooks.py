"""Delivery of the webhook outbox: which addresses may be called, one attempt, when to try again.

The scorer writes the rows in the transaction of what they tell; a task (`tasks.webhooks_deliver`) sends them.
"""

from __future__ import annotations

import ipaddress
import random
import socket
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
from django.conf import settings
from django.db import transaction

from apps.core.errors import PlatformError
from apps.predictions.models import ActiveModel, WebhookDelivery

TIMEOUT = httpx2.Timeout(5.0, connect=3.0)
LEASE = timedelta(seconds=60)
RETRY_SECONDS = (5, 30, 120, 600, 1800, 7200, 21600)
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def url_check(url: str) -> str | None:
    """The public address to call `url` at; None for the operator's own n8n, which may be anywhere.

    Looks the host up; every address it resolves to must be public. Raises PlatformError WEBHOOK_URL_REFUSED.
    """
    target = _endpoint(url)
    if target is None:
        raise _refused("Give an address that starts with http:// or https:// and names a host.")
    if target in _operator_endpoints():
        return None
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(*target, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise _refused(f"The host {target[0]} has no address; check its spelling.") from error
    if not all(_is_public(address) for address in found):
        raise _refused(
            "Private and loopback addresses are refused; to use your own n8n, set N8N_SERVER_WEBHOOK_URL to it."
        )
    return found[0]


def _is_public(text: str) -> bool:
    """Whether an address, and the IPv4 address that it may carry (mapped, 6to4, Teredo, NAT64), is public."""
    address = ipaddress.ip_address(text.split("%")[0])
    carried: list[ipaddress.IPv4Address | ipaddress.IPv6Address | None] = []
    if isinstance(address, ipaddress.IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return all(one.is_global and not one.is_multicast for one in [address, *carried] if one is not None)


def _endpoint(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if url != url.strip() or parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        return None
    return parts.hostname, port or _PORTS[parts.scheme]


def _operator_endpoints() -> set[tuple[str, int] | None]:
    return {_endpoint(url) for url in (settings.N8N_SERVER_WEBHOOK_URL, settings.N8N_FIND_WEBHOOK_URL) if url}


def _refused(message: str) -> PlatformError:
    return PlatformError("WEBHOOK_URL_REFUSED", message)


def retry_seconds(attempts: int, jitter: float) -> float | None:
    """How long to wait after `attempts` failures; `jitter` in 0..1 adds up to a quarter. None: give up."""
    if attempts > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[attempts - 1] * (1.0 + jitter / 4.0)


def deliveries_claim(*, now: datetime, limit: int) -> list[WebhookDelivery]:
    """Takes due deliveries for one attempt; a worker that dies gives them back when the lease ends."""
    with transaction.atomic():
        due = WebhookDelivery.objects.filter(status=WebhookDelivery.Status.PENDING, next_attempt_at__lte=now)
        claimed = list(due.select_for_update(skip_locked=True).order_by("next_attempt_at", "id")[:limit])
        for delivery in claimed:
            delivery.attempts += 1
            delivery.next_attempt_at = now + LEASE
        WebhookDelivery.objects.bulk_update(claimed, ["attempts", "next_attempt_at"])
    return claimed


def delivery_send(*, delivery: WebhookDelivery, client: httpx2.Client, now: datetime) -> None:
    """One attempt; any 2xx is success, everything else is tried again later. Never raises for the receiver's faults."""
    delivery.response_status, delivery.error = None, ""
    try:
        response = _post(client, delivery, now)
        delivery.response_status = response.status_code
        if not response.is_success:
            delivery.error = f"HTTP {response.status_code}"
    except PlatformError as error:
        delivery.error = error.message
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        delivery.error = type(error).__name__ + ": " + str(error)[:200]
    _delivery_finish(delivery, now)


def _post(client: httpx2.Client, delivery: WebhookDelivery, now: datetime) -> httpx2.Response:
    """Calls the very address that was checked: a name looked up twice may answer differently (DNS rebinding)."""
    address, headers, url = url_check(delivery.url), _headers(delivery, now), httpx2.URL(delivery.url)
    if address is None:
        return client.post(url, json=delivery.payload, headers=headers)
    headers["host"] = url.netloc.decode("ascii")
    pinned = url.copy_with(host=address)
    return client.post(
        pinned, json=delivery.payload, headers=headers, extensions={"sni_hostname": url.raw_host.decode()}
    )


def _headers(delivery: WebhookDelivery, now: datetime) -> dict[str, str]:
    """The id stays the same on every attempt, so that a receiver can drop a repetition."""
    return {"webhook-id": f"delivery-{delivery.pk}", "webhook-timestamp": str(int(now.timestamp()))}


def _delivery_finish(delivery: WebhookDelivery, now: datetime) -> None:
    wait = retry_seconds(delivery.attempts, random.random())
    if not delivery.error:
        delivery.status, delivery.sent_at = WebhookDelivery.Status.SENT, now
    elif wait is None:
        delivery.status = WebhookDelivery.Status.FAILED
    else:
        delivery.next_attempt_at = now + timedelta(seconds=wait)
    delivery.save(update_fields=["status", "sent_at", "next_attempt_at", "response_status", "error"])


def make_client() -> httpx2.Client:
    """Redirects are not followed: they would lead past `url_check`."""
    return httpx2.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False)


def alert_payload(model_name: str, score: dict[str, Any]) -> dict[str, Any]:
    """The body that tells of one alert."""
    return {"type": "alert", "model": model_name, "data": score}


def predictions_payload(model_name: str, scores: list[dict[str, Any]]) -> dict[str, Any]:
    """The body that tells of the scores of one batch."""
    return {"type": "predictions", "model": model_name, "data": scores}


def url_of(active: ActiveModel) -> str:
    """Where a model at work sends what it says; empty where it sends nothing."""
    return (active.webhook_url or settings.N8N_SERVER_WEBHOOK_URL) if active.webhook_enabled else ""
