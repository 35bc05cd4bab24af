"""Judging exits: which open positions are to be left, since when and why; and leaving them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.discovery.curve import spot_price_sol
from apps.trading import exits
from apps.trading.book import TABLES, Book
from apps.trading.exits import Mark, Trigger
from apps.trading.fills import RejectCode
from apps.trading.levels import levels_of
from apps.trading.models import Order, Position
from apps.trading.orders import SellIntent, order_sell
from apps.trading.queries import Score, Tick
from apps.trading.risk import DenyCode
from apps.trading.valuation import costs_of, mark_of

# A score is acted on so long after the end of its window, on paper as in a backtest: by then the scorer has written it.
MODEL_EXIT_DELAY = timedelta(seconds=2)
WATCHED = ("peak_price_sol", "creator_sold_lamports", "creator_sold_base_units", "seen_at", "seen_seq")


@dataclass(frozen=True, slots=True)
class Exit:
    """A position that is to be left, and since when and why."""

    position: Position
    trigger: Trigger

    @property
    def order(self) -> tuple[datetime, str, int]:
        """Which of several exits comes first."""
        return self.trigger.at, self.position.mint, self.position.wallet_id


def exits_judge(
    *, since: datetime, since_seq: int, to: datetime, only: Position | None = None, book: Book = TABLES
) -> tuple[dict[int, Exit], int]:
    """Judge open positions (`only` that one) on every trade of their coins after (`since`, `since_seq`) up to `to`.

    Returns the exits that are due, by position, and the number of the last trade seen at exactly `to` (-1 if none),
    the place to go on from.
    """
    ids = None if only is None else [only.pk]
    unseen_since = since if only is None else only.seen_at or since  # one that was being left watches on from there
    with book.judging_ahead(unseen_since, to, ids):
        ticks = book.ticks_between(unseen_since, to, ids)
        graduated = book.held_graduated(to)
    held = book.positions_to_judge({*ticks, *graduated}, to, ids)
    scored = _scored(held, since, to, book)
    due: dict[int, Exit] = {}
    for position in held:
        start = max((since, since_seq), (position.judged_at or since, position.judged_seq))
        levels = levels_of(position)
        limit = exits.deadline(
            levels, since=start[0], to=to, graduated_at=graduated.get(position.mint), model_at=scored.get(position.pk)
        )
        before = _watched(position)
        marks = _marks(position, ticks.get(position.mint, []), start, limit.at if limit else to)
        trigger = exits.first_trigger(levels, marks, limit)
        if trigger is not None:
            due[position.pk] = Exit(position, trigger)
        _note(position, before, trigger, book)
    return due, max((_last_seq(rows, to) for rows in ticks.values()), default=-1)


def _last_seq(ticks: Sequence[Tick], at: datetime) -> int:
    """The number of the last trade at exactly `at`; -1 where there is none. No trade is later."""
    return ticks[-1].seq if ticks and ticks[-1].at == at else -1


def _scored(held: Sequence[Position], since: datetime, to: datetime, book: Book) -> dict[int, datetime]:
    """When a score first fell below what a position asks for, by position; scores count MODEL_EXIT_DELAY late."""
    asking = [position for position in held if position.rules.get("model_below") is not None]
    if not asking:
        return {}
    scores = book.scores_between(
        {position.mint for position in asking}, since - MODEL_EXIT_DELAY, to - MODEL_EXIT_DELAY
    )
    found = ((position.pk, _sells_at(position, scores.get(position.mint, ()), since)) for position in asking)
    return {number: at for number, at in found if at is not None}


def _sells_at(position: Position, scores: Sequence[Score], since: datetime) -> datetime | None:
    least, models = position.rules["model_below"], position.rules.get("model_below_ids")
    start = max(since, position.judged_at or since)
    for score in scores:
        known_at = score.as_of + MODEL_EXIT_DELAY
        asked = not models or score.active_model_id in models
        if asked and score.probability < least and score.as_of >= position.opened_at and known_at > start:
            return known_at
    return None


def _marks(position: Position, ticks: Sequence[Tick], start: tuple[datetime, int], until: datetime) -> Iterator[Mark]:
    """What the exits are judged on after `start`; what is watched is watched from where it was seen last."""
    costs = costs_of(position.wallet)
    for tick in ticks:
        if tick.at > until:
            return
        is_new = (tick.at, tick.seq) > start
        if position.seen_at is None:
            position.seen_at, position.seen_seq = start
        if (tick.at, tick.seq) > (position.seen_at, position.seen_seq):
            _watch(position, tick)
        if is_new:
            yield mark_of(position, tick.reserves, tick.at, costs)


def _watch(position: Position, tick: Tick) -> None:
    """Count a trade into what is watched: the highest price, and what the creator has sold."""
    position.seen_at, position.seen_seq = tick.at, tick.seq
    position.peak_price_sol = max(position.peak_price_sol or 0.0, spot_price_sol(tick.reserves))
    position.creator_sold_lamports += tick.creator_sold_lamports
    position.creator_sold_base_units += tick.creator_sold_base_units


def _watched(position: Position) -> tuple[float | None, int]:
    return position.peak_price_sol, position.creator_sold_base_units


def _note(position: Position, before: tuple[float | None, int], trigger: Trigger | None, book: Book) -> None:
    """Keep what was seen: where it says something new, and where the position is left and goes on watching later."""
    if trigger is not None and trigger.reason == "MODEL" and position.leave_at is None:
        position.leave_at = trigger.at
        book.position_save(position, "leave_at")
    if trigger is not None or _watched(position) != before:
        book.position_save(position, *WATCHED)


def leave(position: Position, trigger: Trigger, book: Book) -> None:
    """Sell a position or the part that its ladder says, unless trading is halted (the next trade judges it again).

    The key counts the sales that the judged position had ordered: whoever judges the same state names the same sale.
    """
    if book.trading_state() == "HALTED":
        return
    held = position.quantity_base_units
    if trigger.rungs is None:
        units = held
    else:
        units = exits.units_of_rungs(levels_of(position), trigger.rungs, bought=position.bought_base_units, held=held)
    opened_ms = round(position.opened_at.timestamp() * 1000)
    intent = SellIntent(
        key=f"exit:{position.wallet.alias}:{position.mint}:{opened_ms}:{position.sales}",
        position_id=position.pk,
        base_units=units,
        slippage_bps=position.slippage_bps,
        decided_at=trigger.at,
        reason=trigger.reason,
        rungs=trigger.rungs,
    )
    order = order_sell(intent=intent, book=book)
    if order.deny_code in (DenyCode.INSUFFICIENT_BALANCE, DenyCode.REAL_TRADING_LOCKED):
        position.blocked_code = order.deny_code
        book.position_save(position, "blocked_code")


def judge_again(order: Order, book: Book) -> None:
    """After a sale that was refused or has expired: leave again at once if there is still a reason, with a fresh quote.

    Inside a gap nothing can be priced; the next try is at its end.
    """
    failed = order.side == "sell" and order.status in (Order.Status.REJECTED, Order.Status.EXPIRED)
    if not failed or order.position_id is None or order.finished_at is None:
        return
    at = order.finished_at
    market = book.markets_at([order.mint], at)[order.mint]
    position = book.position(order.position_id)
    if order.deny_code == RejectCode.COIN_IN_GAP and market.gap_ended_at is not None:
        at = market.gap_ended_at
        position.judged_at, position.judged_seq = at, -1
        book.position_save(position, "judged_at", "judged_seq")
    if market.reserves is None or position.blocked_code or position.status != Position.Status.OPEN:
        return
    mark = mark_of(position, market.reserves, at, costs_of(position.wallet))
    if decision := exits.decide(levels_of(position), mark):
        leave(position, Trigger(decision.reason, at, decision.rungs), book)
