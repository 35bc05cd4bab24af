"""`/api/buy/…`: real money and its lock, the address book, the chain's differences, paper against live, performance.

Unlocking is no operation: it asks a person for a code and a sentence, on the page "Real money". Locking is one.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from ninja.responses import Status

from apps.core.pagination import Page, PageQuery, paginate
from apps.core.tokens import Caller, admin, read, trade
from apps.trading import address_book, comparison, figures, reconciliation, services, unlocking
from apps.trading.models import Difference, RealUnlock, SavedAddress
from apps.trading.schemas_real import (
    AddressIn,
    AddressOut,
    ComparisonOut,
    DifferenceOut,
    LockedOut,
    LockIn,
    PerformanceOfWalletOut,
    RealOut,
    UnlockOut,
    pair_out,
    summary_out,
)

router = Router(tags=["buy"])
HARMLESS = {"x-mcp": {"destructive": False, "idempotent": True}}
SAVES = {"x-mcp": {"destructive": False}}


def username_of(request: HttpRequest) -> str:
    """Who calls, for the record."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return str(caller.user.get_username())


@router.get("/real", response=RealOut, auth=read)
def real(request: HttpRequest) -> dict[str, Any]:
    """What is live: whether real money can be traded here, and which wallets are unlocked with which caps."""
    return {"enabled": settings.REAL_TRADING, "unlocked": unlocking.unlocks_live(timezone.now())}


@router.get("/real/unlocks", response=Page[UnlockOut], auth=read)
def real_unlocks(request: HttpRequest, page: Query[PageQuery]) -> Any:
    """Every unlocking there ever was, newest first."""
    return paginate(RealUnlock.objects.select_related("wallet"), page)


@router.post("/real/lock", response=LockedOut, auth=trade, openapi_extra=HARMLESS)
def real_lock(request: HttpRequest, data: LockIn) -> dict[str, Any]:
    """Lock one real wallet or all at once: no more buys and transfers; exits of what is held go on."""
    locked = unlocking.wallets_lock(username=username_of(request), now=timezone.now(), alias=data.wallet)
    return {"locked": locked}


@router.get("/addresses", response=Page[AddressOut], auth=read)
def addresses(request: HttpRequest, page: Query[PageQuery]) -> Any:
    """The address book, by name."""
    return paginate(SavedAddress.objects.filter(removed_at=None).order_by("name", "id"), page)


@router.post("/addresses", response={201: AddressOut}, auth=admin, openapi_extra=SAVES)
def add_address(request: HttpRequest, data: AddressIn) -> Any:
    """Save an address; it may be sent to after the waiting time (ADDRESS_WAIT_HOURS)."""
    row = address_book.address_add(
        name=data.name,
        address=data.address,
        typed=data.confirm,
        note=data.note,
        added_by=username_of(request),
        now=timezone.now(),
    )
    return Status(201, row)


@router.delete("/addresses/{name}", response={204: None}, auth=trade)
def remove_address(request: HttpRequest, name: str) -> Any:
    """Remove an address from the book; what was sent stays in the transfers."""
    address_book.address_remove(name=name, removed_by=username_of(request), now=timezone.now())
    return Status(204, None)


@router.get("/differences", response=Page[DifferenceOut], auth=read)
def differences(request: HttpRequest, page: Query[PageQuery], open_only: bool = True) -> Any:
    """Where the chain says something else than the books, newest first."""
    rows = Difference.objects.select_related("wallet")
    return paginate(rows.filter(ended_at=None) if open_only else rows, page)


@router.post("/differences/{difference_id}/adopt", response=DifferenceOut, auth=trade)
def adopt_difference(request: HttpRequest, difference_id: int) -> Any:
    """Take over what the chain says into the books, with an entry in the ledger."""
    return reconciliation.difference_adopt(
        difference_id=difference_id, username=username_of(request), now=timezone.now()
    )


@router.get("/paper-against-live", response=ComparisonOut, auth=read)
def paper_against_live(request: HttpRequest, page: Query[PageQuery], wallet: str | None = None) -> dict[str, Any]:
    """The same intents on both venues, newest first: price, fees, time and failures."""
    rows = comparison.pairs_of(wallet)
    summary = comparison.summary_of([comparison.pair_of(order) for order in rows[: comparison.SUMMED]])
    return {
        **paginate(rows, page, lambda order: pair_out(comparison.pair_of(order))),
        "summary": summary_out(summary),
    }


@router.get("/wallets/{alias}/performance", response=PerformanceOfWalletOut, auth=read)
def wallet_performance(request: HttpRequest, alias: str) -> dict[str, Any]:
    """Win rate, profit factor, greatest drawdown, fees, and results by exit reason. Undefined is null."""
    wallet = services.wallet_get(alias=alias)
    row = next(one for one in figures.wallet_performance() if one["wallet_id"] == wallet.pk)
    return {"wallet": row, "exits": figures.wallet_exits(wallet)}
