"""Writing the ledger: every change of a wallet's cash is booked in the transaction that makes it.

A booking is made after the wallet has been changed: it notes the cash that the wallet has then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apps.trading.ledger import (
    COSTS,
    Entry,
    balances,
    deposit_entries,
    outside_entries,
    reserve_entries,
    trade_entries,
)
from apps.trading.models import LedgerEntry, Order, TradeLog, TransferLog, Wallet

Kind = LedgerEntry.Kind


def booking(wallet: Wallet, kind: Kind, entries: Sequence[Entry], at: datetime, **of: Any) -> LedgerEntry:
    """The row of a booking; the table refuses it unless its accounts sum to zero."""
    return LedgerEntry(wallet=wallet, kind=kind, at=at, cash_after=wallet.cash_lamports, **balances(entries), **of)


def reserved(order: Order, wallet: Wallet) -> LedgerEntry:
    """What a new order sets aside."""
    return booking(wallet, Kind.RESERVE, reserve_entries(order.reserved_lamports), order.decided_at, order=order)


def released(order: Order, wallet: Wallet, lamports: int, at: datetime) -> LedgerEntry:
    """What comes back from an order that ended without a trade."""
    return booking(wallet, Kind.RELEASE, reserve_entries(-lamports), at, order=order)


def traded(trade: TradeLog, order: Order, wallet: Wallet, reserved_lamports: int) -> LedgerEntry:
    """A fill, or a failure that cost something, with the return of what was set aside. Raises UnbalancedError."""
    moved = trade_entries(
        action=trade.action,
        curve_lamports=trade.curve_lamports,
        balance_change_lamports=trade.balance_change_lamports,
        costs={part: getattr(trade, f"{part}_lamports") for part in COSTS},
    )
    return booking(wallet, Kind.TRADE, [*reserve_entries(-reserved_lamports), *moved], trade.at, order=order)


def deposit_book(wallet: Wallet, lamports: int, at: datetime) -> None:
    """Money put into a wallet, its first balance too."""
    booking(wallet, Kind.DEPOSIT, deposit_entries(lamports), at).save(force_insert=True)


def transfer_book(wallet: Wallet, transfer: TransferLog, lamports: int, fee: int = 0) -> None:
    """Money sent at the cost of `fee`; negative: received."""
    entries = outside_entries(lamports, fee)
    booking(wallet, Kind.TRANSFER, entries, transfer.at, transfer=transfer).save(force_insert=True)


def adjustment_book(wallet: Wallet, lamports: int, at: datetime, note: str) -> None:
    """A balance taken over from the chain (negative: less is there than the books said), and why."""
    booking(wallet, Kind.ADJUSTMENT, outside_entries(-lamports), at, note=note).save(force_insert=True)
