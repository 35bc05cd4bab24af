"""`/api/buy/ledger`: the double-entry books of the wallets."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router, Schema

from apps.core.pagination import Page, PageQuery, paginate
from apps.core.tokens import read
from apps.trading import services
from apps.trading.ledger_queries import accounts_of, difference_of, entries_of
from apps.trading.models import LedgerEntry
from apps.trading.orders import wallet_locked

router = Router(tags=["buy"])
Kind = Literal["OPENING", "DEPOSIT", "RESERVE", "RELEASE", "TRADE", "TRANSFER", "ADJUSTMENT"]


class EntryOut(Schema):
    """One booking: lamports into accounts (negative: out of them), together 0; the wallet's cash right after it."""

    id: int
    wallet: str
    kind: str
    at: datetime
    order_id: int | None
    transfer_id: int | None
    mint: str
    note: str
    lamports: dict[str, int]
    cash_after_lamports: int


class BalancesOut(Schema):
    """What stands on each account, and by how much wallet, orders and trades differ from it (all 0)."""

    wallet: str
    accounts_lamports: dict[str, int]
    difference_lamports: dict[str, int]


def entry_out(entry: LedgerEntry) -> dict[str, Any]:
    """A booking as the API shows it."""
    return {
        "id": entry.pk,
        "wallet": entry.wallet.alias,
        "kind": entry.kind,
        "at": entry.at,
        "order_id": entry.order_id,
        "transfer_id": entry.transfer_id,
        "mint": entry.order.mint if entry.order else "",
        "note": entry.note,
        "lamports": entry.amounts(),
        "cash_after_lamports": entry.cash_after,
    }


@router.get("", response=Page[EntryOut], auth=read)
def ledger(request: HttpRequest, page: Query[PageQuery], wallet: str | None = None, kind: Kind | None = None) -> Any:
    """Bookings, newest first."""
    return paginate(entries_of(wallet, kind), page, entry_out)


@router.get("/{alias}", response=BalancesOut, auth=read)
def ledger_balances(request: HttpRequest, alias: str) -> dict[str, Any]:
    """The accounts of a wallet, compared with the wallet itself. Raises WALLET_NOT_FOUND."""
    with transaction.atomic():
        wallet = wallet_locked(services.wallet_get(alias=alias).pk)
        found = difference_of(wallet)
        differences = {name: getattr(found, name) for name in ("cash", "reserved", "traded", "unbalanced")}
        return {"wallet": alias, "accounts_lamports": accounts_of(wallet), "difference_lamports": differences}
