"""Backtests as rows: asking for one, cancelling, deleting, looking ahead at what it would have to go by.

The work is a job of the training queue (`training.services`: claimed once, beats, is cancelled, is taken from a dead
worker and done again once); `backtest_job` does it. What is asked for is copied: later changes of strategy and wallet
change no run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.trading import backtest, backtest_coverage
from apps.trading.backtest import Task
from apps.trading.book import Terms
from apps.trading.definitions import MOST_LAMPORTS
from apps.trading.models import Backtest, Strategy, Wallet
from apps.trading.together import together_from, together_now
from apps.trading.valuation import costs_of
from apps.training import services as jobs
from apps.training.models import Job

OPEN = (Job.Status.PENDING, Job.Status.RUNNING)
PRIORITY = 3
ALERT_DELAY_MS = 1_000
LONGEST_LATENCY_MS = 600_000
MOST_SEED = 2**31 - 1
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
# What a copy of a strategy or a wallet leaves out: what it has done (a run begins anew); moments and keys besides.
_NOT_COPIED = frozenset(
    {
        "is_active", "last_alert_id", "status", "trading_enabled", "transfer_enabled", "virtual_balance_lamports",
        "deposited_lamports", "real_balance_lamports", "consecutive_losses", "day_start_equity_lamports",
        "peak_equity_lamports",
    }
)  # fmt: skip
_NEVER_COPIED = (models.BinaryField, models.DateField)  # a DateTimeField is a DateField


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to try; None means as the settings, the strategy or its wallet say.

    `alert_delay_ms`: from the end of a window to its alert, where scores are recomputed.
    """

    strategy: Strategy
    since: datetime
    until: datetime
    balance_lamports: int | None = None
    latency_ms: int | None = None
    latency_max_ms: int | None = None
    failure_rate: float | None = None
    slippage_bps: int | None = None
    scores: str = Backtest.Scores.STORED
    alert_delay_ms: int = ALERT_DELAY_MS
    sensitivity: bool = False
    allow_overlap: bool = False
    seed: int = 1
    note: str = ""

    def terms(self) -> Terms:
        """How its orders travel. A least latency above the settings' most moves the most along."""
        least = settings.TRADING_LATENCY_MS if self.latency_ms is None else self.latency_ms
        most = settings.TRADING_LATENCY_MAX_MS if self.latency_max_ms is None else self.latency_max_ms
        if self.latency_max_ms is None and self.latency_ms is not None:
            most = max(least, most)
        rate = settings.PAPER_FAILURE_RATE if self.failure_rate is None else self.failure_rate
        return Terms(least, most, rate)


def wish_check(wish: Wish) -> Task:
    """The task of a wish. Raises RANGE_EMPTY, RANGE_INVALID, BALANCE_MISSING, AMOUNT_OUT_OF_RANGE,
    LATENCY_OUT_OF_RANGE, FAILURE_RATE_OUT_OF_RANGE, SLIPPAGE_OUT_OF_RANGE, DELAY_OUT_OF_RANGE, SEED_OUT_OF_RANGE."""
    terms = wish.terms()
    if wish.since < EARLIEST or wish.until > LATEST:  # a stored moment that Python cannot read breaks every list
        raise PlatformError(
            "RANGE_INVALID",
            worded(
                "Choose a range between %(earliest)s and %(latest)s.",
                earliest=f"{EARLIEST:%Y-%m-%d}",
                latest=f"{LATEST:%Y-%m-%d}",
            ),
        )
    if not 0 <= terms.latency_ms <= terms.latency_max_ms <= LONGEST_LATENCY_MS:
        raise PlatformError(
            "LATENCY_OUT_OF_RANGE", "Give the least and the most milliseconds, from 0 to ten minutes, the least first."
        )
    if not 0 <= terms.failure_rate <= 1:
        raise PlatformError("FAILURE_RATE_OUT_OF_RANGE", "Choose a share of failing orders between 0 and 1.")
    if wish.slippage_bps is not None and not 0 <= wish.slippage_bps <= 10_000:
        raise PlatformError("SLIPPAGE_OUT_OF_RANGE", "Choose a slippage limit between 0 and 10000 basis points.")
    if not 0 <= wish.alert_delay_ms <= LONGEST_LATENCY_MS:
        raise PlatformError("DELAY_OUT_OF_RANGE", "Choose a delay of alerts between 0 and ten minutes.")
    if not 0 <= wish.seed <= MOST_SEED:
        raise PlatformError(
            "SEED_OUT_OF_RANGE", worded("Choose a seed between 0 and %(most_seed)s.", most_seed=MOST_SEED)
        )
    balance = wish.strategy.wallet.deposited_lamports if wish.balance_lamports is None else wish.balance_lamports
    if balance > MOST_LAMPORTS:
        raise PlatformError("AMOUNT_OUT_OF_RANGE", "Begin with at most a billion SOL.")
    definition = definition_of(wish.strategy)
    if wish.slippage_bps is not None:
        definition["strategy"]["slippage_bps"] = wish.slippage_bps
    return backtest.task_of(
        strategy=strategy_from(definition), since=wish.since, until=wish.until, balance_lamports=balance, terms=terms,
        seed=wish.seed, together=together_now(wish.strategy.wallet.wallet_type),
    )  # fmt: skip


# --- Copies ---------------------------------------------------------------------------------------------
def definition_of(strategy: Strategy) -> dict[str, Any]:
    """A strategy and its wallet's limits as JSON."""
    return {"strategy": _fields(strategy), "wallet": _fields(strategy.wallet)}


def strategy_from(definition: dict[str, Any]) -> Strategy:
    """The strategy that was copied, with its wallet; rows of no table. Fields that a later release knows keep their
    defaults."""
    strategy = Strategy(**_known(Strategy, definition["strategy"]))
    wallet = _known(Wallet, definition["wallet"])
    wallet["virtual_loss_percent"] = Decimal(wallet.get("virtual_loss_percent", "0"))
    strategy.wallet = Wallet(**wallet)
    return strategy


def _fields(row: Strategy | Wallet) -> dict[str, Any]:
    fields = [field for field in row._meta.concrete_fields if not isinstance(field, _NEVER_COPIED)]
    names = [field.attname for field in fields if field.attname not in _NOT_COPIED]
    values = {name: getattr(row, name) for name in names}
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _known(model: type[Strategy] | type[Wallet], values: dict[str, Any]) -> dict[str, Any]:
    names = {field.attname for field in model._meta.concrete_fields}
    return {name: value for name, value in values.items() if name in names}


def task_from(run: Backtest) -> Task:
    """What a stored run tries."""
    terms = Terms(run.terms["latency_ms"], run.terms["latency_max_ms"], run.terms["failure_rate"])
    strategy, together = strategy_from(run.definition), together_from(run.definition.get("together", {}))
    return Task(strategy, run.since, run.until, run.balance_lamports, terms, run.seed, together)


# --- Asking ---------------------------------------------------------------------------------------------
def run_request(*, wish: Wish, priority: int = PRIORITY) -> Backtest:
    """Queue a backtest. Raises what `wish_check` and `seen_check` raise, PRIORITY_OUT_OF_RANGE."""
    task = wish_check(wish)
    if not wish.allow_overlap:
        seen_check(task.strategy, wish.since, wish.until, wish.scores)
    params = {
        "strategy": wish.strategy.name, "from": wish.since.isoformat(), "to": wish.until.isoformat(),
        "scores": str(wish.scores),
    }  # fmt: skip
    with transaction.atomic():
        job = jobs.job_create(job_type=Job.Type.BACKTEST, params=params, priority=priority)
        return Backtest.objects.create(
            job=job,
            strategy=wish.strategy,
            strategy_name=wish.strategy.name,
            strategy_version=getattr(wish.strategy, "version", None),
            definition={**definition_of(task.strategy), "together": task.together.as_json()},
            since=wish.since,
            until=wish.until,
            balance_lamports=task.balance_lamports,
            terms=_terms_json(wish, task),
            scores=wish.scores,
            seed=wish.seed,
            note=wish.note,
        )


def _terms_json(wish: Wish, task: Task) -> dict[str, Any]:
    return {
        **asdict(task.terms),
        **costs_json(task.strategy.wallet),
        "slippage_bps": task.strategy.slippage_bps,
        "alert_delay_ms": wish.alert_delay_ms,
        "sensitivity": wish.sensitivity,
        "allow_overlap": wish.allow_overlap,
    }


def costs_json(wallet: Wallet) -> dict[str, int]:
    """What each trade costs beside the curve's fees, as set now."""
    costs = costs_of(wallet)
    return {
        "network_fee_lamports": costs.network_fee_lamports,
        "tip_lamports": costs.tip_lamports,
        "virtual_loss_bps": costs.virtual_loss_bps,
        "venue_fee_bps": costs.venue_fee_bps,
    }


def seen_by_training(strategy: Strategy, since: datetime, until: datetime, scores: str) -> backtest_coverage.Seen:
    """The models of the strategy that know the range, or what came after it, from their training.

    Raises NO_MODEL_TO_RECOMPUTE."""
    if scores == Backtest.Scores.STORED:
        return backtest_coverage.seen_stored(strategy, since, until)
    from apps.trading.backtest_scores import places_of  # brings what scores

    return backtest_coverage.seen_recomputed(places_of(strategy), since)


def seen_check(strategy: Strategy, since: datetime, until: datetime, scores: str) -> None:
    """Raises BACKTEST_OVERLAPS_TRAINING where a model would trade on what it was made from."""
    if seen := seen_by_training(strategy, since, until, scores):
        names = ", ".join(f"{one['name']} (trained until {one['train_to']})" for one in seen)
        why = worded(
            "The range lies in the training data of %(names)s, or before them: such a result says nothing of what is "
            "to come. Begin later, or allow the overlap; the result is then marked in red.",
            names=names,
        )
        raise ConflictError("BACKTEST_OVERLAPS_TRAINING", why, models=seen)


def preview(wish: Wish) -> dict[str, Any]:
    """What a run would have to go by, without doing it. Raises what `wish_check` raises, NO_MODEL_TO_RECOMPUTE."""
    task = wish_check(wish)
    return {
        "balance_lamports": task.balance_lamports,
        "coverage": backtest_coverage.coverage(task.strategy, wish.since, wish.until),
        "overlaps_training": seen_by_training(task.strategy, wish.since, wish.until, wish.scores),
    }


# --- Afterwards -----------------------------------------------------------------------------------------
def run_get(*, backtest_id: int) -> Backtest:
    """A run with its job. Raises BACKTEST_NOT_FOUND."""
    run = Backtest.objects.select_related("job").filter(pk=backtest_id).first()
    if run is None:
        raise NotFoundError(
            "BACKTEST_NOT_FOUND",
            worded("There is no backtest %(backtest_id)s.", backtest_id=backtest_id),
            backtest_id=backtest_id,
        )
    return run


def run_cancel(*, backtest_id: int) -> Backtest:
    """Cancel a waiting run at once, ask a running one to stop. Raises BACKTEST_NOT_FOUND, JOB_ALREADY_ENDED."""
    run = run_get(backtest_id=backtest_id)
    run.job = jobs.job_cancel(job=run.job, now=timezone.now())
    return run


@transaction.atomic
def run_delete(*, backtest_id: int) -> None:
    """Remove a run that has ended, with its trades; its job stays, without a result.

    Raises BACKTEST_NOT_FOUND, BACKTEST_NOT_ENDED."""
    run = run_get(backtest_id=backtest_id)
    if run.job.status in OPEN:
        raise ConflictError("BACKTEST_NOT_ENDED", "The backtest still waits or runs: cancel it first.")
    run.delete()
    Job.objects.filter(pk=run.job_id).update(result=None)
