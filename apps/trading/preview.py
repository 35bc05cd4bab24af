"""What an order would do now, without making it: the gate's verdict, the fill with every fee, the break-even price.

The verdict is the gate's own: the order is made by the same code as always, in a transaction that is rolled back. So a
preview writes nothing, and it cannot say something else than the order would hear at that instant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db import transaction

from apps.core.errors import ConflictError, NotFoundError
from apps.discovery import curve
from apps.discovery.curve import Reserves
from apps.trading import queries, rows, services
from apps.trading.breakeven import break_even
from apps.trading.denials import DENIALS
from apps.trading.fills import (
    NOTHING_STANDING,
    Costs,
    Fill,
    FillRejectedError,
    Standing,
    quote_buy,
    quote_sell,
    with_standing,
)
from apps.trading.market import Market
from apps.trading.models import Position, Wallet
from apps.trading.positions import Holding, after_fill, cost_of_remaining, realized_pnl, units_for_percent
from apps.trading.valuation import costs_of, holding_of
from apps.trading.venues import paper

Side = Literal["buy", "sell"]
MESSAGES = {str(code): text for code, text in DENIALS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """An order that was not made. `code` is why the gate or the curve refuses it; empty: it would be submitted.

    `fill` is None where nothing can be priced. `cost_lamports` and `base_units_after` are the position after it;
    `break_even_sol` is the spot price at which selling all of that brings back its cost (None: not on the curve);
    `realized_lamports` is what a sale gains. Prices are SOL per token.
    """

    wallet: str
    is_simulation: bool
    side: Side
    mint: str
    at: datetime
    code: str
    message: str
    fill: Fill | None
    spot_price_sol: float | None
    base_units_after: int = 0
    cost_lamports: int = 0
    break_even_sol: float | None = None
    realized_lamports: int | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the order would be submitted."""
        return not self.code

    @property
    def break_even_change(self) -> float | None:
        """How far the spot price of before the order has to rise, as a ratio."""
        if self.break_even_sol is None or not self.spot_price_sol:
            return None
        return self.break_even_sol / self.spot_price_sol - 1


@contextmanager
def nothing_written() -> Iterator[None]:
    """Whatever is written inside is undone; what waits for the commit never happens."""
    with transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)


def preview_buy(*, alias: str, mint: str, lamports: int, slippage_bps: int | None = None) -> Preview:
    """A buy as `services.buy_manual` would order it now. Raises what it raises, but for denials."""
    with nothing_written():
        code = _verdict(
            lambda: services.buy_manual(alias=alias, mint=mint, lamports=lamports, slippage_bps=slippage_bps)
        )
        return _preview("buy", services.wallet_get(alias=alias), mint, lamports, code)


def preview_sell(*, alias: str, mint: str, percent: float = 100.0, slippage_bps: int | None = None) -> Preview:
    """A sale as `services.sell_manual` would order it now. Raises what it raises, but for denials."""
    with nothing_written():
        code = _verdict(
            lambda: services.sell_manual(alias=alias, mint=mint, percent=percent, slippage_bps=slippage_bps)
        )
        wallet = services.wallet_get(alias=alias)
        held = queries.positions_open(wallet=wallet, mint=mint).first()
        return _preview("sell", wallet, mint, units_for_percent(held.quantity_base_units, percent) if held else 0, code)


def preview_sell_all(*, alias: str | None = None, slippage_bps: int | None = None) -> list[Preview]:
    """The sales as `services.sell_all` would order them now."""
    found = []
    with nothing_written():
        for order in services.sell_all(alias=alias, slippage_bps=slippage_bps):
            found.append(_preview("sell", order.wallet, order.mint, order.base_units or 0, order.deny_code))
    return found


def _verdict(order: object) -> str:
    """The code of the denial; empty where the order was made."""
    try:
        order()  # type: ignore[operator]
    except NotFoundError:
        raise
    except ConflictError as refusal:
        if "order_id" not in refusal.details:
            raise
        return refusal.code
    return ""


def _preview(side: Side, wallet: Wallet, mint: str, amount: int, code: str) -> Preview:
    at = services.moment_manual()
    market, costs = queries.market_at(mint, at), costs_of(wallet)
    standing = rows.standing_of(mint) if wallet.is_test else NOTHING_STANDING
    held = queries.positions_open(wallet=wallet, mint=mint).first()
    fill, refusal = _fill(side, amount, market, standing, costs, held)
    code = code or refusal
    holding = holding_of(held) if held else Holding()
    after = after_fill(holding, fill) if fill else holding
    even = _even(market, standing, fill, after, costs, wallet.is_test)
    return Preview(
        wallet=wallet.alias,
        is_simulation=wallet.is_test,
        side=side,
        mint=mint,
        at=at,
        code=code,
        message=MESSAGES.get(code, "The curve refuses the order.") if code else "",
        fill=fill,
        spot_price_sol=curve.spot_price_sol(with_standing(market.reserves, standing)) if market.reserves else None,
        base_units_after=after.quantity,
        cost_lamports=cost_of_remaining(after),
        break_even_sol=curve.spot_price_sol(even) if even else None,
        realized_lamports=realized_pnl(after) - realized_pnl(holding) if fill and side == "sell" else None,
    )


def _fill(
    side: Side, amount: int, market: Market, standing: Standing, costs: Costs, held: Position | None
) -> tuple[Fill | None, str]:
    """The fill at this instant, or why there is none."""
    if market.reserves is None:
        return None, "COIN_UNKNOWN"
    fees = curve.fees_at(market.at)
    try:
        quote = (quote_buy if side == "buy" else quote_sell)(market.reserves, standing, amount, fees)
        request = paper.Request(
            key="",
            side=side,
            amount=amount,
            quoted_base_units=quote.token_base_units,
            quoted_lamports=quote.total_lamports,
            slippage_bps=0,
            moves_rent=held is None if side == "buy" else held is not None and amount == held.quantity_base_units,
        )
        return paper.execute(request, market, standing, costs, failure_rate=0.0), ""
    except FillRejectedError as refusal:
        return None, refusal.code


def _even(
    market: Market, standing: Standing, fill: Fill | None, after: Holding, costs: Costs, is_test: bool
) -> Reserves | None:
    """Where the position after the order breaks even. Real fills are in the market's own reserves later on."""
    if fill is None or market.reserves is None or not after.quantity:
        return None
    sign = 1 if fill.side == "buy" else -1
    ours = Standing(standing.lamports + sign * fill.curve_lamports, standing.base_units + sign * fill.base_units)
    return break_even(
        market.reserves,
        ours,
        base_units=after.quantity,
        cost_lamports=cost_of_remaining(after),
        fees=curve.fees_at(market.at),
        costs=costs,
    )
