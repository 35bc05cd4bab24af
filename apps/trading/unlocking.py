"""Unlocking real money, wallet by wallet: a setting, the caps, a fresh code of the second factor, a typed sentence.

An unlocking names the caps that were confirmed. It ends by the hour, by hand in one click, or when a cap is raised. The
gate asks for it inside the transaction of the order, under the wallet's lock; locking takes the same lock, so it waits
for an order that is being made, and the next one obeys.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from apps.core import live
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.core.tokens import scopes_of_user
from apps.trading import identity
from apps.trading.models import Position, RealUnlock, Wallet
from apps.trading.risk import DenyCode

logger = logging.getLogger(__name__)

CAPS = ("max_trade_lamports", "max_day_lamports", "max_total_lamports")
TRANSFER_LIMITS = ("max_transfer_lamports", "max_transfer_day_lamports")


def caps_of(wallet: Wallet) -> dict[str, int]:
    """The caps and transfer limits of a wallet as they stand, lamports by name; 0 is not set."""
    return {name: getattr(wallet, name) for name in CAPS + TRANSFER_LIMITS}


def caps_text(wallet: Wallet) -> str:
    """The same as one short text: what a page shows, and is asked for again, to know that nothing moved meanwhile."""
    return ",".join(str(cap) for cap in caps_of(wallet).values())


def phrase_of(alias: str) -> str:
    """What has to be typed to unlock a wallet."""
    return f"trade real money with {alias}"


# --- What the gate asks --------------------------------------------------------------------------------
def may_buy(wallet: Wallet) -> bool:
    """Whether a locked wallet may enter positions and send money: a test wallet, or a real one that is unlocked now."""
    return wallet.is_test or unlock_of(wallet) is not None


def may_sell(wallet: Wallet) -> bool:
    """Whether positions may be left: locking a wallet keeps its exits, only the setting stops everything real."""
    return wallet.is_test or bool(settings.REAL_TRADING)


def unlock_of(wallet: Wallet, now: datetime | None = None) -> RealUnlock | None:
    """The unlocking of a real wallet that counts: not ended, not expired, no cap above what was confirmed."""
    if not settings.REAL_TRADING:
        return None
    found = RealUnlock.objects.filter(wallet=wallet, ended_at=None, expires_at__gt=now or timezone.now()).first()
    return found if found is not None and _caps_kept(found, wallet) else None


def _caps_kept(unlock: RealUnlock, wallet: Wallet) -> bool:
    """Taking a cap away (0) raises it; a transfer limit of 0 lets nothing through."""
    return all(
        cap <= unlock.caps.get(name, 0) and (cap > 0 or name in TRANSFER_LIMITS)
        for name, cap in caps_of(wallet).items()
    )


def unlocks_live(now: datetime) -> list[RealUnlock]:
    """What is unlocked now, by alias."""
    if not settings.REAL_TRADING:
        return []
    rows = RealUnlock.objects.filter(ended_at=None, expires_at__gt=now).select_related("wallet")
    return [row for row in rows.order_by("wallet__alias") if _caps_kept(row, row.wallet)]


# --- Unlocking and locking -----------------------------------------------------------------------------
def wallet_unlock(*, alias: str, user: Any, code: str, phrase: str, caps: str, now: datetime) -> RealUnlock:
    """Let a real wallet trade for REAL_UNLOCK_HOURS, with the `caps` (`caps_text`) that the person has seen.

    Raises REAL_TRADING_OFF, SCOPE_MISSING, WALLET_NOT_FOUND, WALLET_NOT_REAL, CAPS_MISSING, CAPS_CHANGED, PHRASE_WRONG,
    SECOND_FACTOR_MISSING, SECOND_FACTOR_WRONG, TOO_MANY_ATTEMPTS.
    """
    _require_allowed(user)
    with transaction.atomic():
        _require_caps(_real_wallet_locked(alias), caps)
    if " ".join(phrase.split()) != phrase_of(alias):
        raise PlatformError("PHRASE_WRONG", worded("Type exactly: %(alias)s.", alias=phrase_of(alias)))
    identity.second_factor_require(user, code, now)
    with transaction.atomic():
        wallet = _real_wallet_locked(alias)
        _require_caps(wallet, caps)
        _end(RealUnlock.objects.filter(wallet=wallet, ended_at=None), user.get_username(), now)
        row = RealUnlock.objects.create(
            wallet=wallet,
            user=user,
            username=user.get_username(),
            caps=caps_of(wallet),
            unlocked_at=now,
            expires_at=now + timedelta(hours=settings.REAL_UNLOCK_HOURS),
        )
        waiting = Position.objects.filter(wallet=wallet, blocked_code=DenyCode.REAL_TRADING_LOCKED)
        waiting.update(blocked_code="")  # what could not be left while real trading was off is judged again
    logger.warning("real trading of wallet %s unlocked by %s until %s", alias, row.username, row.expires_at)
    _told()
    return row


def wallets_lock(*, username: str, now: datetime, alias: str | None = None) -> list[str]:
    """Lock one real wallet, or all; the aliases that were unlocked. Orders being made at this moment come first."""
    with transaction.atomic():
        wallets = Wallet.objects.filter(unlocks__ended_at=None, unlocks__isnull=False).distinct()
        if alias is not None:
            wallets = wallets.filter(alias=alias)
        locked = Wallet.objects.select_for_update().filter(pk__in=wallets.values("pk")).order_by("pk")
        found = {wallet.pk: wallet.alias for wallet in locked}
        _end(RealUnlock.objects.filter(wallet__in=found, ended_at=None), username, now)
    if found:
        logger.warning("real trading of %s locked by %s", ", ".join(sorted(found.values())), username)
    _told()
    return sorted(found.values())


def _end(unlocks: Any, username: str, now: datetime) -> None:
    unlocks.update(ended_at=now, ended_by=username)


def _told() -> None:
    for topic in ("trading", "dashboard"):
        live.publish(topic)


def _require_allowed(user: Any) -> None:
    if not settings.REAL_TRADING:
        message = _("Real trading is off: set REAL_TRADING=true in .env and restart.")
        raise ConflictError("REAL_TRADING_OFF", message)
    if "admin" not in scopes_of_user(user):
        raise PlatformError("SCOPE_MISSING", "Only staff may unlock real trading.", status=403)


def _real_wallet_locked(alias: str) -> Wallet:
    wallet = Wallet.objects.select_for_update().filter(alias=alias).first()
    if wallet is None:
        raise NotFoundError(
            "WALLET_NOT_FOUND", worded("There is no wallet called %(alias)s.", alias=alias), alias=alias
        )
    if wallet.is_test:
        raise ConflictError("WALLET_NOT_REAL", "This is a test wallet: it needs no unlocking.", alias=alias)
    return wallet


def _require_caps(wallet: Wallet, seen: str) -> None:
    if missing := [name for name in CAPS if getattr(wallet, name) <= 0]:
        message = worded("Set these caps of the wallet above 0 first: %(missing)s.", missing=", ".join(missing))
        raise ConflictError("CAPS_MISSING", message, caps=missing)
    if seen != caps_text(wallet):
        raise ConflictError("CAPS_CHANGED", "The caps have changed since you saw them: look at them again.")
