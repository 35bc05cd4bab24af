"""The account that PumpPortal's fee goes to. No public document names it: it is set, or the first real order's counts.

A buy whose transaction pays another account is not sent. A sale is: being stuck with a position is the greater danger,
and a transaction never pays more than a percent of the trade (`venues.checks`); it is logged as an error.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.conf import settings

from apps.trading.models import Order, VenueFeeAccount

logger = logging.getLogger(__name__)
OTHER = "VENUE_FEE_ACCOUNT_OTHER"


def known() -> list[str]:
    """The accounts that may take the fee: those of the setting, else the noted one; empty: none is known yet."""
    if settings.PUMPPORTAL_FEE_ACCOUNTS:
        return list(settings.PUMPPORTAL_FEE_ACCOUNTS)
    return list(VenueFeeAccount.objects.values_list("address", flat=True))


def refused(order: Order, address: str, now: datetime) -> tuple[str, str] | None:
    """Code and reason why a signed order must not be sent, in the transaction that notes its signature.

    The first account ever is noted, unless the setting names some. Empty: the transaction pays no such fee.
    """
    if not address:
        return None
    if not settings.PUMPPORTAL_FEE_ACCOUNTS:
        fresh = {"address": address, "order_id": order.pk, "noted_at": now}
        _, is_new = VenueFeeAccount.objects.get_or_create(id=1, defaults=fresh)
        if is_new:
            logger.warning("PumpPortal's fee account is %s from order %s on: compare it", address, order.pk)
    accounts = known()
    if address in accounts:
        return None
    logger.error("order %s: PumpPortal's fee would go to %s instead of %s", order.pk, address, ", ".join(accounts))
    if order.side == "sell":
        return None
    message = f"PumpPortal's fee would go to {address}: if that is right, name it in PUMPPORTAL_FEE_ACCOUNTS"
    return OTHER, message
