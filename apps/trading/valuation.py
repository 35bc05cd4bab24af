"""What wallets and positions are worth at one moment: cash, and positions at the sell quote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from apps.core.units import sol_to_lamports
from apps.discovery import curve
from apps.discovery.curve import Reserves
from apps.trading.book import TABLES, Book
from apps.trading.exits import BPS, Mark
from apps.trading.fills import Costs, Standing, liquidation_lamports
from apps.trading.market import Market
from apps.trading.models import Position, Wallet
from apps.trading.positions import Holding, cost_of_remaining


def costs_of(wallet: Wallet) -> Costs:
    """What this wallet's trades cost beside the curve's fees, from the settings and the wallet's virtual loss."""
    return Costs(
        network_fee_lamports=sol_to_lamports(str(settings.NETWORK_FEE_SOL)),
        tip_lamports=settings.DEFAULT_JITO_TIP_LAMPORTS,
        virtual_loss_bps=int(wallet.virtual_loss_percent * 100),
    )


def holding_of(position: Position) -> Holding:
    """The amounts of a position."""
    return Holding(
        quantity=position.quantity_base_units,
        bought=position.bought_base_units,
        cost=position.cost_lamports,
        proceeds=position.proceeds_lamports,
        curve_lamports=position.curve_lamports,
    )


def value_lamports(holding: Holding, reserves: Reserves, at: datetime, costs: Costs) -> int:
    """What selling the whole holding at `reserves` would bring, with our own fills standing on the curve."""
    standing = Standing(holding.curve_lamports, holding.quantity)
    return liquidation_lamports(reserves, standing, holding.quantity, curve.fees_at(at), costs)


def mark_of(position: Position, reserves: Reserves, at: datetime, costs: Costs) -> Mark:
    """A position as its exit rules see it right after a trade left `reserves`."""
    holding = holding_of(position)
    return Mark(
        at=at,
        cost=cost_of_remaining(holding),
        value=value_lamports(holding, reserves, at, costs),
        curve_bps=curve_bps(reserves),
        price_sol=curve.spot_price_sol(reserves),
        peak_price_sol=position.peak_price_sol or 0.0,
        creator_sold_lamports=position.creator_sold_lamports,
        creator_sold_base_units=position.creator_sold_base_units,
    )


def curve_bps(reserves: Reserves) -> int:
    """How much of a curve is sold; 10,000 when it is complete."""
    return BPS + -BPS * curve.tokens_left(reserves) // curve.REAL_TOKENS_INITIAL


@dataclass(frozen=True, slots=True)
class Valued:
    """An open position with its value at one moment (its cost where no reserves are known)."""

    position: Position
    market: Market
    cost_lamports: int
    value_lamports: int

    @property
    def unrealized_pnl_lamports(self) -> int:
        """Gain (negative: loss) if all of it were sold now."""
        return self.value_lamports - self.cost_lamports

    @property
    def price_sol(self) -> float | None:
        """The coin's spot price, SOL per token."""
        return curve.spot_price_sol(self.market.reserves) if self.market.reserves else None


def positions_valued(positions: list[Position], at: datetime, book: Book = TABLES) -> list[Valued]:
    """Open positions at the sell quote of `at`."""
    markets = book.markets_at((position.mint for position in positions), at)
    return [_valued(position, markets[position.mint]) for position in positions]


def _valued(position: Position, market: Market) -> Valued:
    holding = holding_of(position)
    cost = cost_of_remaining(holding)
    if market.reserves is None:
        return Valued(position, market, cost, cost)
    value = value_lamports(holding, market.reserves, market.at, costs_of(position.wallet))
    return Valued(position, market, cost, value)


def equity_lamports(wallet: Wallet, at: datetime, book: Book = TABLES) -> int:
    """Cash, what orders in flight have reserved, and open positions at the sell quote."""
    held = sum(valued.value_lamports for valued in positions_valued(book.positions_open(wallet), at, book))
    return wallet.cash_lamports + book.reserved(wallet) + held
