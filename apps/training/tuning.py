"""The job TUNE: a study over a recipe. Its trials are rows, so a restarted job goes on where the last one died."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.core import live
from apps.core.errors import PlatformError
from apps.core.sentences import worded
from apps.training import evaluation, fitting, selections
from apps.training.models import Job, Trial
from apps.training.recipes import Booster, Recipe, Tune, recipe_parse
from apps.training.report import Report
from apps.training.study import Ended, Running, Study, TrialPruned
from apps.training.training import Prepared, complete, prepare, threads

LOADED = 0.2


def tune(job: Job, report: Report) -> None:
    """Do the job: fit trial after trial on the same rows, keep each, end with the best recipe.

    Rounds and threshold of each trial are chosen on validation, and so is the best: the test part stays untouched.
    """
    recipe = _pin(job)
    found = prepare(job, report.part(0.0, LOADED), report.log)
    plan, began = recipe.tune or Tune(), timezone.now()
    study = Study(plan, recipe.xgboost, recipe.seed)
    known = _resume(job, study, found.data.content_hash)
    report.log(f"{known} trials are known, {plan.trials} are asked for")
    report.progress(LOADED, worded("binning"))
    split = found.split
    rows = fitting.material(found.data, split.train, split.validation, recipe, value=found.value, threads=threads())
    end = _end(job, plan, began)
    for number in range(known, plan.trials):
        if end is not None and timezone.now() >= end:
            report.log(f"the time is over after {number} trials")
            break
        _trial(job, study, rows, recipe, report)
    complete(job, {**_result(job, recipe), **_data_facts(found)})


def _pin(job: Job) -> Recipe:
    """The recipe with its time range closed, kept in the job: every trial and the later training see the same rows."""
    recipe = recipe_parse(job.params["recipe"])
    selection = selections.selection_of(recipe)
    data = recipe.data.model_copy(update={"from_": selection.start, "to": selection.end})
    pinned = recipe.model_copy(update={"data": data}) if selection.start < selection.end else recipe
    job.params = {**job.params, "recipe": pinned.as_json()}
    Job.objects.filter(pk=job.pk, worker=job.worker).update(params=job.params)
    return pinned


def _resume(job: Job, study: Study, data_hash: str) -> int:
    """Take over the trials that ended; how many. None where the rows are others than then (late data)."""
    job.trials.filter(state=Trial.State.RUNNING).delete()
    if job.params.get("data_hash", data_hash) != data_hash:
        job.trials.all().delete()
    job.params = {**job.params, "data_hash": data_hash}
    Job.objects.filter(pk=job.pk, worker=job.worker).update(params=job.params)
    trials = list(job.trials.order_by("number"))
    for trial in trials:
        steps = [(int(number), float(value)) for number, value in trial.steps]
        study.add(Ended(trial.params, trial.value, trial.state == Trial.State.PRUNED, steps))
    return len(trials)


def _end(job: Job, plan: Tune, began: datetime) -> datetime | None:
    """When no trial begins any more: so long after the first one began, restarts included."""
    if plan.seconds is None:
        return None
    first = job.trials.order_by("number").values_list("started_at", flat=True).first()
    return (first or began) + timedelta(seconds=plan.seconds)


def _trial(job: Job, study: Study, rows: fitting.Material, recipe: Recipe, report: Report) -> None:
    running, plan = study.ask(), study.tune
    row = Trial.objects.create(job=job, number=running.number, params=running.params, started_at=timezone.now())
    tried = recipe.model_copy(update={"xgboost": booster_of(recipe, running.params)})

    def on_round(number: int, value: float) -> None:
        share = (running.number + number / recipe.xgboost.n_estimators) / plan.trials
        text = f"trial {running.number + 1} of {plan.trials}, round {number}, PR-AUC {value:.4f}"
        report.progress(LOADED + (1 - LOADED) * share, text)
        running.report(number, value)

    try:
        fitted = fitting.fit_on(rows, tried, on_round=on_round)
    except TrialPruned:
        study.tell(running, None, pruned=True)
        _keep(row, running, Trial.State.PRUNED, None, {})
        return
    measures = _measures(fitted, rows)
    value = measures[plan.measure]
    study.tell(running, value)
    _keep(row, running, Trial.State.FAILED if value is None else Trial.State.COMPLETE, value, measures)


def booster_of(recipe: Recipe, params: dict[str, Any]) -> Booster:
    """The recipe's XGBoost parameters with a trial's in their place."""
    return Booster.model_validate({**recipe.xgboost.model_dump(), **params})


def _measures(fitted: fitting.Fitted, rows: fitting.Material) -> dict[str, Any]:
    """What a trial is worth on validation; a measure that is not defined is None."""
    probability = fitting.predict(fitted.booster, rows.validation.x)
    return {
        "rounds": fitted.rounds,
        "pr_auc": evaluation.average_precision(rows.validation.label, probability),
        "log_loss": evaluation.log_loss(rows.validation.label, probability),
        "expected_value": fitted.threshold.expected_value,
        "threshold": fitted.threshold.value,
        "alerts": fitted.threshold.alerts,
    }


def _keep(row: Trial, running: Running, state: Trial.State, value: float | None, measures: dict[str, Any]) -> None:
    """Note how a trial ended, unless the study was taken away meanwhile: then its row is gone."""
    found = {"state": state, "value": value, "steps": running.steps, "measures": measures}
    Trial.objects.filter(pk=row.pk).update(**found, finished_at=timezone.now())
    live.publish("training")


def best_of(job: Job) -> Trial | None:
    """The best complete trial of a study so far, the earliest of equals."""
    measure = (job.params["recipe"].get("tune") or {}).get("measure", "pr_auc")
    order = "value" if measure == "log_loss" else "-value"
    return job.trials.filter(state=Trial.State.COMPLETE).order_by(order, "number").first()


def _result(job: Job, recipe: Recipe) -> dict[str, Any]:
    """The best trial and the recipe that makes it again. Raises PlatformError STUDY_WITHOUT_BEST."""
    best = best_of(job)
    if best is None:
        raise PlatformError("STUDY_WITHOUT_BEST", "No trial has a defined value: choose another measure or more data.")
    tuned = recipe.model_copy(update={"xgboost": booster_of(recipe, best.params), "tune": None})
    states = list(job.trials.values_list("state", flat=True))
    return {
        "best": {"number": best.number, "value": best.value, "params": best.params, **best.measures},
        "measure": (recipe.tune or Tune()).measure,
        "trials": {state: states.count(state) for state in Trial.State.values if state in states},
        "recipe": tuned.as_json(),
    }


def _data_facts(found: Prepared) -> dict[str, Any]:
    return {"counts": found.data.counts.as_json(), "purged": found.split.purged, "seconds": {"load": found.seconds}}
