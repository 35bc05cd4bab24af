"""What a strategy makes of an alert: an order, made once, in the order of the alerts' commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import transaction

from apps.core.durability import commit_waits
from apps.predictions.models import AlertEvaluation
from apps.trading import rows
from apps.trading.book import TABLES, Book
from apps.trading.conditions import MARKET_FACTS, Condition, Facts, condition_of, first_failed
from apps.trading.models import Order, Strategy
from apps.trading.orders import BuyIntent, order_buy
from apps.trading.risk import DenyCode
from apps.trading.sizing import FixedStake, sizing_of
from apps.trading.valuation import equity_lamports

logger = logging.getLogger(__name__)

CALIBRATED = "model.calibrated"  # a fact of a signal: 1 where its probability is one


@dataclass(frozen=True, slots=True)
class Signal:
    """A model says yes: what a strategy decides on, from a stored alert or computed. `alert_id` only where stored;
    `facts` are what conditions ask of it (`facts.signals_informed`)."""

    active_model_id: int
    mint: str
    as_of: datetime
    fired_at: datetime
    probability: float
    alert_id: int | None = None
    phase_id: int | None = None
    facts: Facts = field(default_factory=dict)


def signal_of(alert: AlertEvaluation) -> Signal:
    """A stored alert as a strategy sees it."""
    return Signal(
        alert.active_model_id,
        alert.mint,
        alert.as_of,
        alert.fired_at,
        alert.probability,
        alert.alert_id,
        alert.phase_id,
    )


def decision_time(signal: Signal, book: Book = TABLES) -> datetime:
    """The later of the feed time at which the signal was given and the time that the engine had come to."""
    processed_at, _ = book.progress()
    return max(signal.fired_at, processed_at or signal.fired_at)


def is_meant(strategy: Strategy, signal: Signal) -> bool:
    """Whether the signal is of a model that the strategy enters on."""
    return not strategy.active_model_ids or signal.active_model_id in strategy.active_model_ids


def wants(strategy: Strategy, signal: Signal) -> bool:
    """Whether the signal is one that the strategy trades on if its conditions hold."""
    return is_meant(strategy, signal) and signal.probability >= strategy.min_probability


def concerns(strategy: Strategy, signal: Signal) -> bool:
    """Whether the signal can make the strategy do anything: enter, or leave what it holds."""
    return wants(strategy, signal) or signal.active_model_id in strategy.exits.get("exit_model_ids", ())


def conditions_of(strategy: Strategy) -> list[Condition]:
    """What must hold besides, in order."""
    return [condition_of(row) for row in strategy.conditions]


def is_kelly(strategy: Strategy) -> bool:
    """Whether its stakes are made of the probability."""
    return bool(strategy.sizing.get("kind") == "kelly")


def key_of(strategy: Strategy, signal: Signal) -> str:
    """The name of the intent: the same alert gives the same key for ever, in a replay and a backtest too."""
    as_of_ms = round(signal.as_of.timestamp() * 1000)
    return f"alert:{strategy.name}:{signal.active_model_id}:{signal.mint}:{as_of_ms}"


def decide(
    strategy: Strategy, signal: Signal, decided_at: datetime, *, feed_age_seconds: float = 0.0, book: Book = TABLES
) -> Order | None:
    """Make the order that the strategy makes of a signal; None when it lets it pass, which is counted by its reason."""
    book.exit_signal(strategy.wallet_id, signal.mint, signal.active_model_id, decided_at)
    if not is_meant(strategy, signal):
        return None
    reason = _reason_to_pass(strategy, signal, decided_at, book)
    stake = 0 if reason else _stake(strategy, signal, decided_at, book)
    if stake <= 0:
        book.filtered_add(strategy, decided_at, reason or "sizing")
        return None
    intent = BuyIntent(
        key=key_of(strategy, signal),
        wallet_id=strategy.wallet_id,
        mint=signal.mint,
        lamports=stake,
        slippage_bps=strategy.slippage_bps,
        decided_at=decided_at,
        strategy_id=strategy.pk,
        strategy_version=strategy.version,
        alert_id=signal.alert_id,
    )
    return order_buy(intent=intent, feed_age_seconds=feed_age_seconds, book=book)


def _reason_to_pass(strategy: Strategy, signal: Signal, decided_at: datetime, book: Book) -> str | None:
    """The first thing that does not hold: the probability, its calibration, or a condition as it is written."""
    if signal.probability < strategy.min_probability:
        return "probability"
    if is_kelly(strategy) and not signal.facts.get(CALIBRATED):
        return "uncalibrated"
    conditions = conditions_of(strategy)
    if not conditions:
        return None
    facts = {**signal.facts, "phase": None if signal.phase_id is None else float(signal.phase_id)}
    if any(one.fact in MARKET_FACTS for one in conditions):
        facts |= book.markets_at([signal.mint], decided_at)[signal.mint].facts()
    failed = first_failed(conditions, facts)
    return failed.text if failed else None


def _stake(strategy: Strategy, signal: Signal, decided_at: datetime, book: Book) -> int:
    """Lamports to spend; 0 where the sizing sees no entry. The equity is read under the wallet's lock."""
    sizing = sizing_of(strategy.stake_lamports, strategy.sizing)
    equity = 0
    if not isinstance(sizing, FixedStake):
        equity = equity_lamports(book.wallet(strategy.wallet_id), decided_at, book)
    return sizing.size(equity_lamports=equity, probability=signal.probability)


@transaction.atomic
def signal_take(seen: Strategy, signal: Signal, decided_at: datetime, feed_age_seconds: float) -> None:
    """Decide on one alert and move the strategy's cursor past it, together. One that rests only leaves.

    `seen`: the strategy for which the signal was informed; it may have been changed since and ask more.
    """
    strategy = rows.strategy_locked(seen.pk)
    if strategy.last_alert_id >= (signal.alert_id or 0):
        return
    commit_waits()
    if strategy.version != seen.version:
        from apps.trading.facts import signals_informed  # which knows signals

        (signal,) = signals_informed([replace(signal, facts={})], [strategy])
    if strategy.is_active:
        decide(strategy, signal, decided_at, feed_age_seconds=feed_age_seconds)
    else:
        TABLES.exit_signal(strategy.wallet_id, signal.mint, signal.active_model_id, decided_at)
    strategy.last_alert_id = signal.alert_id or strategy.last_alert_id
    with TABLES.writing():
        rows.STRATEGIES.update(strategy, "last_alert_id")
        TABLES.progress_flush()


@transaction.atomic
def signals_skip(strategy: Strategy, late: Sequence[Signal], feed_at: datetime) -> None:
    """Note every alert that came too late to enter on as a denied order, and pass on. To leave it is never too late."""
    strategy = rows.strategy_locked(strategy.pk)
    news = [signal for signal in late if (signal.alert_id or 0) > strategy.last_alert_id]
    if not news:
        return
    for signal in news:
        TABLES.exit_signal(strategy.wallet_id, signal.mint, signal.active_model_id, feed_at)
        if strategy.is_active and is_meant(strategy, signal) and not wants(strategy, signal):
            TABLES.filtered_add(strategy, feed_at, "probability")
    wanted = [signal for signal in news if strategy.is_active and wants(strategy, signal)]
    denied = [_denied_late(strategy, signal, feed_at) for signal in wanted]
    Order.objects.bulk_create(denied, ignore_conflicts=True)
    strategy.last_alert_id = max(signal.alert_id or 0 for signal in news)
    strategy.save(update_fields=["last_alert_id"])
    logger.warning("%s: %d alerts came too late to act on", strategy.name, len(denied))


def _denied_late(strategy: Strategy, signal: Signal, feed_at: datetime) -> Order:
    return Order(
        idempotency_key=key_of(strategy, signal),
        wallet_id=strategy.wallet_id,
        strategy=strategy,
        strategy_version=strategy.version,
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
