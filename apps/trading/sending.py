"""Carrying out transfers of real wallets, outside of any transaction, and following them to their end.

As orders are (see `venues`): a transfer is claimed (`sent_at`) before anything is done, its signed bytes are noted
(`signature`, `receipt`) before they are sent, and its end is booked once. So a process may die between any two lines:
nothing is sent twice under two signatures, and what was sent is followed until the chain says how it ended.
"""

from __future__ import annotations

import base64
import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams
from solders.system_program import transfer as system_transfer
from solders.transaction import VersionedTransaction

from apps.core.errors import PlatformError
from apps.core.sentences import worded
from apps.trading import queries, unlocking, wallet_keys
from apps.trading.bookings import transfer_book
from apps.trading.models import TradingState, TransferLog, Wallet
from apps.trading.orders import wallet_locked
from apps.trading.services import cash_move, changed
from apps.trading.transfers import FEE_LAMPORTS
from apps.trading.venues.rpc import Blockhash, Rpc, RpcError

logger = logging.getLogger(__name__)
CLAIM_LASTS = timedelta(minutes=2)  # who is still signing by then finds the transfer ended
UNITS = 1_000  # compute units that a transfer may use (it uses 450); divides a million, so the price is exact
Status = TransferLog.Status
_REACHED = {"confirmed": ("confirmed", "finalized"), "finalized": ("finalized",)}


def transfers_in_flight() -> list[int]:
    """The transfers whose end is not known, oldest first."""
    return list(
        TransferLog.objects.filter(status__in=TransferLog.IN_FLIGHT).order_by("id").values_list("pk", flat=True)
    )


def round_once(rpc: Rpc, now: datetime) -> int:
    """Take every transfer in flight one step further; how many there were."""
    found = transfers_in_flight()
    for pk in found:
        try:
            transfer_step(pk, rpc, now)
        except RpcError as error:
            TransferLog.objects.filter(pk=pk, status__in=TransferLog.IN_FLIGHT).update(
                code=error.code, message=str(error)[:500]
            )
            logger.warning("transfer %s: %s", pk, error)
    return len(found)


def transfer_step(pk: int, rpc: Rpc, now: datetime) -> None:
    """Send a transfer that nobody has claimed yet; ask where any other stands. Raises RpcError where asking fails."""
    row = transfer_claim(pk, now)
    if row is not None:
        _send(row, rpc)
        return
    row = TransferLog.objects.select_related("wallet").get(pk=pk)
    if row.status not in TransferLog.IN_FLIGHT:
        return
    if row.signature is None:
        if row.sent_at is not None and row.sent_at < now - CLAIM_LASTS:
            transfer_end(pk, Status.EXPIRED, "NEVER_SENT", "Nothing was sent: the process that was to send it ended.")
        return
    _look(row, rpc)


# --- Sending ------------------------------------------------------------------------------------------
def transfer_claim(pk: int, now: datetime) -> TransferLog | None:
    """Take a transfer to send it, once for ever; None if it was taken before or may not be sent any more."""
    with transaction.atomic():
        row = TransferLog.objects.select_related("wallet").get(pk=pk)
        wallet = wallet_locked(row.wallet_id)
        if row.status != Status.SUBMITTED or row.sent_at is not None:
            return None
        if stopped := _stopped(wallet, queries.trading_state_locked()):
            transfer_end(pk, Status.EXPIRED, *stopped)
            return None
        taken = TransferLog.objects.filter(pk=pk, status=Status.SUBMITTED, sent_at=None).update(sent_at=now)
    return row if taken else None


def _stopped(wallet: Wallet, trading_state: str) -> tuple[str, str] | None:
    """Code and reason why a transfer may not be sent (any more)."""
    if trading_state == TradingState.State.HALTED:
        return "TRADING_HALTED", "Trading was halted before the transfer was sent."
    if not unlocking.may_buy(wallet):
        return "REAL_TRADING_LOCKED", "The wallet was locked before the transfer was sent."
    return None


def _may_send(wallet_id: int) -> bool:
    """Asked right before each sending, of what is written down at that moment."""
    return _stopped(Wallet.objects.get(pk=wallet_id), queries.trading_state().state) is None


def _send(row: TransferLog, rpc: Rpc) -> None:
    """Build, sign, try out, note, send. What fails before the note was never sent."""
    try:
        recent = rpc.blockhash()
        signed = transfer_signed(row, recent)
        outcome = rpc.simulate(bytes(signed))
    except (RpcError, PlatformError) as error:
        transfer_end(row.pk, Status.EXPIRED, error.code, f"Nothing was sent: {error}")
        return
    if outcome.error is not None:
        message = worded("Nothing was sent: the node says that it would fail (%(why)s).", why=outcome.error)
        transfer_end(row.pk, Status.EXPIRED, "SIMULATION_FAILED", message)
        return
    if not transfer_sign(row.pk, signed, recent):
        return
    try:
        rpc.send(bytes(signed), may_send=lambda: _may_send(row.wallet_id))
    except RpcError as error:
        TransferLog.objects.filter(pk=row.pk, status=Status.SUBMITTED).update(
            status=Status.UNKNOWN, code=error.code, message=str(error)[:500]
        )


def transfer_signed(row: TransferLog, recent: Blockhash) -> VersionedTransaction:
    """The signed transaction: one system transfer and the priority that is paid for it.

    Raises KEY_MISSING, KEY_SEALED, ADDRESS_INVALID.
    """
    try:
        giver, taker = Pubkey.from_string(row.wallet.address), Pubkey.from_string(row.to_address)
    except ValueError as error:
        raise PlatformError("ADDRESS_INVALID", "An address is no Solana address.") from error
    move = system_transfer(TransferParams(from_pubkey=giver, to_pubkey=taker, lamports=row.lamports))
    priority = row.fee_lamports - FEE_LAMPORTS  # as it was booked: the setting may have changed since
    price = [set_compute_unit_limit(UNITS), set_compute_unit_price(priority * 1_000_000 // UNITS)] if priority else []
    message = MessageV0.try_compile(giver, [*price, move], [], Hash.from_string(recent.blockhash))
    signature = Signature.from_bytes(wallet_keys.sign(row.wallet, to_bytes_versioned(message)))
    return VersionedTransaction.populate(message, [signature])


@transaction.atomic
def transfer_sign(pk: int, signed: VersionedTransaction, recent: Blockhash) -> bool:
    """Note what is about to be sent; False if the transfer has ended or may not be sent any more: then nothing is.

    The kill switch and the locking of the wallet wait for it: once either has been set no transfer is noted any more.
    """
    wallet = wallet_locked(TransferLog.objects.values_list("wallet_id", flat=True).get(pk=pk))
    if stopped := _stopped(wallet, queries.trading_state_locked()):
        transfer_end(pk, Status.EXPIRED, *stopped)
        return False
    receipt = {
        "bytes": base64.b64encode(bytes(signed)).decode("ascii"),
        "last_valid_height": recent.last_valid_height,
        "slot": recent.slot,
    }
    free = TransferLog.objects.filter(pk=pk, status=Status.SUBMITTED, signature=None)
    return free.update(signature=str(signed.signatures[0]), receipt=receipt) == 1


# --- Following ----------------------------------------------------------------------------------------
def _look(row: TransferLog, rpc: Rpc) -> None:
    """Where the signature stands. The height is asked for first: a status asked after it has seen at least as much."""
    height = rpc.height()
    status = rpc.status(row.signature or "")
    if status.commitment in _REACHED[settings.SOLANA_COMMITMENT]:
        if status.error is None:
            transfer_end(row.pk, Status.SUCCESS)
        else:
            transfer_end(row.pk, Status.FAILED, "TRANSACTION_FAILED", f"It failed on the chain: {status.error}")
    elif status.commitment is None:
        if height.height <= row.receipt["last_valid_height"]:
            _again(row, rpc)
        elif status.slot >= height.slot and rpc.first_slot() <= row.receipt["slot"]:
            transfer_end(row.pk, Status.EXPIRED, "BLOCKHASH_EXPIRED", "It did not land in time and never will.")


def _again(row: TransferLog, rpc: Rpc) -> None:
    """The very same bytes once more: they can land only once. Not after a stop: what is out may still land."""
    try:
        rpc.send(base64.b64decode(row.receipt["bytes"]), may_send=lambda: _may_send(row.wallet_id))
    except RpcError as error:
        logger.info("transfer %s was not taken again: %s", row.pk, error)


def transfer_end(pk: int, status: str, code: str = "", message: str = "") -> bool:
    """Book the end of a transfer, once; False if it has ended before.

    SUCCESS gives a wallet of ours its money. FAILED gives back the amount, not the fee; EXPIRED gives back everything.
    """
    with transaction.atomic():
        ends = TransferLog.objects.values_list("wallet_id", "to_wallet_id").get(pk=pk)
        locked = {one: wallet_locked(one) for one in sorted(filter(None, ends))}
        row = TransferLog.objects.select_for_update().get(pk=pk)
        if row.status not in TransferLog.IN_FLIGHT:
            return False
        row.status, row.code, row.message = status, code, message[:500]
        row.finished_at = timezone.now()
        fee_back = row.fee_lamports if status == Status.EXPIRED else 0
        row.fee_lamports -= fee_back
        row.save(update_fields=["status", "code", "message", "finished_at", "fee_lamports"])
        if status != Status.SUCCESS:
            _book(locked[row.wallet_id], row, -row.lamports, -fee_back)
        elif row.to_wallet_id is not None:
            _book(locked[row.to_wallet_id], row, -row.lamports, 0)
        changed()
    logger.warning("transfer %s of %s lamports: %s %s", pk, row.lamports, status, code)
    return True


def _book(wallet: Wallet, row: TransferLog, lamports: int, fee: int) -> None:
    """Lamports out of a wallet (negative: into it), and the fee."""
    cash_move(wallet, -lamports - fee)
    transfer_book(wallet, row, lamports, fee)
