"""`/api/buy/…`: ending by hand what the chain cannot tell any more. Needs the scope `admin`; nothing is sent."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router

from apps.core.errors import PlatformError
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.tokens import admin, read
from apps.trading import settling
from apps.trading.chain import rpc_open
from apps.trading.models import Settlement
from apps.trading.schemas_real import OrderSettleIn, SettleIn, SettlementOut, settlement_out
from apps.trading.settling import Verdict
from apps.trading.venues.hand_fill import Told

router = Router(tags=["buy"])
FINAL = {"x-mcp": {"destructive": True, "idempotent": False}}


@router.get("/settlements", response=Page[SettlementOut], auth=read)
def settlements(request: HttpRequest, page: Query[PageQuery]) -> Any:
    """Orders and transfers that were settled by hand, newest first."""
    return paginate(Settlement.objects.all(), page, settlement_out)


@router.post("/orders/{order_id}/settle", response=SettlementOut, auth=admin, openapi_extra=FINAL)
def settle_order(request: HttpRequest, order_id: int, data: OrderSettleIn) -> dict[str, Any]:
    """End a real order whose end the chain cannot tell any more; the chain is asked once more before."""
    verdict = Verdict(outcome=data.outcome, reason=data.reason, typed=data.confirm, told=_told(data))
    with closing(rpc_open()) as rpc:
        row = settling.order_settle_by_hand(
            order_id=order_id, verdict=verdict, user=request.user, now=timezone.now(), rpc=rpc, dry_run=data.dry_run
        )
    return settlement_out(row, dry_run=data.dry_run)


def _told(data: OrderSettleIn) -> Told | None:
    """The amounts. Raises AMOUNTS_MISSING, AMOUNTS_NOT_WANTED."""
    given = (data.balance_change_lamports, data.base_units, data.network_fee_lamports)
    change, units, fee = given
    wanted = {"never": (False, False, False), "failed": (False, False, True), "done": (True, True, True)}
    pairs = [(one is not None, want) for one, want in zip(given, wanted[data.outcome], strict=True)]
    if all(has is want for has, want in pairs):
        return None if fee is None else Told(change or 0, units or 0, fee)
    code = "AMOUNTS_MISSING" if (False, True) in pairs else "AMOUNTS_NOT_WANTED"
    message = "Give balance_change_lamports, base_units and network_fee_lamports with done, the fee alone with failed."
    raise PlatformError(code, message)


@router.post("/transfers/{transfer_id}/settle", response=SettlementOut, auth=admin, openapi_extra=FINAL)
def settle_transfer(request: HttpRequest, transfer_id: int, data: SettleIn) -> dict[str, Any]:
    """End a real transfer whose end the chain cannot tell any more; the chain is asked once more before."""
    verdict = Verdict(outcome=data.outcome, reason=data.reason, typed=data.confirm)
    with closing(rpc_open()) as rpc:
        row = settling.transfer_settle_by_hand(
            transfer_id=transfer_id, verdict=verdict, user=request.user, now=timezone.now(), rpc=rpc,
            dry_run=data.dry_run,
        )  # fmt: skip
    return settlement_out(row, dry_run=data.dry_run)
