"""Plans of retraining, and what challenges by itself in the demo."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from apps.predictions import champions, demo, retraining, services
from apps.predictions.models import ActiveModel, RetrainingPlan
from apps.predictions.tests.feed import LABEL, Feed, at
from apps.predictions.tests.matches import code_of, plain_model
from apps.training.models import Job, Model

pytestmark = pytest.mark.django_db


# --- Demo ------------------------------------------------------------------------------------------------
def demo_model(name: str, number: int, **scores: Any) -> Model:
    model = plain_model(name)
    Model.objects.filter(pk=model.pk).update(scores=scores)
    Job.objects.create(job_type="TRAIN", status="COMPLETED", model=model, finished_at=at(number))
    return Model.objects.get(pk=model.pk)


def test_in_the_demo_a_tested_model_stays_and_newer_ones_challenge_it(settings: Any) -> None:
    settings.DEMO = True
    Feed().run_to(0)
    for number, scores in enumerate([{}, {"test": {"rows": 1}}], start=1):
        demo_model(f"demo-{number}", number, **scores)
        assert services.demo_activate().model.name == f"demo-{number}"
        assert demo.challenge() is None
    demo_model("demo-3", 3, test={"rows": 1})
    assert services.demo_activate() is None
    assert demo.challenge().model.name == "demo-3"
    assert demo.challenge() is None
    place = services.demo_place()
    assert (place.model.name, place.plan.promote_automatically) == ("demo-2", True)
    champions.challenge_end(place=place, note="dismissed")
    assert demo.challenge() is None, "it was sent away"


def test_outside_the_demo_nobody_challenges_by_himself(settings: Any) -> None:
    settings.DEMO = False
    demo_model("demo-1", 1, test={"rows": 1})
    assert demo.challenge() is None
    assert services.demo_activate() is None


# --- Retraining --------------------------------------------------------------------------------------------
@pytest.fixture
def planned() -> ActiveModel:
    feed = Feed()
    feed.coin(1)
    feed.run_to(300)
    place = services.model_import(model=plain_model("old"), custom_name="place")
    retraining.plan_set(place=place, fields={"every_hours": 6, "window_hours": 3})
    return place


def plan() -> RetrainingPlan:
    return RetrainingPlan.objects.get()


def finish(job: Job, status: str, **fields: Any) -> None:
    Job.objects.filter(pk=job.pk).update(status=status, **fields)


def test_a_plan_trains_the_recipe_on_newer_data(planned: ActiveModel) -> None:
    retraining.plans_run()
    retraining.plans_run()
    job = Job.objects.get()
    data = job.params["recipe"]["data"]
    length = timedelta(hours=3).total_seconds()
    moments = [np.datetime64(data[name].replace("Z", "")) for name in ("from", "to")]
    assert (moments[1] - moments[0]) / np.timedelta64(1, "s") == length
    assert job.params["lineage"]["parent_id"] == planned.model_id
    assert code_of(retraining.retrain, place=planned) == "RETRAINING_RUNS"


def test_the_model_of_its_job_challenges(planned: ActiveModel) -> None:
    retraining.plans_run()
    finish(Job.objects.get(), "COMPLETED", model=plain_model("newer", parent=planned.model))
    retraining.plans_run()
    assert (champions.challenge_open(planned).challenger_name, plan().job) == ("newer", None)
    assert champions.shadow_of(planned).is_active
    Feed().run_to(7 * 3600)
    retraining.plans_run()
    assert Job.objects.count() == 1, "an open challenge is waited for"
    champions.challenge_end(place=planned, note="dismissed", by="ann")
    retraining.plans_run()
    assert Job.objects.count() == 2


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_job_without_a_model_is_told_and_tried_at_the_next_turn(planned: ActiveModel, status: str) -> None:
    retraining.plans_run()
    finish(Job.objects.get(), status, error="not enough positives")
    retraining.plans_run()
    assert (plan().job, champions.challenge_open(planned)) == (None, None)
    assert "not enough positives" in plan().note
    retraining.plans_run()
    assert Job.objects.count() == 1
    Feed().run_to(300 + 6 * 3600)
    retraining.plans_run()
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("change", "jobs"),
    [({"every_hours": 0}, 0), ({"every_hours": 1}, 1)],
)
def test_only_a_plan_with_hours_runs_by_itself(planned: ActiveModel, change: dict[str, int], jobs: int) -> None:
    retraining.plan_set(place=planned, fields=change)
    retraining.plans_run()
    assert Job.objects.count() == jobs


def test_a_stopped_place_is_not_retrained(planned: ActiveModel) -> None:
    services.model_deactivate(active=planned)
    retraining.plans_run()
    assert not Job.objects.exists()


def test_a_recipe_that_cannot_be_read_is_told_once_a_turn(planned: ActiveModel) -> None:
    Model.objects.filter(pk=planned.model_id).update(recipe={"label": LABEL, "name": "x", "odd": 1})
    retraining.plans_run()
    assert "odd" in plan().note
    assert plan().requested_at == at(300)


@pytest.mark.parametrize(
    "fields", [{"every_hours": -1}, {"min_alerts": 1}, {"shadow_hours": 0}, {"window_hours": 10**6}]
)
def test_a_plan_has_limits(planned: ActiveModel, fields: dict[str, int]) -> None:
    assert code_of(retraining.plan_set, place=planned, fields=fields) == "PLAN_OUT_OF_RANGE"
