"""Secrets at rest under the keys of the settings: sealed with ENCRYPTION_KEY, opened with it or ENCRYPTION_KEY_OLD.

So every process opens everything while `manage.py rotate_keys` changes the key, row by row.
"""

from __future__ import annotations

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from apps.core import envelope
from apps.core.envelope import SealedError


@sensitive_variables()
def seal(secret: bytes, *, bound: bytes) -> bytes:
    """The stored form of a secret, under the key of now."""
    return envelope.seal(secret, bound=bound, master=envelope.master_key(settings.ENCRYPTION_KEY))


@sensitive_variables()
def unseal(stored: bytes, *, bound: bytes) -> bytes:
    """The secret. Raises SealedError where neither key opens it."""
    return envelope.unseal(rewrap(stored, bound=bound) or stored, bound=bound, master=_master())


@sensitive_variables()
def rewrap(stored: bytes, *, bound: bytes) -> bytes | None:
    """The same secret under the key of now; None where it is already. It stays sealed. Raises SealedError."""
    master = _master()
    try:
        envelope.rewrap(stored, bound=bound, master=master, new_master=master)
        return None
    except SealedError:
        if not settings.ENCRYPTION_KEY_OLD:
            raise
    old = envelope.master_key(settings.ENCRYPTION_KEY_OLD)
    return envelope.rewrap(stored, bound=bound, master=old, new_master=master)


def _master() -> bytes:
    return envelope.master_key(settings.ENCRYPTION_KEY)
