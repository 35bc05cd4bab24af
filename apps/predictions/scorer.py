"""The scorer: new metric rows -> features -> every model at work -> predictions, alerts, webhooks, cursor.

One step reads the rows behind the cursor and writes all that follows from them in one transaction; dying anywhere
leaves the cursor where the tables are. What is held in memory (half an hour of each live coin, what was last said of
it) is read from the tables when a coin is first met, so starting, restarting and going on are the same.

Time is feed time. A window that ended more than SKIP_AFTER before it is passed over and counted; one that ended more
than MAX_ALERT_LAG_SECONDS before it, or outside a replay before the clock on the wall (a stream that catches up), is
scored as late and never alerts. Coins that are not on the standard curve, or
finished or graduated, cannot be traded: they are counted and not scored, as training leaves them out.

Why a coin alerted is written after the alert itself is committed, so that it delays nobody who acts on it; what a dying
scorer left without reasons, the next one gives them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone
from numpy.typing import NDArray

from apps.core import live
from apps.core.outbox import Message
from apps.discovery.models import Phase
from apps.predictions import metrics, rules, scorer_queries, webhooks
from apps.predictions.inference import Boosters, Scores, Worker, explain, score, worker_of
from apps.predictions.memory import Memory
from apps.predictions.models import ActiveModel
from apps.predictions.scorer_queries import Batch
from apps.predictions.watch import Watch
from apps.training import queries as training_queries
from apps.training.columns import Floats, Integers
from apps.training.features import HISTORY_SECONDS
from apps.training.market_queries import MarketReader
from apps.training.models import BULKY
from apps.training.queries import to_datetime, to_us
from apps.training.sampling import passing
from apps.training.windowing import History

logger = logging.getLogger(__name__)

SKIP_AFTER = timedelta(minutes=10)
HISTORY = timedelta(seconds=HISTORY_SECONDS)
TRIM_EVERY = timedelta(minutes=1)
LONGEST_LIFE = timedelta(days=1)
# Of a trained model: what a loaded booster makes needless; whoever loads one fetches its artifact.
BULKY_OF_LOADED = (*(f"model__{name}" for name in BULKY if name != "feature_names"), "model__scores")
UNTRADED_PHASES = (Phase.FINISHED, Phase.GRADUATED)
MOST_UNEXPLAINED = 2_000
EXPLAINED_AT_ONCE = 8  # some 20 ms, for so long a new window may wait
EXPLAIN_FROM = 500  # so many are waiting that a scorer which never rests must begin

Unexplained = tuple[int, str, datetime]  # model at work, coin, window


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one step, an element each, sorted by (coin, time). `places` are their positions in the memory's
    columns; `as_of` is epoch seconds."""

    places: Integers
    slots: Integers
    mints: list[str]
    started_us: list[int]
    as_of: Floats
    as_of_at: list[datetime]
    phase: NDArray[np.int16]
    price_sol: list[float]
    market_cap_sol: list[float]
    virtual_sol_lamports: list[int | None]
    late: NDArray[np.bool_]


class Scorer:
    """State of the process. `refresh` follows the settings, `step` does the work; both use Django's connection."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.workers: list[Worker] = []
        self._boosters = Boosters()
        self._market = MarketReader()
        self._watches: dict[int, Watch] = {}
        self._settings: Sequence[Any] | None = None
        self._hooks: dict[int, list[webhooks.Hook]] = {}
        self._trimmed_at: datetime | None = None
        self._unexplained: deque[Unexplained] = deque(maxlen=MOST_UNEXPLAINED)

    def warm_up(self) -> None:
        """Load the coins that traded lately, so that the first step is not slower than the others."""
        cursor_id, scored_to, feed_at = scorer_queries.state_read()
        if feed_at is not None and scored_to is not None:
            mints = scorer_queries.recent_coins(feed_at - HISTORY, cursor_id)
            self._load(mints, feed_at - SKIP_AFTER - HISTORY, scored_to)
            logger.info("warmed up with %d coins, %d rows", len(self.memory), self.memory.rows)

    def refresh(self) -> None:
        """Follow changes of the models at work."""
        active = ActiveModel.objects.scoring().order_by("id")
        self._hooks = webhooks.hooks_read(active)
        found = list(active.values())
        if found == self._settings:
            return
        trained = active.select_related("model").defer(*BULKY_OF_LOADED)
        loaded = [(one, self._boosters.of(one)) for one in trained]
        self._boosters.keep_only({one.model_id for one, _ in loaded})
        reached = self._lookback()
        self.workers = [worker_of(one, booster) for one, booster in loaded if booster is not None]
        self._watch(anew=self._lookback() > reached)
        self._settings = found
        self._find_unexplained()
        metrics.ACTIVE_MODELS.set(sum(not worker.is_shadow for worker in self.workers))
        logger.info("models at work: %s", ", ".join(worker.name for worker in self.workers) or "none")

    def step(self) -> int:
        """Deal with the next metric rows; returns how many there were."""
        cursor_id, scored_to, feed_at = scorer_queries.state_read()
        if feed_at is None:
            return 0
        until, count, fresh = scorer_queries.waiting(cursor_id, feed_at - SKIP_AFTER, scored_to)
        if not count:
            return 0
        batch = Batch(cursor_id, until, skipped=count - fresh)
        rows, batch = self._take_in(batch, feed_at) if fresh else (None, batch)
        if rows is None or not len(rows.places):
            scorer_queries.batch_write(batch)
        else:
            self._score(rows, batch, feed_at)
        if len(self._unexplained) > EXPLAIN_FROM:
            self.explain()
        self._trim(feed_at)
        return count

    # --- reading -----------------------------------------------------------------------------------------
    def _take_in(self, batch: Batch, feed_at: datetime) -> tuple[Rows | None, Batch]:
        """The rows of a batch that can be scored, and the batch with the number of those that cannot."""
        coins, records = training_queries.metric_records_by_id(
            batch.from_row_id, batch.to_row_id, since=feed_at - SKIP_AFTER
        )
        mints = [mint for mint, _ in coins]
        on_curve = np.array([is_standard for _, is_standard in coins], np.bool_)[records["coin"]]
        batch = replace(batch, skipped_curve=int((~on_curve).sum()))
        records = records[on_curve]
        if not len(records):
            return None, batch
        self._remember(mints, records)
        traded = records[~np.isin(records["phase_id"], UNTRADED_PHASES)]
        rows = self._rows(np.sort(self.memory.find(mints, traded)), feed_at)
        return rows, replace(batch, skipped_untraded=len(records) - len(traded))

    def _remember(self, mints: Sequence[str], records: NDArray[np.void]) -> None:
        """Take new rows into memory, with the histories of coins that are not held."""
        strangers = set(self.memory.strangers(mints, records))
        strange = np.array([mint in strangers for mint in mints])[records["coin"]]
        if strangers:
            times = records["as_of_us"][strange]
            self._load(sorted(strangers), to_datetime(times.min()) - HISTORY, to_datetime(times.max()))
        if not strange.all():
            self.memory.extend(mints, records[~strange])

    def _load(self, mints: Sequence[str], after: datetime, until: datetime) -> None:
        """Histories of coins from the tables: the columns that training's loader gives."""
        records = training_queries.metric_records(mints, after, until)
        self.memory.replace(mints, records, training_queries.highs_before(mints, after))
        self._recall(mints)

    def _watch(self, *, anew: bool) -> None:
        """A watch for each model: those that were there go on, unless more must be remembered than before."""
        before = {} if anew else self._watches
        self._watches = {worker.id: before.get(worker.id) or Watch() for worker in self.workers}
        self._recall(self.memory.mints(), [worker for worker in self._watches if worker not in before])

    def _lookback(self) -> timedelta:
        """How far back what the models said of a coin still counts."""
        return max((_memory_of(worker.rules) for worker in self.workers), default=timedelta(0))

    def _recall(self, mints: Sequence[str], workers: Sequence[int] | None = None) -> None:
        """What the models (by default all) have said of these coins, as far as it still counts."""
        chosen = [*self._watches] if workers is None else workers
        slots = self.memory.slots(mints)
        for worker in chosen:
            self._watches[worker].reset(slots, self.memory.size)
        feed_at, lookback = scorer_queries.state_read()[2], self._lookback()
        if not lookback or not mints or not chosen or feed_at is None:
            return
        slot_of = dict(zip(mints, slots.tolist(), strict=True))
        for worker, mint, tag, count, last_at in scorer_queries.said_before(
            mints, chosen, feed_at - SKIP_AFTER - lookback
        ):
            self._watches[worker].recall(slot_of[mint], rules.TAGS.index(tag), count, last_at)

    def _rows(self, places: Integers, feed_at: datetime) -> Rows:
        held = self.memory.columns
        as_of_us = held.as_of_us[places]
        reserves = np.rint(held.virtual_sol_reserves[places] * 1e9)
        stale_from = scorer_queries.market_clock(feed_at) - timedelta(seconds=settings.MAX_ALERT_LAG_SECONDS)
        return Rows(
            places=places,
            slots=held.coin[places],
            mints=self.memory.mints_of(held.coin[places]),
            started_us=held.started_us[places].tolist(),
            as_of=as_of_us / 1e6,
            as_of_at=[to_datetime(us) for us in as_of_us.tolist()],
            phase=held.phase_id[places].astype(np.int16),
            price_sol=held.price_close[places].tolist(),
            market_cap_sol=held.market_cap_close[places].tolist(),
            virtual_sol_lamports=[None if value != value else int(value) for value in reserves.tolist()],
            late=as_of_us < to_us(stale_from),
        )

    # --- scoring -----------------------------------------------------------------------------------------
    def _score(self, rows: Rows, batch: Batch, feed_at: datetime) -> None:
        """Score the rows and write what follows with the batch's cursor."""
        batch = replace(batch, scored_to=max(rows.as_of_at))
        if not self.workers:
            scorer_queries.batch_write(batch)
            return
        history = self._history(rows.places)
        scores = score(self.workers, history)
        said = [self._judge(worker, rows, scores, passing(history, worker.trained_on)) for worker in self.workers]
        alerts = sorted((alert for one in said for alert in one.alerts(rows)), key=_soonest_then_surest)
        scorer_queries.batch_write(replace(
            batch,
            predictions=_copy_lines(rows, said),
            alerts=[alert.as_row(feed_at) for alert in alerts],
            messages=[message for one in said for message in self._messages(rows, one, alerts, feed_at)],
        ))  # fmt: skip
        self._unexplained += [(alert.worker_id, alert.mint, alert.as_of) for alert in alerts]
        self._tell(said, alerts)

    def _history(self, places: Integers) -> History:
        """What these rows' features are computed from, with the market of all coins as the rows knew it."""
        as_of_us = self.memory.columns.as_of_us[places]
        return self.memory.history(places, self._market.between(int(as_of_us.min()), int(as_of_us.max())))

    def _judge(self, worker: Worker, rows: Rows, scores: Scores, passes: NDArray[np.bool_]) -> Said:
        """What one model says, as its rules let it, of the rows that are such as it was trained on."""
        probability, milliseconds = scores.probability[worker.id], scores.milliseconds[worker.id]
        looked_at = rules.in_phases(worker.rules, rows.phase) & passes
        if worker.whitelist is not None:
            looked_at &= np.array([mint in worker.whitelist for mint in rows.mints])
        chosen, tags = self._watches[worker.id].choose(worker.rules, rows.slots, rows.as_of, looked_at, probability)
        alerting = chosen & (tags == rules.ALERT) & ~rows.late
        return Said(
            worker, timezone.now(), milliseconds, np.flatnonzero(chosen).tolist(), np.flatnonzero(alerting).tolist(),
            probability.tolist(), [rules.TAGS[tag] for tag in tags.tolist()],
        )  # fmt: skip

    def _messages(self, rows: Rows, said: Said, alerts: Sequence[Alert], feed_at: datetime) -> list[Message]:
        """The outbox of one model."""
        worker = said.worker
        if not (hooks := self._hooks.get(worker.id)):
            return []
        mine = [alert.as_json() for alert in alerts if alert.worker_id == worker.id]
        chosen = said.chosen if any(hook.scores for hook in hooks) else []
        told = [said.as_json(rows, i) for i in chosen if rules.sends(worker.send_mode, said.tags[i])]
        return [
            *webhooks.alert_messages(hooks, worker.id, worker.name, feed_at, mine),
            *webhooks.predictions_messages(hooks, worker.id, worker.name, feed_at, told),
        ]

    # --- afterwards --------------------------------------------------------------------------------------
    def _find_unexplained(self) -> None:
        """Alerts without reasons whose coins' histories are still held whole."""
        feed_at = scorer_queries.state_read()[2]
        models = {worker.id: worker.model_id for worker in self.workers}
        found = scorer_queries.alerts_unexplained(feed_at - SKIP_AFTER) if feed_at else []
        self._unexplained.clear()
        self._unexplained += [(place, mint, at) for place, model, mint, at in found if model == models.get(place)]

    def explain(self) -> int:
        """Write the reasons of some alerts that have none yet: work for when no window waits. How many there were."""
        some = [self._unexplained.popleft() for _ in range(min(len(self._unexplained), EXPLAINED_AT_ONCE))]
        explained = []
        for worker in self.workers:
            mine = [one for one in some if one[0] == worker.id]
            places = self.memory.places([(mint, to_us(at)) for _, mint, at in mine])
            held = [(int(place), one) for place, one in zip(places, mine, strict=True) if place >= 0]
            if held:
                held.sort()
                rows = np.array([place for place, _ in held])
                reasons = explain(worker, self._history(rows))
                explained += [(reason, *one) for reason, (_, one) in zip(reasons, held, strict=True)]
        if explained:
            scorer_queries.alerts_explain(explained)
            live.publish("predictions")
        return len(some)

    def _tell(self, said: Sequence[Said], alerts: Sequence[Alert]) -> None:
        for one in said:
            metrics.PREDICTIONS.labels(one.worker.id).inc(len(one.chosen))
            metrics.PREDICTION_SECONDS.labels(one.worker.id).observe(one.milliseconds / 1000)
        metrics.COINS_TRACKED.set(len(self.memory))
        metrics.ALERTS.labels("pending").inc(sum(not alert.is_shadow for alert in alerts))
        live.publish("predictions")
        live.publish("dashboard")

    def _trim(self, feed_at: datetime) -> None:
        if self._trimmed_at is None or abs(feed_at - self._trimmed_at) >= TRIM_EVERY:
            self.memory.trim(to_us(feed_at - SKIP_AFTER - HISTORY))
            self._trimmed_at = feed_at


@dataclass(frozen=True, slots=True)
class Said:
    """What one model said of the rows of a step: positions of the scores that count and of those that alert; all
    probabilities and tags."""

    worker: Worker
    scored_at: datetime
    milliseconds: float
    chosen: list[int]
    alerting: list[int]
    probability: list[float]
    tags: list[str]

    def alerts(self, rows: Rows) -> list[Alert]:
        """Its alerts."""
        return [Alert.of(self.worker, rows, i, self.probability[i]) for i in self.alerting]

    def as_json(self, rows: Rows, i: int) -> dict[str, Any]:
        """One score for a webhook."""
        told = {"probability": self.probability[i], "tag": self.tags[i], "is_late": bool(rows.late[i])}
        return {"mint": rows.mints[i], "as_of": rows.as_of_at[i], "price_sol": rows.price_sol[i], **told}


@dataclass(frozen=True, slots=True)
class Alert:
    """A score that may be acted on; a shadow's is only kept to be judged: no trader and no webhook hears of it.
    `knows_from` is where the history of its features begins."""

    worker_id: int
    mint: str
    as_of: datetime
    probability: float
    price_sol: float
    market_cap_sol: float
    virtual_sol_lamports: int | None
    phase_id: int
    horizon_at: datetime
    is_shadow: bool
    knows_from: datetime

    @classmethod
    def of(cls, worker: Worker, rows: Rows, i: int, probability: float) -> Alert:
        """The alert of a model on the i-th row."""
        return cls(
            worker.id, rows.mints[i], rows.as_of_at[i], probability, rows.price_sol[i], rows.market_cap_sol[i],
            rows.virtual_sol_lamports[i], int(rows.phase[i]), rows.as_of_at[i] + worker.reach, worker.is_shadow,
            max(to_datetime(rows.started_us[i]), rows.as_of_at[i] - HISTORY),
        )  # fmt: skip

    def as_row(self, fired_at: datetime) -> tuple[Any, ...]:
        """In the order of `scorer_queries.ALERTS_INSERT`."""
        return (
            self.worker_id, self.mint, self.as_of, fired_at, self.probability, self.price_sol, self.market_cap_sol,
            self.virtual_sol_lamports, self.phase_id, self.horizon_at, self.is_shadow, self.knows_from,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """For a webhook."""
        return {
            "mint": self.mint, "as_of": self.as_of, "probability": self.probability, "price_sol": self.price_sol,
            "market_cap_sol": self.market_cap_sol, "phase_id": self.phase_id, "horizon_at": self.horizon_at,
        }  # fmt: skip


def _soonest_then_surest(alert: Alert) -> tuple[datetime, float, str, int]:
    return alert.as_of, -alert.probability, alert.mint, alert.worker_id


def _copy_lines(rows: Rows, said: Sequence[Said]) -> str:
    """All scores as lines of `scorer_queries.PREDICTIONS_COPY`; what models share is written out once."""
    text, null = scorer_queries.copy_text, scorer_queries.NULL
    at = {as_of: text(as_of) for as_of in set(rows.as_of_at)}
    shared = [
        f"{text(mint)}\t{at[as_of]}\t{price!r}\t{null if reserves is None else reserves}\t{phase}\t{late}\n"
        for mint, as_of, price, reserves, phase, late in zip(
            rows.mints, rows.as_of_at, rows.price_sol, rows.virtual_sol_lamports, rows.phase.tolist(),
            rows.late.tolist(), strict=True,
        )
    ]  # fmt: skip
    lines = []
    for one in said:
        own = scorer_queries.copy_text(one.worker.id, one.scored_at, one.milliseconds, one.worker.model_id)
        lines += [f"{one.probability[i]!r}\t{one.tags[i]}\t{own}\t{shared[i]}" for i in one.chosen]
    return "".join(lines)


def _memory_of(rule: rules.Rules) -> timedelta:
    """How far back a model's own scores still matter to it."""
    return LONGEST_LIFE if any(rule.max_log_entries) else timedelta(seconds=rule.longest_memory_seconds)
