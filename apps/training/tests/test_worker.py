"""What a killed worker leaves behind."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.training import services
from apps.training.models import Job, Model
from apps.training.tests import market
from apps.training.tests.dying import WORDS
from apps.training.tests.worker import dying, kill, trainer, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_survives_the_kill_of_its_worker_and_has_one_result(
    make_recipe: Callable, celery_messages: Callable[[], list[int]]
) -> None:
    market.fill(coins=60)
    slow = {"n_estimators": 150, "early_stopping_rounds": 150, "learning_rate": 0.01, "max_depth": 6, "max_bin": 512}
    with trainer() as process:
        job = services.train_request(recipe=make_recipe(xgboost=slow))
        end = time.monotonic() + 60
        while "usable" not in job.log and time.monotonic() < end:  # which is said before the fit begins
            time.sleep(0.05)  # asking without pause takes a core from the worker
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


CUTS = (*WORDS, "storing")


def test_wherever_a_worker_dies_there_is_no_result_and_the_job_is_done_once_after(make_recipe: Callable) -> None:
    """While it loads, fits, judges, stores (in the transaction), and after all is written."""
    market.fill(coins=60)
    jobs = [services.train_request(recipe=make_recipe(name=f"cut {number}")) for number in range(len(CUTS) + 1)]
    *cut_off, finished = jobs
    dying([f"{cut}:{job.pk}" for cut, job in zip(CUTS, cut_off, strict=True)] + [f"after:{finished.pk}"])
    assert list(Model.objects.values_list("name", flat=True)) == [f"cut {len(CUTS)}"]
    left = {Job.Status.RUNNING: len(CUTS), Job.Status.COMPLETED: 1}
    assert Counter(Job.objects.values_list("status", flat=True)) == left
    assert services.jobs_reap(now=timezone.now() + timedelta(seconds=61)) == len(CUTS)
    waiting, storing = Job.objects.filter(status=Job.Status.PENDING), cut_off[CUTS.index("storing")]
    assert set(waiting) == set(cut_off)
    dying([f"none:{storing.pk}"])
    storing.refresh_from_db()
    assert (storing.status, storing.params["restarts"]) == (Job.Status.COMPLETED, 1)
    assert set(Model.objects.values_list("name", flat=True)) == {f"cut {len(CUTS)}", storing.params["recipe"]["name"]}
