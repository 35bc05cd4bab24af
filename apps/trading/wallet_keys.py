"""Keys of real wallets: made or imported here, sealed in the database, opened to sign and to be shown once.

Nothing else opens a key. It never leaves here but as a signature, or as the text that `key_show` returns to the person
who has just given password and second factor again. What is done with a key is noted (`KeyEvent`), never the key.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _
from django.views.decorators.debug import sensitive_variables

from apps.core import live, sealing
from apps.core.envelope import SealedError
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.core.tokens import scopes_of_user
from apps.trading import identity, keys
from apps.trading.models import KeyEvent, Wallet

logger = logging.getLogger(__name__)
Kind = KeyEvent.Kind


# --- Making and importing ------------------------------------------------------------------------------
@sensitive_variables("key")
def wallet_create_real(*, alias: str, user: Any, now: datetime) -> Wallet:
    """A new real wallet whose key is made here; trading and transfers are off. Raises ALIAS_TAKEN, SCOPE_MISSING."""
    _require_admin(user)
    key = keys.key_new()
    return _wallet_make(alias, key, Kind.CREATED, user, now)


@sensitive_variables("text", "key")
def wallet_import(*, alias: str, text: str, address: str, user: Any, now: datetime) -> Wallet:
    """A real wallet with a key that exists; trading and transfers are off.

    `text` is base58 or a JSON array; `address` is what the wallet should be called on the chain and must be that of the
    key. Raises KEY_WRONG, ADDRESS_OTHER, ADDRESS_TAKEN, ALIAS_TAKEN, SCOPE_MISSING; none quotes the key.
    """
    _require_admin(user)
    try:
        key = keys.key_of_text(text)
    except keys.KeyTextError as error:
        raise PlatformError("KEY_WRONG", str(error)) from None
    if keys.address_of(key) != address.strip():
        message = _("This key belongs to another address: check which wallet you have exported.")
        raise PlatformError("ADDRESS_OTHER", message)
    return _wallet_make(alias, key, Kind.IMPORTED, user, now)


@sensitive_variables("key")
def _wallet_make(alias: str, key: bytes, kind: str, user: Any, now: datetime) -> Wallet:
    wallet = Wallet(alias=alias, address=keys.address_of(key), wallet_type=Wallet.Type.REAL, trading_enabled=False)
    try:
        with transaction.atomic():
            wallet.save(force_insert=True)
            wallet.encrypted_key = sealing.seal(key, bound=_bound(wallet))
            wallet.save(update_fields=["encrypted_key"])
            event_note(wallet, kind, user, now)
    except IntegrityError as error:
        if "wallet_address_once" in str(error):
            raise ConflictError("ADDRESS_TAKEN", "There is a wallet with this key already.") from None
        raise ConflictError(
            "ALIAS_TAKEN", worded("There is a wallet called %(alias)s already.", alias=alias), alias=alias
        ) from None
    logger.warning("real wallet %s (%s): key %s by %s", alias, wallet.address, kind.lower(), user.get_username())
    live.publish("trading")
    return wallet


# --- Using ---------------------------------------------------------------------------------------------
@sensitive_variables("key")
def sign(wallet: Wallet, message: bytes) -> bytes:
    """The wallet's signature (64 bytes) of a message. Raises KEY_MISSING, KEY_SEALED."""
    key = _opened(wallet)
    return keys.signature_of(key, message)


@sensitive_variables("key")
def _opened(wallet: Wallet) -> bytes:
    stored = Wallet.objects.values_list("encrypted_key", flat=True).get(pk=wallet.pk)
    if stored is None:
        raise ConflictError("KEY_MISSING", "This wallet has no key: it cannot sign.", alias=wallet.alias)
    try:
        key = sealing.unseal(bytes(stored), bound=_bound(wallet))
    except SealedError:
        message = _("The key does not open: is ENCRYPTION_KEY the one that it was sealed with?")
        raise ConflictError("KEY_SEALED", message, alias=wallet.alias) from None
    if keys.address_of(key) != wallet.address:
        raise ConflictError("KEY_SEALED", "The key does not belong to the wallet's address.", alias=wallet.alias)
    return key


def _bound(wallet: Wallet) -> bytes:
    return keys.binding(wallet.pk, wallet.address)


# --- Showing -------------------------------------------------------------------------------------------
@sensitive_variables("password", "code", "key")
def key_show(*, alias: str, user: Any, password: str, code: str, now: datetime) -> str:
    """The key as base58, for the person who has just given the password again, and the second factor where one is set.

    Every try is noted. Raises SCOPE_MISSING, WALLET_NOT_FOUND, WALLET_NOT_REAL, PASSWORD_WRONG, SECOND_FACTOR_WRONG,
    TOO_MANY_ATTEMPTS, KEY_MISSING, KEY_SEALED.
    """
    _require_admin(user)
    wallet = Wallet.objects.filter(alias=alias).first()
    if wallet is None:
        raise NotFoundError(
            "WALLET_NOT_FOUND", worded("There is no wallet called %(alias)s.", alias=alias), alias=alias
        )
    if wallet.is_test:
        raise ConflictError("WALLET_NOT_REAL", "This is a test wallet: it has no key.", alias=alias)
    try:
        identity.identity_require(user, password, code, now)
        key = _opened(wallet)
    except PlatformError as error:
        event_note(wallet, Kind.REFUSED, user, now, why=error.code)
        logger.warning("the key of %s was not shown to %s: %s", alias, user.get_username(), error.code)
        raise
    event_note(wallet, Kind.SHOWN, user, now)
    logger.warning("the key of %s was shown to %s", alias, user.get_username())
    return keys.key_text(key)


def key_events(wallet: Wallet, most: int = 20) -> list[KeyEvent]:
    """What was done with a wallet's key, newest first."""
    return list(KeyEvent.objects.filter(wallet=wallet).order_by("-at", "-id")[:most])


def event_note(wallet: Wallet, kind: str, user: Any, now: datetime, why: str = "") -> None:
    """Write down what was done with a key; `user` None: a command."""
    username = user.get_username() if user is not None else ""
    KeyEvent.objects.create(wallet=wallet, kind=kind, user=user, username=username, why=why, at=now)


def _require_admin(user: Any) -> None:
    if "admin" not in scopes_of_user(user):
        raise PlatformError("SCOPE_MISSING", "Only staff may do anything with keys.", status=403)


# --- Another key-encryption key ------------------------------------------------------------------------
def wallet_rewrap(wallet_id: int) -> bool:
    """Seal a wallet's key under ENCRYPTION_KEY, where it is still under ENCRYPTION_KEY_OLD; whether it was.

    One transaction: killed on any line, it is under one of the two. Raises SealedError where neither opens it.
    """
    with transaction.atomic():
        wallet = Wallet.objects.select_for_update().get(pk=wallet_id)
        if wallet.encrypted_key is None:
            return False
        fresh = sealing.rewrap(bytes(wallet.encrypted_key), bound=_bound(wallet))
        if fresh is None:
            return False
        wallet.encrypted_key = fresh
        wallet.save(update_fields=["encrypted_key"])
        event_note(wallet, Kind.ROTATED, None, timezone.now())
        return True
