"""Every sealed secret of the platform under another key-encryption key, row by row, as often as wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.db import transaction

from apps.core.envelope import SealedError
from apps.core.models import WebhookEndpoint
from apps.core.webhook_secrets import secrets_rewrap
from apps.trading.models import Wallet
from apps.trading.wallet_keys import wallet_rewrap


@dataclass
class Rotation:
    """What a run has done; `failed` names what opens with neither key."""

    changed: int = 0
    already: int = 0
    failed: list[str] = field(default_factory=list)


def keys_rotate(say: Callable[[str], None] = lambda line: None) -> Rotation:
    """Seal everything that ENCRYPTION_KEY_OLD opens under ENCRYPTION_KEY; what is there already is left alone.

    Each row is a transaction of its own: killed anywhere, the next run goes on. Processes that know both keys open
    everything at any moment of it.
    """
    done = Rotation()
    for name, rewrap in _sealed():
        try:
            changed = rewrap()
        except SealedError:
            done.failed.append(name)
            say(f"{name}: opens with neither key")
            continue
        done.changed += changed
        done.already += not changed
        say(f"{name}: {'sealed anew' if changed else 'done already'}")
    return done


def _sealed() -> Iterator[tuple[str, Callable[[], bool]]]:
    """Everything sealed, by name, with what seals it anew."""
    wallets = Wallet.objects.filter(encrypted_key__isnull=False).order_by("pk")
    for pk, alias in list(wallets.values_list("pk", "alias")):
        yield f"wallet {alias}", lambda pk=pk: wallet_rewrap(pk)  # type: ignore[misc]
    for pk in list(WebhookEndpoint.objects.order_by("pk").values_list("pk", flat=True)):
        yield f"webhook endpoint {pk}", lambda pk=pk: _endpoint_rewrap(pk)  # type: ignore[misc]


@transaction.atomic
def _endpoint_rewrap(pk: int) -> bool:
    endpoint = WebhookEndpoint.objects.select_for_update().get(pk=pk)
    changed = secrets_rewrap(endpoint)
    if changed:
        endpoint.save(update_fields=["secret", "old_secret", "header_value"])
    return changed
