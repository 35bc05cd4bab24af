"""Scores on request: what models at work say of one coin now, and whether they can be used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import QuerySet

from apps.core.errors import ConflictError, NotFoundError
from apps.core.sentences import worded
from apps.discovery.models import Coin, CoinMetric, Phase
from apps.predictions import inference, queries, rules
from apps.predictions.models import ActiveModel
from apps.predictions.services import scorer_notify
from apps.training import queries as training_queries
from apps.training.features import HISTORY_SECONDS, load_columns
from apps.training.market_queries import MarketReader
from apps.training.windowing import History

UNTRADED_PHASES = (Phase.FINISHED, Phase.GRADUATED)  # as the scorer leaves them out
_boosters = inference.Boosters()


def coin_predict(*, mint: str, active_model_ids: Sequence[int] | None = None) -> dict[str, Any]:
    """What models at work say of a coin as of its newest window, and why: all that score now but those in the shadow,
    or the chosen ones.

    Raises COIN_UNKNOWN, CURVE_NOT_STANDARD, COIN_HAS_NO_METRICS, COIN_NOT_TRADED, NO_ACTIVE_MODEL,
    ACTIVE_MODEL_NOT_FOUND, MODEL_UNUSABLE.
    """
    as_of = _newest_window(mint)
    workers = _chosen_workers(active_model_ids)
    since = as_of - timedelta(seconds=HISTORY_SECONDS)
    records = training_queries.metric_records([mint], since, as_of)
    if not len(records):
        raise NotFoundError("COIN_HAS_NO_METRICS", "This coin is not followed: its windows cannot be read.")
    columns = load_columns(records, highs=training_queries.highs_before([mint], since))
    newest = np.array([len(columns) - 1])
    market = MarketReader().between(training_queries.to_us(as_of), training_queries.to_us(as_of))
    history = History(columns, newest, market)
    scores = inference.score(workers, history)
    said = {
        worker.id: {**_score_of(worker, scores), "reasons": inference.explain(worker, history)[0]} for worker in workers
    }
    feed_at = max(queries.feed_time() or as_of, as_of)
    return {
        "mint": mint,
        "as_of": as_of,
        "feed_at": feed_at,
        "age_seconds": (feed_at - as_of).total_seconds(),
        "scores": [{"mint": mint, "as_of": as_of, **one} for one in said.values()],
    }


def _newest_window(mint: str) -> datetime:
    """The end of the newest closed window of a coin that can be scored."""
    curve = Coin.objects.filter(pk=mint).values_list("curve", flat=True).first()
    if curve is None:
        raise NotFoundError("COIN_UNKNOWN", "This coin was never seen: check the mint.")
    if curve != Coin.Curve.STANDARD:
        raise ConflictError(
            "CURVE_NOT_STANDARD", "This coin is not on the standard curve: no model was trained on such coins."
        )
    windows = CoinMetric.objects.filter(mint=mint).order_by("-timestamp")
    newest = windows.values_list("timestamp", "phase_id_at_time").first()
    if newest is None:
        raise NotFoundError("COIN_HAS_NO_METRICS", "No window of this coin has closed yet: wait for a trade.")
    if newest[1] in UNTRADED_PHASES:
        raise ConflictError("COIN_NOT_TRADED", "This coin is finished or graduated: no model scores such coins.")
    return newest[0]


def _score_of(worker: inference.Worker, scores: inference.Scores) -> dict[str, Any]:
    """What one model says of the one row that was scored."""
    said = scores.probability[worker.id]
    return {
        "active_model_id": worker.id,
        "model_id": worker.model_id,
        "custom_name": worker.name,
        "is_shadow": worker.is_shadow,
        "probability": float(said[0]),
        "threshold": worker.rules.threshold,
        "tag": rules.TAGS[rules.tags_of(said, worker.rules.threshold)[0]],
        "duration_ms": scores.milliseconds[worker.id],
    }


def _chosen_workers(ids: Sequence[int] | None) -> Sequence[inference.Worker]:
    """Models at work that can be used: those named, or all that score now."""
    if ids is None:
        workers = _workers(ActiveModel.objects.scoring().filter(shadow_of=None))
        if not workers:
            raise ConflictError("NO_ACTIVE_MODEL", "No model at work can be used: put one to work first.")
        return workers
    found = ActiveModel.objects.filter(pk__in=ids)
    if missing := set(ids) - set(found.values_list("pk", flat=True)):
        raise NotFoundError(
            "ACTIVE_MODEL_NOT_FOUND",
            worded("There is no model %(missing)s at work: see GET models.", missing=min(missing)),
        )
    workers = _workers(found)
    if broken := set(ids) - {worker.id for worker in workers}:
        raise ConflictError(
            "MODEL_UNUSABLE",
            worded("The artifact of model %(broken)s cannot be used: see the log.", broken=min(broken)),
        )
    return workers


def models_preload() -> tuple[list[str], list[str]]:
    """Load and check every model at work in this process and let the scorer do so too: the names of those that can be
    used, and of those that cannot (the log says why)."""
    scoring = ActiveModel.objects.scoring()
    usable = [worker.name for worker in _workers(scoring)]
    with transaction.atomic():
        scorer_notify()
    names = scoring.order_by("id").values_list("custom_name", flat=True)
    return usable, [name for name in names if name not in usable]


def _workers(active: QuerySet[ActiveModel]) -> Sequence[inference.Worker]:
    loaded = [(one, _boosters.of(one)) for one in active.select_related("model").order_by("id")]
    return [inference.worker_of(one, booster) for one, booster in loaded if booster is not None]
