"""Setting limits: of a wallet's kind together, the block-list, and beginning anew after losses.

Limits of all wallets of a kind are changed under the lock that the gate takes: orders being made come first.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.core import live
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.trading import gate_queries, queries
from apps.trading.models import Blocked, RiskLimits, Wallet

MOST = {"bps": 10_000, "lamports": 10**18, "seconds": 10**9, "positions": 100_000, "losses": 1_000_000}
SHARED = frozenset(
    {
        "max_exposure_lamports",
        "max_reserves_bps",
        "max_drawdown_bps",
        "cooldown_losses",
        "cooldown_seconds",
        "max_coin_loss_lamports",
        "max_creator_loss_lamports",
    }
)
OF_WALLETS = SHARED | {"max_trade_lamports", "max_day_lamports", "max_total_lamports"}
OF_ALL = SHARED | {
    "trading_enabled",
    "transfer_enabled",
    "max_position_lamports",
    "max_open_positions",
    "max_daily_loss_bps",
    "max_consecutive_losses",
}


def require_limits(changes: dict[str, Any]) -> None:
    """Raises LIMIT_OUT_OF_RANGE, naming the limit."""
    for name, value in changes.items():
        most = MOST.get(name.rpartition("_")[2])
        if most is None or not name.startswith(("max_", "cooldown_")):
            continue
        if not isinstance(value, int) or not 0 <= value <= most:
            message = worded("%(name)s must be a whole number from 0 (no limit) to %(most)s.", name=name, most=most)
            raise PlatformError("LIMIT_OUT_OF_RANGE", message, field=name)


def require_kind(kind: str) -> str:
    """TEST or REAL. Raises WALLET_KIND_UNKNOWN."""
    if kind.upper() not in Wallet.Type.values:
        raise NotFoundError("WALLET_KIND_UNKNOWN", "There are two kinds of wallets: TEST and REAL.", kind=kind)
    return kind.upper()


@transaction.atomic
def limits_update(*, kind: str, **changes: Any) -> RiskLimits:
    """Change the limits of all wallets of a kind.

    Raises WALLET_KIND_UNKNOWN, FIELD_NOT_CHANGEABLE, LIMIT_OUT_OF_RANGE.
    """
    kind = require_kind(kind)
    if unknown := sorted(set(changes) - OF_ALL):
        raise PlatformError("FIELD_NOT_CHANGEABLE", "These fields cannot be changed here.", fields=unknown)
    require_limits(changes)
    row = gate_queries.limits_locked(kind)
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(update_fields=[*changes, "changed_at"])
    _changed()
    return row


@transaction.atomic
def limits_reset(*, kind: str) -> RiskLimits:
    """Forget the losing streak, cool-down and peak of all wallets of a kind together."""
    row = gate_queries.limits_locked(require_kind(kind))
    row.peak_equity_lamports, row.losses_from = None, queries.feed_at() or timezone.now()
    row.save(update_fields=["peak_equity_lamports", "losses_from", "changed_at"])
    _changed()
    return row


@transaction.atomic
def wallet_reset(*, alias: str) -> Wallet:
    """Forget the losing streak, cool-down and peak of a wallet. Raises WALLET_NOT_FOUND."""
    wallet = Wallet.objects.select_for_update().filter(alias=alias).first()
    if wallet is None:
        raise NotFoundError(
            "WALLET_NOT_FOUND", worded("There is no wallet called %(alias)s.", alias=alias), alias=alias
        )
    wallet.consecutive_losses, wallet.cooldown_until, wallet.peak_equity_lamports = 0, None, None
    wallet.save(update_fields=["consecutive_losses", "cooldown_until", "peak_equity_lamports"])
    _changed()
    return wallet


def capital_moved(wallet: Wallet, lamports: int) -> None:
    """Money that comes or goes is no gain and no loss: the peaks move with it. The wallet is locked and not saved."""
    if wallet.peak_equity_lamports is not None:
        wallet.peak_equity_lamports = max(0, wallet.peak_equity_lamports + lamports)
    together = RiskLimits.objects.filter(pk=wallet.wallet_type, peak_equity_lamports__isnull=False)
    together.update(peak_equity_lamports=F("peak_equity_lamports") + lamports)


def blocked_add(*, kind: str, address: str, reason: str = "") -> Blocked:
    """Never buy this coin, or this creator's coins. Raises BLOCK_KIND_UNKNOWN, ADDRESS_MISSING, BLOCKED_ALREADY."""
    kind, address = kind.upper(), address.strip().replace("\0", "")
    if kind not in Blocked.Kind.values:
        raise PlatformError("BLOCK_KIND_UNKNOWN", "Choose MINT or CREATOR.", kind=kind)
    if not 1 <= len(address) <= 64:
        raise PlatformError("ADDRESS_MISSING", "Give the address of a coin or of a creator.")
    try:
        with transaction.atomic():
            row = Blocked.objects.create(kind=kind, address=address, reason=reason[:200])
    except IntegrityError as error:
        raise ConflictError("BLOCKED_ALREADY", "This address is on the block-list already.", address=address) from error
    _changed()
    return row


def blocked_remove(*, blocked_id: int) -> None:
    """Take something off the block-list. Raises BLOCKED_NOT_FOUND."""
    if not Blocked.objects.filter(pk=blocked_id).delete()[0]:
        raise NotFoundError("BLOCKED_NOT_FOUND", "This is not on the block-list.", id=blocked_id)
    _changed()


def _changed() -> None:
    transaction.on_commit(lambda: live.publish("trading"))
