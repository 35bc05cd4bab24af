"""A position is the sum of its fills: how each one changes it. Pure integers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apps.trading.fills import Fill


@dataclass(frozen=True, slots=True)
class Holding:
    """The amounts of a position, in base units and lamports.

    `cost` is all that was paid, `proceeds` all that came back (a failed exit's network fee counts against them);
    `curve_lamports` is what our fills have put on the curve and not taken off again.
    """

    quantity: int = 0
    bought: int = 0
    cost: int = 0
    proceeds: int = 0
    curve_lamports: int = 0


def after_fill(holding: Holding, fill: Fill) -> Holding:
    """The holding with one more fill. Raises ValueError when more is sold than held."""
    if fill.side == "buy":
        return Holding(
            quantity=holding.quantity + fill.base_units,
            bought=holding.bought + fill.base_units,
            cost=holding.cost - fill.balance_change,
            proceeds=holding.proceeds,
            curve_lamports=holding.curve_lamports + fill.curve_lamports,
        )
    if fill.base_units > holding.quantity:
        raise ValueError(f"{fill.base_units} base units sold of {holding.quantity} held")
    return replace(
        holding,
        quantity=holding.quantity - fill.base_units,
        proceeds=holding.proceeds + fill.balance_change,
        curve_lamports=holding.curve_lamports - fill.curve_lamports,
    )


def after_failed_exit(holding: Holding, network_fee: int) -> Holding:
    """The holding after a sale that failed on the chain and cost `network_fee` lamports."""
    return replace(holding, proceeds=holding.proceeds - network_fee)


def cost_of_remaining(holding: Holding) -> int:
    """The share of the cost that belongs to what is still held, in lamports, rounded up."""
    return -(-holding.cost * holding.quantity // holding.bought) if holding.bought else 0


def realized_pnl(holding: Holding) -> int:
    """What has been gained (negative: lost) on the part already sold, net of every fee."""
    return holding.proceeds - (holding.cost - cost_of_remaining(holding))


def units_for_percent(quantity: int, percent: float) -> int:
    """Base units that `percent` (above 0, at most 100) of a holding are, rounded down; 100 is everything."""
    if not 0 < percent <= 100:
        raise ValueError("percent must be above 0 and at most 100")
    return quantity if percent == 100 else quantity * round(percent * 10_000) // 1_000_000
