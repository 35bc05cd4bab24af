"""The price at which a position has earned what it cost: found on the curve, in integers. Pure."""

from __future__ import annotations

from apps.discovery.curve import SOL_AT_COMPLETION, Fees, Reserves
from apps.trading.fills import Costs, Standing, liquidation_lamports, with_standing


def break_even(
    market: Reserves, standing: Standing, *, base_units: int, cost_lamports: int, fees: Fees, costs: Costs
) -> Reserves | None:
    """The reserves, ours in them, at which selling all `base_units` brings back `cost_lamports`; None if the curve is
    complete before.

    `market` are the reserves without our `standing` fills; only what others buy moves them, along their product.
    """
    product = market.virtual_sol * market.virtual_token

    def at(virtual_sol: int) -> Reserves:
        return Reserves(virtual_sol, -(-product // virtual_sol))

    def brings(virtual_sol: int) -> int:
        return liquidation_lamports(at(virtual_sol), standing, base_units, fees, costs)

    low, high = 1, SOL_AT_COMPLETION - max(0, standing.lamports)
    if high <= low or brings(high) < cost_lamports:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if brings(middle) >= cost_lamports else (middle, high)
    return with_standing(at(high), standing)
