"""The jobs TEST and COMPARE: stored models on other data. Loads XGBoost, so only the trainer's process may call it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from apps.core.sentences import worded
from apps.training import artifacts, dataset, fitting, judging, selections, services
from apps.training.columns import Floats
from apps.training.dataset import Dataset
from apps.training.evaluation import Sample, comparison
from apps.training.models import Comparison, Job, Model, TestResult
from apps.training.recipes import Recipe, range_parse, recipe_parse
from apps.training.report import Report
from apps.training.training import complete


def test(job: Job, report: Report) -> None:
    """Judge a stored model on another stretch of data."""
    model = services.model_get(model_id=job.model_id or 0)
    start, end = range_parse(job.params["from"], job.params["to"])
    recipe = recipe_parse(model.recipe)
    data = _load([model], start, end, report)
    sample = judging.sample_of(data, judging.values(data, recipe))
    probability = _probability(model, data)
    scores = _judge(model, recipe, sample, probability, report, 0.75, 1.0)
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
    """Judge two to four models on the same rows at the costs of the first one, and name the winner."""
    models = [services.model_get(model_id=pk) for pk in job.params["models"]]
    start, end = range_parse(job.params["from"], job.params["to"])
    recipe = recipe_parse(models[0].recipe)
    data = _load(models, start, end, report)
    sample = judging.sample_of(data, judging.values(data, recipe))
    entrants, share = [], 0.2 / len(models)
    for number, model in enumerate(models):
        probability, low = _probability(model, data), 0.75 + share * number
        scores = _judge(model, recipe, sample, probability, report, low, low + share)
        seen = selections.overlaps(model, start, end) or selections.precedes(model, start, end)
        entrants.append(comparison.Entrant(model.name, probability, model.threshold, scores, has_seen=seen))
    verdict = comparison.decide(
        sample, entrants, seed=recipe.seed, on_step=lambda: report.progress(0.97, worded("deciding"))
    )
    results = {
        "models": [
            {
                "model_id": model.pk,
                "name": model.name,
                "overlaps_training": selections.overlaps(model, start, end),
                "scores": entrant.scores,
            }
            for model, entrant in zip(models, entrants, strict=True)
        ],
        "counts": data.counts.as_json(),
        "differences": verdict.differences,
        "costs": recipe.costs.model_dump(),
    }
    _store(job, models, (start, end), results, verdict)


def _load(models: list[Model], start: datetime, end: datetime, report: Report) -> Dataset:
    """The rows that are fair to all models, with every feature that one of them or judging needs."""
    names = list(dict.fromkeys(name for model in models for name in model.feature_names))
    selection = selections.fair_selection(models, start, end)
    return selections.known(dataset.load(selection, judging.columns(names), report.part(0.0, 0.75)))


def _probability(model: Model, data: Dataset) -> Floats:
    return fitting.predict(artifacts.load(model), judging.view(data, model.feature_names).x)


def _judge(
    model: Model, recipe: Recipe, sample: Sample, probability: Floats, report: Report, low: float, high: float
) -> dict[str, Any]:
    return judging.judge(
        sample,
        probability,
        threshold=model.threshold,
        recipe=recipe,
        kept=model.judging,
        on_progress=lambda share, _: report.progress(
            low + (high - low) * share, worded("judging the model %(name)s", name=model.name)
        ),
    )


def _store(
    job: Job,
    models: list[Model],
    span: tuple[datetime, datetime],
    results: dict[str, Any],
    verdict: comparison.Verdict,
) -> None:
    with transaction.atomic():
        stored = Comparison.objects.create(
            job=job,
            test_from=span[0],
            test_to=span[1],
            results=results,
            winner=None if verdict.winner is None else models[verdict.winner],
            reason=verdict.reason,
        )
        stored.compared.set(models)
        complete(job, {"comparison_id": stored.pk})
