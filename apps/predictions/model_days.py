"""The days of models at work: what they keep of their promise, and how far their features and scores have drifted.

A day is a UTC day of feed time. Figures are stored, so pages read a few rows, and they outlive the scores they came
from. The row without a day is the last living.SPAN_DAYS days, by which a model's state is judged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.predictions import drift, evidence, living, metrics, queries
from apps.predictions.drift import Drift
from apps.predictions.evidence import Held, Span
from apps.predictions.living import Life, Promise, State
from apps.predictions.models import ActiveModel, ModelDay
from apps.training import features
from apps.training import queries as training_queries
from apps.training.market_queries import MarketReader
from apps.training.models import Model
from apps.training.profiles import Values
from apps.training.queries import to_us
from apps.training.recipes import recipe_parse

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)
SPAN = timedelta(days=living.SPAN_DAYS)
SETTLED_AFTER = timedelta(hours=1)
SAMPLE_ROWS = 1_000
HISTORY = timedelta(seconds=features.HISTORY_SECONDS)


def span_of(day: date) -> Span:
    """The moments of a day."""
    start = datetime.combine(day, time(), UTC)
    return start, start + DAY


# --- What is kept ----------------------------------------------------------------------------------------
def lives_update() -> int:
    """Count again what today's and yesterday's judged scores say, and how each model stands that is at work or of which
    an outcome is still waited for; how many rows."""
    now = queries.feed_time()
    if now is None:
        return 0
    today, written = now.astimezone(UTC).date(), 0
    open_days = [
        (held, day)
        for day in (today - DAY, today)
        for held in evidence.held_between(span_of(day))
        if not _is_final(held, day, now)
    ]
    for held, day in open_days:
        written += _life_write(held, day, span_of(day))
    still_judged = {held for held, _day in open_days}
    for place in ActiveModel.objects.order_by("pk"):
        if place.is_active or Held.of(place) in still_judged:
            written += _life_write(Held.of(place), None, (now - SPAN, now))
    _gauges_quiet()
    return written


def _gauges_quiet() -> None:
    """A model that was stopped or taken away warns nobody any more: a gauge keeps what was last said."""
    lately = ModelDay.objects.filter(updated_at__gt=timezone.now() - DAY).order_by()
    quiet = lately.exclude(active_model_id__in=ActiveModel.objects.scoring().values("pk"))
    for pk in quiet.values_list("active_model_id", flat=True).distinct():
        metrics.OFF_BACKTEST.labels(pk).set(0)
        gauges = [metrics.LIFE.labels(pk, name, side) for name in living.MEASURES for side in ("live", "promised")]
        for gauge in (*gauges, metrics.FEATURE_PSI.labels(pk), metrics.SCORE_PSI.labels(pk)):
            gauge.set(float("nan"))


def _is_final(held: Held, day: date, now: datetime) -> bool:
    """Whether a day's life was counted and no outcome of it is to be waited for any more."""
    model = Model.objects.only("horizon_seconds").get(pk=held.model_id)
    settled = now > span_of(day)[1] + timedelta(seconds=model.horizon_seconds) + SETTLED_AFTER
    counted = ModelDay.objects.filter(active_model_id=held.active_model_id, model_id=held.model_id, day=day)
    return settled and counted.exclude(life={}).exists()


def _life_write(held: Held, day: date | None, span: Span) -> int:
    place = ActiveModel.objects.get(pk=held.active_model_id)
    model = Model.objects.defer("artifact").get(pk=held.model_id)
    promise = living.promise_of(model.promising_scores())
    try:
        life = _life_of(held, model, promise, day, span)
    except PlatformError as error:
        logger.warning("the life of model %s at work is not counted: %s %s", place.pk, error.code, error.message)
        return 0
    states = states_of(place, model, life, promise)
    state = living.worst(list(states.values()))
    fields = {"life": life.as_json(), "state": state}
    ModelDay.objects.update_or_create(
        active_model_id=held.active_model_id, model_id=held.model_id, day=day, defaults=fields
    )
    if day is None:
        _life_show(place, life, promise, state)
    return 1


def _life_of(held: Held, model: Model, promise: Promise, day: date | None, span: Span) -> Life:
    """Alerts are counted from what is stored; the scores of several days from the figures of these days."""
    least = model.threshold if promise.threshold is None else promise.threshold
    alerted = evidence.alerted(held, span, model.recipe, least)
    if day is not None:
        return living.life_of(evidence.scored(held, span), alerted)
    days = ModelDay.objects.filter(
        active_model_id=held.active_model_id, model_id=held.model_id, day__gt=span[0].date(), day__lte=span[1].date()
    )
    return living.life_of(living.scored_of(list(days.values_list("life", flat=True))), alerted)


def states_of(place: ActiveModel, model: Model, life: Life, promise: Promise) -> dict[str, State]:
    """How each measure stands beside its promise."""
    comparable = is_comparable(place, model, promise)
    return {name: living.state_of(life, promise, name, comparable=comparable) for name in living.MEASURES}


def is_comparable(place: ActiveModel, model: Model, promise: Promise) -> bool:
    """Whether the place alerts wherever the test did: no higher threshold, no fewer phases, no list of coins."""
    threshold = promise.threshold is not None and place.threshold <= promise.threshold
    phases = not place.phases or set(recipe_parse(model.recipe).data.phases) <= set(place.phases)
    return threshold and phases and place.coin_filter == ActiveModel.CoinFilter.ALL


def _life_show(place: ActiveModel, life: Life, promise: Promise, state: str) -> None:
    metrics.OFF_BACKTEST.labels(place.pk).set(int(state == "below"))
    for name in living.MEASURES:
        for side, value in (("live", getattr(life, name)), ("promised", promise.values.get(name))):
            metrics.LIFE.labels(place.pk, name, side).set(float("nan") if value is None else value)


# --- Reading -----------------------------------------------------------------------------------------------
def states_stored(place: ActiveModel, row: ModelDay | None) -> dict[str, State]:
    """How each measure of a stored life stands beside the promise of the place's model, by the place's settings now."""
    if row is None or not row.life:
        return {}
    promise = living.promise_of(place.model.promising_scores())
    return states_of(place, place.model, Life(**row.life), promise)


def state_stored(place: ActiveModel, row: ModelDay | None) -> State:
    """The same for the model as a whole."""
    return living.worst(list(states_stored(place, row).values()))


def drift_row(place: ActiveModel, day: date | None = None) -> ModelDay | None:
    """The place's present model on a day on which its drift was computed, the newest unless given."""
    rows = ModelDay.objects.filter(active_model_id=place.pk, model_id=place.model_id, drift__has_key="to")
    return rows.filter(**({"day": day} if day else {"day__isnull": False})).order_by("-day").first()


def by_drift(found: Drift) -> list[tuple[str, float | None]]:
    """The features with their indices, highest first, unknown ones last."""
    return sorted(found.features.items(), key=lambda pair: (pair[1] is None, -(pair[1] or 0.0), pair[0]))


# --- Drift -------------------------------------------------------------------------------------------------
def drifts_update() -> int:
    """Compare today's and yesterday's scored rows with each model's training sample; how many days were compared."""
    now = queries.feed_time()
    if now is None:
        return 0
    today = now.astimezone(UTC).date()
    return sum(_drift_write(held, day, now) for day in (today - DAY, today) for held in _due(day))


def _due(day: date) -> Sequence[Held]:
    """Those with scores on the day whose drift was not computed after its end."""
    ended = span_of(day)[1].isoformat()
    done = ModelDay.objects.filter(day=day, drift__to__gte=ended).values_list("active_model_id", "model_id")
    finished = {Held(*pair) for pair in done}
    return [held for held in evidence.held_between(span_of(day)) if held not in finished]


def _drift_write(held: Held, day: date, now: datetime) -> int:
    model = Model.objects.defer("artifact").get(pk=held.model_id)
    if not model.profile:
        return 0
    found = drift_on(held, model, span_of(day))
    ModelDay.objects.update_or_create(
        active_model_id=held.active_model_id, model_id=held.model_id, day=day,
        defaults={"drift": {**found.as_json(), "to": now.isoformat()}},
    )  # fmt: skip
    if day == now.astimezone(UTC).date() and ActiveModel.objects.scoring().filter(pk=held.active_model_id).exists():
        highest = found.highest
        metrics.FEATURE_PSI.labels(held.active_model_id).set(float("nan") if highest is None else highest[1])
        metrics.SCORE_PSI.labels(held.active_model_id).set(float("nan") if found.score is None else found.score)
    return 1


def drift_on(held: Held, model: Model, span: Span) -> Drift:
    """The drift of at most SAMPLE_ROWS of the rows that a model scored in a stretch, their features computed again."""
    sample = evidence.score_sample(held, span, SAMPLE_ROWS)
    names = list(model.feature_names)
    x = features_at([(mint, as_of) for mint, as_of, _ in sample], names)
    scores = np.array([probability for _, _, probability in sample], np.float64)
    return drift.drift_of(model.profile, names, x, scores)


def features_at(rows: Sequence[tuple[str, datetime]], names: Sequence[str]) -> Values:
    """The features of coins as of the ends of windows, as the scorer saw them: float32 (n, k). Windows that the table
    no longer holds are left out."""
    if not rows:
        return np.empty((0, len(names)), np.float32)
    times = [as_of for _, as_of in rows]
    mints, start = sorted({mint for mint, _ in rows}), min(times) - HISTORY
    records = training_queries.metric_records(mints, start, max(times))
    columns = features.load_columns(records, highs=training_queries.highs_before(mints, start))
    number = {mint: place for place, mint in enumerate(mints)}
    wanted = {(number[mint], to_us(as_of)) for mint, as_of in rows}
    held = zip(columns.coin.tolist(), columns.as_of_us.tolist(), strict=True)
    chosen = np.array([place for place, key in enumerate(held) if key in wanted], np.int64)
    if not len(chosen):
        return np.empty((0, len(names)), np.float32)
    as_of_us = columns.as_of_us[chosen]
    market = MarketReader().between(int(as_of_us.min()), int(as_of_us.max()))
    return features.compute(columns, market, rows=chosen, names=names).astype(np.float32)
