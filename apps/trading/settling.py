"""Ending a real order or transfer by hand, where the chain can no longer be asked how it ended.

The chain has the last word: what it still tells is booked by the trader and cannot be settled otherwise, and nothing is
settled while the transaction could still land. Nothing is ever sent from here. Each settlement is a row for ever.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop as _

from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.discovery import curve
from apps.trading import dispatch, sending
from apps.trading.book import TABLES
from apps.trading.models import Order, Settlement, TradeLog, TransferLog
from apps.trading.preview import nothing_written
from apps.trading.services import changed
from apps.trading.venues import Answer, Expired, Filled, Rejected
from apps.trading.venues.hand_fill import ImpossibleError, Told, fill_told
from apps.trading.venues.rpc import Rpc, RpcError

logger = logging.getLogger(__name__)
AFTER = timedelta(minutes=15)  # since it was claimed: by then the trader has asked the chain thousands of times
AFTER_SILENCE = timedelta(hours=24)  # where no node answers, so nobody can say that it cannot land any more
SETTLED = "SETTLED_BY_HAND"
UNREADABLE = "FILL_UNREADABLE"  # the trader has found it executed and could not read what it did
Outcome = Settlement.Outcome
Status = TransferLog.Status


class Chain(StrEnum):
    """What a node says about a signature now, what says most first: of several nodes the first of these counts."""

    LANDED = "landed"  # executed
    FAILED = "failed"  # in a block, and it failed there
    NEVER = "never"  # it is in no block and cannot come into one any more
    FORGOTTEN = "forgotten"  # it cannot land any more, and the node no longer has the blocks in which it may have
    OPEN = "open"  # not in a block, but it could still come into one, as far as the node has come
    SILENT = "silent"  # no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person says became of an order or transfer. `told` belongs to an order that was executed (`done`) or
    failed (its network fee alone)."""

    outcome: str
    reason: str
    typed: str
    told: Told | None = None


# --- What waits ----------------------------------------------------------------------------------------
def orders_doubtful(now: datetime) -> QuerySet[Order]:
    """Signed orders of real wallets whose end should be known by now."""
    found = Order.objects.filter(status__in=Order.IN_FLIGHT, signature__isnull=False, sent_at__lte=now - AFTER)
    return found.filter(wallet__wallet_type="REAL").select_related("wallet").order_by("id")


def transfers_doubtful(now: datetime) -> QuerySet[TransferLog]:
    """Signed transfers whose end should be known by now."""
    found = TransferLog.objects.filter(status__in=TransferLog.IN_FLIGHT, signature__isnull=False)
    return found.filter(sent_at__lte=now - AFTER).select_related("wallet").order_by("id")


def phrase_of(kind: str, pk: int, outcome: str) -> str:
    """The sentence to type."""
    return f"settle {kind} {pk} as {outcome}"


def chain_of(row: Order | TransferLog, rpc: Rpc) -> Chain:
    """What the nodes say now; every one is asked."""
    return min((_said(row, one) for one in rpc.each()), key=list(Chain).index)


def _said(row: Order | TransferLog, rpc: Rpc) -> Chain:
    """What a node says. The height is asked for first: a status asked after it has seen at least as much."""
    try:
        final, status = rpc.height("finalized"), rpc.status(row.signature or "")
        if status.commitment is not None:
            if status.commitment == "processed" or status.commitment != settings.SOLANA_COMMITMENT == "finalized":
                return Chain.OPEN  # the block itself may still be taken back
            return Chain.LANDED if status.error is None else Chain.FAILED
        if final.height <= int(row.receipt["last_valid_height"]) or status.slot < final.slot:
            return Chain.OPEN
        return Chain.FORGOTTEN if rpc.first_slot() > int(row.receipt["slot"]) else Chain.NEVER
    except RpcError as error:
        logger.info("settling: %s", error)
        return Chain.SILENT


# --- Settling ------------------------------------------------------------------------------------------
def order_settle_by_hand(
    *, order_id: int, verdict: Verdict, user: Any, now: datetime, rpc: Rpc, dry_run: bool = False
) -> Settlement:
    """End an order as a person says, once. `dry_run`: say what it would book, and undo it.

    Raises ORDER_NOT_FOUND, ORDER_HAS_ENDED, ORDER_NOT_SENT, WALLET_NOT_REAL, AMOUNT_IMPOSSIBLE, CHAIN_KNOWS and what
    `_require_settleable` raises.
    """
    row = Order.objects.select_related("wallet").filter(pk=order_id).first()
    if row is None:
        raise NotFoundError("ORDER_NOT_FOUND", "There is no such order.", order_id=order_id)
    _require_text(verdict, phrase_of("order", order_id, verdict.outcome))
    _require_waiting(row.wallet.is_test, row.status in Order.IN_FLIGHT, row.signature, "ORDER")
    chain = chain_of(row, rpc)
    _require_settleable(chain, verdict.outcome, now - (row.sent_at or now))
    _require_unread(row, chain, rpc)
    with nothing_written() if dry_run else transaction.atomic():
        settled = _order_settled(order_id, verdict, chain, user, now)
    return _logged(settled, dry_run)


def _order_settled(order_id: int, verdict: Verdict, chain: Chain, user: Any, now: datetime) -> Settlement:
    order = TABLES.order(order_id)
    if order.status not in Order.IN_FLIGHT:  # the chain was faster
        raise ConflictError(
            "ORDER_HAS_ENDED", "The order has ended meanwhile: look at it again.", ended_as=order.status
        )
    code, message = order.deny_code, _message(verdict, user)
    order = dispatch.settle(order_id, _answer_of(order, verdict, message))
    trade = getattr(order, "trade", None)
    if verdict.outcome == Outcome.DONE:
        Order.objects.filter(pk=order_id).update(deny_code=SETTLED, message=message)
        TradeLog.objects.filter(order_id=order_id).update(code=SETTLED, message=message)
    changed()
    return _noted(
        verdict, chain, user, now,
        order=order,
        code_before=code,
        base_units=trade.token_base_units if verdict.outcome == Outcome.DONE and trade else None,
        balance_change_lamports=trade.balance_change_lamports if trade else 0,
    )  # fmt: skip


def _answer_of(order: Order, verdict: Verdict, message: str) -> Answer:
    """What is booked. Raises AMOUNT_IMPOSSIBLE, AMOUNTS_MISSING."""
    if verdict.outcome == Outcome.NEVER:
        return Expired(SETTLED, message)
    if verdict.told is None:
        raise PlatformError("AMOUNTS_MISSING", "Give the amounts that the transaction moved.")
    ticket, told, signature = dispatch.ticket_of(order), verdict.told, order.signature or ""
    if verdict.outcome == Outcome.FAILED:
        if not 0 <= told.network_fee <= order.reserved_lamports:
            message = _("A failed transaction costs its network fee alone: give it, not more than was set aside.")
            raise PlatformError("AMOUNT_IMPOSSIBLE", message)
        return Rejected(SETTLED, message, network_fee=told.network_fee, signature=signature)
    tip = ticket.costs.tip_lamports if settings.JITO_BLOCK_ENGINE else 0
    try:
        return Filled(fill_told(ticket, told, curve.fees_at(order.decided_at), tip), signature)
    except ImpossibleError as error:
        raise PlatformError("AMOUNT_IMPOSSIBLE", worded("This cannot have happened: %(why)s.", why=error)) from None


def transfer_settle_by_hand(
    *, transfer_id: int, verdict: Verdict, user: Any, now: datetime, rpc: Rpc, dry_run: bool = False
) -> Settlement:
    """End a transfer as a person says, once: `done` (its amount has arrived), `failed` (the fee is gone), `never`.

    Raises TRANSFER_NOT_FOUND, TRANSFER_HAS_ENDED, TRANSFER_NOT_SENT and what `_require_settleable` raises.
    """
    row = TransferLog.objects.select_related("wallet").filter(pk=transfer_id).first()
    if row is None:
        raise NotFoundError("TRANSFER_NOT_FOUND", "There is no such transfer.", transfer_id=transfer_id)
    _require_text(verdict, phrase_of("transfer", transfer_id, verdict.outcome))
    _require_waiting(row.wallet.is_test, row.status in TransferLog.IN_FLIGHT, row.signature, "TRANSFER")
    chain = chain_of(row, rpc)
    _require_settleable(chain, verdict.outcome, now - (row.sent_at or now))
    with nothing_written() if dry_run else transaction.atomic():
        settled = _transfer_settled(row, verdict, chain, user, now)
    return _logged(settled, dry_run)


def _transfer_settled(row: TransferLog, verdict: Verdict, chain: Chain, user: Any, now: datetime) -> Settlement:
    ends = {Outcome.NEVER: Status.EXPIRED, Outcome.FAILED: Status.FAILED, Outcome.DONE: Status.SUCCESS}
    if not sending.transfer_end(row.pk, ends[Outcome(verdict.outcome)], SETTLED, _message(verdict, user)):
        raise ConflictError("TRANSFER_HAS_ENDED", "The transfer has ended meanwhile: look at it again.")
    sent = -row.lamports if verdict.outcome == Outcome.DONE else 0
    fee = 0 if verdict.outcome == Outcome.NEVER else row.fee_lamports
    return _noted(
        verdict, chain, user, now,
        transfer=row, code_before=row.code, balance_change_lamports=sent - fee,
    )  # fmt: skip


def _noted(verdict: Verdict, chain: Chain, user: Any, now: datetime, **of: Any) -> Settlement:
    return Settlement.objects.create(
        outcome=verdict.outcome,
        reason=verdict.reason.strip(),
        chain=chain,
        user=user,
        username=user.get_username(),
        at=now,
        **of,
    )


def _logged(row: Settlement, dry_run: bool) -> Settlement:
    if not dry_run:
        change = row.balance_change_lamports
        logger.warning("settled by hand: %s (the chain: %s), %s lamports: %s", row, row.chain, change, row.reason)
    return row


def _message(verdict: Verdict, user: Any) -> str:
    return f"settled by hand by {user.get_username()}: {verdict.reason.strip()}"


# --- What must hold ------------------------------------------------------------------------------------
def _require_text(verdict: Verdict, phrase: str) -> None:
    """Raises OUTCOME_UNKNOWN, REASON_MISSING, CONFIRMATION_WRONG."""
    if verdict.outcome not in Outcome.values:
        raise PlatformError("OUTCOME_UNKNOWN", "Choose never, failed or done.")
    if not 10 <= len(verdict.reason.strip()) <= 500:
        raise PlatformError("REASON_MISSING", "Write in 10 to 500 characters how you know: it is kept for ever.")
    if verdict.typed.strip() != phrase:
        raise PlatformError("CONFIRMATION_WRONG", worded("Type exactly: %(phrase)s", phrase=phrase))


def _require_waiting(is_test: bool, in_flight: bool, signature: str | None, kind: str) -> None:
    """Raises WALLET_NOT_REAL, <KIND>_HAS_ENDED, <KIND>_NOT_SENT."""
    if is_test:
        raise ConflictError("WALLET_NOT_REAL", "This is a test wallet: what it does ends by itself.")
    if not in_flight:
        raise ConflictError(f"{kind}_HAS_ENDED", "Its end is known already: nothing can be settled.")
    if signature is None:
        raise ConflictError(f"{kind}_NOT_SENT", "Nothing was sent yet: it ends by itself within minutes.")


def _require_settleable(chain: Chain, outcome: str, age: timedelta) -> None:
    """Whether what the chain says leaves room for this outcome.

    Raises TOO_EARLY_TO_SETTLE, TRANSACTION_STILL_OPEN, CHAIN_SILENT, CHAIN_SAYS_OTHERWISE.
    """
    if age < AFTER:
        raise ConflictError("TOO_EARLY_TO_SETTLE", "Wait a quarter of an hour from its sending: the trader is asking.")
    if chain is Chain.OPEN:
        message = _("It could still come into a block, or the node that answers is behind: wait, then try again.")
        raise ConflictError("TRANSACTION_STILL_OPEN", message)
    if chain is Chain.SILENT and age < AFTER_SILENCE:
        message = _("No node answers: set one that does. Without any, it can be settled 24 hours after its sending.")
        raise ConflictError("CHAIN_SILENT", message)
    allowed = {Chain.LANDED: Outcome.DONE, Chain.FAILED: Outcome.FAILED, Chain.NEVER: Outcome.NEVER}
    if (said := allowed.get(chain)) is not None and outcome != said:
        message = worded(
            "The chain says otherwise: only '%(said)s' is possible. The running trader books it by itself.", said=said
        )
        raise ConflictError("CHAIN_SAYS_OTHERWISE", message, chain=str(chain))


def _require_unread(row: Order, chain: Chain, rpc: Rpc) -> None:
    """Where the node still has the balances they count, not what somebody types. Raises CHAIN_KNOWS."""
    if chain not in (Chain.LANDED, Chain.FAILED) or row.deny_code == UNREADABLE:
        return
    if any(_has_it(row, one) for one in rpc.each()):
        message = _("The chain still has its exact amounts: start the trader, which books them.")
        raise ConflictError("CHAIN_KNOWS", message, chain=str(chain))


def _has_it(row: Order, rpc: Rpc) -> bool:
    try:
        return rpc.transaction(row.signature or "") is not None
    except RpcError:
        return False
