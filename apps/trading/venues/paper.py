"""The paper venue: executes an order on the recorded market as it was when the order arrived there. Pure.

The reserves are those of the coin's last trade at or before the order's due time, with our own standing fills in them.
A set share of orders fails like transactions do; which ones follows from the order's key, so the same order fails in a
replay, on paper and in a backtest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from apps.discovery import curve
from apps.trading.fills import Costs, Fill, FillRejectedError, RejectCode, Standing, fill_buy, fill_sell
from apps.trading.market import Market


@dataclass(frozen=True, slots=True)
class Request:
    """An order as the venue sees it. `amount` is lamports for a buy, base units for a sell.

    `moves_rent`: whether this buy opens the token account (rent is paid) or this sale closes it (rent comes back).
    """

    key: str
    side: curve.Side
    amount: int
    quoted_base_units: int
    quoted_lamports: int
    slippage_bps: int
    moves_rent: bool


def fails(key: str, rate: float) -> bool:
    """Whether the order `key` belongs to the share `rate` that fails on its way."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * 2**64


def execute(request: Request, market: Market, standing: Standing, costs: Costs, failure_rate: float) -> Fill:
    """Execute an order at `market.at`. Raises FillRejectedError with the code of the refusal."""
    _refuse_unpriceable(request, market)
    if fails(request.key, failure_rate):
        raise FillRejectedError(RejectCode.TRANSACTION_FAILED, "the transaction failed (simulated)")
    assert market.reserves is not None
    fees = curve.fees_at(market.at)
    if request.side == "buy":
        return fill_buy(
            market.reserves,
            standing,
            lamports=request.amount,
            quoted_base_units=request.quoted_base_units,
            quoted_lamports=request.quoted_lamports,
            slippage_bps=request.slippage_bps,
            fees=fees,
            costs=costs,
            pays_rent=request.moves_rent,
        )
    return fill_sell(
        market.reserves,
        standing,
        base_units=request.amount,
        quoted_lamports=request.quoted_lamports,
        slippage_bps=request.slippage_bps,
        fees=fees,
        costs=costs,
        returns_rent=request.moves_rent,
    )


def _refuse_unpriceable(request: Request, market: Market) -> None:
    """Refuse what this venue cannot price honestly, before anything is sent."""
    if not market.is_known or market.reserves is None:
        raise FillRejectedError(RejectCode.COIN_UNKNOWN, "no reserves of this coin are known")
    if not market.is_standard:
        raise FillRejectedError(RejectCode.COIN_NONSTANDARD, "the coin is not on the standard curve")
    if market.is_graduated or (market.is_complete and request.side == "sell"):
        raise FillRejectedError(RejectCode.COIN_GRADUATED, "the coin has left its curve; its pool is not priced here")
    if market.is_inside_gap or (market.gap_ended_at is not None and request.side == "buy"):
        raise FillRejectedError(RejectCode.COIN_IN_GAP, "trades of this coin may have been missed in a gap")
