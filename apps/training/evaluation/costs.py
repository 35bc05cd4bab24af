"""What an alert earns when it is traded: buy after the latency, sell at the exit, every cost counted. Pure.

The same trade as `apps.trading.fills` makes it, for whole arrays in floats: the reserves follow from the spot price
because the curve's product is constant, our own buy stays in the curve until our sale, fees are those of the day
(`apps.discovery.curve.fees_at`). A buy that fails costs the network fee and earns nothing; a sale that fails costs the
network fee and is sent again. Rent of the token account comes back and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from apps.discovery import curve
from apps.training.columns import Floats, Integers

_K = float(curve.INITIAL.virtual_sol) * float(curve.INITIAL.virtual_token)
_SPOT_PER_PRICE = curve.LAMPORTS_PER_SOL / curve.BASE_UNITS_PER_TOKEN
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Costs:
    """One trade's stake and costs; the defaults are those of trading on paper.

    `network_fee_sol` is paid by each transaction (signature and priority fee), `tip_sol` by each that succeeds.
    An entry whose price rose more than `max_slippage_bps` since the quote is refused and costs the network fee.
    `flat_pct` replaces all of it by one share of the stake, as recipes said before they knew the curve.
    """

    stake_sol: float = 0.1
    venue_fee_bps: int = 50
    network_fee_sol: float = 0.000105
    tip_sol: float = 0.0
    failure_rate: float = 0.02
    max_slippage_bps: int = 500
    flat_pct: float | None = None


@dataclass(frozen=True, slots=True)
class _Bought:
    """What a buy gave, in lamports and base units; `possible` is false where the curve had nothing left."""

    base_units: Floats
    net: Floats
    paid: Floats
    possible: NDArray[np.bool_]


def values(
    entry_price: Floats,
    exit_price: Floats,
    entry_us: Integers,
    exit_us: Integers,
    costs: Costs,
    *,
    quoted_price: Floats | None = None,
) -> Floats:
    """The wallet's expected change per alert as a ratio of the stake; NaN where a price is unknown.

    Prices are SOL per token at the moment each order is executed; `quoted_price` is the one seen when deciding
    (without it no entry is refused for having run away).
    """
    if costs.flat_pct is not None:
        return exit_price / entry_price - 1 - costs.flat_pct / 100
    stake, network = costs.stake_sol * curve.LAMPORTS_PER_SOL, costs.network_fee_sol * curve.LAMPORTS_PER_SOL
    fees = _fee_ratio(entry_us)
    bought = _buy(entry_price, stake, fees)
    filled = bought.possible
    if quoted_price is not None:
        filled = filled & ~_ran_away(bought, _buy(quoted_price, stake, fees), costs.max_slippage_bps)
    tip, venue, failing = costs.tip_sol * curve.LAMPORTS_PER_SOL, costs.venue_fee_bps / curve.BPS, costs.failure_rate
    outlay = bought.paid * (1 + venue) + network + tip
    gross = _sale(exit_price, bought)
    proceeds = gross * (1 - _fee_ratio(exit_us) - venue) - network - tip
    traded = (1 - failing) * (proceeds - outlay) - 2 * failing * network
    unknown = np.isnan(entry_price) | np.isnan(exit_price)
    result: Floats = np.where(unknown, np.nan, np.where(filled, traded, -network) / stake)
    return result


def _reserves(price: Floats) -> tuple[Floats, Floats]:
    """Virtual lamports and base units of a standard curve at this price (SOL per token)."""
    sol = np.sqrt(price * _SPOT_PER_PRICE * _K)
    return sol, _K / sol


def _buy(price: Floats, stake: float, fees: Floats) -> _Bought:
    """A buy for at most `stake` lamports, the curve's fees included; past the end it takes what is left."""
    sol, token = _reserves(price)
    net = stake / (1 + fees)
    wanted, left = net * token / (sol + net), token - curve.TOKENS_AT_COMPLETION
    base_units = np.clip(np.minimum(wanted, left), 0.0, None)
    net = np.where(wanted > left, base_units * sol / (token - base_units), net)
    return _Bought(base_units, net, net * (1 + fees), left > 0)


def _ran_away(bought: _Bought, quoted: _Bought, max_slippage_bps: int) -> NDArray[np.bool_]:
    """Whether the average price paid is beyond the limit above the quoted one (false without a quote)."""
    limit = 1 + max_slippage_bps / curve.BPS
    return bought.paid * quoted.base_units > quoted.paid * bought.base_units * limit


def _sale(price: Floats, bought: _Bought) -> Floats:
    """Lamports the curve gives for what was bought, before fees, with our buy still in its reserves.

    A coin that completed in between is sold at its price on a pool as deep as the curve.
    """
    sol, token = _reserves(price)
    ours = sol + bought.net
    alone_completes = (_K / ours <= curve.TOKENS_AT_COMPLETION) & (token > curve.TOKENS_AT_COMPLETION)
    sol = np.where(alone_completes, sol, ours)
    token = np.minimum(np.where(alone_completes, token, _K / ours), curve.INITIAL.virtual_token - bought.base_units)
    return bought.base_units * sol / (token + bought.base_units)


def _fee_ratio(moment_us: Integers) -> Floats:
    """Protocol and creator fee together at each moment (they change at midnight UTC)."""
    days, place = np.unique(np.asarray(moment_us) // _DAY_US, return_inverse=True)
    return np.array([_fees_on(int(day)) for day in days])[place]


def _fees_on(day: int) -> float:
    fees = curve.fees_at(datetime.fromtimestamp(day * 86_400, UTC))
    return (fees.protocol_bps + fees.creator_bps) / curve.BPS
