"""The exit rules that a position carries: taken from its strategy's version when it was opened, and never by itself
from a later one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from apps.trading.exits import BPS, Levels, Rung
from apps.trading.models import Order, Position, Strategy

KEPT = (
    "ladder",
    "trailing_bps",
    "trailing_from_bps",
    "model_below",
    "model_below_ids",
    "exit_model_ids",
    "creator_sold_lamports",
    "graduation_bps",
)


def position_arm(position: Position, strategy: Strategy, initial_buy_base_units: int | None) -> None:
    """Give a position the exits that the strategy has now; nothing is saved. Rungs that are sold stay sold, and so do
    those of another ladder that lie no higher, whatever ladders there were in between.

    A share of the creator's first buy becomes an amount; where that buy is not known there is no such rule.
    """
    rules = {name: strategy.exits[name] for name in KEPT if name in strategy.exits}
    share = strategy.exits.get("creator_sold_bps")
    if share is not None and initial_buy_base_units:
        rules["creator_sold_base_units"] = -(-initial_buy_base_units * share // BPS)
    gain_bps = gain_sold(position, position.rungs_done)
    if gain_bps is not None:
        rules["sold_gain_bps"] = gain_bps
    position.rungs_done = rungs_until(rules.get("ladder", []), gain_bps)
    position.rules = rules
    position.strategy_version = strategy.version
    position.stop_loss_bps, position.take_profit_bps = strategy.stop_loss_bps, strategy.take_profit_bps
    timeout = strategy.timeout_seconds
    position.timeout_at = position.opened_at + timedelta(seconds=timeout) if timeout is not None else None


def gain_sold(position: Position, done: int) -> int | None:
    """The gain (basis points) up to which a position's rungs are sold with `done` of its ladder; None: not one."""
    gains = [position.rules["sold_gain_bps"]] if "sold_gain_bps" in position.rules else []
    if done and (own := position.rules.get("ladder")):
        gains.append(own[min(done, len(own)) - 1]["gain_bps"])
    return max(gains, default=None)


def rungs_until(ladder: Sequence[Mapping[str, int]], gain_bps: int | None) -> int:
    """How many rungs of a ladder lie at or below a gain."""
    return 0 if gain_bps is None else sum(rung["gain_bps"] <= gain_bps for rung in ladder)


def rungs_sold(position: Position, order: Order) -> None:
    """Note the rungs that an order has sold, also where the ladder has changed while it was under way."""
    position.rungs_done = max(position.rungs_done, order.rungs or 0)
    selling = position.rules.get("selling", {}).get(str(order.pk))
    if selling is not None:
        gain_bps = max(selling, position.rules.get("sold_gain_bps", selling))
        position.rules = {**position.rules, "sold_gain_bps": gain_bps}


def levels_of(position: Position) -> Levels:
    """The exit rules of a position as values."""
    rules = position.rules
    if not rules:  # most positions by hand and of simple strategies
        return Levels(position.stop_loss_bps, position.take_profit_bps, position.timeout_at, position.leave_at)
    return Levels(
        stop_loss_bps=position.stop_loss_bps,
        take_profit_bps=position.take_profit_bps,
        timeout_at=position.timeout_at,
        leave_at=position.leave_at,
        trailing_bps=rules.get("trailing_bps"),
        trailing_from_bps=rules.get("trailing_from_bps", 0),
        entry_price_sol=position.entry_price_sol or 0.0,
        ladder=tuple(Rung(rung["gain_bps"], rung["share_bps"]) for rung in rules.get("ladder", [])),
        rungs_done=position.rungs_done,
        creator_sold_lamports=rules.get("creator_sold_lamports"),
        creator_sold_base_units=rules.get("creator_sold_base_units"),
        graduation_bps=rules.get("graduation_bps", BPS) or None,
    )
