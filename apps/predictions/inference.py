"""Models at work, loaded and applied to many rows at once.

Loading imports XGBoost, which hangs after a fork: only the scorer and a web process that was asked to predict do it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.core.errors import PlatformError
from apps.predictions.models import ActiveModel
from apps.predictions.outcomes import target_of
from apps.predictions.reasons import reasons_of
from apps.predictions.rules import TAGS, Rules
from apps.training import artifacts, features, fitting
from apps.training.columns import Floats
from apps.training.recipe_parts import Data, Label
from apps.training.sampling import Filter
from apps.training.windowing import History

if TYPE_CHECKING:
    from xgboost import Booster

logger = logging.getLogger(__name__)

# A thread a model, and none within a model: threads that wait for each other at every step are slow where other
# processes want the cores too. XGBoost lets go of the GIL while it predicts.
THREADS = 1
_POOL = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="predict")


@dataclass(frozen=True, slots=True)
class Worker:
    """One model at work. `trained_on` leaves out the rows that training left out. `reach` is from the end of a window
    to the end of its horizon; a shadow tells nobody."""

    id: int
    model_id: int
    is_shadow: bool
    name: str
    rules: Rules
    whitelist: frozenset[str] | None
    trained_on: Filter
    reach: timedelta
    feature_names: tuple[str, ...]
    booster: Booster
    send_mode: str


def worker_of(active: ActiveModel, booster: Booster) -> Worker:
    """What the scorer needs of a model at work."""
    trained_on = Data.model_validate(active.model.recipe.get("data", {})).filter()
    return Worker(
        id=active.pk,
        model_id=active.model_id,
        is_shadow=active.shadow_of_id is not None,
        name=active.custom_name,
        rules=rules_of(active),
        whitelist=_whitelist(active, trained_on),
        trained_on=trained_on,
        reach=target_of(active.pk, Label.model_validate(active.model.recipe["label"]).rule()).reach,
        feature_names=tuple(active.model.feature_names),
        booster=booster,
        send_mode=active.send_mode,
    )


def _whitelist(active: ActiveModel, trained_on: Filter) -> frozenset[str] | None:
    """The only coins to look at: those chosen, among those the model was trained on; None where any will do."""
    lists = [trained_on.mints] if trained_on.mints else []
    if active.coin_filter == ActiveModel.CoinFilter.WHITELIST:
        lists.append(active.whitelist)
    return frozenset.intersection(*map(frozenset, lists)) if lists else None


def rules_of(active: ActiveModel) -> Rules:
    """The settings of a model at work as values."""
    negative, positive, alert = (int(active.max_log_entries.get(tag, 0)) for tag in TAGS)
    return Rules(
        threshold=active.threshold,
        phases=frozenset(active.phases),
        ignore_seconds=(active.ignore_bad_seconds, active.ignore_positive_seconds, active.ignore_alert_seconds),
        min_scan_interval_seconds=active.min_scan_interval_seconds,
        max_log_entries=(negative, positive, alert),
    )


class Boosters:
    """Boosters by model id, each loaded and checked once; one that cannot be loaded is said once and left out."""

    def __init__(self) -> None:
        self._loaded: dict[int, Booster | None] = {}

    def of(self, active: ActiveModel) -> Booster | None:
        """The booster of a model, or None where it cannot be used (the log says why)."""
        if active.model_id not in self._loaded:
            self._loaded[active.model_id] = self._load(active)
        return self._loaded[active.model_id]

    def keep_only(self, model_ids: set[int]) -> None:
        """Drop the others."""
        self._loaded = {key: booster for key, booster in self._loaded.items() if key in model_ids}

    def _load(self, active: ActiveModel) -> Booster | None:
        try:
            booster = artifacts.load(active.model)
        except PlatformError as error:
            logger.error("model %s is not scored: %s %s", active.custom_name, error.code, error.message)
            return None
        booster.set_param({"nthread": THREADS})
        return booster


@dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities by worker id, one a row, and how many milliseconds they took (features shared by all models)."""

    probability: dict[int, Floats]
    milliseconds: dict[int, float]


def score(workers: Sequence[Worker], history: History) -> Scores:
    """Score the history's rows with every model; features are computed once, for the union of what is needed."""
    started = time.perf_counter()
    names = tuple(dict.fromkeys(name for worker in workers for name in worker.feature_names))
    matrix = features.of(history, names=names, into=np.empty((len(history.rows), len(names)), np.float32))
    place = {name: number for number, name in enumerate(names)}
    shared = (time.perf_counter() - started) / max(1, len(workers))

    def say(worker: Worker) -> tuple[Floats, float]:
        began = time.perf_counter()
        said = fitting.predict(worker.booster, _columns(matrix, place, worker.feature_names))
        return said, (time.perf_counter() - began + shared) * 1000

    said = dict(zip((worker.id for worker in workers), _POOL.map(say, workers), strict=True))
    return Scores({key: one[0] for key, one in said.items()}, {key: one[1] for key, one in said.items()})


def explain(worker: Worker, history: History) -> list[dict[str, Any]]:
    """What moved the model's score of each of the history's rows most, in the form of `reasons.reasons_of`."""
    from apps.training.judging import contributions  # brings scipy, which nothing else here needs

    values = features.of(history, names=worker.feature_names)
    moved = contributions(worker.booster, values.astype(np.float32))
    return [reasons_of(worker.feature_names, *pair) for pair in zip(values, moved, strict=True)]


def _columns(matrix: NDArray[np.float32], place: dict[str, int], names: Sequence[str]) -> NDArray[np.float32]:
    wanted = [place[name] for name in names]
    chosen: Any = matrix if wanted == list(range(matrix.shape[1])) else matrix[:, wanted]
    return np.ascontiguousarray(chosen)
