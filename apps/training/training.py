"""The job TRAIN: load, split, fit, judge, store. Loads XGBoost, so only the trainer's process may call it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.errors import ConflictError, PlatformError
from apps.core.sentences import worded
from apps.training import (
    artifacts,
    clusters,
    dataset,
    fitting,
    judging,
    profiles,
    selections,
    services,
    splits,
)
from apps.training.columns import Floats
from apps.training.dataset import Dataset, Selection
from apps.training.fitting import Fitted
from apps.training.models import TABLES_OF_SCORES, Job, Lineage, Model
from apps.training.recipes import Recipe, recipe_parse
from apps.training.report import JobStopped, Report


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a fit starts from: the rows of a recipe, in parts, and how long loading them took (seconds).

    `data` has the model's features only, `wide` also those that judging reads; `value` is what an alert on each row
    earns after costs.
    """

    recipe: Recipe
    selection: Selection
    wide: Dataset
    data: Dataset
    value: Floats
    split: splits.Split
    seconds: float


def threads() -> int:
    """Threads for a fit: all cores but one, which is left to the stream."""
    return max(1, (os.cpu_count() or 1) - 1)


def prepare(job: Job, progress: Callable[[float, str], None], log: Callable[[str], None]) -> Prepared:
    """Load and split the rows that a job's recipe asks for."""
    recipe, clock = recipe_parse(job.params["recipe"]), time.monotonic()
    selection = selections.selection_of(recipe)
    names = recipe.feature_names()
    data = dataset.load(selection, judging.columns(names), progress)
    seconds = time.monotonic() - clock
    split = selections.split_of(data, recipe, selection)
    found, rate = data.counts, data.counts.rows_found / max(seconds, 1e-9)
    log(f"loaded {found.rows_found:,} rows in {seconds:.1f} s ({rate:,.0f} a second)")
    log(f"{found.rows:,} usable, {found.positives:,} positive, of {found.coins:,} coins; purged {split.purged:,}")
    return Prepared(recipe, selection, data, judging.view(data, names), judging.values(data, recipe), split, seconds)


def train(job: Job, report: Report) -> None:
    """Do the job."""
    found = prepare(job, report.part(0.0, 0.4), report.log)
    data, split, clock = found.data, found.split, time.monotonic()
    fitted = _fit(found, split, report, 0.4, 0.6 if found.recipe.split.folds else 0.88)
    fit_done = time.monotonic()
    report.log(f"fitted {fitted.rounds} rounds in {fit_done - clock:.1f} s")
    walks = _walks(found, report)
    walked = time.monotonic()
    scores, kept = _judged(found, fitted, report)
    seconds = {"load": found.seconds, "fit": fit_done - clock, "judge": time.monotonic() - walked}
    if walks:
        scores["walk_forward"], seconds["walk_forward"] = walks, walked - fit_done
    result = {
        "counts": data.counts.as_json(),
        "purged": split.purged,
        "rounds": fitted.rounds,
        "seconds": seconds,
        "load_rows_per_second": round(data.counts.rows_found / max(found.seconds, 1e-9)),
    }
    _store(job, _model(found, fitted, scores, kept), result)


def _fit(
    found: Prepared, split: splits.Split, report: Report, low: float, high: float, told: Callable[[str], str] = str
) -> Fitted:
    """On the Dask cluster where one is set, else here. Progress goes from `low` to `high`."""
    total, rows = found.recipe.xgboost.n_estimators, (split.train, split.validation)

    def on_round(number: int, value: float) -> None:
        text = worded("dealing out the rows")
        if number:
            text = worded("round %(number)s, PR-AUC %(value)s", number=number, value=f"{value:.4f}")
        report.progress(low + (high - low) * number / total, told(text))

    report.progress(low, told(worded("fitting")))
    if address := settings.DASK_SCHEDULER_ADDRESS:
        report.log(told(f"fitting on the cluster {address}"))
        return clusters.fit(found.data, *rows, found.recipe, value=found.value, address=address, on_round=on_round)
    return fitting.fit(found.data, *rows, found.recipe, value=found.value, threads=threads(), on_round=on_round)


def _of_fold(number: int, folds: int, what: str) -> str:
    """What is done, in words, with the fold that it is done for."""
    return worded("walking forward, fold %(number)s of %(folds)s: %(what)s", number=number, folds=folds, what=what)


def _walks(found: Prepared, report: Report) -> list[dict[str, Any]]:
    """How the recipe does on each of its folds (walk forward): a fit on what came before, judged on what came next.

    A fold that cannot be fitted says why (`error_code`, `error`) instead of having measures.
    """
    folds, done = selections.folds_of(found.wide, found.recipe, found.selection), []
    for number, fold in enumerate(folds):
        share = 0.28 / len(folds)
        low = 0.6 + share * number
        if not len(fold.test):
            continue
        start, end = selections.fold_span(found.wide, fold)
        walk = {"from": start.isoformat(), "to": end.isoformat(), "rows_train": len(fold.train)}
        try:
            fitted = _fit(found, fold, report, low, low + share, partial(_of_fold, number + 1, len(folds)))
        except PlatformError as error:
            if error.code not in fitting.LACKING:
                raise
            done.append({**walk, "rows": len(fold.test), "error_code": error.code, "error": error.message})
            continue
        measures = judging.judge(
            judging.sample_of(found.wide, found.value, fold.test),
            fitting.predict(fitted.booster, found.data.x[fold.test]),
            threshold=fitted.threshold.value,
            recipe=found.recipe,
            kept={},
            on_progress=lambda ratio, message: report.progress(low + share, message),  # noqa: B023 - called at once
        )
        done.append({**walk, **{name: value for name, value in measures.items() if name not in TABLES_OF_SCORES}})
    return done


def _judged(found: Prepared, fitted: Fitted, report: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scores of both parts that the fit did not learn from, and what later judging needs."""
    split, recipe = found.split, found.recipe
    report.progress(0.9, worded("judging"))
    train, validation = (judging.sample_of(found.wide, found.value, rows) for rows in (split.train, split.validation))
    kept = judging.keep(train, validation, recipe)
    kept["permutation"] = judging.permutation(
        fitted.booster,
        found.data.x[split.validation],
        found.data.label[split.validation],
        fitted.importances,
        seed=recipe.seed,
        on_progress=report.part(0.9, 0.92),
    )
    scores = {}
    for number, (part, rows) in enumerate((("validation", split.validation), ("test", split.test))):
        if len(rows):
            scores[part] = judging.judge(
                judging.sample_of(found.wide, found.value, rows),
                fitting.predict(fitted.booster, found.data.x[rows]),
                threshold=fitted.threshold.value,
                recipe=recipe,
                kept=kept,
                on_progress=report.part(0.92 + 0.04 * number, 0.96 + 0.04 * number),
            )
    return scores, kept


def _model(found: Prepared, fitted: Fitted, scores: dict[str, Any], kept: dict[str, Any]) -> Model:
    import xgboost

    recipe, selection, data, split = found.recipe, found.selection, found.data, found.split
    artifact, sha256 = artifacts.dump(fitted.booster)
    return Model(
        name=recipe.name,
        description=recipe.description,
        recipe=recipe.as_json(),
        feature_names=list(data.names),
        label_name=selection.rule.name,
        horizon_seconds=recipe.label.horizon_seconds,
        train_from=selection.start,
        train_to=selection.end,
        data_hash=data.content_hash,
        rows_train=len(split.train),
        rows_validation=len(split.validation),
        rows_test=len(split.test),
        scores=scores,
        judging=kept,
        profile=_profile(data, split, fitted),
        threshold=fitted.threshold.value,
        importances=fitted.importances,
        artifact=artifact,
        artifact_sha256=sha256,
        xgboost_version=xgboost.__version__,
        made_with={"seed": recipe.seed, "rounds": fitted.rounds, **fitted.made_with},
    )


def _profile(data: Dataset, split: splits.Split, fitted: Fitted) -> dict[str, Any]:
    """The spread of the training rows, and of the scores of rows that were not learned from."""
    unseen = profiles.sampled(np.concatenate((split.validation, split.test)))
    return profiles.profile_of(data.names, data.x, split.train, fitting.predict(fitted.booster, data.x[unseen]))


def _store(job: Job, model: Model, result: dict[str, Any]) -> None:
    """Model, its alias and the end of the job in one transaction: none without the others."""
    lineage = Lineage(**job.params.get("lineage", {}))
    try:
        with transaction.atomic():
            model.origin = lineage.origin
            model.parent = Model.objects.filter(pk=lineage.parent_id or 0).first()
            model.study = Job.objects.filter(pk=lineage.study_id or 0).first()
            model.save()
            if lineage.alias:
                services.alias_set(model=model, alias=lineage.alias)
            Job.objects.filter(pk=job.pk).update(model=model)
            complete(job, {**result, "model_id": model.pk})
    except IntegrityError:
        raise ConflictError(
            "MODEL_NAME_TAKEN", worded("There is already a model named %(name)r.", name=model.name)
        ) from None


def complete(job: Job, result: dict[str, Any]) -> None:
    """End the job with its result. Raises JobStopped where it is no longer ours: what was written is rolled back."""
    if not services.job_finish(job=job, status=Job.Status.COMPLETED, now=timezone.now(), result=result):
        raise JobStopped
