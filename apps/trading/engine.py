"""The trading engine: takes alerts, judges exits and lets due orders be executed, all in the order of feed time.

`round_once` brings everything from where the last round ended (`trader_progress`) up to the feed time that the tables
are complete for. Every step is a transaction of its own and may be repeated: a process killed between any two steps
goes on where it was, and judges again what it had not written down, with the same result.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.discovery.curve import spot_price_sol
from apps.predictions.models import AlertEvaluation
from apps.trading import exits, queries
from apps.trading.execution import order_execute
from apps.trading.exits import Levels, Mark, Trigger
from apps.trading.fills import RejectCode
from apps.trading.models import Order, Position, Strategy, TraderProgress, Wallet
from apps.trading.orders import BuyIntent, SellIntent, order_buy, order_sell, wallet_locked, wallet_roll_day
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
    processed_at = queries.progress().processed_at
    if processed_at is None or feed_at < processed_at:
        if processed_at is not None:
            logger.warning("the feed went back from %s to %s: trading goes on from there", processed_at, feed_at)
        _progress_write(feed_at, -1)


def _progress_write(processed_at: datetime, seq: int) -> None:
    fields = {"processed_at": processed_at, "processed_seq": seq}
    TraderProgress.objects.update_or_create(id=1, defaults=fields)


# --- Alerts -------------------------------------------------------------------------------------------


def alerts_take(alerts: Sequence[AlertEvaluation], strategies: Sequence[Strategy], feed_at: datetime) -> None:
    """Decide on alerts in the order of their commit, for every strategy that has not decided on them yet."""
    oldest = feed_at - timedelta(seconds=settings.MAX_ALERT_LAG_SECONDS)
    age = queries.feed_age_seconds()
    for is_late, group in groupby(alerts, key=lambda alert: alert.fired_at < oldest):
        if is_late:
            late = list(group)
            for strategy in strategies:
                _skip_late(strategy, late, feed_at)
            continue
        for alert in group:
            processed_at = queries.progress().processed_at or alert.fired_at
            decided_at = min(max(alert.fired_at, processed_at), feed_at)
            advance(to=decided_at)
            for strategy in strategies:
                _decide(strategy.pk, alert, decided_at, age)


def wants(strategy: Strategy, alert: AlertEvaluation) -> bool:
    """Whether the alert is one that the strategy trades on."""
    models = strategy.active_model_ids
    return (not models or alert.active_model_id in models) and alert.probability >= strategy.min_probability


def key_of(strategy: Strategy, alert: AlertEvaluation) -> str:
    """The name of the intent: the same alert gives the same key for ever, in a replay too."""
    as_of_ms = round(alert.as_of.timestamp() * 1000)
    return f"alert:{strategy.name}:{alert.active_model_id}:{alert.mint}:{as_of_ms}"


@transaction.atomic
def _decide(strategy_id: int, alert: AlertEvaluation, decided_at: datetime, feed_age_seconds: float) -> None:
    """Decide on one alert and move the strategy's cursor past it, together."""
    strategy = Strategy.objects.select_for_update().get(pk=strategy_id)
    if not strategy.is_active or strategy.last_alert_id >= (alert.alert_id or 0):
        return
    if wants(strategy, alert):
        stake = FixedStake(strategy.stake_lamports).size(equity_lamports=0, probability=alert.probability)
        intent = BuyIntent(
            key=key_of(strategy, alert),
            wallet_id=strategy.wallet_id,
            mint=alert.mint,
            lamports=stake,
            slippage_bps=strategy.slippage_bps,
            decided_at=decided_at,
            strategy_id=strategy.pk,
            alert_id=alert.alert_id,
        )
        order_buy(intent=intent, feed_age_seconds=feed_age_seconds)
    strategy.last_alert_id = alert.alert_id or strategy.last_alert_id
    strategy.save(update_fields=["last_alert_id"])


@transaction.atomic
def _skip_late(strategy: Strategy, late: Sequence[AlertEvaluation], feed_at: datetime) -> None:
    """Note every alert that came too late to act on as a denied order, and pass on."""
    strategy = Strategy.objects.select_for_update().get(pk=strategy.pk)
    news = [alert for alert in late if (alert.alert_id or 0) > strategy.last_alert_id]
    if not news:
        return
    denied = [_denied_late(strategy, alert, feed_at) for alert in news if wants(strategy, alert)]
    Order.objects.bulk_create(denied, ignore_conflicts=True)
    strategy.last_alert_id = max(alert.alert_id or 0 for alert in news)
    strategy.save(update_fields=["last_alert_id"])
    logger.warning("%s: %d alerts came too late to act on", strategy.name, len(denied))


def _denied_late(strategy: Strategy, alert: AlertEvaluation, feed_at: datetime) -> Order:
    return Order(
        idempotency_key=key_of(strategy, alert),
        wallet_id=strategy.wallet_id,
        strategy=strategy,
        mint=alert.mint,
        side="buy",
        status=Order.Status.DENIED,
        lamports=strategy.stake_lamports,
        slippage_bps=strategy.slippage_bps,
        alert_id=alert.alert_id,
        deny_code=DenyCode.ALERT_TOO_OLD,
        decided_at=feed_at,
        finished_at=feed_at,
    )


# --- Exits and executions -----------------------------------------------------------------------------


def advance(*, to: datetime) -> None:
    """Judge exits and execute due orders up to the feed time `to`, both in their order."""
    progress = queries.progress()
    seq = progress.processed_seq
    for since, until in pairwise(_steps(progress.processed_at or to, to)):
        seq = _advance_step(since, seq, until)


def _steps(since: datetime, to: datetime) -> Iterator[datetime]:
    """`since`, then instants at most LONGEST_STEP apart, up to and with `to`; one jump where nothing is to be done."""
    yield since
    while since < to:
        is_long = to - since > LONGEST_STEP
        idle = is_long and not (queries.positions_open().exists() or queries.orders_in_flight().exists())
        since = since + LONGEST_STEP if is_long and not idle else to
        yield since


def _advance_step(since: datetime, since_seq: int, until: datetime) -> int:
    """One step; returns the number of the last trade judged at exactly `until`."""
    _roll_days(since, until)
    seq = exits_judge(since=since, since_seq=since_seq, to=until)
    while (order := queries.order_next_due(until)) is not None:
        order = _execute(order.pk)
        if order.position_id is not None and order.due_at is not None:
            exits_judge(since=order.due_at, since_seq=-1, to=until, ids=[order.position_id])
    TraderProgress.objects.filter(id=1).update(processed_at=until, processed_seq=seq)
    return seq


def _roll_days(since: datetime, until: datetime) -> None:
    """Begin the risk day of every test wallet when the feed passes midnight in RISK_TIMEZONE."""
    if day_of(since, settings.RISK_TIMEZONE) == day_of(until, settings.RISK_TIMEZONE):
        return
    for wallet_id in Wallet.objects.filter(wallet_type=Wallet.Type.TEST).values_list("pk", flat=True):
        with transaction.atomic():
            wallet_roll_day(wallet=wallet_locked(wallet_id), at=until)


@transaction.atomic
def _execute(order_id: int) -> Order:
    """Execute a due order; a refused exit is repeated in the same transaction, so that it is never forgotten."""
    order = order_execute(order_id=order_id)
    if order.status == Order.Status.REJECTED and order.side == "sell":
        _judge_again(order)
    return order


def _judge_again(order: Order) -> None:
    """After a refused sale: leave again at once if there is still a reason, with a fresh quote.

    Inside a gap nothing can be priced; the next try is at its end.
    """
    assert order.due_at is not None
    market = queries.market_at(order.mint, order.due_at)
    at = order.due_at
    if order.deny_code == RejectCode.COIN_IN_GAP and market.gap_ended_at is not None:
        at = market.gap_ended_at
        Position.objects.filter(orders=order).update(judged_at=at, judged_seq=-1)
    positions = queries.positions_to_judge(Q(id=order.position_id))
    if market.reserves is None:
        return
    for position in positions:
        mark = mark_of(position, market.reserves, at, costs_of(position.wallet))
        if reason := exits.decide(_levels(position), mark):
            _leave(position, Trigger(reason, at))


def exits_judge(*, since: datetime, since_seq: int, to: datetime, ids: Sequence[int] | None = None) -> int:
    """Judge open positions on every trade of their coins after (`since`, `since_seq`) up to `to`; sell where due.

    Returns the number of the last trade seen at exactly `to` (-1 if none), the place to go on from.
    """
    ticks = queries.ticks_between(since, to)
    graduated = queries.held_graduated(to)
    due = Q(mint__in=[*ticks, *graduated]) | Q(timeout_at__lte=to)
    positions = queries.positions_to_judge(due if ids is None else due & Q(id__in=ids))
    triggers: list[tuple[Trigger, Position]] = []
    for position in positions:
        start = max((since, since_seq), (position.judged_at or since, position.judged_seq))
        news = [tick for tick in ticks.get(position.mint, []) if (tick.at, tick.seq) > start]
        trigger = exits.first_trigger(
            _levels(position), _marks(position, news), since=start[0], to=to, graduated_at=graduated.get(position.mint)
        )
        if trigger is not None:
            triggers.append((trigger, position))
        _note_peak(position, news, trigger.at if trigger else to)
    for trigger, position in sorted(triggers, key=lambda pair: (pair[0].at, pair[1].mint, pair[1].wallet_id)):
        _leave(position, trigger)
    return max((tick.seq for rows in ticks.values() for tick in rows if tick.at == to), default=-1)


def _levels(position: Position) -> Levels:
    return Levels(position.stop_loss_bps, position.take_profit_bps, position.timeout_at)


def _marks(position: Position, ticks: Sequence[Tick]) -> Iterator[Mark]:
    costs = costs_of(position.wallet)
    for tick in ticks:
        yield mark_of(position, tick.reserves, tick.at, costs)


def _note_peak(position: Position, ticks: Sequence[Tick], until: datetime) -> None:
    """Keep the highest price seen while the position was held."""
    prices = [tick.reserves for tick in ticks if tick.at <= until]
    peak = max(map(spot_price_sol, prices), default=0.0)
    if peak > (position.peak_price_sol or 0.0):
        Position.objects.filter(pk=position.pk).update(peak_price_sol=peak)


def _leave(position: Position, trigger: Trigger) -> None:
    """Sell all of a position, unless trading is halted (the next trade will judge it again)."""
    if queries.trading_state().state == "HALTED":
        return
    tries = Order.objects.filter(position=position, side="sell").count()
    opened_ms = round(position.opened_at.timestamp() * 1000)
    intent = SellIntent(
        key=f"exit:{position.wallet.alias}:{position.mint}:{opened_ms}:{tries}",
        position_id=position.pk,
        base_units=position.quantity_base_units,
        slippage_bps=position.slippage_bps,
        decided_at=trigger.at,
        reason=trigger.reason,
    )
    order = order_sell(intent=intent)
    if order.deny_code == DenyCode.INSUFFICIENT_BALANCE:
        Position.objects.filter(pk=position.pk).update(blocked_code=order.deny_code)
