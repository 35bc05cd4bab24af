"""Studies: they find something better, go on after a kill as if nothing had been, and their best can be trained."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core.errors import ConflictError, PlatformError
from apps.training import runner, services, tasks, tuning
from apps.training.models import Job, Model, Trial
from apps.training.recipes import SPACE, Booster, Tune, recipe_parse
from apps.training.study import Ended, Study, space_of

pytestmark = pytest.mark.usefixtures("few_draws")

SMALL = {"trials": 4, "space": {"learning_rate": [0.05, 0.5], "max_depth": [2, 5]}}


def run_next() -> Job:
    tasks.run_job(0)
    return Job.objects.order_by("-started_at").first()


@pytest.fixture
def recipe(filled, make_recipe):
    return make_recipe(tune=SMALL)


class Killed(BaseException):
    """Stands for kill -9: nothing of ours hears of it."""


def test_a_study_ends_with_its_best_recipe_which_makes_the_best_trial_again(recipe):
    services.recipe_request(recipe=recipe)
    study = run_next()
    assert (study.job_type, study.status) == (Job.Type.TUNE, Job.Status.COMPLETED), study.error
    trials = list(study.trials.all())
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert trials[0].params == {"learning_rate": 0.2, "max_depth": 3}, "the first is the recipe as it stands"
    best = max((trial for trial in trials if trial.value is not None), key=lambda trial: trial.value)
    assert study.result["best"]["number"] == best.number and best.value >= trials[0].value
    services.best_train(study=study)
    model = run_next().model
    assert (model.origin, model.study_id) == (Model.Origin.TUNED, study.pk)
    assert model.scores["validation"]["pr_auc"] == pytest.approx(best.value)
    assert model.threshold == best.measures["threshold"]


def test_a_study_whose_worker_was_killed_goes_on_with_the_same_trials(recipe, monkeypatch):
    services.tune_request(recipe=recipe)
    whole = run_next()
    wanted = list(whole.trials.values_list("params", "state", "value"))

    services.tune_request(recipe=recipe)
    job, fit = services.job_claim(worker="dying", now=timezone.now()), tuning.fitting.fit_on

    def die_in_the_third(*args, **options):
        if Trial.objects.filter(job=job).count() == 3:
            raise Killed
        return fit(*args, **options)

    monkeypatch.setattr(tuning.fitting, "fit_on", die_in_the_third)
    with pytest.raises(Killed):
        runner.run(job)
    monkeypatch.undo()
    assert list(job.trials.values_list("state", flat=True))[-1] == Trial.State.RUNNING
    third = job.trials.last()
    assert services.jobs_reap(now=timezone.now() + services.DEAD_AFTER * 2) == 1
    assert set(job.trials.values_list("state", flat=True)) <= {Trial.State.COMPLETE, Trial.State.PRUNED}
    again = run_next()
    assert again.pk == job.pk and again.params["restarts"] == 1
    assert list(again.trials.values_list("params", "state", "value")) == wanted
    assert "2 trials are known" in again.log
    assert not Trial.objects.filter(pk=third.pk).exists(), "what was broken off was asked anew"


def test_a_study_that_is_cancelled_leaves_no_trial_running_and_what_it_still_finds_is_dropped(db):
    job = services.job_create(job_type=Job.Type.TUNE, params={})
    assert services.job_take(job=job, worker="me", now=timezone.now())
    done, open_ = (
        Trial.objects.create(job=job, number=number, params={}, started_at=timezone.now()) for number in (0, 1)
    )
    running = Study(Tune(), Booster(), seed=1).ask()
    tuning._keep(done, running, Trial.State.COMPLETE, 0.5, {"rounds": 3})
    assert services.job_finish(job=job, status=Job.Status.CANCELLED, now=timezone.now())
    tuning._keep(open_, running, Trial.State.COMPLETE, 0.6, {})
    assert list(job.trials.values_list("number", "state", "value")) == [(0, Trial.State.COMPLETE, 0.5)]


def test_other_rows_begin_the_study_anew(recipe):
    services.tune_request(recipe=recipe)
    job = run_next()
    Job.objects.filter(pk=job.pk).update(status=Job.Status.PENDING, params={**job.params, "data_hash": "other"})
    begun = job.trials.first().started_at
    run_next()
    assert job.trials.count() == 4 and job.trials.first().started_at > begun


def test_a_study_that_has_no_time_left_ends_with_what_it_has(recipe):
    job = services.tune_request(recipe=recipe_parse({**recipe.as_json(), "tune": {**SMALL, "seconds": 5}}))
    begun = {"started_at": timezone.now() - timedelta(minutes=1), "params": {"learning_rate": 0.2, "max_depth": 3}}
    Trial.objects.create(job=job, number=0, state=Trial.State.COMPLETE, value=0.5, **begun)
    assert run_next().result["trials"] == {"complete": 1}


def test_only_a_finished_study_has_a_best(recipe):
    job = services.tune_request(recipe=recipe)
    with pytest.raises(ConflictError, match="best recipe"):
        services.best_train(study=job)


def study_of(**tune) -> Study:
    return Study(Tune(**tune), Booster(), seed=3)


def test_a_study_that_is_taken_up_again_asks_what_an_unbroken_one_asks():
    whole, asked = study_of(), []
    for number in range(14):
        running = whole.ask()
        asked.append(running.params)
        whole.tell(running, 1 / (1 + running.params["max_depth"] + number % 3))
    resumed = study_of()
    for number, params in enumerate(asked[:12]):
        resumed.add(Ended(params, 1 / (1 + params["max_depth"] + number % 3), pruned=False, steps=()))
    assert resumed.ask().params == asked[12]


@pytest.mark.parametrize("measure", ["pr_auc", "log_loss"])
def test_better_means_more_or_less_as_the_measure_asks(measure):
    study = study_of(measure=measure)
    for value in (0.5, 0.1, 0.9):
        study.tell(study.ask(), value)
    assert study._study.best_trial.number == (2 if measure == "pr_auc" else 1)


def test_the_recipes_own_values_are_always_inside():
    study = Study(Tune(), Booster(max_depth=12, learning_rate=0.01), seed=1)
    space = space_of(study.tune, study.base)
    assert space["max_depth"] == (3, 12) and space["learning_rate"] == (0.01, 0.3)
    first = study.ask().params
    assert (first["max_depth"], first["learning_rate"]) == (12, 0.01) and set(first) == set(SPACE)


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ({"max_depth": [2.5, 5]}, "whole"),
        ({"max_depth": [5, 2]}, "lower first"),
        ({"seed": [1, 2]}, "cannot be varied"),
        ({"learning_rate": [0, 1]}, "learning_rate"),
        ({}, "at least 1"),
    ],
    ids=str,
)
def test_a_space_that_cannot_be_searched_is_refused(space, text):
    with pytest.raises(PlatformError, match=text) as caught:
        recipe_parse({"name": "r", "tune": {"space": space}})
    assert caught.value.code == "RECIPE_INVALID"
