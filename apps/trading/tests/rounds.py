"""Rounds of the engine over a world of tests, and what must hold after each."""

from __future__ import annotations

from apps.trading import engine
from apps.trading.ledger_queries import difference_of
from apps.trading.models import Position, Wallet
from apps.trading.tests.conftest import World


def run(world: World, seconds: float) -> None:
    world.feed(seconds)
    engine.round_once()


def books_balance() -> None:
    for wallet in Wallet.objects.all():
        assert difference_of(wallet).total == 0
        for position in wallet.positions.all():
            fills = position.trades.filter(status="SUCCESS")
            bought = sum(trade.token_base_units for trade in fills if trade.action == "buy")
            sold = sum(trade.token_base_units for trade in fills if trade.action == "sell")
            assert position.quantity_base_units == bought - sold
            changes = sum(trade.balance_change_lamports for trade in position.trades.all())
            assert changes == position.proceeds_lamports - position.cost_lamports


def held(world: World, **strategy: object) -> tuple[str, Position]:
    """A coin that the strategy holds since second 6."""
    mint = world.coin()
    world.wallet()
    world.strategy(**strategy)
    world.alert(mint, 5)
    run(world, 5)
    run(world, 6)
    return mint, Position.objects.get()
