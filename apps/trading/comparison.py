"""Paper against live: what the paper venue makes of each real order's intent, beside what the chain made of it.

A real order that has ended gets a shadow: the same amount, limit and quote, executed on paper at its own decision plus
paper's latency. Our real trade stands in the recorded market; where it landed before the shadow's instant it is taken
out again, so the shadow does not pay for it. A shadow moves no balance and no position.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from apps.discovery.curve import Reserves
from apps.discovery.models import CoinTransaction
from apps.trading import queries
from apps.trading.book import terms_set
from apps.trading.fills import CHARGED, NOTHING_STANDING, Fill, FillRejectedError
from apps.trading.market import Market
from apps.trading.models import Order, ShadowFill, TradeLog
from apps.trading.valuation import costs_of
from apps.trading.venues import paper

ENDED = (Order.Status.FILLED, Order.Status.REJECTED, Order.Status.EXPIRED)
FEES = ("protocol_fee", "creator_fee", "venue_fee", "network_fee", "tip")
SUMMED = 1_000  # the newest pairs that a summary is of
LANDS_WITHIN = timedelta(minutes=10)  # bounds the chunks in which our own trade is looked for


# --- Making shadows ------------------------------------------------------------------------------------
def shadows_fill(limit: int = 200) -> int:
    """Give shadows to real orders that have ended and whose instant the feed has passed; how many."""
    feed_at = queries.feed_at()
    if feed_at is None:
        return 0
    waiting = Order.objects.filter(wallet__wallet_type="REAL", status__in=ENDED, shadow=None)
    made = [
        _shadow(order, at)
        for order in waiting.select_related("wallet", "trade").order_by("id")[:limit]
        if (at := order.decided_at + terms_set().latency(order.idempotency_key)) <= feed_at
    ]
    return len(ShadowFill.objects.bulk_create(made, ignore_conflicts=True))


def _shadow(order: Order, at: datetime) -> ShadowFill:
    trade: TradeLog | None = getattr(order, "trade", None)
    market = queries.market_at(order.mint, at)
    if trade is not None and trade.status == "SUCCESS" and market.reserves is not None:
        market = without_own(market, trade) if _landed_before(trade, at) else market
    request = paper.Request(
        key=order.idempotency_key,
        side="buy" if order.side == "buy" else "sell",
        amount=(order.lamports if order.side == "buy" else order.base_units) or 0,
        quoted_base_units=order.quoted_base_units or 0,
        quoted_lamports=order.quoted_lamports or 0,
        slippage_bps=order.slippage_bps,
        moves_rent=trade.rent_lamports != 0 if trade and trade.status == "SUCCESS" else order.side == "buy",
    )
    costs = costs_of(order.wallet)
    try:
        fill = paper.execute(request, market, NOTHING_STANDING, costs, settings.PAPER_FAILURE_RATE)
    except FillRejectedError as refusal:
        fee = costs.network_fee_lamports if refusal.code in CHARGED else 0
        failed = {"network_fee_lamports": fee, "balance_change_lamports": -fee}
        return ShadowFill(order=order, at=at, status="FAILED", code=refusal.code, **failed)
    return ShadowFill(order=order, at=at, status="SUCCESS", **_parts(fill))


def without_own(market: Market, trade: TradeLog) -> Market:
    """The market as if our own trade had not been: what it put on the curve is taken off, its tokens are put back."""
    assert market.reserves is not None
    sign = 1 if trade.action == "buy" else -1
    sol = market.reserves.virtual_sol - sign * trade.curve_lamports
    tokens = market.reserves.virtual_token + sign * trade.token_base_units
    return replace(market, reserves=Reserves(sol, tokens))


def _landed_before(trade: TradeLog, at: datetime) -> bool:
    """Whether the feed had seen our trade by then."""
    if not trade.signature:
        return False
    near = CoinTransaction.objects.filter(mint=trade.mint, timestamp__gt=at - LANDS_WITHIN, timestamp__lte=at)
    return near.filter(signature=trade.signature).exists()


def _parts(fill: Fill) -> dict[str, Any]:
    return {
        "token_base_units": fill.base_units,
        "curve_lamports": fill.curve_lamports,
        "protocol_fee_lamports": fill.protocol_fee,
        "creator_fee_lamports": fill.creator_fee,
        "venue_fee_lamports": fill.venue_fee,
        "network_fee_lamports": fill.network_fee,
        "tip_lamports": fill.tip,
        "rent_lamports": fill.rent,
        "balance_change_lamports": fill.balance_change,
        "price_sol": fill.price_sol,
        "price_impact_bps": fill.price_impact_bps,
        "slippage_bps": fill.slippage_bps,
    }


# --- Comparing -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One intent on both venues. None where a side has no such figure: it failed, or it never was in a block.

    `price_bps`: real against paper, positive is worse for us. Fees are lamports without rent; seconds from decision.
    """

    order: Order
    real_status: str
    real_code: str
    paper_status: str
    paper_code: str
    real_price_sol: float | None
    paper_price_sol: float | None
    price_bps: float | None
    real_fees: int
    paper_fees: int
    real_seconds: float | None
    paper_seconds: float

    @property
    def both_filled(self) -> bool:
        """Whether there are two fills to compare."""
        return self.real_status == self.paper_status == "SUCCESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All pairs together. Medians over the pairs filled on both sides; None where there is none."""

    pairs: int
    both_filled: int
    only_real: int
    only_paper: int
    neither: int
    median_price_bps: float | None
    worst_price_bps: float | None
    real_fees: int
    paper_fees: int
    median_real_seconds: float | None
    median_paper_seconds: float | None


def pairs_of(wallet: str | None = None) -> QuerySet[Order]:
    """The orders that were on both venues, newest first."""
    given = {} if wallet is None else {"wallet__alias": wallet}
    rows = Order.objects.filter(shadow__isnull=False, **given).select_related("wallet", "trade", "shadow")
    return rows.order_by("-decided_at", "-id")


def pair_of(order: Order) -> Pair:
    """An order with its trade and its shadow side by side."""
    shadow: ShadowFill = order.shadow
    trade: TradeLog | None = getattr(order, "trade", None)
    real_price = trade.price_sol if trade else None
    return Pair(
        order=order,
        real_status=trade.status if trade else "FAILED",
        real_code="" if order.status == Order.Status.FILLED else order.deny_code or order.status,
        paper_status=shadow.status,
        paper_code=shadow.code,
        real_price_sol=real_price,
        paper_price_sol=shadow.price_sol,
        price_bps=worse_bps(order.side, real_price, shadow.price_sol),
        real_fees=_fees(trade) if trade else 0,
        paper_fees=_fees(shadow),
        real_seconds=(trade.at - order.decided_at).total_seconds() if trade else None,
        paper_seconds=(shadow.at - order.decided_at).total_seconds(),
    )


def worse_bps(side: str, real: float | None, paper_: float | None) -> float | None:
    """By how many basis points the real price is worse than paper's; negative: better."""
    if not real or not paper_:
        return None
    return ((real / paper_ if side == "buy" else paper_ / real) - 1) * 10_000


def _fees(row: TradeLog | ShadowFill) -> int:
    return sum(getattr(row, f"{part}_lamports") for part in FEES)


def summary_of(pairs: Sequence[Pair]) -> Summary:
    """What the pairs say together."""
    both = [pair for pair in pairs if pair.both_filled]
    prices = [pair.price_bps for pair in both if pair.price_bps is not None]
    seconds = [pair.real_seconds for pair in both if pair.real_seconds is not None]
    return Summary(
        pairs=len(pairs),
        both_filled=len(both),
        only_real=sum(pair.real_status == "SUCCESS" != pair.paper_status for pair in pairs),
        only_paper=sum(pair.paper_status == "SUCCESS" != pair.real_status for pair in pairs),
        neither=sum("SUCCESS" not in (pair.real_status, pair.paper_status) for pair in pairs),
        median_price_bps=statistics.median(prices) if prices else None,
        worst_price_bps=max(prices, default=None),
        real_fees=sum(pair.real_fees for pair in both),
        paper_fees=sum(pair.paper_fees for pair in both),
        median_real_seconds=statistics.median(seconds) if seconds else None,
        median_paper_seconds=statistics.median(pair.paper_seconds for pair in both) if both else None,
    )
