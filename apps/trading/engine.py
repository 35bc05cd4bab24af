"""The trading engine: takes alerts, judges exits and lets due orders be executed, all in the order of feed time.

`round_once` brings everything from where the last round ended (`trader_progress`) up to the feed time that the tables
are complete for. Every step is a transaction of its own and may be repeated: a process killed between any two steps
goes on where it was, and judges again what it had not written down, with the same result.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.core import live
from apps.core.durability import commit_waits
from apps.predictions.models import AlertEvaluation
from apps.trading import queries, rows
from apps.trading.book import TABLES, Book
from apps.trading.entries import decision_time, signal_of, signal_take, signals_skip
from apps.trading.execution import order_execute, order_settle
from apps.trading.facts import signals_informed
from apps.trading.gate import peak_raise
from apps.trading.judging import Exit, exits_judge, judge_again, leave
from apps.trading.models import Order, Position, Strategy, TraderProgress
from apps.trading.orders import wallet_roll_day
from apps.trading.risk import day_of
from apps.trading.valuation import equity_lamports
from apps.trading.venues import Expired

logger = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALERTS_A_ROUND = 200
ALERTS_BEHIND = timedelta(days=2)  # no alert that is not decided is further behind the place that trading has reached
EQUITY_EVERY = timedelta(minutes=10)


def round_once() -> bool:
    """Take new alerts and bring everything up to the feed's present. True when more alerts wait already."""
    with live.gathered():
        return _round()


def _round() -> bool:
    TABLES.progress_forget()
    strategies = rows.strategies_at_work()
    decided = min((strategy.last_alert_id for strategy in strategies), default=None)
    reached, _ = TABLES.progress()
    alerts, feed = rows.news(decided, (reached or EPOCH) - ALERTS_BEHIND, ALERTS_A_ROUND)
    if feed is None or feed.feed_at is None or not queries.feed_passes(feed):
        return False
    feed_at = feed.feed_at
    if _begin(feed_at):
        return True  # there may be alerts since then
    alerts_take(alerts, strategies, feed_at, queries.feed_age_seconds(feed))
    more = len(alerts) == ALERTS_A_ROUND
    if not more:  # those that wait are to be decided on before time goes on
        advance(to=feed_at)
    with transaction.atomic():
        commit_waits()
        TABLES.progress_flush(updated_at=timezone.now())
    return more


def _begin(feed_at: datetime) -> bool:
    """Find the place to go on from; a feed that starts anew at an earlier time (a replay) is followed: then True."""
    processed_at, _ = TABLES.progress()
    if processed_at is not None and feed_at >= processed_at:
        return False
    if processed_at is not None:
        logger.warning("the feed went back from %s to %s: trading goes on from there", processed_at, feed_at)
        orders_forget(feed_at)
    _progress_write(feed_at, -1)
    TABLES.progress_forget()
    return processed_at is not None


def orders_forget(feed_at: datetime) -> None:
    """Let paper orders expire that were made later than the time the feed has gone back to: it never comes now."""
    answer = Expired("FEED_WENT_BACK", "the feed began anew before the order was made; it will not come to its time")
    for order in queries.orders_in_flight(decided_at__gt=feed_at, wallet__wallet_type="TEST"):
        order_settle(order_id=order.pk, answer=answer, at=feed_at)


def _progress_write(processed_at: datetime, seq: int) -> None:
    fields = {"processed_at": processed_at, "processed_seq": seq}
    TraderProgress.objects.update_or_create(id=1, defaults=fields)


# --- Alerts -------------------------------------------------------------------------------------------


def alerts_take(
    alerts: Sequence[AlertEvaluation], strategies: Sequence[Strategy], feed_at: datetime, age: float
) -> None:
    """Decide on alerts in the order of their commit, for every strategy that has not decided on them yet.

    `age`: how long the feed has been silent, seconds.
    """
    oldest = feed_at - timedelta(seconds=settings.MAX_ALERT_LAG_SECONDS)
    for is_late, group in groupby(map(signal_of, alerts), key=lambda signal: signal.fired_at < oldest):
        if is_late:
            late = list(group)
            for strategy in strategies:
                signals_skip(strategy, late, feed_at)
            continue
        for signal in signals_informed(list(group), strategies):
            decided_at = min(decision_time(signal), feed_at)
            advance(to=decided_at)
            for strategy in strategies:
                signal_take(strategy, signal, decided_at, age)


# --- The way of feed time -----------------------------------------------------------------------------


def advance(*, to: datetime, book: Book = TABLES) -> None:
    """Judge exits and execute due orders up to the feed time `to`, in the order in which they fall due.

    Where the way to `to` is cut into several calls makes no difference to what comes of it.
    """
    processed_at, seq = book.progress()
    for since, until in pairwise(_steps(processed_at or to, to, book)):
        seq = _advance_step(since, seq, until, book)
        if until < to:
            book.progress_flush()


def _steps(since: datetime, to: datetime, book: Book) -> Iterator[datetime]:
    """`since`, then every midnight and every mark of EQUITY_EVERY, up to and with `to`.

    Where nothing is held or under way, it is one jump to the next midnight.
    """
    yield since
    while since < to:
        until = min(to, _next_day(since))
        mark = _mark_after(since)
        if until > mark and not book.is_idle():
            until = mark
        since = until
        yield since


def _mark_after(at: datetime) -> datetime:
    """The next multiple of EQUITY_EVERY: the same instants in a backtest and on paper, wherever a round begins."""
    return EPOCH + ((at - EPOCH) // EQUITY_EVERY + 1) * EQUITY_EVERY


def _next_day(at: datetime) -> datetime:
    """When the risk day after that of `at` begins."""
    tomorrow = day_of(at, settings.RISK_TIMEZONE) + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time(), tzinfo=ZoneInfo(settings.RISK_TIMEZONE))
    return midnight.astimezone(UTC)


def _advance_step(since: datetime, since_seq: int, until: datetime, book: Book) -> int:
    """One step; returns the number of the last trade judged at exactly `until`.

    Exits and executions take place in the order of feed time: each sees the cash that all before it have left.
    """
    waiting, seq = exits_judge(since=since, since_seq=since_seq, to=until, book=book)
    while True:
        order = book.order_next_due(until)
        first = min(waiting.values(), key=lambda exit: exit.order, default=None)
        if first is not None and (order is None or order.due_at is None or first.trigger.at < order.due_at):
            del waiting[first.position.pk]
            leave(first.position, first.trigger, book)
        elif order is not None:
            waiting |= _execute_and_judge(order.pk, waiting, until, book)
        else:
            break
    _roll_days(since, until, book)
    if (until - EPOCH) % EQUITY_EVERY == timedelta(0):
        _equity_note(until, book)
    book.progress_save(until, seq)
    return seq


def _execute_and_judge(order_id: int, waiting: dict[int, Exit], until: datetime, book: Book) -> dict[int, Exit]:
    """Execute a due order, and judge the position it has changed anew from then on."""
    order = _execute(order_id, book)
    position = order.position
    if position is None or order.due_at is None:
        return {}
    waiting.pop(position.pk, None)
    if position.status == Position.Status.CLOSED:
        return {}
    return exits_judge(since=order.due_at, since_seq=-1, to=until, only=position, book=book)[0]


def _roll_days(since: datetime, until: datetime, book: Book) -> None:
    """Begin the risk day of every wallet when the feed passes midnight in RISK_TIMEZONE."""
    if day_of(since, settings.RISK_TIMEZONE) == day_of(until, settings.RISK_TIMEZONE):
        return
    for wallet_id in book.wallet_ids():
        with book.atomic():
            wallet_roll_day(wallet=book.wallet(wallet_id), at=until, book=book)


def _equity_note(at: datetime, book: Book) -> None:
    """Keep what every wallet is worth, and its peak."""
    for wallet_id in book.wallet_ids():
        with book.atomic():
            wallet = book.wallet(wallet_id)
            equity = equity_lamports(wallet, at, book)
            peak_raise(wallet, equity, book)
            book.equity_add(wallet, at, equity)


def _execute(order_id: int, book: Book) -> Order:
    """Execute a due order; a failed exit is repeated in the same transaction, so that it is never forgotten."""
    with book.atomic():
        order = order_execute(order_id=order_id, book=book)
        judge_again(order, book)
        return order
