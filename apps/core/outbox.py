"""Outboxes of webhooks: rows written with what they tell, sent by a task, at least once.

A table that is one inherits `models.Delivery`. Every attempt carries the same `webhook-id`, so that a receiver can drop
a repetition.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import httpx2
from django.db import transaction
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.core.models import Delivery
from apps.core.outbound import client_options, request_pinned

TIMEOUT = httpx2.Timeout(5.0, connect=3.0)
LEASE = timedelta(seconds=60)
RETRY_SECONDS = (5, 30, 120, 600, 1800, 7200, 21600)
AddressOf = Callable[[str], str | None]  # raises PlatformError for an address that must not be called
Row = TypeVar("Row", bound=Delivery)


def make_client() -> httpx2.Client:
    return httpx2.Client(**client_options(TIMEOUT))


def retry_seconds(attempts: int, jitter: float) -> float | None:
    """How long to wait after `attempts` failures; `jitter` in 0..1 adds up to a quarter. None: give up."""
    if attempts > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[attempts - 1] * (1.0 + jitter / 4.0)


def deliveries_send(*, model: type[Row], address_of: AddressOf, seconds: float = 20.0) -> list[Row]:
    """Send what is due, for at most about so long; the deliveries attempted, as they are now."""
    attempted: list[Row] = []
    end = timezone.now() + timedelta(seconds=seconds)
    with make_client() as client:
        while timezone.now() < end and (claimed := deliveries_claim(model=model, now=timezone.now(), limit=5)):
            for delivery in claimed:
                delivery_send(delivery=delivery, client=client, now=timezone.now(), address_of=address_of)
            attempted += claimed
    return attempted


def deliveries_claim(*, model: type[Row], now: datetime, limit: int) -> list[Row]:
    """Takes due deliveries for one attempt; a worker that dies gives them back when the lease ends."""
    with transaction.atomic():
        due = model._default_manager.filter(status=Delivery.Status.PENDING, next_attempt_at__lte=now)
        claimed = list(due.select_for_update(skip_locked=True).order_by("next_attempt_at", "id")[:limit])
        for delivery in claimed:
            delivery.attempts += 1
            delivery.next_attempt_at = now + LEASE
        model._default_manager.bulk_update(claimed, ["attempts", "next_attempt_at"])
    return claimed


def delivery_send(*, delivery: Delivery, client: httpx2.Client, now: datetime, address_of: AddressOf) -> None:
    """One attempt; any 2xx is success, everything else is tried again later. Never raises for the receiver's faults."""
    delivery.response_status, delivery.error = None, ""
    try:
        response = _post(client, delivery, now, address_of)
        delivery.response_status = response.status_code
        if not response.is_success:
            delivery.error = f"HTTP {response.status_code}"
    except PlatformError as error:
        delivery.error = error.message
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        delivery.error = type(error).__name__ + ": " + str(error)[:200]
    _finish(delivery, now)


def _post(client: httpx2.Client, delivery: Delivery, now: datetime, address_of: AddressOf) -> httpx2.Response:
    pinned = request_pinned(delivery.url, address_of(delivery.url))
    pinned["headers"] |= {
        "webhook-id": f"{delivery.ID_PREFIX}-{delivery.pk}",
        "webhook-timestamp": str(int(now.timestamp())),
    }
    return client.post(json=delivery.payload, **pinned)


def _finish(delivery: Delivery, now: datetime) -> None:
    wait = retry_seconds(delivery.attempts, random.random())
    if not delivery.error:
        delivery.status, delivery.sent_at = Delivery.Status.SENT, now
    elif wait is None:
        delivery.status = Delivery.Status.FAILED
    else:
        delivery.next_attempt_at = now + timedelta(seconds=wait)
    delivery.save(update_fields=["status", "sent_at", "next_attempt_at", "response_status", "error"])
