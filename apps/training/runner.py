"""Does one claimed job: train, test or compare. Called in the trainer's process only (it loads XGBoost)."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from apps.core.errors import ConflictError, PlatformError
from apps.training import artifacts, dataset, evaluation, fitting, selections, services, splits
from apps.training.dataset import Dataset, Selection
from apps.training.models import Comparison, Job, Model, TestResult
from apps.training.recipes import Recipe, range_parse, recipe_parse

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
SHOW_SECONDS = 0.5
AWAY = (OperationalError, InterfaceError)


class JobStopped(Exception):  # noqa: N818 - not an error
    """The job was cancelled, or taken from this worker."""


class Report:
    """The link between the work and its row: progress, log, whether to stop; a thread beats while the work computes."""

    def __init__(self, job: Job, show: Callable[[float, str], None] = lambda ratio, message: None) -> None:
        self.job, self.show = job, show
        self._shown = 0.0
        self._end = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"heart of job {job.pk}", daemon=True)

    def __enter__(self) -> "Report":
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._heart.join()

    def progress(self, ratio: float, message: str) -> None:
        """Show progress, twice a second at most. Raises JobStopped when the job was cancelled or taken away."""
        if time.monotonic() - self._shown < SHOW_SECONDS:
            return
        self._shown = time.monotonic()
        ours, cancelled = services.job_beat(job=self.job, now=timezone.now())
        if cancelled or not ours:
            raise JobStopped
        services.job_progress(job=self.job, progress=ratio, message=message)
        self.show(ratio, message)

    def part(self, low: float, high: float) -> Callable[[float, str], None]:
        """A progress function for a stretch of the work."""
        return lambda ratio, message: self.progress(low + (high - low) * ratio, message)

    def log(self, line: str) -> None:
        """A line for the job's log."""
        services.job_log(job=self.job, line=line, now=timezone.now())

    def _beat(self) -> None:
        """Beat until the end, also while the work says nothing. Survives an absent database."""
        while not self._end.wait(BEAT_SECONDS):
            try:
                services.job_beat(job=self.job, now=timezone.now())
            except AWAY:
                logger.debug("job %s: the database is away", self.job.pk)
            finally:
                connection.close()


def run(job: Job, show: Callable[[float, str], None] = lambda ratio, message: None) -> None:
    """Do a claimed job and write its end. Expected failures end in FAILED with their code; `show` hears of progress."""
    with Report(job, show) as report:
        try:
            _WORK[job.job_type](job, report)
        except JobStopped:
            services.job_finish(job=job, status=Job.Status.CANCELLED, now=timezone.now())
        except PlatformError as error:
            services.job_finish(job=job, status=Job.Status.FAILED, now=timezone.now(), error=error)
        except AWAY:
            raise  # the row stays RUNNING without a heartbeat: the job is taken up again when the database is back
        except Exception:
            logger.exception("job %s failed", job.pk)
            surprise = PlatformError("INTERNAL_ERROR", f"Something unexpected went wrong; see the log of job {job.pk}.")
            services.job_finish(job=job, status=Job.Status.FAILED, now=timezone.now(), error=surprise)


def threads() -> int:
    """Threads for a fit: all cores but one, which is left to the stream."""
    return max(1, (os.cpu_count() or 1) - 1)


# --- TRAIN ---------------------------------------------------------------------------------------------
def train(job: Job, report: Report) -> None:
    """Load, split, fit, judge, store."""
    recipe = recipe_parse(job.params["recipe"])
    selection, clock = selections.selection_of(recipe), time.monotonic()
    data = dataset.load(selection, recipe.feature_names(), report.part(0.0, 0.4))
    loaded = time.monotonic()
    split = selections.split_of(data, recipe, selection)
    report.log(f"loaded {data.counts.as_json()} in {loaded - clock:.1f} s, purged {split.purged}")
    fitted = fitting.fit(
        data, split.train, split.validation, recipe, threads=threads(), on_round=_rounds(report, recipe)
    )
    fit_done = time.monotonic()
    report.log(f"fitted {fitted.rounds} rounds in {fit_done - loaded:.1f} s")
    report.progress(0.92, "judging")
    scores = {
        part: judge(fitted.booster, data, rows, threshold=fitted.threshold.value, costs=recipe.costs_pct / 100)
        for part, rows in (("validation", split.validation), ("test", split.test))
        if len(rows)
    }
    seconds = {"load": loaded - clock, "fit": fit_done - loaded, "judge": time.monotonic() - fit_done}
    model = _model(recipe, selection, data, split, fitted, scores)
    result = {"counts": data.counts.as_json(), "purged": split.purged, "rounds": fitted.rounds, "seconds": seconds}
    _store_model(job, report, model, result)


def _rounds(report: Report, recipe: Recipe) -> fitting.Round:
    total = recipe.xgboost.n_estimators
    return lambda number, value: report.progress(0.4 + 0.5 * number / total, f"round {number}, PR-AUC {value:.4f}")


def _model(
    recipe: Recipe,
    selection: Selection,
    data: Dataset,
    split: splits.Split,
    fitted: fitting.Fitted,
    scores: dict[str, Any],
) -> Model:
    import xgboost

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
        threshold=fitted.threshold.value,
        importances=fitted.importances,
        artifact=artifact,
        artifact_sha256=sha256,
        xgboost_version=xgboost.__version__,
    )


def _store_model(job: Job, report: Report, model: Model, result: dict[str, Any]) -> None:
    """Model and end of the job in one transaction: neither without the other."""
    try:
        with transaction.atomic():
            model.save()
            Job.objects.filter(pk=job.pk).update(model=model)
            _complete(job, {**result, "model_id": model.pk})
    except IntegrityError:
        raise ConflictError("MODEL_NAME_TAKEN", f"There is already a model named {model.name!r}.") from None


def _complete(job: Job, result: dict[str, Any]) -> None:
    if not services.job_finish(job=job, status=Job.Status.COMPLETED, now=timezone.now(), result=result):
        raise JobStopped


def judge(booster: Any, data: Dataset, rows: Any, *, threshold: float, costs: float) -> dict[str, Any]:
    """All measures of a booster on some rows of a dataset with its features."""
    return evaluation.scores(
        data.label[rows],
        fitting.predict(booster, data.x[rows]),
        data.payoff[rows],
        threshold=threshold,
        costs=costs,
    )


# --- TEST and COMPARE ----------------------------------------------------------------------------------
def test(job: Job, report: Report) -> None:
    """Judge a stored model on another stretch of data."""
    model = services.model_get(model_id=job.model_id or 0)
    start, end = range_parse(job.params["from"], job.params["to"])
    booster = artifacts.load(model)
    data = selections.known(
        dataset.load(selections.fair_selection([model], start, end), model.feature_names, report.part(0.0, 0.8))
    )
    report.progress(0.85, "judging")
    costs = model.recipe["costs_pct"] / 100
    scores = judge(booster, data, slice(None), threshold=model.threshold, costs=costs)
    with transaction.atomic():
        result = TestResult.objects.create(
            model=model,
            job=job,
            test_from=start,
            test_to=end,
            overlaps_training=selections.overlaps(model, start, end),
            rows=len(data),
            rows_unknown=data.counts.rows_unknown,
            coins=data.counts.coins,
            scores=scores,
        )
        _complete(job, {"test_result_id": result.pk, "counts": data.counts.as_json()})


def compare(job: Job, report: Report) -> None:
    """Judge two to four models on the same rows and name the winner."""
    models = [services.model_get(model_id=pk) for pk in job.params["models"]]
    start, end = range_parse(job.params["from"], job.params["to"])
    names = list(dict.fromkeys(name for model in models for name in model.feature_names))
    data = selections.known(dataset.load(selections.fair_selection(models, start, end), names, report.part(0.0, 0.8)))
    results = []
    for number, model in enumerate(models):
        report.progress(0.8 + 0.2 * number / len(models), f"judging {model.name}")
        columns = [names.index(name) for name in model.feature_names]
        view = replace(data, names=tuple(model.feature_names), x=np.ascontiguousarray(data.x[:, columns]))
        costs = model.recipe["costs_pct"] / 100
        scores = judge(artifacts.load(model), view, slice(None), threshold=model.threshold, costs=costs)
        row = {"model_id": model.pk, "name": model.name, "overlaps_training": selections.overlaps(model, start, end)}
        results.append({**row, "scores": scores})
    _store_comparison(job, models, (start, end), results, data)


def _store_comparison(
    job: Job, models: list[Model], span: tuple[datetime, datetime], results: list[dict[str, Any]], data: Dataset
) -> None:
    place, reason = winner_of(results)
    with transaction.atomic():
        comparison = Comparison.objects.create(
            job=job,
            test_from=span[0],
            test_to=span[1],
            results={"models": results, "counts": data.counts.as_json()},
            winner=None if place is None else models[place],
            reason=reason,
        )
        comparison.compared.set(models)
        _complete(job, {"comparison_id": comparison.pk})


def winner_of(results: list[dict[str, Any]]) -> tuple[int | None, str]:
    """The place of the best model and the sentence why: expected value per alert, else PR-AUC."""
    for measure, text in (("expected_value", "expected value per alert after costs"), ("pr_auc", "PR-AUC")):
        values = [result["scores"][measure] for result in results]
        if all(value is not None for value in values):
            ranked = sorted(range(len(values)), key=lambda place: -values[place])
            shown = ", ".join(f"{results[place]['name']} {values[place]:+.4f}" for place in ranked)
            if values[ranked[0]] == values[ranked[1]]:
                return None, f"No winner: the same {text} ({shown})."
            return ranked[0], f"Highest {text}: {shown}."
    return None, "No winner: no measure is defined for all models on these rows."


_WORK: dict[str, Callable[[Job, Report], None]] = {
    Job.Type.TRAIN: train,
    Job.Type.TEST: test,
    Job.Type.COMPARE: compare,
}
