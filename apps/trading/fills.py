"""What an order costs and brings when the curve executes it: every lamport has a name. Pure integers.

A fill's parts are costs (positive: the wallet pays); a returned rent is a negative cost. Always:
buy `balance_change = -(curve + costs)`, sell `balance_change = curve - costs`. Sources: domain.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from apps.discovery import curve
from apps.discovery.curve import BPS, INITIAL, CurveCompleteError, CurveError, Fees, Quote, Reserves, Side

VENUE_FEE_BPS = 50  # PumpPortal, local transactions
TOKEN_ACCOUNT_RENT_LAMPORTS = 2_039_280


class RejectCode(StrEnum):
    """Why the venue did not execute an order."""

    TOO_MUCH_SOL_REQUIRED = "TOO_MUCH_SOL_REQUIRED"  # program error 6002
    TOO_LITTLE_SOL_RECEIVED = "TOO_LITTLE_SOL_RECEIVED"  # program error 6003
    CURVE_COMPLETE = "CURVE_COMPLETE"  # program error 6005
    TRADE_REFUSED = "TRADE_REFUSED"
    TRANSACTION_FAILED = "TRANSACTION_FAILED"
    COIN_UNKNOWN = "COIN_UNKNOWN"
    COIN_NONSTANDARD = "COIN_NONSTANDARD"
    COIN_GRADUATED = "COIN_GRADUATED"
    COIN_IN_GAP = "COIN_IN_GAP"


# The transaction reached the chain and failed there: the network fee is gone.
CHARGED = frozenset(
    {
        RejectCode.TOO_MUCH_SOL_REQUIRED,
        RejectCode.TOO_LITTLE_SOL_RECEIVED,
        RejectCode.CURVE_COMPLETE,
        RejectCode.TRADE_REFUSED,
        RejectCode.TRANSACTION_FAILED,
    }
)


class FillRejectedError(Exception):
    """The venue refuses; `code` says why."""

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Costs:
    """What a trade costs beside the curve's own fees. `virtual_loss_bps` is an extra loss of test wallets."""

    network_fee_lamports: int
    tip_lamports: int
    virtual_loss_bps: int = 0
    venue_fee_bps: int = VENUE_FEE_BPS
    rent_lamports: int = TOKEN_ACCOUNT_RENT_LAMPORTS


@dataclass(frozen=True, slots=True)
class Standing:
    """What our open positions of a coin have put on its curve (buys minus sells), and the base units they hold."""

    lamports: int
    base_units: int


NOTHING_STANDING = Standing(0, 0)


@dataclass(frozen=True, slots=True)
class Fill:
    """An executed order. `curve_lamports` moved the curve; `rent` is negative when it came back."""

    side: Side
    base_units: int
    curve_lamports: int
    protocol_fee: int
    creator_fee: int
    venue_fee: int
    network_fee: int
    tip: int
    rent: int
    virtual_loss: int
    price_impact_bps: int | None  # None: of a real fill, whose reserves are not known
    slippage_bps: int

    @property
    def costs(self) -> int:
        """Lamports that went neither into the curve nor to us."""
        fees = self.protocol_fee + self.creator_fee + self.venue_fee
        return fees + self.network_fee + self.tip + self.rent + self.virtual_loss

    @property
    def balance_change(self) -> int:
        """Of the wallet, in lamports: negative for a buy."""
        return (self.curve_lamports if self.side == "sell" else -self.curve_lamports) - self.costs

    @property
    def price_sol(self) -> float:
        """Average SOL per token, before fees."""
        return self.curve_lamports / self.base_units / (curve.LAMPORTS_PER_SOL / curve.BASE_UNITS_PER_TOKEN)


def with_standing(market: Reserves, standing: Standing) -> Reserves:
    """The reserves as they would be with our own standing fills in them.

    The market's trades are taken to move the same SOL with us as without us, so our lamports come on top and the
    tokens follow from the constant product: right after one buy this is exactly what the curve formula leaves.
    The tokens we hold can always be sold back, whatever the rounding of many trades has done to the product.
    """
    added = max(0, standing.lamports)
    tokens = market.virtual_token
    if added > 1:
        tokens = -(-market.virtual_sol * market.virtual_token // (market.virtual_sol + added - 1))
    return Reserves(market.virtual_sol + added, min(tokens, INITIAL.virtual_token - standing.base_units))


def _for_sale(market: Reserves, standing: Standing) -> Reserves:
    """Like `with_standing`, but our own fills alone never complete a curve that the market has not completed."""
    ours = with_standing(market, standing)
    if curve.is_complete(ours) and not curve.is_complete(market):
        return with_standing(market, Standing(0, standing.base_units))
    return ours


def _impact_bps(before: Reserves, after: Reserves) -> int:
    """How far the spot price moved, in basis points, without sign."""
    moved = after.virtual_sol * before.virtual_token * BPS // (after.virtual_token * before.virtual_sol)
    return abs(moved - BPS)


def quote_buy(market: Reserves, standing: Standing, lamports: int, fees: Fees) -> Quote:
    """A buy for at most `lamports`, curve fees included. Raises FillRejectedError."""
    try:
        return curve.buy_exact_in(with_standing(market, standing), lamports, fees)
    except CurveCompleteError as error:
        raise FillRejectedError(RejectCode.CURVE_COMPLETE, str(error)) from error
    except CurveError as error:
        raise FillRejectedError(RejectCode.TRADE_REFUSED, str(error)) from error


def quote_sell(market: Reserves, standing: Standing, base_units: int, fees: Fees) -> Quote:
    """A sale of `base_units`. Raises FillRejectedError, also where the fees would exceed what the curve pays."""
    try:
        quote = curve.sell(_for_sale(market, standing), base_units, fees)
    except CurveCompleteError as error:
        raise FillRejectedError(RejectCode.CURVE_COMPLETE, str(error)) from error
    except CurveError as error:
        raise FillRejectedError(RejectCode.TRADE_REFUSED, str(error)) from error
    if quote.total_lamports < 0:
        raise FillRejectedError(RejectCode.TRADE_REFUSED, f"{base_units} base units are worth less than their fees")
    return quote


def buy_budget(lamports: int, costs: Costs, *, pays_rent: bool) -> int:
    """The most that a buy for `lamports` can take from a wallet, every cost counted."""
    fees = curve.fee(lamports, costs.venue_fee_bps) + curve.fee(lamports, costs.virtual_loss_bps)
    rent = costs.rent_lamports if pays_rent else 0
    return lamports + fees + costs.network_fee_lamports + costs.tip_lamports + rent


def fill_buy(
    market: Reserves,
    standing: Standing,
    *,
    lamports: int,
    quoted_base_units: int,
    quoted_lamports: int,
    slippage_bps: int,
    fees: Fees,
    costs: Costs,
    pays_rent: bool,
) -> Fill:
    """Buy for at most `lamports`; the average price may be `slippage_bps` worse than quoted. Raises FillRejectedError.

    `quoted_lamports` is what `quoted_base_units` would have cost when the order was made, curve fees included.
    """
    quote = quote_buy(market, standing, lamports, fees)
    paid, expected = quote.total_lamports * quoted_base_units, quoted_lamports * quote.token_base_units
    if paid * BPS > expected * (BPS + slippage_bps):
        raise FillRejectedError(RejectCode.TOO_MUCH_SOL_REQUIRED, "the price rose beyond the slippage limit")
    return Fill(
        side="buy",
        base_units=quote.token_base_units,
        curve_lamports=quote.net_lamports,
        protocol_fee=quote.protocol_fee,
        creator_fee=quote.creator_fee,
        venue_fee=curve.fee(quote.total_lamports, costs.venue_fee_bps),
        network_fee=costs.network_fee_lamports,
        tip=costs.tip_lamports,
        rent=costs.rent_lamports if pays_rent else 0,
        virtual_loss=curve.fee(quote.total_lamports, costs.virtual_loss_bps),
        price_impact_bps=_impact_bps(with_standing(market, standing), quote.after),
        slippage_bps=_worse_bps(paid, expected),
    )


def fill_sell(
    market: Reserves,
    standing: Standing,
    *,
    base_units: int,
    quoted_lamports: int,
    slippage_bps: int,
    fees: Fees,
    costs: Costs,
    returns_rent: bool,
) -> Fill:
    """Sell exactly `base_units`; what the curve pays may be `slippage_bps` less than quoted. Raises FillRejectedError.

    `quoted_lamports` is what the curve would have paid when the order was made, after its fees.
    """
    quote = quote_sell(market, standing, base_units, fees)
    if quote.total_lamports * BPS < quoted_lamports * (BPS - slippage_bps):
        raise FillRejectedError(RejectCode.TOO_LITTLE_SOL_RECEIVED, "the price fell beyond the slippage limit")
    left = quote.total_lamports
    venue_fee = min(left, curve.fee(quote.net_lamports, costs.venue_fee_bps))
    return Fill(
        side="sell",
        base_units=base_units,
        curve_lamports=quote.net_lamports,
        protocol_fee=quote.protocol_fee,
        creator_fee=quote.creator_fee,
        venue_fee=venue_fee,
        network_fee=costs.network_fee_lamports,
        tip=costs.tip_lamports,
        rent=-costs.rent_lamports if returns_rent else 0,
        virtual_loss=min(left - venue_fee, curve.fee(quote.net_lamports, costs.virtual_loss_bps)),
        price_impact_bps=_impact_bps(_for_sale(market, standing), quote.after),
        slippage_bps=_worse_bps(quoted_lamports, quote.total_lamports),
    )


def _worse_bps(worse: int, better: int) -> int:
    """By how many basis points `worse` exceeds `better`; negative when the trade went better than quoted."""
    return (worse - better) * BPS // better if better > 0 else 0


def liquidation_lamports(market: Reserves, standing: Standing, base_units: int, fees: Fees, costs: Costs) -> int:
    """What the wallet's balance would gain if all `base_units` were sold now at the sell quote, the rent returned.

    Where the curve is complete (the pool cannot be priced here) it is the last curve price, without any cost.
    """
    try:
        fill = fill_sell(
            market,
            standing,
            base_units=base_units,
            quoted_lamports=0,
            slippage_bps=0,
            fees=fees,
            costs=costs,
            returns_rent=True,
        )
    except FillRejectedError:
        return base_units * market.virtual_sol // market.virtual_token
    return fill.balance_change
