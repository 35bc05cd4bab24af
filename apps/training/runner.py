"""Does one claimed job: train, tune, test or compare. Called in the trainer's process only (it loads XGBoost)."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.training import artifacts, dataset, fitting, judging, selections, services
from apps.training.dataset import Dataset
from apps.training.models import Comparison, Job, Model, TestResult
from apps.training.recipes import range_parse, recipe_parse
from apps.training.report import AWAY, JobStopped, Report
from apps.training.training import complete, train
from apps.training.tuning import tune

logger = logging.getLogger(__name__)


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
            # A query that was broken off ends the job. Else the row stays RUNNING without a heartbeat: it is taken up
            # again when the database is back.
            if not report.stopped.is_set():
                raise
            services.job_finish(job=job, status=Job.Status.CANCELLED, now=timezone.now())
        except Exception:
            logger.exception("job %s failed", job.pk)
            surprise = PlatformError("INTERNAL_ERROR", f"Something unexpected went wrong; see the log of job {job.pk}.")
            services.job_finish(job=job, status=Job.Status.FAILED, now=timezone.now(), error=surprise)


# --- TEST and COMPARE ----------------------------------------------------------------------------------
def test(job: Job, report: Report) -> None:
    """Judge a stored model on another stretch of data."""
    model = services.model_get(model_id=job.model_id or 0)
    start, end = range_parse(job.params["from"], job.params["to"])
    booster = artifacts.load(model)
    names = judging.columns(model.feature_names)
    selection = selections.fair_selection([model], start, end)
    data = selections.known(dataset.load(selection, names, report.part(0.0, 0.8)))
    scores = judge(booster, model, data, report.part(0.8, 1.0))
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
        complete(job, {"test_result_id": result.pk, "counts": data.counts.as_json()})


def compare(job: Job, report: Report) -> None:
    """Judge two to four models on the same rows and name the winner."""
    models = [services.model_get(model_id=pk) for pk in job.params["models"]]
    start, end = range_parse(job.params["from"], job.params["to"])
    names = judging.columns(list(dict.fromkeys(name for model in models for name in model.feature_names)))
    data = selections.known(dataset.load(selections.fair_selection(models, start, end), names, report.part(0.0, 0.8)))
    results = []
    for number, model in enumerate(models):
        report.progress(0.8 + 0.2 * number / len(models), f"judging {model.name}")
        scores = judge(artifacts.load(model), model, data)
        row = {"model_id": model.pk, "name": model.name, "overlaps_training": selections.overlaps(model, start, end)}
        results.append({**row, "scores": scores})
    _store_comparison(job, models, (start, end), results, data)


def judge(
    booster: Any, model: Model, data: Dataset, on_progress: Callable[[float, str], None] = lambda ratio, message: None
) -> dict[str, Any]:
    """All measures of a stored model on the rows of a dataset that holds its features and those of judging."""
    recipe = recipe_parse(model.recipe)
    sample = judging.sample_of(data, judging.values(data, recipe))
    probability = fitting.predict(booster, judging.view(data, model.feature_names).x)
    options = {"threshold": model.threshold, "recipe": recipe, "kept": model.judging}
    return judging.judge(sample, probability, on_progress=on_progress, **options)


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
        complete(job, {"comparison_id": comparison.pk})


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
    Job.Type.TUNE: tune,
    Job.Type.TEST: test,
    Job.Type.COMPARE: compare,
}
