"""The way of alerts through a strategy: let pass, denied, submitted, filled; and why it may never trade at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings

from apps.core.units import sol_to_lamports
from apps.predictions.models import ActiveModel
from apps.trading import funnel_queries, gate, gate_queries, queries, unlocking
from apps.trading.conditions import exclude
from apps.trading.entries import conditions_of, is_kelly
from apps.trading.fills import buy_budget
from apps.trading.funnel_rules import Setting, warnings_of
from apps.trading.funnel_warnings import WARNINGS
from apps.trading.models import Order, Strategy, Wallet
from apps.trading.risk import BPS, Scope, losses_reached
from apps.trading.sizing import sizing_of
from apps.trading.strategy_models import calibrated_at_work
from apps.trading.valuation import costs_of, equity_lamports

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Count:
    """How many alerts or orders ended for this reason."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Why the strategy cannot trade as things are set."""

    code: str
    message: str


@dataclass(slots=True)
class Funnel:
    """What became of the alerts that a strategy saw between two full hours of feed time."""

    strategy: str
    wallet: str
    since: datetime
    until: datetime
    alerts: int = 0
    filtered: list[Count] = field(default_factory=list)
    denied: list[Count] = field(default_factory=list)
    ended: list[Count] = field(default_factory=list)
    passed: int = 0
    submitted: int = 0
    filled: int = 0
    in_flight: int = 0
    warnings: list[Warned] = field(default_factory=list)


def funnels(*, hours: int, name: str | None = None) -> list[Funnel]:
    """The funnels of all strategies (or one), by name, over the last hours of feed time; the running hour counts."""
    now = queries.feed_at()
    if now is None:
        return []
    until = now.replace(minute=0, second=0, microsecond=0) + HOUR
    since = until - hours * HOUR
    strategies = list(Strategy.objects.select_related("wallet").order_by("name"))
    strategies = [one for one in strategies if name is None or one.name == name][:100]
    found = {one.pk: Funnel(one.name, one.wallet.alias, since, until) for one in strategies}
    _count(found, since, until)
    _warn(found, strategies, now, since, until)
    return list(found.values())


def _count(found: dict[int, Funnel], since: datetime, until: datetime) -> None:
    for strategy_id, reason, count in funnel_queries.filtered_counted(list(found), since, until):
        found[strategy_id].filtered.append(Count(reason, count))
    for strategy_id, status, code, count in funnel_queries.orders_counted(list(found), since, until):
        _count_orders(found[strategy_id], status, code, count)
    for one in found.values():
        one.alerts = one.passed + sum(row.count for row in one.filtered)


def _count_orders(one: Funnel, status: str, code: str, count: int) -> None:
    one.passed += count
    if status == Order.Status.DENIED:
        one.denied.append(Count(code, count))
        return
    one.submitted += count
    if status == Order.Status.FILLED:
        one.filled += count
    elif status in Order.IN_FLIGHT:
        one.in_flight += count
    else:
        one.ended.append(Count(code or status, count))


# --- Why it may never trade ------------------------------------------------------------------------------
def _warn(
    found: dict[int, Funnel], strategies: list[Strategy], now: datetime, since: datetime, until: datetime
) -> None:
    recent = funnel_queries.alerts_recent(since, until)
    at_work = set(ActiveModel.objects.filter(is_active=True, model__is_deleted=False).values_list("pk", flat=True))
    usable = calibrated_at_work()
    state = queries.trading_state().state
    equity = cache(lambda wallet: equity_lamports(wallet, now))
    together = cache(lambda kind: gate.everyone_scope(gate_queries.limits_of(kind), "", None, now, keep_peak=False))
    for strategy in strategies:
        chosen = set(strategy.active_model_ids) or at_work
        world = World(state, now, equity(strategy.wallet), together(strategy.wallet.wallet_type), recent,
                      len(chosen & at_work), len(chosen & (usable if is_kelly(strategy) else at_work)))  # fmt: skip
        found[strategy.pk].warnings = [Warned(code, WARNINGS[code]) for code in warnings_of(_setting(strategy, world))]


@dataclass(frozen=True, slots=True)
class World:
    """What a strategy meets now: the kill switch, its wallet's equity, all wallets of the kind, recent alerts by model
    (how many, the highest probability), how many of its models are at work and of use."""

    state: str
    now: datetime
    equity_lamports: int
    together: Scope
    recent: dict[int, tuple[int, float]]
    models_at_work: int
    models_usable: int


def _setting(strategy: Strategy, world: World) -> Setting:
    wallet = strategy.wallet
    alerts = [world.recent[one] for one in (strategy.active_model_ids or world.recent) if one in world.recent]
    best = max((best for _, best in alerts), default=None)
    most = _most_stake(strategy, world.equity_lamports, best)
    return Setting(
        is_active=strategy.is_active,
        trading_state=world.state,
        is_unlocked=unlocking.may_buy(wallet),
        wallet_is_active=wallet.status == Wallet.Status.ACTIVE,
        trading_enabled=wallet.trading_enabled,
        all_trading_enabled=world.together.trading_enabled,
        stake_lamports=None if is_kelly(strategy) else most,
        most_stake_lamports=most,
        needed_lamports=_needed(wallet, most),
        equity_lamports=world.equity_lamports,
        limits=gate.wallet_limits(wallet),
        limits_of_all=world.together.limits,
        least_cap_lamports=_least_cap(wallet),
        losses_reached=_losses_reached(wallet, world.equity_lamports, world.now),
        losses_reached_by_all=losses_reached(world.together),
        conditions_exclude=exclude(conditions_of(strategy)),
        models_at_work=world.models_at_work,
        models_usable=world.models_usable,
        alerts=sum(count for count, _ in alerts),
        best_probability=best,
        min_probability=strategy.min_probability,
    )


def _most_stake(strategy: Strategy, equity: int, best: float | None) -> int:
    """What it puts on the surest recent alert, or on a certainty where there was none."""
    sizing = sizing_of(strategy.stake_lamports, strategy.sizing)
    return sizing.size(equity_lamports=equity, probability=1.0 if best is None else best)


def _needed(wallet: Wallet, stake: int) -> int:
    buffer = sol_to_lamports(str(settings.SAFETY_BUFFER_SOL))
    return buy_budget(stake, costs_of(wallet), pays_rent=True) + buffer


def _least_cap(wallet: Wallet) -> int | None:
    """The least of its caps; of the one on all that it ever pays, what is left."""
    caps = [cap for cap in (wallet.max_trade_lamports, wallet.max_day_lamports) if cap]
    if wallet.max_total_lamports:
        caps.append(wallet.max_total_lamports - gate_queries.spent_of(wallet, None))
    return min(caps, default=None)


def _losses_reached(wallet: Wallet, equity: int, now: datetime) -> bool:
    """Whether the losing streak, the cool-down, the daily loss or the drawdown of a wallet stops it now."""
    day, peak = wallet.day_start_equity_lamports or 0, wallet.peak_equity_lamports or 0
    return (
        0 < wallet.max_consecutive_losses <= wallet.consecutive_losses
        or gate.is_cooling_down(wallet, now)
        or (wallet.max_daily_loss_bps > 0 and equity * BPS <= day * (BPS - wallet.max_daily_loss_bps) and day > 0)
        or (wallet.max_drawdown_bps > 0 and equity * BPS <= peak * (BPS - wallet.max_drawdown_bps) and peak > 0)
    )
