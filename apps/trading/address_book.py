"""The addresses that real wallets may send to. A new one has to be typed twice and waits before it can be used.

Who has taken over a session cannot empty a wallet at once: the waiting time is there to notice and remove the address.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop as _
from solders.pubkey import Pubkey

from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.trading.models import SavedAddress

logger = logging.getLogger(__name__)
CONFIRMED_DIGITS = 6


def address_add(*, name: str, address: str, typed: str, added_by: str, now: datetime, note: str = "") -> SavedAddress:
    """Save an address; it may be used after ADDRESS_WAIT_HOURS. `typed` repeats its last six characters.

    Raises ADDRESS_INVALID, CONFIRMATION_WRONG, ADDRESS_TAKEN.
    """
    _require_address(address)
    if typed.strip() != address[-CONFIRMED_DIGITS:]:
        message = worded(
            "Confirm the address: type its last %(confirmed_digits)s characters.", confirmed_digits=CONFIRMED_DIGITS
        )
        raise PlatformError("CONFIRMATION_WRONG", message)
    usable_at = now + timedelta(hours=settings.ADDRESS_WAIT_HOURS)
    row = SavedAddress(name=name, address=address, note=note, added_by=added_by, added_at=now, usable_at=usable_at)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise ConflictError("ADDRESS_TAKEN", "This name or address is in the address book already.") from error
    logger.warning("address %s (%s) saved by %s, usable from %s", address, name, added_by, usable_at)
    return row


def _require_address(address: str) -> None:
    try:
        key = Pubkey.from_string(address)
    except ValueError as error:
        raise PlatformError("ADDRESS_INVALID", "This is no Solana address: check it.", address=address) from error
    if not key.is_on_curve():
        message = _("This address belongs to a program, nobody holds its key: SOL sent there may be lost.")
        raise PlatformError("ADDRESS_INVALID", message, address=address)


def address_find(name: str) -> SavedAddress:
    """The saved address called `name`. Raises ADDRESS_NOT_FOUND."""
    row = SavedAddress.objects.filter(name=name, removed_at=None).first()
    if row is None:
        message = worded("There is no saved address called %(name)s: save it in the address book first.", name=name)
        raise NotFoundError("ADDRESS_NOT_FOUND", message, name=name)
    return row


def address_usable(*, name: str, now: datetime) -> SavedAddress:
    """The same, if it may be sent to already. Raises ADDRESS_WAITING."""
    row = address_find(name)
    if row.usable_at > now:
        message = _("The address is new: wait until it may be used.")
        raise ConflictError("ADDRESS_WAITING", message, usable_at=row.usable_at.isoformat())
    return row


def address_remove(*, name: str, removed_by: str, now: datetime) -> SavedAddress:
    """Remove an address; saved again, it waits again."""
    row = address_find(name)
    row.removed_at, row.removed_by = now, removed_by
    row.save(update_fields=["removed_at", "removed_by"])
    logger.warning("address %s (%s) removed by %s", row.address, name, removed_by)
    return row
