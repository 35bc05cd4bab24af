"""`/api/server/webhooks`: endpoints, what was sent to them, and what they answered. No secret ever comes out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from apps.core import webhooks
from apps.core.models import WebhookAttempt, WebhookEndpoint, WebhookKind, WebhookMessage
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.schemas import Body
from apps.core.tokens import admin, read
from apps.predictions import endpoints
from apps.predictions.endpoints import endpoint_get, message_get

router = Router(tags=["server"])
SECRET = "whsec_ and 24 to 64 random bytes in base64; never given out"


class EndpointIn(Body):
    """A new endpoint. `kinds` is what it is told of by itself; models may also name it as their own webhook."""

    url: str = Field(max_length=500)
    name: str = Field("", max_length=100)
    kinds: list[WebhookKind] = []
    model_ids: list[int] = Field([], max_length=1_000, description="models at work it is told of; empty means all")
    secret: str = Field("", max_length=200, description=SECRET + "; empty: made here, shown only on the page")
    header_name: str = Field("", max_length=100, description="of a header sent with every message")
    header_value: str = Field("", max_length=1_000, description="never given out")


class EndpointChange(Body):
    """What is not named stays. An empty `header_name` ends the header; without a value the old value stays."""

    url: str | None = Field(None, max_length=500)
    name: str | None = Field(None, max_length=100)
    kinds: list[WebhookKind] | None = None
    model_ids: list[int] | None = Field(None, max_length=1_000)
    header_name: str | None = Field(None, max_length=100)
    header_value: str | None = Field(None, max_length=1_000)


class SecretIn(Body):
    """A new secret; for `keep_hours` messages carry a signature by the old one too."""

    secret: str = Field(min_length=1, max_length=200, description=SECRET)
    keep_hours: int = Field(24, ge=0, le=webhooks.LONGEST_KEEP_HOURS)


class ReplayIn(Body):
    """How far back."""

    hours: int = Field(24, ge=1, le=366 * 24)


class ReplayedOut(Schema):
    """How many messages wait again."""

    messages: int


class EndpointOut(Schema):
    """An endpoint; `off_reason` is gone (410), failing (for days), person or setting."""

    id: int
    name: str
    url: str
    setting: str
    kinds: list[str]
    model_ids: list[int]
    enabled: bool
    off_reason: str
    off_at: datetime | None
    header_name: str
    old_secret_until: datetime | None
    failures: int
    failing_since: datetime | None
    paused_until: datetime | None
    last_error: str
    last_success_at: datetime | None
    created_at: datetime


class MessageOut(Schema):
    """A message in the log; `webhook_id` is the header of that name."""

    id: int
    webhook_id: str
    endpoint_id: int
    kind: str
    active_model_id: int | None
    status: str
    attempts: int
    next_attempt_at: datetime | None
    response_status: int | None
    error: str
    created_at: datetime
    sent_at: datetime | None


class AttemptOut(Schema):
    """One attempt and the first 1,024 bytes of its answer."""

    number: int
    at: datetime
    duration_ms: float
    response_status: int | None
    error: str
    answer: str


class MessageDetailOut(MessageOut):
    """With the body as it is sent, and every attempt."""

    body: str
    tries: list[AttemptOut]


class MessageQuery(PageQuery):
    """Filters of the log."""

    endpoint_id: int | None = None
    kind: str | None = Field(None, max_length=16)
    status: WebhookMessage.Status | None = None


@router.get("", response=Page[EndpointOut], auth=read)
def webhook_endpoints(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Where webhooks go."""
    return paginate(WebhookEndpoint.objects.order_by("id"), page)


@router.post("", response={201: EndpointOut}, auth=admin)
def webhook_create(request: HttpRequest, body: EndpointIn) -> tuple[int, WebhookEndpoint]:
    """A new endpoint."""
    return 201, endpoints.endpoint_create(**body.model_dump(mode="json"))[0]


@router.get("/messages", response=Page[MessageOut], auth=read)
def webhook_messages(request: HttpRequest, query: Query[MessageQuery]) -> dict[str, Any]:
    """The log, newest first."""
    wanted = query.model_dump(include={"endpoint_id", "kind", "status"}, exclude_none=True)
    return paginate(WebhookMessage.objects.filter(**wanted).order_by("-id"), query)


@router.get("/messages/{message_id}", response=MessageDetailOut, auth=read)
def webhook_message(request: HttpRequest, message_id: int) -> WebhookMessage:
    """One message with its body and attempts."""
    return message_get(message_id)


@router.post("/messages/{message_id}/replay", response=MessageOut, auth=admin)
def webhook_replay(request: HttpRequest, message_id: int) -> WebhookMessage:
    """Send it again under the same id."""
    return webhooks.message_replay(message=message_get(message_id))


@router.get("/{endpoint_id}", response=EndpointOut, auth=read)
def webhook_endpoint(request: HttpRequest, endpoint_id: int) -> WebhookEndpoint:
    """One endpoint."""
    return endpoint_get(endpoint_id)


@router.patch("/{endpoint_id}", response=EndpointOut, auth=admin)
def webhook_change(request: HttpRequest, endpoint_id: int, body: EndpointChange) -> WebhookEndpoint:
    """Change an endpoint; moving to another host forgets the header's value."""
    fields = body.model_dump(mode="json", exclude_none=True)
    return endpoints.endpoint_change(endpoint=endpoint_get(endpoint_id), **fields)


@router.delete("/{endpoint_id}", response={204: None}, auth=admin)
def webhook_delete(request: HttpRequest, endpoint_id: int) -> tuple[int, None]:
    """Forget an endpoint with its messages."""
    endpoints.endpoint_delete(endpoint=endpoint_get(endpoint_id))
    return 204, None


@router.post("/{endpoint_id}/enable", response=EndpointOut, auth=admin)
def webhook_enable(request: HttpRequest, endpoint_id: int) -> WebhookEndpoint:
    """Switch it on again, with a clean slate."""
    return _switched(endpoint_id, on=True)


@router.post("/{endpoint_id}/disable", response=EndpointOut, auth=admin)
def webhook_disable(request: HttpRequest, endpoint_id: int) -> WebhookEndpoint:
    """Switch it off; what waits is given up and can be sent again later."""
    return _switched(endpoint_id, on=False)


@router.post("/{endpoint_id}/secret", response=EndpointOut, auth=admin)
def webhook_secret(request: HttpRequest, endpoint_id: int, body: SecretIn) -> WebhookEndpoint:
    """Sign with this secret from now on."""
    endpoint = endpoint_get(endpoint_id)
    webhooks.secret_rotate(endpoint=endpoint, secret=body.secret, keep_hours=body.keep_hours)
    return endpoint


@router.post("/{endpoint_id}/test", response=AttemptOut, auth=admin)
def webhook_test(request: HttpRequest, endpoint_id: int) -> WebhookAttempt:
    """Send a signed test message now; what was answered."""
    return webhooks.endpoint_test(endpoint=endpoint_get(endpoint_id))


@router.post("/{endpoint_id}/replay-failed", response=ReplayedOut, auth=admin)
def webhook_replay_failed(request: HttpRequest, endpoint_id: int, body: ReplayIn) -> dict[str, int]:
    """Send again what was given up in the last hours, at most 1,000 messages."""
    since = timezone.now() - timedelta(hours=body.hours)
    return {"messages": webhooks.failed_replay(endpoint=endpoint_get(endpoint_id), since=since)}


def _switched(endpoint_id: int, *, on: bool) -> WebhookEndpoint:
    endpoint = endpoint_get(endpoint_id)
    endpoints.endpoint_switch(endpoint=endpoint, on=on)
    return endpoint
