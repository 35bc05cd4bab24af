"""The trading engine: takes alerts, judges exits and lets due orders be executed, all in the order of feed time.

`round_once` brings everything from where the last round ended (`trader_progress`) up to the feed time that the tables
are complete for. Every step is a transaction of its own and may be repeated: a process killed between any two steps
goes on where it was, and judges again what it had not written down, with the same result.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.discovery.curve import spot_price_sol
from apps.predictions.models import AlertEvaluation
from apps.trading import exits, queries
from apps.trading.book import TABLES, Book
from apps.trading.execution import order_execute
from apps.trading.exits import Levels, Mark, Trigger
from apps.trading.fills import RejectCode
from apps.trading.models import Order, Position, Strategy, TraderProgress
from apps.trading.orders import BuyIntent, SellIntent, order_buy, order_sell, wallet_roll_day
from apps.trading.queries import Tick
from apps.trading.risk import DenyCode, day_of
from apps.trading.sizing import FixedStake
from apps.trading.valuation import costs_of, mark_of

logger = logging.getLogger(__name__)

ALERTS_A_ROUND = 200
LONGEST_STEP = timedelta(minutes=10)


def round_once() -> bool:
    """Take new alerts and bring everything up to the feed's present. True when more alerts wait already."""
    if not queries.feed_passes():
        return False
    strategies = list(Strategy.objects.filter(is_active=True).order_by("name"))
    decided = min((strategy.last_alert_id for strategy in strategies), default=0)
    alerts = queries.alerts_after(decided, ALERTS_A_ROUND) if strategies else []
    feed_at = queries.feed_at()  # after the alerts: so it covers the moment each of them was made
    if feed_at is None:
        return False
    _begin(feed_at)
    alerts_take(alerts, strategies, feed_at)
    more = len(alerts) == ALERTS_A_ROUND
    if not more:  # those that wait are to be decided on before time goes on
        advance(to=feed_at)
    TraderProgress.objects.filter(id=1).update(updated_at=timezone.now())
    return more


def _begin(feed_at: datetime) -> None:
    """Find the place to go on from; a feed that starts anew at an earlier time (a replay) is followed."""
    processed_at, _ = TABLES.progress()
    if processed_at is None or feed_at < processed_at:
        if processed_at is not None:
            logger.warning("the feed went back from %s to %s: trading goes on from there", processed_at, feed_at)
        _progress_write(feed_at, -1)


def _progress_write(processed_at: datetime, seq: int) -> None:
    fields = {"processed_at": processed_at, "processed_seq": seq}
    TraderProgress.objects.update_or_create(id=1, defaults=fields)


# --- Alerts -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signal:
    """A model says yes: what a strategy decides on, from a stored alert or computed. `alert_id` only where stored."""

    active_model_id: int
    mint: str
    as_of: datetime
    fired_at: datetime
    probability: float
    alert_id: int | None = None


def signal_of(alert: AlertEvaluation) -> Signal:
    """A stored alert as a strategy sees it."""
    return Signal(alert.active_model_id, alert.mint, alert.as_of, alert.fired_at, alert.probability, alert.alert_id)


def alerts_take(alerts: Sequence[AlertEvaluation], strategies: Sequence[Strategy], feed_at: datetime) -> None:
    """Decide on alerts in the order of their commit, for every strategy that has not decided on them yet."""
    oldest = feed_at - timedelta(seconds=settings.MAX_ALERT_LAG_SECONDS)
    age = queries.feed_age_seconds()
    for is_late, group in groupby(map(signal_of, alerts), key=lambda signal: signal.fired_at < oldest):
        if is_late:
            late = list(group)
            for strategy in strategies:
                _skip_late(strategy, late, feed_at)
            continue
        for signal in group:
            decided_at = min(decision_time(signal), feed_at)
            advance(to=decided_at)
            for strategy in strategies:
                _decide(strategy.pk, signal, decided_at, age)


def decision_time(signal: Signal, book: Book = TABLES) -> datetime:
    """The later of the feed time at which the signal was given and the time that the engine had come to."""
    processed_at, _ = book.progress()
    return max(signal.fired_at, processed_at or signal.fired_at)


def wants(strategy: Strategy, signal: Signal) -> bool:
    """Whether the signal is one that the strategy trades on."""
    models = strategy.active_model_ids
    return (not models or signal.active_model_id in models) and signal.probability >= strategy.min_probability


def key_of(strategy: Strategy, signal: Signal) -> str:
    """The name of the intent: the same alert gives the same key for ever, in a replay and a backtest too."""
    as_of_ms = round(signal.as_of.timestamp() * 1000)
    return f"alert:{strategy.name}:{signal.active_model_id}:{signal.mint}:{as_of_ms}"


def decide(
    strategy: Strategy, signal: Signal, decided_at: datetime, *, feed_age_seconds: float = 0.0, book: Book = TABLES
) -> Order | None:
    """Make the order that the strategy makes of a signal; None when it does not want it."""
    if not wants(strategy, signal):
        return None
    stake = FixedStake(strategy.stake_lamports).size(equity_lamports=0, probability=signal.probability)
    intent = BuyIntent(
        key=key_of(strategy, signal),
        wallet_id=strategy.wallet_id,
        mint=signal.mint,
        lamports=stake,
        slippage_bps=strategy.slippage_bps,
        decided_at=decided_at,
        strategy_id=strategy.pk,
        alert_id=signal.alert_id,
    )
    return order_buy(intent=intent, feed_age_seconds=feed_age_seconds, book=book)


@transaction.atomic
def _decide(strategy_id: int, signal: Signal, decided_at: datetime, feed_age_seconds: float) -> None:
    """Decide on one alert and move the strategy's cursor past it, together."""
    strategy = Strategy.objects.select_for_update().get(pk=strategy_id)
    if not strategy.is_active or strategy.last_alert_id >= (signal.alert_id or 0):
        return
    decide(strategy, signal, decided_at, feed_age_seconds=feed_age_seconds)
    strategy.last_alert_id = signal.alert_id or strategy.last_alert_id
    strategy.save(update_fields=["last_alert_id"])


@transaction.atomic
def _skip_late(strategy: Strategy, late: Sequence[Signal], feed_at: datetime) -> None:
    """Note every alert that came too late to act on as a denied order, and pass on."""
    strategy = Strategy.objects.select_for_update().get(pk=strategy.pk)
    news = [signal for signal in late if (signal.alert_id or 0) > strategy.last_alert_id]
    if not news:
        return
    denied = [_denied_late(strategy, signal, feed_at) for signal in news if wants(strategy, signal)]
    Order.objects.bulk_create(denied, ignore_conflicts=True)
    strategy.last_alert_id = max(signal.alert_id or 0 for signal in news)
    strategy.save(update_fields=["last_alert_id"])
    logger.warning("%s: %d alerts came too late to act on", strategy.name, len(denied))


def _denied_late(strategy: Strategy, signal: Signal, feed_at: datetime) -> Order:
    return Order(
        idempotency_key=key_of(strategy, signal),
        wallet_id=strategy.wallet_id,
        strategy=strategy,
        mint=signal.mint,
        side="buy",
        status=Order.Status.DENIED,
        lamports=strategy.stake_lamports,
        slippage_bps=strategy.slippage_bps,
        alert_id=signal.alert_id,
        deny_code=DenyCode.ALERT_TOO_OLD,
        decided_at=feed_at,
        finished_at=feed_at,
    )


# --- Exits and executions -----------------------------------------------------------------------------


def advance(*, to: datetime, book: Book = TABLES) -> None:
    """Judge exits and execute due orders up to the feed time `to`, in the order in which they fall due.

    Where the way to `to` is cut into several calls makes no difference to what comes of it.
    """
    processed_at, seq = book.progress()
    for since, until in pairwise(_steps(processed_at or to, to, book)):
        seq = _advance_step(since, seq, until, book)


def _steps(since: datetime, to: datetime, book: Book) -> Iterator[datetime]:
    """`since`, then every midnight and instants at most LONGEST_STEP apart, up to and with `to`.

    Where nothing is held or under way, it is one jump to the next midnight.
    """
    yield since
    while since < to:
        until = min(to, _next_day(since))
        if until - since > LONGEST_STEP and not book.is_idle():
            until = since + LONGEST_STEP
        since = until
        yield since


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
            _leave(first.position, first.trigger, book)
        elif order is not None:
            waiting |= _execute_and_judge(order.pk, waiting, until, book)
        else:
            break
    _roll_days(since, until, book)
    book.progress_save(until, seq)
    return seq


def _execute_and_judge(order_id: int, waiting: dict[int, Exit], until: datetime, book: Book) -> dict[int, Exit]:
    """Execute a due order, and judge the position it has changed anew from then on."""
    order = _execute(order_id, book)
    if order.position_id is None or order.due_at is None:
        return {}
    waiting.pop(order.position_id, None)
    return exits_judge(since=order.due_at, since_seq=-1, to=until, ids=[order.position_id], book=book)[0]


def _roll_days(since: datetime, until: datetime, book: Book) -> None:
    """Begin the risk day of every test wallet when the feed passes midnight in RISK_TIMEZONE."""
    if day_of(since, settings.RISK_TIMEZONE) == day_of(until, settings.RISK_TIMEZONE):
        return
    for wallet_id in book.wallets_test():
        with book.atomic():
            wallet_roll_day(wallet=book.wallet(wallet_id), at=until, book=book)


def _execute(order_id: int, book: Book) -> Order:
    """Execute a due order; a refused exit is repeated in the same transaction, so that it is never forgotten."""
    with book.atomic():
        order = order_execute(order_id=order_id, book=book)
        if order.status == Order.Status.REJECTED and order.side == "sell":
            _judge_again(order, book)
        return order


def _judge_again(order: Order, book: Book) -> None:
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
        _leave(position, Trigger(reason, at), book)


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


def _leave(position: Position, trigger: Trigger, book: Book) -> None:
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
