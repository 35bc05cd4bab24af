"""What a killed worker leaves behind."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.training import services
from apps.training.models import Job, Model
from apps.training.tests import market
from apps.training.tests.worker import kill, trainer, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_survives_the_kill_of_its_worker_and_has_one_result(
    make_recipe: Callable, celery_messages: Callable[[], list[int]]
) -> None:
    market.fill()
    slow = {"n_estimators": 250, "early_stopping_rounds": 250, "learning_rate": 0.01, "max_depth": 6, "max_bin": 512}
    with trainer() as process:
        job = services.train_request(recipe=make_recipe(xgboost=slow))
        end = time.monotonic() + 60
        while not job.message.startswith("round") and time.monotonic() < end:
            job.refresh_from_db()
            assert job.status != Job.Status.FAILED, job.error
        kill(process)
    assert (job.status, Model.objects.count()) == (Job.Status.RUNNING, 0)
    assert services.jobs_reap(now=timezone.now() + timedelta(seconds=61)) == 1
    with trainer():
        services.jobs_dispatch(now=timezone.now() + timedelta(seconds=61))
        job.refresh_from_db()
        assert wait_for(job).params["restarts"] == 1
    assert Model.objects.count() == 1
