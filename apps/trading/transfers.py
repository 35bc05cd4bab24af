"""Moving SOL between wallets, and from real ones to addresses of the address book: an amount or all that can go.

Between test wallets it is done at once. From a real wallet it is written SUBMITTED with its amount already taken from
the balance, and `sending` carries it out. Everything is decided under the wallet's lock.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from apps.core.errors import ConflictError, PlatformError
from apps.core.units import sol_to_lamports
from apps.trading import gate_queries, queries, unlocking
from apps.trading.address_book import address_usable
from apps.trading.bookings import transfer_book
from apps.trading.denials import DENIALS
from apps.trading.models import SavedAddress, TradingState, TransferLog, Wallet
from apps.trading.orders import wallet_locked
from apps.trading.preview import nothing_written
from apps.trading.risk import DenyCode
from apps.trading.services import cash_move, changed, feed_now, require_amount, wallet_get

FEE_LAMPORTS = 5_000  # one signature
DAY = timedelta(hours=24)
Status = TransferLog.Status


@transaction.atomic
def transfer(
    *,
    from_alias: str,
    to_alias: str | None = None,
    to_saved: str | None = None,
    lamports: int | None = None,
    requested_by: str = "",
    idempotency_key: str | None = None,
) -> TransferLog:
    """Send SOL to a wallet of the same kind or (real ones) to a saved address; without an amount everything (a sweep).

    The safety buffer stays where positions are open, for the fees of their exits. The same `idempotency_key`
    gives the same transfer again. Raises PlatformError with the code of the refusal.
    """
    giver, taker = _ends_locked(from_alias, to_alias)
    if idempotency_key and (made := _made_before(from_alias, idempotency_key)):  # asked under the lock
        return _same(made, to_alias, to_saved, lamports)
    _require_allowed(giver)
    saved = address_usable(name=to_saved or "", now=timezone.now()) if taker is None else None
    fee = _fee(giver)
    amount = _amount(giver, lamports, fee)
    _require_within_limits(giver, amount)
    row = _row(giver, taker, saved, amount, fee, requested_by, idempotency_key, is_sweep=lamports is None)
    cash_move(giver, -amount - fee)
    transfer_book(giver, row, amount, fee)
    if row.status == Status.SUCCESS and taker is not None:
        cash_move(taker, amount)
        transfer_book(taker, row, -amount)
    changed()
    return row


def transfer_preview(**wish: Any) -> TransferLog:
    """The transfer that `transfer` would write now, undone again. Raises what it raises."""
    with nothing_written():
        return transfer(**{**wish, "idempotency_key": None})


def _key(alias: str, key: str) -> str:
    return f"{alias}:{key}"[:150]


def _made_before(alias: str, key: str) -> TransferLog | None:
    return TransferLog.objects.select_related("wallet").filter(idempotency_key=_key(alias, key)).first()


def _same(made: TransferLog, to_alias: str | None, to_saved: str | None, lamports: int | None) -> TransferLog:
    """The transfer that a key named before, unless it was another one."""
    taker = made.to_wallet.alias if made.to_wallet else None
    saved = SavedAddress.objects.filter(name=to_saved or "", address=made.to_address).exists()
    is_other_amount = lamports is not None and lamports != made.lamports
    is_other_kind = made.is_sweep is not None and made.is_sweep is not (lamports is None)
    if taker != to_alias or (taker is None and not saved) or is_other_amount or is_other_kind:
        message = _("This idempotency key was used for another transfer: choose a new one.")
        raise ConflictError("IDEMPOTENCY_KEY_USED", message, transfer_id=made.pk)
    return made


def _ends_locked(from_alias: str, to_alias: str | None) -> tuple[Wallet, Wallet | None]:
    """Both wallets, locked in a fixed order; the second is None for an address outside."""
    giver = wallet_get(alias=from_alias)
    if to_alias is None:
        if giver.is_test:
            raise ConflictError("WALLETS_OF_TWO_KINDS", "Virtual SOL goes to test wallets only: choose one.")
        return wallet_locked(giver.pk), None
    taker = wallet_get(alias=to_alias)
    if giver.pk == taker.pk:
        raise PlatformError("SAME_WALLET", "Choose two different wallets.")
    if giver.is_test != taker.is_test:
        message = _("Virtual and real SOL cannot be exchanged: choose two wallets of the same kind.")
        raise ConflictError("WALLETS_OF_TWO_KINDS", message)
    locked = {pk: wallet_locked(pk) for pk in sorted([giver.pk, taker.pk])}
    return locked[giver.pk], locked[taker.pk]


def _require_allowed(giver: Wallet) -> None:
    if queries.trading_state_locked() == TradingState.State.HALTED:
        raise ConflictError("TRADING_HALTED", DENIALS[DenyCode.TRADING_HALTED])
    if not unlocking.may_buy(giver):
        raise ConflictError("REAL_TRADING_LOCKED", DENIALS[DenyCode.REAL_TRADING_LOCKED])
    if not giver.transfer_enabled or giver.status == Wallet.Status.FROZEN:
        raise ConflictError("TRANSFER_DISABLED", "Transfers are switched off for this wallet: switch them on.")
    if not gate_queries.limits_of(giver.wallet_type).transfer_enabled:
        message = _("Transfers are switched off for all wallets of this kind: switch them on.")
        raise ConflictError("GLOBAL_TRANSFER_DISABLED", message)


def _fee(giver: Wallet) -> int:
    """What a transfer costs: a signature, and of a real wallet the priority. Raises PRIORITY_FEE_ABOVE_CAP."""
    priority = 0 if giver.is_test else settings.TRANSFER_PRIORITY_FEE_LAMPORTS
    if not 0 <= priority <= settings.PRIORITY_FEE_CAP_LAMPORTS:
        message = _("TRANSFER_PRIORITY_FEE_LAMPORTS is below 0 or above PRIORITY_FEE_CAP_LAMPORTS: lower it.")
        raise ConflictError("PRIORITY_FEE_ABOVE_CAP", message, priority_fee_lamports=priority)
    return FEE_LAMPORTS + priority


def _amount(giver: Wallet, lamports: int | None, fee: int) -> int:
    """What goes: the amount asked for, or all that can go. Raises INSUFFICIENT_BALANCE, AMOUNT_OUT_OF_RANGE."""
    if lamports is not None:
        require_amount(lamports)
    most = giver.cash_lamports - fee - _kept(giver)
    amount = most if lamports is None else lamports
    if amount <= 0 or amount > most:
        message = _("The balance does not cover the amount, the network fee and what open positions need to be left.")
        raise ConflictError("INSUFFICIENT_BALANCE", message, balance_lamports=giver.cash_lamports, most_lamports=most)
    return amount


def _kept(giver: Wallet) -> int:
    """What stays for the fees of exits, where there is something to leave or about to be."""
    is_in = queries.positions_open(wallet=giver).exists() or queries.orders_in_flight(wallet=giver).exists()
    return sol_to_lamports(str(settings.SAFETY_BUFFER_SOL)) if is_in else 0


def _require_within_limits(giver: Wallet, amount: int) -> None:
    one, day = giver.max_transfer_lamports, giver.max_transfer_day_lamports
    if not giver.is_test and not (one and day):
        message = _("Set the wallet's limits for one transfer and for a day first: without them it sends nothing.")
        raise ConflictError("TRANSFER_LIMITS_MISSING", message)
    if one and amount > one:
        message = _("The amount exceeds the wallet's limit for one transfer: send less or raise it.")
        raise ConflictError("TRANSFER_LIMIT", message, limit_lamports=one)
    if day and (sent := sent_lamports(giver, _moment(giver))) + amount > day:
        message = _("The amount exceeds the wallet's limit for 24 hours: send less, wait or raise it.")
        raise ConflictError("TRANSFER_DAY_LIMIT", message, limit_lamports=day, sent_lamports=sent)


def _moment(giver: Wallet) -> datetime:
    """Test wallets live in feed time, real ones in the world."""
    return feed_now() if giver.is_test else timezone.now()


def sent_lamports(giver: Wallet, now: datetime) -> int:
    """What a wallet has sent within 24 hours, or is sending."""
    counted = TransferLog.objects.filter(wallet=giver, at__gt=now - DAY, at__lte=now)
    left = counted.exclude(status__in=[Status.FAILED, Status.EXPIRED]).aggregate(a=Sum("lamports"))["a"]
    return int(left or 0)


def _row(
    giver: Wallet,
    taker: Wallet | None,
    saved: SavedAddress | None,
    amount: int,
    fee: int,
    requested_by: str,
    idempotency_key: str | None,
    *,
    is_sweep: bool,
) -> TransferLog:
    to_address = saved.address if saved else (taker.address or taker.alias) if taker else ""
    return TransferLog.objects.create(
        wallet=giver,
        to_wallet=taker,
        to_address=to_address,
        lamports=amount,
        fee_lamports=fee,
        is_sweep=is_sweep,
        status=Status.SUCCESS if giver.is_test else Status.SUBMITTED,
        is_simulation=giver.is_test,
        requested_by=requested_by[:150],
        idempotency_key=_key(giver.alias, idempotency_key or uuid.uuid4().hex),
        at=_moment(giver),
        finished_at=timezone.now() if giver.is_test else None,
    )
