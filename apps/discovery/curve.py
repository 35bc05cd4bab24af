"""The bonding curve of a standard coin (pool `pump`, quoted in SOL, not mayhem) in exact integers.

Amounts are lamports (1 SOL = 10^9) and base units (1 token = 10^6). The formulas are those of the on-chain program;
90 of 93 decoded real trades reproduce to the last unit, the rest was not traded on this curve (`reproduces`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

LAMPORTS_PER_SOL = 10**9
BASE_UNITS_PER_TOKEN = 10**6
BPS = 10_000

Side = Literal["buy", "sell"]
Formula = Literal["exact_out", "exact_in", "sell"]


class CurveError(ValueError):
    """A trade the curve cannot make: nothing to trade, too small, or more than the curve holds."""


class CurveCompleteError(CurveError):
    """The curve's last token is sold (program error 6005): the coin trades on its pool or waits for it."""


class Reserves(msgspec.Struct, frozen=True, gc=False):
    """Virtual reserves in lamports and base units. A struct: one is made for every trade."""

    virtual_sol: int
    virtual_token: int


@dataclass(frozen=True, slots=True)
class Fees:
    """Fees of the curve in basis points; each is rounded up on its own."""

    protocol_bps: int
    creator_bps: int


@dataclass(frozen=True, slots=True)
class Quote:
    """One trade. `net_lamports` moves the curve; `total_lamports` is paid (buy) or received (sell), fees counted."""

    net_lamports: int
    protocol_fee: int
    creator_fee: int
    token_base_units: int
    total_lamports: int
    after: Reserves


INITIAL = Reserves(30_000_000_000, 1_073_000_000_000_000)
REAL_TOKENS_INITIAL = 793_100_000_000_000
SUPPLY = 10**15
TOKENS_AT_COMPLETION = INITIAL.virtual_token - REAL_TOKENS_INITIAL
SOL_AT_COMPLETION = 115_005_359_056
REAL_SOL_AT_COMPLETION = SOL_AT_COMPLETION - INITIAL.virtual_sol

_FEE_STEPS = (
    (datetime(2025, 9, 1, tzinfo=UTC), Fees(95, 30)),
    (datetime(2025, 5, 12, tzinfo=UTC), Fees(95, 5)),
)
_FIRST_FEES = Fees(100, 0)


def fees_at(moment: datetime) -> Fees:
    """Fees of the curve at `moment` (aware): 1 %, from May 2025 0.95 + 0.05 %, from September 2025 0.95 + 0.30 %."""
    for since, fees in _FEE_STEPS:
        if moment >= since:
            return fees
    return _FIRST_FEES


def fee(amount: int, bps: int) -> int:
    """`amount` times `bps` / 10,000, rounded up."""
    return -(-amount * bps // BPS)


def tokens_left(reserves: Reserves) -> int:
    """Base units the curve can still sell; 0 when complete."""
    return max(0, reserves.virtual_token - TOKENS_AT_COMPLETION)


def is_complete(reserves: Reserves) -> bool:
    """Whether every real token is sold."""
    return reserves.virtual_token <= TOKENS_AT_COMPLETION


def _net_for_tokens(reserves: Reserves, base_units: int) -> int:
    return base_units * reserves.virtual_sol // (reserves.virtual_token - base_units) + 1


def _tokens_for_net(reserves: Reserves, net: int) -> int:
    return (net - 1) * reserves.virtual_token // (reserves.virtual_sol + net - 1)


def _gross_for_tokens(reserves: Reserves, base_units: int) -> int:
    return base_units * reserves.virtual_sol // (reserves.virtual_token + base_units)


def _net_of(lamports: int, fees: Fees) -> int:
    """The part of `lamports` that is left for the curve when the fees come on top of it."""
    net = lamports * BPS // (BPS + fees.protocol_bps + fees.creator_bps)
    excess = net + fee(net, fees.protocol_bps) + fee(net, fees.creator_bps) - lamports
    return net - max(0, excess)


def _bought(reserves: Reserves, net: int, base_units: int, fees: Fees) -> Quote:
    protocol, creator = fee(net, fees.protocol_bps), fee(net, fees.creator_bps)
    after = Reserves(reserves.virtual_sol + net, reserves.virtual_token - base_units)
    return Quote(net, protocol, creator, base_units, net + protocol + creator, after)


def buy_exact_in(reserves: Reserves, lamports: int, fees: Fees) -> Quote:
    """Buy with at most `lamports`, fees included. A buy past the end takes the rest of the curve and costs less.

    Raises CurveCompleteError when nothing is left, CurveError when `lamports` buys not one base unit.
    """
    if is_complete(reserves):
        raise CurveCompleteError("the curve is complete")
    net = _net_of(lamports, fees)
    base_units = _tokens_for_net(reserves, net) if net > 1 else 0
    if base_units <= 0:
        raise CurveError(f"{lamports} lamports buy nothing")
    if base_units > tokens_left(reserves):
        return buy_exact_out(reserves, tokens_left(reserves), fees)
    return _bought(reserves, net, base_units, fees)


def buy_exact_out(reserves: Reserves, base_units: int, fees: Fees) -> Quote:
    """Buy exactly `base_units`. Raises CurveCompleteError after the end, CurveError for more than is left."""
    if is_complete(reserves):
        raise CurveCompleteError("the curve is complete")
    if not 0 < base_units <= tokens_left(reserves):
        raise CurveError(f"{base_units} base units cannot be bought: the curve holds {tokens_left(reserves)}")
    return _bought(reserves, _net_for_tokens(reserves, base_units), base_units, fees)


def sell(reserves: Reserves, base_units: int, fees: Fees) -> Quote:
    """Sell exactly `base_units`. Raises CurveCompleteError after the end, CurveError for more than was bought."""
    if is_complete(reserves):
        raise CurveCompleteError("the curve is complete")
    if not 0 < base_units <= INITIAL.virtual_token - reserves.virtual_token:
        raise CurveError(f"{base_units} base units cannot be sold to this curve")
    gross = _gross_for_tokens(reserves, base_units)
    protocol, creator = fee(gross, fees.protocol_bps), fee(gross, fees.creator_bps)
    after = Reserves(reserves.virtual_sol - gross, reserves.virtual_token + base_units)
    return Quote(gross, protocol, creator, base_units, gross - protocol - creator, after)


def reserves_before(side: Side, net_lamports: int, base_units: int, after: Reserves) -> Reserves:
    """The reserves a trade found, from its amounts and the reserves it left."""
    sign = 1 if side == "buy" else -1
    return Reserves(after.virtual_sol - sign * net_lamports, after.virtual_token + sign * base_units)


def reproduces(side: Side, net_lamports: int, base_units: int, after: Reserves) -> Formula | None:
    """The formula that gives exactly this trade, or None: then it was not made on the standard curve.

    `net_lamports` is PumpPortal's solAmount (what moved the curve). Never correct a trade by this; flag it.
    """
    before = reserves_before(side, net_lamports, base_units, after)
    if before.virtual_sol <= 0 or before.virtual_token <= 0 or after.virtual_token <= 0:
        return None
    if base_units <= 0 or net_lamports < 0:
        return None
    if side == "sell":
        return "sell" if _gross_for_tokens(before, base_units) == net_lamports else None
    if _net_for_tokens(before, base_units) == net_lamports:
        return "exact_out"
    if net_lamports > 1 and _tokens_for_net(before, net_lamports) == base_units:
        return "exact_in"
    return None


def is_reproduced(is_buy: bool, net_lamports: int, base_units: int, virtual_sol: int, virtual_token: int) -> bool:
    """Whether `reproduces` finds a formula, quickly; the reserves are those after the trade."""
    if not is_buy and 0 < base_units < virtual_token:
        return base_units * (virtual_sol + net_lamports) // virtual_token == net_lamports
    sol_before = virtual_sol - net_lamports
    if is_buy and base_units > 0 < sol_before and base_units * sol_before // virtual_token + 1 == net_lamports:
        return True
    after = Reserves(virtual_sol, virtual_token)
    return reproduces("buy" if is_buy else "sell", net_lamports, base_units, after) is not None


def spot_price_sol(reserves: Reserves) -> float:
    """SOL per token at the margin."""
    return reserves.virtual_sol / reserves.virtual_token * (BASE_UNITS_PER_TOKEN / LAMPORTS_PER_SOL)


def market_cap_sol(reserves: Reserves) -> float:
    """Spot price times the whole supply, in SOL."""
    return reserves.virtual_sol / reserves.virtual_token * (SUPPLY / LAMPORTS_PER_SOL)


def curve_progress_pct(virtual_sol: int) -> float:
    """Real SOL in the curve as a percentage of what completes it; `virtual_sol` in lamports."""
    return (virtual_sol - INITIAL.virtual_sol) / REAL_SOL_AT_COMPLETION * 100
