"""What a strategy makes of an alert: an order, made once, in the order of the alerts' commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from apps.predictions.models import AlertEvaluation
from apps.trading.book import TABLES, Book
from apps.trading.models import Order, Strategy
from apps.trading.orders import BuyIntent, order_buy
from apps.trading.risk import DenyCode
from apps.trading.sizing import FixedStake

logger = logging.getLogger(__name__)


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
def signal_take(strategy_id: int, signal: Signal, decided_at: datetime, feed_age_seconds: float) -> None:
    """Decide on one alert and move the strategy's cursor past it, together."""
    strategy = Strategy.objects.select_for_update().get(pk=strategy_id)
    if not strategy.is_active or strategy.last_alert_id >= (signal.alert_id or 0):
        return
    decide(strategy, signal, decided_at, feed_age_seconds=feed_age_seconds)
    strategy.last_alert_id = signal.alert_id or strategy.last_alert_id
    strategy.save(update_fields=["last_alert_id"])


@transaction.atomic
def signals_skip(strategy: Strategy, late: Sequence[Signal], feed_at: datetime) -> None:
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
