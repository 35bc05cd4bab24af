"""Shapes of `/api/buy/` for previews, real money, the address book, the chain and paper against live."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from apps.core.schemas import Body
from apps.trading.comparison import Pair, Summary
from apps.trading.fills import Fill
from apps.trading.models import Difference, RealUnlock, Settlement
from apps.trading.preview import Preview
from apps.trading.schemas import ALIAS


class FillOut(Schema):
    """A fill with all its parts (costs positive; a returned rent is negative)."""

    token_base_units: int
    curve_lamports: int
    protocol_fee_lamports: int
    creator_fee_lamports: int
    venue_fee_lamports: int
    network_fee_lamports: int
    tip_lamports: int
    rent_lamports: int
    virtual_loss_lamports: int
    balance_change_lamports: int
    price_sol: float
    price_impact_bps: int


class PreviewOut(Schema):
    """An order that was NOT made: what it would do at this instant, and whether the risk gate would let it pass."""

    dry_run: bool = True
    wallet: str
    is_simulation: bool
    side: str
    mint: str
    at: datetime
    would_submit: bool
    code: str = Field(description="why it would be refused; empty: it would be submitted")
    message: str
    fill: FillOut | None
    spot_price_sol: float | None
    break_even_sol: float | None = Field(description="spot price at which the position then has earned its cost")
    break_even_change: float | None = Field(description="how far the spot price has to rise for it, as a ratio")
    position_base_units: int
    position_cost_lamports: int
    realized_pnl_lamports: int | None


def fill_out(fill: Fill) -> dict[str, Any]:
    """A fill as the API shows it."""
    parts = ("protocol_fee", "creator_fee", "venue_fee", "network_fee", "tip", "rent", "virtual_loss", "balance_change")
    return {
        "token_base_units": fill.base_units,
        "curve_lamports": fill.curve_lamports,
        "price_sol": fill.price_sol,
        "price_impact_bps": fill.price_impact_bps,
        **{f"{part}_lamports": getattr(fill, part) for part in parts},
    }


def preview_out(preview: Preview) -> dict[str, Any]:
    """A preview as the API shows it."""
    return {
        "wallet": preview.wallet,
        "is_simulation": preview.is_simulation,
        "side": preview.side,
        "mint": preview.mint,
        "at": preview.at,
        "would_submit": preview.is_allowed,
        "code": preview.code,
        "message": preview.message,
        "fill": fill_out(preview.fill) if preview.fill else None,
        "spot_price_sol": preview.spot_price_sol,
        "break_even_sol": preview.break_even_sol,
        "break_even_change": preview.break_even_change,
        "position_base_units": preview.base_units_after,
        "position_cost_lamports": preview.cost_lamports,
        "realized_pnl_lamports": preview.realized_lamports,
    }


class UnlockOut(Schema):
    """An unlocking: who, when, with which caps (lamports by name), and how it ended."""

    wallet: str
    username: str
    caps: dict[str, int]
    unlocked_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str

    @staticmethod
    def resolve_wallet(row: RealUnlock) -> str:
        return row.wallet.alias


class RealOut(Schema):
    """Whether real money can be traded here at all, and which wallets are unlocked now."""

    enabled: bool = Field(description="the setting REAL_TRADING")
    unlocked: list[UnlockOut]


class LockIn(Body):
    """One real wallet, or all."""

    wallet: str | None = Field(None, pattern=ALIAS)


class LockedOut(Schema):
    """The wallets that were unlocked and are locked now."""

    locked: list[str]


class AddressIn(Body):
    """A new address of the address book; `confirm` repeats its last six characters."""

    name: str = Field(pattern=ALIAS)
    address: str = Field(max_length=64)
    confirm: str = Field(max_length=10)
    note: str = Field("", max_length=200)


class AddressOut(Schema):
    """A saved address; real wallets may send to it from `usable_at` on."""

    name: str
    address: str
    note: str
    added_by: str
    added_at: datetime
    usable_at: datetime


class DifferenceOut(Schema):
    """What the chain says otherwise than the books: lamports (BALANCE) or base units of a mint (POSITION)."""

    id: int
    wallet: str
    kind: str
    mint: str
    booked: int
    on_chain: int
    amount: int
    first_seen_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    end: str
    ended_by: str

    @staticmethod
    def resolve_wallet(row: Difference) -> str:
        return row.wallet.alias


class SettleIn(Body):
    """What became of a transfer whose end nobody can read: it `never` happened, it `failed` (the fee is gone), or it is
    `done`. `confirm` is the sentence `settle transfer 12 as done`. With `dry_run` nothing is written."""

    outcome: Literal["never", "failed", "done"]
    reason: str = Field(min_length=10, max_length=500, description="how you know; kept for ever")
    confirm: str = Field(max_length=100)
    dry_run: bool = False


class OrderSettleIn(SettleIn):
    """What became of an order whose end nobody can read; `confirm` is `settle order 12 as done`.

    `done` needs all amounts (as an explorer shows them), `failed` the network fee alone.
    """

    balance_change_lamports: int | None = Field(
        None, ge=-(10**18), le=10**18, description="of the wallet, everything in it; negative: paid"
    )
    base_units: int | None = Field(None, gt=0, le=10**15, description="of the token, bought or sold")
    network_fee_lamports: int | None = Field(None, ge=0, le=10**18, description="in the change above")


class SettlementOut(Schema):
    """An order or a transfer that was settled by hand, and what the chain said then."""

    dry_run: bool = False
    order_id: int | None
    transfer_id: int | None
    outcome: str
    base_units: int | None
    balance_change_lamports: int
    reason: str
    code_before: str
    chain: str
    username: str
    at: datetime


def settlement_out(row: Settlement, *, dry_run: bool = False) -> dict[str, Any]:
    """A settlement as the API shows it."""
    own = {name: getattr(row, name) for name in SettlementOut.model_fields if hasattr(row, name)}
    return {**own, "dry_run": dry_run}


class PairOut(Schema):
    """One intent on both venues; `price_bps` is real against paper, positive is worse for us."""

    order_id: int
    wallet: str
    mint: str
    side: str
    decided_at: datetime
    real_status: str
    real_code: str
    paper_status: str
    paper_code: str
    real_price_sol: float | None
    paper_price_sol: float | None
    price_bps: float | None
    real_fees_lamports: int
    paper_fees_lamports: int
    real_seconds: float | None
    paper_seconds: float


class SummaryOut(Schema):
    """All of these pairs together; null where there is nothing to compare."""

    pairs: int
    both_filled: int
    only_real: int
    only_paper: int
    neither: int
    median_price_bps: float | None
    worst_price_bps: float | None
    real_fees_lamports: int
    paper_fees_lamports: int
    median_real_seconds: float | None
    median_paper_seconds: float | None


class ComparisonOut(Schema):
    """A page of pairs, and the summary of the newest 1,000 of them."""

    summary: SummaryOut
    items: list[PairOut]
    count: int
    limit: int
    offset: int


def pair_out(pair: Pair) -> dict[str, Any]:
    """A pair as the API shows it."""
    order = pair.order
    own = {name: getattr(pair, name) for name in PairOut.model_fields if hasattr(pair, name)}
    return {
        **own,
        "order_id": order.pk,
        "wallet": order.wallet.alias,
        "mint": order.mint,
        "side": order.side,
        "decided_at": order.decided_at,
        "real_fees_lamports": pair.real_fees,
        "paper_fees_lamports": pair.paper_fees,
    }


def summary_out(summary: Summary) -> dict[str, Any]:
    """A summary as the API shows it."""
    own = {name: getattr(summary, name) for name in SummaryOut.model_fields if hasattr(summary, name)}
    return {**own, "real_fees_lamports": summary.real_fees, "paper_fees_lamports": summary.paper_fees}


class PerformanceOfWalletOut(Schema):
    """How a wallet has done: its row of the view `wallet_performance`, and the same by exit reason."""

    wallet: dict[str, Any]
    exits: list[dict[str, Any]]
