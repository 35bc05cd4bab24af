"""Signals out of scores that are computed again: what the models at work would have said of a recorded stretch.

Rows, features, boosters, rules and the memory of what was said are the scorer's own (`inference.score`, `Watch`,
`sampling.passing`), so where a score is stored too, both are the same bits. What differs is told: stored scores that
other settings or another model made, rows that came late. A score knows nothing after the end of its window; it is
acted on `delay` later, since when a row was written down is not recorded.

Loads XGBoost: only a process that never forks afterwards may call it (the trainer's, a command's).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from apps.core.errors import ConflictError
from apps.core.sentences import worded
from apps.predictions import rules
from apps.predictions.inference import THREADS, Worker, score, worker_of
from apps.predictions.models import ActiveModel
from apps.predictions.scorer import HISTORY, LONGEST_LIFE, UNTRADED_PHASES
from apps.predictions.watch import Watch
from apps.trading.entries import Signal
from apps.trading.models import Strategy
from apps.trading.queries import Score
from apps.training import artifacts, queries
from apps.training.columns import Integers, MetricColumns, load_columns
from apps.training.market import Market
from apps.training.market_queries import MarketReader
from apps.training.queries import to_datetime, to_us
from apps.training.sampling import passing
from apps.training.windowing import History

ROWS_AT_ONCE = 50_000
Progress = Callable[[float, str], None]
Said = dict[tuple[str, datetime], tuple[float, str]]  # probability and tag by coin and end of the window


@dataclass(frozen=True, slots=True)
class Stretch:
    """Windows that end in (since, until] count; those of the same coins from `begin` on are scored to know what was
    said before."""

    begin: datetime
    since: datetime
    until: datetime


@dataclass(slots=True)
class Recomputed:
    """The alerts of a stretch in the order in which a scorer commits them, and how they compare to what is stored.

    `scores` by coin are those that count by the models' rules, in order, where the strategy leaves by scores."""

    signals: list[Signal] = field(default_factory=list)
    scores: dict[str, list[Score]] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    largest_difference: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For the figures of a run."""
        return {**dict(sorted(self.counts.items())), "largest_difference": self.largest_difference}


def places_of(strategy: Strategy) -> list[ActiveModel]:
    """The models at work that the strategy listens to, to enter or to leave. Raises NO_MODEL_TO_RECOMPUTE."""
    found = ActiveModel.objects.filter(shadow_of=None, model__is_deleted=False).select_related("model")
    entry, exits = strategy.active_model_ids, strategy.exits
    below = exits.get("model_below_ids", [])
    wants_all = not entry or ("model_below" in exits and not below)
    named = found.filter(pk__in=[*entry, *below, *exits.get("exit_model_ids", [])])
    places = list((named | found.scoring() if wants_all else named).order_by("pk"))
    if not places:
        raise ConflictError(
            "NO_MODEL_TO_RECOMPUTE",
            "No model at work is there to score with: put one to work under Predictions, or use stored scores.",
        )
    return places


def signals_recomputed(
    strategy: Strategy,
    since: datetime,
    until: datetime,
    delay: timedelta,
    progress: Progress = lambda share, text: None,
) -> Recomputed:
    """The alerts that the strategy's models at work, as they are set now, would have given in (`since`, `until`]."""
    workers = [_worker(place) for place in places_of(strategy)]
    stretch = _stretch(workers, since - delay, until - delay)
    market = MarketReader().between(*map(to_us, queries.metrics_within(stretch.begin, stretch.until)))
    found = Recomputed(scores={} if "model_below" in strategy.exits else None)
    signals: list[tuple[Any, ...]] = []
    for columns, mints, share in _batches(stretch):
        progress(share, worded("scoring"))
        signals += _alerts(workers, columns, mints, market, stretch, found)
    signals.sort(key=lambda one: (one[0], -one[1], one[2], one[3]))  # as scorer._soonest_then_surest
    found.signals = [
        Signal(worker, mint, at, at + delay, sure, phase_id=phase) for at, sure, mint, worker, phase in signals
    ]
    for scores in (found.scores or {}).values():
        scores.sort(key=lambda one: (one.as_of, one.active_model_id))
    return found


def _worker(place: ActiveModel) -> Worker:
    booster = artifacts.load(place.model)
    booster.set_param({"nthread": THREADS})
    return worker_of(place, booster)


def _stretch(workers: Sequence[Worker], since: datetime, until: datetime) -> Stretch:
    """With the whole life of each coin before it where a model's own scores keep it quiet: each depends on the last."""
    quiet = any(any(worker.rules.max_log_entries) or worker.rules.longest_memory_seconds for worker in workers)
    return Stretch(since - LONGEST_LIFE if quiet else since, since, until)


def _batches(stretch: Stretch) -> Iterator[tuple[MetricColumns, list[str], float]]:
    """Whole coins with their histories, some at a time, and which share of the rows comes before them."""
    phases = [phase for phase in queries.all_phases() if phase not in UNTRADED_PHASES]
    coins = [(mint, rows) for mint, rows, *_ in queries.coins_between(stretch.since, stretch.until, phases)]
    total, done, sizes = sum(rows for _, rows in coins), 0, dict(coins)
    for mints in queries.batches(coins, ROWS_AT_ONCE):
        records = queries.metric_records(mints, stretch.begin - HISTORY, stretch.until)
        highs = queries.highs_before(mints, stretch.begin - HISTORY)
        yield load_columns(records, highs=highs), mints, done / total
        done += sum(sizes[mint] for mint in mints)


def _alerts(
    workers: Sequence[Worker],
    columns: MetricColumns,
    mints: list[str],
    market: Market,
    stretch: Stretch,
    found: Recomputed,
) -> list[tuple[Any, ...]]:
    """(as of, probability, mint, worker, phase) of every alert; of coins that could be traded then."""
    fresh = columns.as_of_us > to_us(stretch.begin)
    on_curve = ~np.isnan(columns.bonding_curve_pct)  # as it was known at the row
    traded = ~np.isin(columns.phase_id, UNTRADED_PHASES)
    found.counts["rows_off_curve"] += int((fresh & ~on_curve).sum())
    rows = np.flatnonzero(fresh & on_curve & traded)
    if not len(rows):
        return []
    found.counts["rows_scored"] += len(rows)
    history = History(columns, rows, market)
    scores = score(workers, history)
    stored = _stored(workers, mints, stretch)
    alerts: list[tuple[Any, ...]] = []
    for worker in workers:
        chosen, tags = _choose(worker, history, mints, scores.probability[worker.id])
        counted = chosen & (columns.as_of_us[rows] > to_us(stretch.since))
        said = _said(columns, rows[counted], mints, scores.probability[worker.id][counted], tags[counted])
        _compare(said, stored.get(worker.id, {}), found)
        _keep_scores(said, worker.id, found)
        alerting = rows[counted & (tags == rules.ALERT)]
        alerts += [
            (to_datetime(us), said[mints[coin], to_datetime(us)][0], mints[coin], worker.id, int(phase))
            for coin, us, phase in zip(
                columns.coin[alerting].tolist(), columns.as_of_us[alerting].tolist(),
                columns.phase_id[alerting].tolist(), strict=True,
            )
        ]  # fmt: skip
    return alerts


def _keep_scores(said: Said, worker_id: int, found: Recomputed) -> None:
    if found.scores is not None:
        for (mint, at), (sure, _) in said.items():
            found.scores.setdefault(mint, []).append(Score(worker_id, at, sure))


def _choose(
    worker: Worker, history: History, mints: Sequence[str], probability: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
    """Which scores count by the model's own rules, each with those before it in mind, as in `Scorer._judge`."""
    watch, slots = Watch(), history.now("coin")
    watch.reset(np.arange(len(mints)), len(mints))
    looked_at = rules.in_phases(worker.rules, history.now("phase_id").astype(np.int16))
    looked_at &= passing(history, worker.trained_on)
    if worker.whitelist is not None:
        listed = np.array([mint in worker.whitelist for mint in mints], np.bool_)
        looked_at &= listed[slots]
    return watch.choose(worker.rules, slots, history.now("as_of_us") / 1e6, looked_at, probability)


def _said(
    columns: MetricColumns,
    rows: Integers,
    mints: Sequence[str],
    probability: NDArray[np.float64],
    tags: NDArray[np.int8],
) -> Said:
    keys = zip(columns.coin[rows].tolist(), columns.as_of_us[rows].tolist(), strict=True)
    scores = zip(probability.tolist(), tags.tolist(), strict=True)
    return {
        (mints[coin], to_datetime(us)): (sure, rules.TAGS[tag])
        for (coin, us), (sure, tag) in zip(keys, scores, strict=True)
    }


STORED = """
SELECT active_model_id, mint, as_of, probability, tag FROM predictions
WHERE mint = ANY(%s) AND as_of > %s AND as_of <= %s AND NOT is_late AND (active_model_id, model_id) IN
      (SELECT * FROM unnest(%s::bigint[], %s::int[]))
"""


def _stored(workers: Sequence[Worker], mints: Sequence[str], stretch: Stretch) -> dict[int, Said]:
    """What the same models have said of these coins at the time, by worker."""
    ids, models = [worker.id for worker in workers], [worker.model_id for worker in workers]
    found: dict[int, Said] = {}
    with connection.cursor() as cursor:
        cursor.execute(STORED, (list(mints), stretch.since, stretch.until, ids, models))
        for place, mint, as_of, sure, tag in cursor:
            found.setdefault(place, {})[(mint, as_of)] = (sure, tag)
    return found


def _compare(said: Said, stored: Said, found: Recomputed) -> None:
    """Count where both are there, and where they are the same."""
    both = said.keys() & stored.keys()
    counts = found.counts
    counts["scores"] += len(said)
    counts["scores_stored"] += len(stored)
    counts["scores_both"] += len(both)
    counts["scores_equal"] += sum(said[key] == stored[key] for key in both)
    alerts, known = ({key for key, one in side.items() if one[1] == "alert"} for side in (said, stored))
    counts["alerts"] += len(alerts)
    counts["alerts_stored"] += len(known)
    counts["alerts_both"] += len(alerts & known)
    gaps = [abs(said[key][0] - stored[key][0]) for key in both]
    if gaps:
        found.largest_difference = max(found.largest_difference or 0.0, *gaps)
