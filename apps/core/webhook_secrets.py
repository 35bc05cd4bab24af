"""The secrets of an endpoint: the one that signs, the one before it for a while, and the value of its own header.

They are sealed (`envelope`) for this endpoint and this use; what is opened here goes to the sender and nowhere else.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta

from django.db import transaction

from apps.core import sealing, signatures
from apps.core.envelope import SealedError
from apps.core.errors import NotFoundError, PlatformError
from apps.core.models import WebhookEndpoint
from apps.core.sender import Receiver

__all__ = ["SealedError", "header_set", "receiver_of", "secret_set", "secrets_lock"]

KEY_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = re.compile(r"(?i)host|content-.*|transfer-.*|connection|webhook-.*|accept-encoding|te|trailer|upgrade")


def secret_set(*, endpoint: WebhookEndpoint, text: str, now: datetime, keep_old: timedelta = timedelta(0)) -> str:
    """Sign with this secret (or a new one) from now on, for a while with the one before too; the secret as text.

    The caller saves. Raises PlatformError WEBHOOK_SECRET_WRONG, never quoting the text.
    """
    try:
        key = signatures.secret_key(text) if text else os.urandom(KEY_BYTES)
    except ValueError as error:
        raise PlatformError("WEBHOOK_SECRET_WRONG", str(error)) from None
    stays = endpoint.secret is not None and keep_old > timedelta(0)
    if stays:  # sealed for its own place: an old one is opened where it is put
        endpoint.old_secret = _sealed(endpoint, "old_secret", _opened(endpoint, "secret"))
    endpoint.old_secret_until = now + keep_old if stays else None
    if not stays:
        endpoint.old_secret = None
    endpoint.secret = _sealed(endpoint, "secret", key)
    return signatures.secret_text(key)


def header_set(*, endpoint: WebhookEndpoint, name: str, value: str) -> None:
    """Send this header with every message; an empty name ends that. The caller saves. Raises PlatformError."""
    name, value = name.strip(), value.strip()
    if not name:
        endpoint.header_name, endpoint.header_value = "", None
        return
    if not _TOKEN.fullmatch(name) or _OURS.fullmatch(name):
        raise PlatformError("WEBHOOK_HEADER_WRONG", "Name a header such as Authorization or X-Api-Key.")
    if not value or len(value) > 1_000 or not (value.isascii() and value.isprintable()):
        raise PlatformError("WEBHOOK_HEADER_WRONG", "The header's value is 1 to 1,000 printable ASCII characters.")
    endpoint.header_name, endpoint.header_value = name, _sealed(endpoint, "header_value", value.encode("ascii"))


def receiver_of(endpoint: WebhookEndpoint, *, now: datetime) -> Receiver:
    """What the sender needs; an endpoint without a secret gets one (and is saved). Raises SealedError."""
    if endpoint.secret is None:
        with transaction.atomic():
            secrets_lock(endpoint)
            if endpoint.secret is None:
                secret_set(endpoint=endpoint, text="", now=now)
                endpoint.save(update_fields=["secret"])
    keys = [_opened(endpoint, "secret")]
    if endpoint.old_secret is not None and endpoint.old_secret_until and now < endpoint.old_secret_until:
        keys.append(_opened(endpoint, "old_secret"))
    header = None
    if endpoint.header_name and endpoint.header_value is not None:
        header = endpoint.header_name, _opened(endpoint, "header_value").decode("ascii")
    return Receiver(endpoint.url, tuple(keys), header)


def secrets_lock(endpoint: WebhookEndpoint) -> None:
    """Read the secrets again and keep others from changing them until the end of the transaction: two new secrets at
    once are one after the other. Raises NotFoundError where the endpoint is gone."""
    rows = WebhookEndpoint.objects.select_for_update(no_key=True)
    try:
        endpoint.refresh_from_db(fields=["secret", "old_secret", "old_secret_until"], from_queryset=rows)
    except WebhookEndpoint.DoesNotExist:
        raise NotFoundError("WEBHOOK_NOT_FOUND", "This endpoint was deleted meanwhile.") from None


def _bound(endpoint: WebhookEndpoint, place: str) -> bytes:
    return f"pump-platform|webhook|{endpoint.uid.hex}|{place}".encode()


def _sealed(endpoint: WebhookEndpoint, place: str, secret: bytes) -> bytes:
    return sealing.seal(secret, bound=_bound(endpoint, place))


def secrets_rewrap(endpoint: WebhookEndpoint) -> bool:
    """Seal what an endpoint keeps under the key of now, where it is not yet; whether anything was. The caller saves.

    Raises SealedError for a secret that opens with neither key.
    """
    changed = False
    for place in ("secret", "old_secret", "header_value"):
        stored = getattr(endpoint, place)
        fresh = None if stored is None else sealing.rewrap(bytes(stored), bound=_bound(endpoint, place))
        if fresh is not None:
            setattr(endpoint, place, fresh)
            changed = True
    return changed


def _opened(endpoint: WebhookEndpoint, place: str) -> bytes:
    stored = bytes(getattr(endpoint, place))
    return sealing.unseal(stored, bound=_bound(endpoint, place))
