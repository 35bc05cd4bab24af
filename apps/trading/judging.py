"""Judging exits: which open positions are to be left, since when and why; and leaving them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.discovery.curve import spot_price_sol
from apps.trading import exits
from apps.trading.book import TABLES, Book
from apps.trading.exits import Levels, Mark, Trigger
from apps.trading.fills import RejectCode
from apps.trading.models import Order, Position
from apps.trading.orders import SellIntent, order_sell
from apps.trading.queries import Tick
from apps.trading.risk import DenyCode
from apps.trading.valuation import costs_of, mark_of


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
    *, since: datetime, since_seq: int, to: datetime, ids: Sequence[int] | None = None, book: Book = TABLES
) -> tuple[dict[int, Exit], int]:
    """Judge open positions on every trade of their coins after (`since`, `since_seq`) up to `to`.

    Returns the exits that are due, by position, and the number of the last trade seen at exactly `to` (-1 if none),
    the place to go on from.
    """
    ticks = book.ticks_between(since, to, ids)
    graduated = book.held_graduated(to)
    due: dict[int, Exit] = {}
    for position in book.positions_to_judge({*ticks, *graduated}, to, ids):
        start = max((since, since_seq), (position.judged_at or since, position.judged_seq))
        news = [tick for tick in ticks.get(position.mint, []) if (tick.at, tick.seq) > start]
        trigger = exits.first_trigger(
            _levels(position), _marks(position, news), since=start[0], to=to, graduated_at=graduated.get(position.mint)
        )
        if trigger is not None:
            due[position.pk] = Exit(position, trigger)
        _note_peak(position, news, trigger.at if trigger else to, book)
    return due, max((tick.seq for rows in ticks.values() for tick in rows if tick.at == to), default=-1)


def _levels(position: Position) -> Levels:
    return Levels(position.stop_loss_bps, position.take_profit_bps, position.timeout_at)


def _marks(position: Position, ticks: Sequence[Tick]) -> Iterator[Mark]:
    costs = costs_of(position.wallet)
    for tick in ticks:
        yield mark_of(position, tick.reserves, tick.at, costs)


def _note_peak(position: Position, ticks: Sequence[Tick], until: datetime, book: Book) -> None:
    """Keep the highest price seen while the position was held."""
    peak = max((spot_price_sol(tick.reserves) for tick in ticks if tick.at <= until), default=0.0)
    if peak > (position.peak_price_sol or 0.0):
        position.peak_price_sol = peak
        book.position_save(position, "peak_price_sol")


def leave(position: Position, trigger: Trigger, book: Book) -> None:
    """Sell all of a position, unless trading is halted (the next trade will judge it again)."""
    if book.trading_state() == "HALTED":
        return
    opened_ms = round(position.opened_at.timestamp() * 1000)
    intent = SellIntent(
        key=f"exit:{position.wallet.alias}:{position.mint}:{opened_ms}:{book.sales(position)}",
        position_id=position.pk,
        base_units=position.quantity_base_units,
        slippage_bps=position.slippage_bps,
        decided_at=trigger.at,
        reason=trigger.reason,
    )
    order = order_sell(intent=intent, book=book)
    if order.deny_code == DenyCode.INSUFFICIENT_BALANCE:
        position.blocked_code = order.deny_code
        book.position_save(position, "blocked_code")


def judge_again(order: Order, book: Book) -> None:
    """After a refused sale: leave again at once if there is still a reason, with a fresh quote.

    Inside a gap nothing can be priced; the next try is at its end.
    """
    if order.position_id is None or order.due_at is None:
        return
    market = book.markets_at([order.mint], order.due_at)[order.mint]
    position = book.position(order.position_id)
    at = order.due_at
    if order.deny_code == RejectCode.COIN_IN_GAP and market.gap_ended_at is not None:
        at = market.gap_ended_at
        position.judged_at, position.judged_seq = at, -1
        book.position_save(position, "judged_at", "judged_seq")
    if market.reserves is None or position.blocked_code or position.status != Position.Status.OPEN:
        return
    mark = mark_of(position, market.reserves, at, costs_of(position.wallet))
    if reason := exits.decide(_levels(position), mark):
        leave(position, Trigger(reason, at), book)
