"""Endpoints of webhooks: making, changing, ending and testing them, and sending messages again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core import outbox
from apps.core.errors import ConflictError, PlatformError
from apps.core.models import WebhookAttempt, WebhookEndpoint, WebhookKind, WebhookMessage
from apps.core.outbound import endpoint_of
from apps.core.sender import letters_send
from apps.core.sentences import worded
from apps.core.webhook_secrets import SealedError, header_set, receiver_of, secret_set, secrets_lock
from apps.core.webhook_urls import SETTINGS, endpoints_allowed, url_check

MOST_ENDPOINTS = 50
LONGEST_KEEP_HOURS = 7 * 24
KINDS_OF_SETTING = {"N8N_FIND_WEBHOOK_URL": [WebhookKind.COINS.value]}
MOST_SENT_AGAIN = 1_000
# What people change; a worker may write the other columns at the same time.
OWN_FIELDS = ("name", "url", "kinds", "model_ids", "header_name", "header_value", "paused_until")


# --- Endpoints that settings and models name -----------------------------------------------------------
def endpoint_of_setting(name: str) -> WebhookEndpoint | None:
    """The endpoint whose address is this setting, made or moved to where it says now; None where it is empty."""
    url, now = getattr(settings, name), timezone.now()
    endpoint = WebhookEndpoint.objects.filter(setting=name).first()
    if endpoint is None:
        if not url:
            return None
        fresh = {"name": name, "url": url, "kinds": KINDS_OF_SETTING.get(name, [])}
        return WebhookEndpoint.objects.get_or_create(setting=name, defaults=fresh)[0]
    if not url:
        if endpoint.enabled:
            endpoint_disable(endpoint=endpoint, reason=WebhookEndpoint.Off.SETTING, now=now)
        return None
    moved = endpoint.url != url
    if moved or endpoint.off_reason == WebhookEndpoint.Off.SETTING:
        _move(endpoint, url)
        endpoint.save(update_fields=OWN_FIELDS)
        if endpoint.off_reason and endpoint.off_reason != WebhookEndpoint.Off.PERSON:
            endpoint_enable(endpoint=endpoint)
    return endpoint


def settings_follow() -> None:
    """Let the endpoints of settings be where the settings say."""
    for name in SETTINGS:
        endpoint_of_setting(name)


def endpoint_at(url: str) -> WebhookEndpoint:
    """The endpoint with this address, made where there is none; it is told only what is addressed to it."""
    if (known := WebhookEndpoint.objects.filter(url=url).order_by("id").first()) is not None:
        return known
    fresh = {"name": urlsplit(url).netloc[:100] or url[:100]}
    return WebhookEndpoint.objects.get_or_create(url=url, setting="", defaults=fresh)[0]


# --- Making and changing -------------------------------------------------------------------------------
def endpoint_create(
    *,
    url: str,
    name: str = "",
    kinds: Sequence[str] = (),
    model_ids: Sequence[int] = (),
    secret: str = "",
    header_name: str = "",
    header_value: str = "",
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is never shown again. Raises PlatformError."""
    if WebhookEndpoint.objects.count() >= MOST_ENDPOINTS:
        raise ConflictError(
            "WEBHOOK_TOO_MANY",
            worded("There are %(most_endpoints)s endpoints already: delete one first.", most_endpoints=MOST_ENDPOINTS),
        )
    endpoint = WebhookEndpoint(name=name.strip() or urlsplit(url).netloc[:100])
    _fill(endpoint, {"url": url, "kinds": kinds, "model_ids": model_ids})
    text = secret_set(endpoint=endpoint, text=secret, now=timezone.now())
    header_set(endpoint=endpoint, name=header_name, value=header_value)
    _save(endpoint, None)
    return endpoint, text


def endpoint_change(*, endpoint: WebhookEndpoint, **fields: Any) -> WebhookEndpoint:
    """Change name, url, kinds, model_ids, header_name with header_value. Raises PlatformError.

    The header's value is forgotten when the address moves to another host: nobody may send it to themselves.
    """
    _fill(endpoint, fields)
    if "header_name" in fields:
        kept = not fields.get("header_value") and fields["header_name"].strip() == endpoint.header_name
        if not (kept and endpoint.header_name):
            header_set(endpoint=endpoint, name=fields["header_name"], value=fields.get("header_value", ""))
    _save(endpoint, OWN_FIELDS)
    return endpoint


def _fill(endpoint: WebhookEndpoint, fields: dict[str, Any]) -> None:
    if "url" in fields and fields["url"] != endpoint.url:
        if endpoint.setting:
            raise ConflictError(
                "WEBHOOK_OF_SETTING",
                worded("Its address is the setting %(setting)s: change it there.", setting=endpoint.setting),
            )
        if len(fields["url"]) > 500:
            raise PlatformError("WEBHOOK_URL_REFUSED", "The address has more than 500 characters.")
        if WebhookEndpoint.objects.filter(url=fields["url"]).exists():
            raise _exists()
        url_check(fields["url"])
        _move(endpoint, fields["url"])
    if "name" in fields:
        endpoint.name = fields["name"].strip() or urlsplit(endpoint.url).netloc
    if not 1 <= len(endpoint.name) <= 100:
        raise PlatformError("NAME_MISSING", "Give the endpoint a name of 1 to 100 characters.")
    if unknown := set(fields.get("kinds", ())) - set(WebhookKind.values):
        raise PlatformError(
            "WEBHOOK_KIND_UNKNOWN",
            worded(
                "%(unknown)r is none of %(values)s.", unknown=sorted(unknown)[0], values=", ".join(WebhookKind.values)
            ),
        )
    for name in ("kinds", "model_ids"):
        if name in fields:
            setattr(endpoint, name, sorted(set(fields[name])))


def _move(endpoint: WebhookEndpoint, url: str) -> None:
    if endpoint.url and endpoint_of(endpoint.url) != endpoint_of(url):
        header_set(endpoint=endpoint, name="", value="")
    endpoint.url, endpoint.paused_until = url, None


def _save(endpoint: WebhookEndpoint, fields: Sequence[str] | None) -> None:
    try:
        with transaction.atomic():
            endpoint.save(update_fields=fields)
    except IntegrityError:
        raise _exists() from None


def _exists() -> ConflictError:
    return ConflictError("WEBHOOK_EXISTS", "There is an endpoint with this address already.")


def endpoint_enable(*, endpoint: WebhookEndpoint) -> None:
    """Switch it on, with a clean slate. Raises PlatformError where its setting is empty."""
    if endpoint.setting and not getattr(settings, endpoint.setting):
        raise ConflictError(
            "WEBHOOK_OF_SETTING",
            worded("Its address is the setting %(setting)s, which is empty.", setting=endpoint.setting),
        )
    fresh = {"enabled": True, "off_reason": "", "off_at": None, "failures": 0, "failing_since": None}
    fresh |= {"paused_until": None, "last_error": ""}
    for name, value in fresh.items():
        setattr(endpoint, name, value)
    endpoint.save(update_fields=list(fresh))


def endpoint_disable(*, endpoint: WebhookEndpoint, reason: WebhookEndpoint.Off, now: datetime) -> None:
    """Switch it off; what waits for it is given up, and can be sent again by hand."""
    with transaction.atomic():
        outbox.endpoint_off(endpoint=endpoint, reason=reason, now=now)
        endpoint.save(update_fields=["enabled", "off_reason", "off_at"])
        outbox.waiting_drop(endpoint)


def endpoint_delete(*, endpoint: WebhookEndpoint) -> None:
    """Forget it with its messages. Raises PlatformError where a setting names it."""
    if endpoint.setting and getattr(settings, endpoint.setting):
        raise ConflictError(
            "WEBHOOK_OF_SETTING",
            worded("Empty the setting %(setting)s first, or switch it off.", setting=endpoint.setting),
        )
    # Off first: then nobody waits for the lock while its messages go, and nobody writes more of them.
    endpoint_disable(endpoint=endpoint, reason=WebhookEndpoint.Off.PERSON, now=timezone.now())
    with transaction.atomic():
        WebhookEndpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
        WebhookAttempt.objects.filter(message__endpoint=endpoint).delete()
        endpoint.delete()


def secret_rotate(*, endpoint: WebhookEndpoint, secret: str = "", keep_hours: int = 24) -> str:
    """A new secret, shown this once; messages carry a signature by the old one too for so many hours."""
    if not 0 <= keep_hours <= LONGEST_KEEP_HOURS:
        raise PlatformError(
            "WEBHOOK_KEEP_WRONG",
            worded("Keep the old secret for 0 to %(longest_keep_hours)s hours.", longest_keep_hours=LONGEST_KEEP_HOURS),
        )
    keep = timedelta(hours=keep_hours)
    with transaction.atomic():
        secrets_lock(endpoint)
        try:
            text = secret_set(endpoint=endpoint, text=secret, now=timezone.now(), keep_old=keep)
        except SealedError:  # the old one is lost anyway: another ENCRYPTION_KEY
            text = secret_set(endpoint=endpoint, text=secret, now=timezone.now())
        endpoint.paused_until = None
        endpoint.save(update_fields=["secret", "old_secret", "old_secret_until", "paused_until"])
    return text


# --- Messages ------------------------------------------------------------------------------------------
def endpoint_test(*, endpoint: WebhookEndpoint) -> WebhookAttempt:
    """Send a signed test message now, also where the endpoint is off; what was answered. Never tried again."""
    now = timezone.now()
    try:
        receiver = receiver_of(endpoint, now=now)
    except SealedError:
        raise ConflictError(
            "WEBHOOK_SECRET_SEALED", "Its secret does not open with this ENCRYPTION_KEY: make a new secret."
        ) from None
    told = {"endpoint": endpoint.name, "text": "This is a test of your webhook."}
    message = WebhookMessage.objects.create(
        endpoint=endpoint,
        kind=WebhookMessage.TEST,
        body=outbox.body_text(WebhookMessage.TEST, now, told),
        status=WebhookMessage.Status.FAILED,
        error="The test was cut off.",
    )
    letter = message.webhook_id, message.body.encode()
    timeout = settings.WEBHOOK_TIMEOUT_SECONDS
    outcome = letters_send(receiver, [letter], allowed=endpoints_allowed(), timeout=timeout)[0]
    return outbox.message_note(message=message, outcome=outcome, again=False)


def message_replay(*, message: WebhookMessage) -> WebhookMessage:
    """Send a message again, with the same id, as soon as a worker is free. Raises PlatformError."""
    _require_on(message.endpoint)
    if message.kind == WebhookMessage.TEST:
        raise ConflictError("WEBHOOK_IS_TEST", "A test is not sent again: send a new one.")
    _replay([message.pk], timezone.now())
    message.refresh_from_db()
    return message


def failed_replay(*, endpoint: WebhookEndpoint, since: datetime) -> int:
    """Send again what was given up since then, oldest first, at most 1,000; how many. Raises PlatformError."""
    _require_on(endpoint)
    failed = endpoint.messages.filter(status=WebhookMessage.Status.FAILED, created_at__gte=since)
    chosen = failed.exclude(kind=WebhookMessage.TEST).order_by("id").values_list("id", flat=True)
    return _replay(list(chosen[:MOST_SENT_AGAIN]), timezone.now())


def _require_on(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise ConflictError("WEBHOOK_IS_OFF", "The endpoint is off: switch it on first.")


def _replay(ids: Sequence[int], now: datetime) -> int:
    with transaction.atomic():
        rows = list(WebhookMessage.objects.select_for_update().filter(pk__in=ids).order_by("id"))
        for row in rows:
            row.status, row.next_attempt_at = WebhookMessage.Status.PENDING, now
            row.attempts_before = row.attempts
        WebhookMessage.objects.bulk_update(rows, ["status", "next_attempt_at", "attempts_before"], batch_size=500)
    return len(rows)
