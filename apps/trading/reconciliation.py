"""Comparing real wallets with the chain: what differs is shown until it is gone or somebody takes it over.

The books are never overwritten by themselves. A wallet is compared only while nothing of it is on its way: the books
are read before and after the chain, and a comparison during which they moved says nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Q
from django.utils.translation import gettext_noop as _

from apps.core.errors import ConflictError, NotFoundError
from apps.discovery.pins import coin_pin, coin_unpin
from apps.trading import metrics
from apps.trading.bookings import adjustment_book
from apps.trading.models import ChainCheck, Difference, LedgerEntry, Order, Position, TransferLog, Wallet
from apps.trading.orders import wallet_locked
from apps.trading.positions import realized_pnl
from apps.trading.services import cash_move, changed, feed_now
from apps.trading.valuation import holding_of
from apps.trading.venues.rpc import Rpc, RpcError

logger = logging.getLogger(__name__)
Kind = Difference.Kind
STUCK_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is: lamports, and base units by mint (none of them 0)."""

    lamports: int
    tokens: dict[str, int]


@dataclass(frozen=True, slots=True)
class Books:
    """What a wallet should hold, and the marks by which a change shows."""

    stock: Stock
    is_moving: bool
    last_entry: int
    last_order: int


def wallets_real() -> list[Wallet]:
    """The wallets that are on the chain."""
    return list(Wallet.objects.filter(wallet_type="REAL").exclude(address="").order_by("alias"))


def compare(books: Stock, chain: Stock) -> dict[tuple[str, str], tuple[int, int]]:
    """What differs: (kind, mint) -> (booked, on the chain)."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    if books.lamports != chain.lamports:
        found[Kind.BALANCE, ""] = (books.lamports, chain.lamports)
    for mint in sorted({*books.tokens, *chain.tokens}):
        pair = (books.tokens.get(mint, 0), chain.tokens.get(mint, 0))
        if pair[0] != pair[1]:
            found[Kind.POSITION, mint] = pair
    return found


def books_of(wallet: Wallet) -> Books:
    """What our books say of a wallet now."""
    orders = Order.objects.filter(wallet=wallet)
    in_flight = (
        orders.filter(status__in=Order.IN_FLIGHT).exists()
        or TransferLog.objects.filter(wallet=wallet, status__in=TransferLog.IN_FLIGHT).exists()
    )
    coming = TransferLog.objects.filter(to_wallet=wallet, status__in=TransferLog.IN_FLIGHT).exists()
    held = Position.objects.filter(wallet=wallet, status="OPEN").values_list("mint", "quantity_base_units")
    wallet = Wallet.objects.get(pk=wallet.pk)
    return Books(
        stock=Stock(wallet.cash_lamports, dict(held)),
        is_moving=in_flight or coming,
        last_entry=LedgerEntry.objects.filter(wallet=wallet).aggregate(a=Max("id"))["a"] or 0,
        last_order=orders.aggregate(a=Max("id"))["a"] or 0,
    )


def chain_of(address: str, rpc: Rpc) -> Stock:
    """What the chain says of an address now. Raises RpcError."""
    tokens: Counter[str] = Counter()
    for account in rpc.token_accounts(address):
        tokens[account.mint] += account.amount
    return Stock(rpc.lamports(address), {mint: amount for mint, amount in tokens.items() if amount})


def wallet_check(wallet: Wallet, rpc: Rpc, now: datetime) -> bool:
    """Compare one wallet with the chain and note what differs; False where nothing could be said."""
    before = books_of(wallet)
    if before.is_moving:
        if stuck := _stuck(wallet, now):
            _not_compared(wallet, stuck, now)
        return False
    try:
        chain = chain_of(wallet.address, rpc)
    except RpcError as error:
        _not_compared(wallet, str(error), now)
        return False
    if books_of(wallet) != before:
        return False
    differences_note(wallet, compare(before.stock, chain), now)
    checked = {"tried_at": now, "checked_at": now, "error": "", "balance_lamports": chain.lamports}
    ChainCheck.objects.update_or_create(wallet=wallet, defaults=checked)
    return True


def _not_compared(wallet: Wallet, why: str, now: datetime) -> None:
    tried = {"tried_at": now, "error": why[:300]}
    ChainCheck.objects.update_or_create(wallet=wallet, defaults=tried)
    logger.warning("wallet %s was not compared with the chain: %s", wallet.alias, why)


def _stuck(wallet: Wallet, now: datetime) -> str:
    """What of a wallet has been on its way for so long that its comparison must not go missing in silence."""
    since = now - STUCK_AFTER
    orders = Order.objects.filter(wallet=wallet, status__in=Order.IN_FLIGHT, created_at__lt=since)
    ends = Q(wallet=wallet) | Q(to_wallet=wallet)
    transfers = TransferLog.objects.filter(ends, status__in=TransferLog.IN_FLIGHT, at__lt=since)
    found = [f"order {pk}" for pk in orders.order_by("id").values_list("pk", flat=True)[:5]]
    found += [f"transfer {pk}" for pk in transfers.order_by("id").values_list("pk", flat=True)[:5]]
    return f"on its way for long, so nothing is compared: {', '.join(found)}" if found else ""


def wallets_check(rpc: Rpc, now: datetime) -> int:
    """Compare all real wallets; how many differences are open then."""
    for wallet in wallets_real():
        wallet_check(wallet, rpc, now)
    return differences_count()


def differences_count() -> int:
    """How many differences are open; the gauge says so too."""
    count = Difference.objects.filter(ended_at=None).count()
    metrics.CHAIN_DIFFERENCES.set(count)
    return count


def differences_note(wallet: Wallet, found: dict[tuple[str, str], tuple[int, int]], now: datetime) -> None:
    """Keep what differs now, and end what does not differ any more."""
    with transaction.atomic():
        wallet_locked(wallet.pk)
        open_now = {(row.kind, row.mint): row for row in Difference.objects.filter(wallet=wallet, ended_at=None)}
        for key, (booked, on_chain) in found.items():
            row = open_now.get(key) or Difference(wallet=wallet, kind=key[0], mint=key[1], first_seen_at=now)
            row.booked, row.on_chain, row.seen_at = booked, on_chain, now
            row.save()
            if key not in open_now:
                logger.error("wallet %s: the chain says %s, the books %s (%s)", wallet.alias, on_chain, booked, key)
        gone = [row.pk for key, row in open_now.items() if key not in found]
        Difference.objects.filter(pk__in=gone).update(ended_at=now, end=Difference.End.GONE)
        changed()


def difference_adopt(*, difference_id: int, username: str, now: datetime) -> Difference:
    """Take over what the chain says into the books, with an entry in the ledger.

    Raises DIFFERENCE_NOT_FOUND, DIFFERENCE_ENDED, DIFFERENCE_MOVED (the books have changed since it was seen).
    """
    with transaction.atomic():
        wallet_id = Difference.objects.filter(pk=difference_id).values_list("wallet_id", flat=True).first()
        if wallet_id is None:
            raise NotFoundError("DIFFERENCE_NOT_FOUND", "There is no such difference.", difference_id=difference_id)
        wallet = wallet_locked(wallet_id)
        row = Difference.objects.select_for_update().get(pk=difference_id)
        if row.ended_at is not None:
            raise ConflictError("DIFFERENCE_ENDED", "This difference is gone or was taken over already.")
        books = books_of(wallet)
        booked = books.stock.lamports if row.kind == Kind.BALANCE else books.stock.tokens.get(row.mint, 0)
        if books.is_moving or booked != row.booked:
            message = _("The books have moved since the difference was seen: wait for the next comparison.")
            raise ConflictError("DIFFERENCE_MOVED", message)
        _adopt(row, wallet, username)
        row.ended_at, row.end, row.ended_by = now, Difference.End.ADOPTED, username
        row.save(update_fields=["ended_at", "end", "ended_by"])
        changed()
    logger.warning("wallet %s: %s of %s taken over by %s", wallet.alias, row.amount, row.mint or "SOL", username)
    return row


def _adopt(row: Difference, wallet: Wallet, username: str) -> None:
    if row.kind == Kind.BALANCE:
        cash_move(wallet, row.amount)
        adjustment_book(wallet, row.amount, feed_now(), f"taken over from the chain by {username}")
        return
    position_adopt(wallet, row.mint, row.on_chain)
    note = f"{row.amount:+} base units of {row.mint} taken over from the chain by {username}"
    adjustment_book(wallet, 0, feed_now(), note[:200])


def position_adopt(wallet: Wallet, mint: str, quantity: int) -> Position:
    """Let a position hold `quantity` base units: what came had no cost, what went brought nothing."""
    at = feed_now()
    held = Position.objects.select_for_update().filter(wallet=wallet, mint=mint, status="OPEN").first()
    position = held or Position(wallet=wallet, mint=mint, opened_at=at, judged_at=at, seen_at=at)
    position.bought_base_units += max(0, quantity - position.quantity_base_units)
    position.quantity_base_units = quantity
    position.realized_pnl_lamports = realized_pnl(holding_of(position))
    if quantity == 0:
        position.status, position.closed_at, position.exit_reason = "CLOSED", at, Position.ExitReason.MANUAL
        position.curve_lamports = 0
    position.save()
    (coin_pin if quantity else coin_unpin)(mint=mint, holder=f"position:{position.pk}")
    return position
