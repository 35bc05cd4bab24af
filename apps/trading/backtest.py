"""Backtest: the engine that trades on paper, over what is recorded, in memory.

The same functions decide (`entries.decide`, `engine.advance`, and all that they call); only the book differs. A
backtest begins with a wallet of its own that has the limits of the strategy's wallet and is switched on; limits of all
wallets and the block-list hold as in the task, the kill switch means nothing. It writes nothing. Orders that are still
under way when the recorded time ends are EXPIRED, positions still held are valued at the sell quote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from apps.core.errors import NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.trading import backtest_figures, engine, entries
from apps.trading.backtest_equity import deepest_fall
from apps.trading.backtest_extras import history_extend
from apps.trading.backtest_figures import Closed
from apps.trading.backtest_queries import history_load, signals_stored
from apps.trading.book import Terms, terms_set
from apps.trading.entries import Signal
from apps.trading.facts import signals_informed
from apps.trading.ledger import COSTS, balances, deposit_entries, trade_entries
from apps.trading.memory import History, MemoryBook, to_us
from apps.trading.models import BacktestTrade, Position, Strategy, TradeLog, Wallet
from apps.trading.queries import Score
from apps.trading.together import Together, together_now
from apps.trading.valuation import Valued, equity_lamports, positions_valued

POINTS = 200
Progress = Callable[[float], None]
Scores = Mapping[str, Sequence[Score]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be tried: a strategy over (`since`, `until`] with so many lamports, on these terms, under these limits
    of all wallets. `seed` is of the Monte Carlo alone: the trading itself has no dice."""

    strategy: Strategy
    since: datetime
    until: datetime
    balance_lamports: int
    terms: Terms
    seed: int = 1
    together: Together = field(default_factory=Together)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished backtest: all it has decided, and the equity at points of time evenly apart."""

    task: Task
    book: MemoryBook
    equity: list[tuple[datetime, int]]


def strategy_get(name: str) -> Strategy:
    """The strategy with its wallet. Raises STRATEGY_NOT_FOUND."""
    strategy = Strategy.objects.select_related("wallet").filter(name=name).first()
    if strategy is None:
        raise NotFoundError("STRATEGY_NOT_FOUND", worded("There is no strategy called %(name)s.", name=name), name=name)
    return strategy


def task_of(
    *,
    strategy: Strategy,
    since: datetime,
    until: datetime,
    balance_lamports: int | None = None,
    terms: Terms | None = None,
    seed: int = 1,
    together: Together | None = None,
) -> Task:
    """A task on the given terms or those of the settings, under the limits of all as given or as they are now; the
    balance is what the wallet was given if none is named.

    Raises RANGE_EMPTY, BALANCE_MISSING.
    """
    if since >= until:
        raise PlatformError("RANGE_EMPTY", "The range must end after it begins.")
    balance = strategy.wallet.deposited_lamports if balance_lamports is None else balance_lamports
    if balance <= 0:
        raise PlatformError("BALANCE_MISSING", "Give a balance to trade with: the wallet was never given any.")
    together = together or together_now(strategy.wallet.wallet_type)
    return Task(strategy, since, until, balance, terms or terms_set(), seed, together)


def backtest(
    task: Task,
    *,
    signals: Sequence[Signal] | None = None,
    history: History | None = None,
    scores: Scores | None = None,
    progress: Progress = lambda share: None,
) -> Run:
    """Run the strategy over its signals (by default the stored alerts) and the recorded trades of their coins.

    `scores` by coin replace the stored ones where the strategy leaves by scores."""
    if signals is None:
        signals = signals_stored(task.strategy, task.since, task.until)
    if history is None:
        history = history_load([signal.mint for signal in signals], task.since, task.until)
    history_extend(history, task.strategy, task.since, task.until)
    if scores is not None:
        for mint, coin in history.coins.items():
            coin.scores[:] = scores.get(mint, ())
    signals = signals_informed(signals, [task.strategy])
    strategy = copy(task.strategy)
    strategy.wallet = _wallet_fresh(task.strategy.wallet, task.balance_lamports)
    book = MemoryBook(strategy, history, task.terms, task.together)
    book.progress_save(task.since, -1)
    equity = _play(book, strategy, task, signals, progress)
    book.expire(task.until)
    return Run(task, book, equity)


def _wallet_fresh(wallet: Wallet, balance: int) -> Wallet:
    fresh = copy(wallet)
    fresh.virtual_balance_lamports = fresh.deposited_lamports = balance
    fresh.wallet_type, fresh.status, fresh.trading_enabled = Wallet.Type.TEST, Wallet.Status.ACTIVE, True
    fresh.consecutive_losses, fresh.day_start_on, fresh.day_start_equity_lamports = 0, None, None
    fresh.peak_equity_lamports, fresh.cooldown_until = None, None
    return fresh


def _play(
    book: MemoryBook, strategy: Strategy, task: Task, signals: Sequence[Signal], progress: Progress
) -> list[tuple[datetime, int]]:
    """Everything in the order of feed time; returns the equity at POINTS points."""
    equity, waiting, span = [(task.since, task.balance_lamports)], iter(signals), task.until - task.since
    signal = next(waiting, None)
    for number in range(1, POINTS + 1):
        until = task.since + span * number / POINTS
        while signal is not None and signal.fired_at <= until:
            decided_at = entries.decision_time(signal, book)
            engine.advance(to=decided_at, book=book)
            entries.decide(strategy, signal, decided_at, book=book)
            signal = next(waiting, None)
        engine.advance(to=until, book=book)
        equity.append((until, equity_lamports(strategy.wallet, until, book)))
        progress(number / POINTS)
    return equity


# --- What came of it ----------------------------------------------------------------------------------


def closed_of(book: MemoryBook) -> list[Closed]:
    """The positions that were left, in the order in which they were."""
    left = [one for one in book.positions if one.closed_at is not None]
    left.sort(key=lambda one: (one.closed_at or one.opened_at, one.pk))
    return [_closed(one) for one in left]


def _closed(one: Position) -> Closed:
    held = ((one.closed_at or one.opened_at) - one.opened_at).total_seconds()
    return Closed(str(one.exit_reason), one.cost_lamports, one.realized_pnl_lamports, held)


def summary(run: Run) -> dict[str, Any]:
    """A backtest in figures: money in lamports, times ISO 8601."""
    task, book, closed = run.task, run.book, closed_of(run.book)
    end = run.equity[-1][1]
    held = positions_valued(book.positions_open(book.wallet(0)), task.until, book)
    return {
        "strategy": task.strategy.name,
        "from": task.since.isoformat(),
        "to": task.until.isoformat(),
        "terms": asdict(task.terms),
        "slippage_bps": task.strategy.slippage_bps,
        "start_lamports": task.balance_lamports,
        "end_equity_lamports": end,
        "pnl_lamports": end - task.balance_lamports,
        "return_ratio": end / task.balance_lamports - 1,
        "drawdown_ratio": deepest_fall(book, task.balance_lamports, to_us(task.until)),
        "booked_drawdown_ratio": backtest_figures.drawdown_ratio(_booked(closed, task.balance_lamports)),
        "closed_positions": len(closed),
        "winners": sum(one.pnl_lamports > 0 for one in closed),
        "open_positions": len(held),
        "unrealized_pnl_lamports": sum(one.unrealized_pnl_lamports for one in held),
        "filtered": dict(book.filtered.most_common()),
        "orders": _orders(book),
        "held": [_held(one) for one in held],
        "costs_lamports": {part: sum(getattr(one, f"{part}_lamports") for one in book.trades) for part in COSTS},
        "ledger": ledger_of(task.balance_lamports, book.trades),
        "exits": backtest_figures.by_exit(closed),
        "monte_carlo": backtest_figures.monte_carlo(
            [one.pnl_lamports for one in closed], task.balance_lamports, seed=task.seed
        ),
        "equity": [[at.isoformat(), value] for at, value in run.equity],
    }


def _booked(closed: Sequence[Closed], start_lamports: int) -> Iterable[int]:
    """The balance after each position that was left, as if nothing else were held."""
    return accumulate((one.pnl_lamports for one in closed), initial=start_lamports)


def _held(one: Valued) -> dict[str, Any]:
    """A position that was still held at the end; without known reserves it is valued at its cost."""
    return {
        "mint": one.position.mint,
        "opened_at": one.position.opened_at.isoformat(),
        "cost_lamports": one.cost_lamports,
        "value_lamports": one.value_lamports,
        "blocked_code": one.position.blocked_code,
        "is_priced": one.market.reserves is not None,
        "is_in_gap": one.market.gap_ended_at is not None,
    }


def _orders(book: MemoryBook) -> list[dict[str, Any]]:
    counts = Counter((order.side, str(order.status), str(order.deny_code)) for order in book.orders.values())
    return [{"side": side, "status": s, "code": code, "orders": n} for (side, s, code), n in sorted(counts.items())]


def ledger_of(deposited_lamports: int, trades: Sequence[TradeLog]) -> dict[str, int]:
    """What stands on each account of the wallet after these trades. Raises UnbalancedError."""
    entries = deposit_entries(deposited_lamports)
    for one in trades:
        entries += trade_entries(
            action=one.action,
            curve_lamports=one.curve_lamports,
            balance_change_lamports=one.balance_change_lamports,
            costs={part: getattr(one, f"{part}_lamports") for part in COSTS},
        )
    return balances(entries)


def trades_told(book: MemoryBook) -> list[dict[str, Any]]:
    """Every fill and failure with its parts, in order."""
    return [{"at": one.at.isoformat(), **trade_parts(one)} for one in book.trades]


TRADE_PARTS = (
    "mint", "action", "status", "code", "token_base_units", "curve_lamports", "balance_change_lamports",
    *(f"{part}_lamports" for part in COSTS), "price_sol", "price_impact_bps", "slippage_bps",
)  # fmt: skip


def trade_parts(one: TradeLog) -> dict[str, Any]:
    """A fill or failure without its time; `exit_reason` is that of its order."""
    reason = one.order.exit_reason if one.order else ""
    return {**{name: getattr(one, name) for name in TRADE_PARTS}, "exit_reason": reason}


def trade_told(one: BacktestTrade) -> dict[str, Any]:
    """The same of a stored run."""
    names = (*TRADE_PARTS, "exit_reason")
    return {"number": one.number, "at": one.at.isoformat(), **{name: getattr(one, name) for name in names}}


def sensitivity(
    task: Task,
    *,
    signals: Sequence[Signal] | None = None,
    history: History | None = None,
    scores: Scores | None = None,
    progress: Progress = lambda share: None,
) -> list[dict[str, Any]]:
    """The same backtest with other latencies (none, half, double) and slippage limits (half, double), the same signals
    and trades."""
    if signals is None:
        signals = signals_stored(task.strategy, task.since, task.until)
    if history is None:
        history = history_load([signal.mint for signal in signals], task.since, task.until)
    rows, tasks = [], _others(task)
    for number, other in enumerate(tasks):
        part = _part(progress, number / len(tasks), 1 / len(tasks))
        run = backtest(other, signals=signals, history=history, scores=scores, progress=part)
        rows.append(_case(run))
    return rows


def _part(progress: Progress, low: float, width: float) -> Progress:
    return lambda share: progress(low + width * share)


def _case(run: Run) -> dict[str, Any]:
    figures = summary(run)
    names = ("slippage_bps", "pnl_lamports", "drawdown_ratio", "closed_positions", "winners")
    return {**figures["terms"], **{name: figures[name] for name in names}}


def _others(task: Task) -> list[Task]:
    """The task with no latency, half, its own and double, then with half and double the slippage limit, each once.

    Where its own latency is none, that of the settings is varied."""
    terms = task.terms if task.terms.latency_max_ms else terms_set()
    own = (task.terms.latency_ms, task.terms.latency_max_ms)
    ways = [(round(terms.latency_ms * slower), round(terms.latency_max_ms * slower)) for slower in (0.0, 0.5, 1.0, 2.0)]
    limit = task.strategy.slippage_bps
    cases = [(way, limit) for way in ways] + [(own, round(limit * wider)) for wider in (0.5, 2.0)]
    return [_varied(task, *way, limit) for way, limit in dict.fromkeys(cases)]


def _varied(task: Task, latency_ms: int, latency_max_ms: int, slippage_bps: int) -> Task:
    strategy = copy(task.strategy)
    strategy.slippage_bps = min(slippage_bps, 10_000)
    terms = replace(task.terms, latency_ms=latency_ms, latency_max_ms=latency_max_ms)
    return replace(task, strategy=strategy, terms=terms)
