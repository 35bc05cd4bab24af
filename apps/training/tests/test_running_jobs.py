"""Jobs that are cancelled while they run: the work ends soon, whatever it does at the moment."""

import threading
import time

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.training import report, runner, services, training
from apps.training.models import Job, Model
from apps.training.tests import market

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_running_job_stops_soon_after_it_was_cancelled(make_recipe):
    market.fill()
    endless = {"n_estimators": 5000, "early_stopping_rounds": 1000, "learning_rate": 0.001, "max_depth": 8}
    services.train_request(recipe=make_recipe(xgboost=endless))
    job = services.job_claim(worker="me", now=timezone.now())
    worker = threading.Thread(target=lambda: (runner.run(job), connection.close()))
    worker.start()
    services.job_cancel(job=job, now=timezone.now())
    worker.join(timeout=15)
    assert not worker.is_alive()
    job.refresh_from_db()
    assert (job.status, Model.objects.count()) == (Job.Status.CANCELLED, 0)


@pytest.fixture
def quick(monkeypatch):
    """Hearts that listen and lose patience ten times as fast."""
    monkeypatch.setattr(report, "LISTEN_SECONDS", 0.1)
    monkeypatch.setattr(report, "PATIENCE_SECONDS", 0.3)


def test_a_job_that_waits_for_a_query_is_cancelled_too(quick, make_recipe):
    """The table of rates is locked, so loading hangs inside a COPY."""
    market.fill(3)
    services.train_request(recipe=make_recipe())
    job = services.job_claim(worker="me", now=timezone.now())
    worker = threading.Thread(target=lambda: (runner.run(job), connection.close()))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE exchange_rates IN ACCESS EXCLUSIVE MODE")
        worker.start()
        cancelling = threading.Thread(
            target=lambda: (services.job_cancel(job=Job.objects.get(), now=timezone.now()), connection.close())
        )
        cancelling.start()
        worker.join(timeout=15)
        assert not worker.is_alive()
    cancelling.join()
    job.refresh_from_db()
    assert (job.status, job.error_code) == (Job.Status.CANCELLED, "")


def test_work_that_says_nothing_loses_its_cancelled_job_and_cannot_store_anything(quick):
    services.job_create(job_type=Job.Type.TRAIN, params={})
    job = services.job_claim(worker="me", now=timezone.now())
    with report.Report(job) as silent:
        services.job_cancel(job=Job.objects.get(), now=timezone.now())
        silent._heart.join(timeout=15)  # a query here, on the worker's connection, could be the one that is broken off
        job.refresh_from_db()
        assert job.status == Job.Status.CANCELLED
        with pytest.raises(report.JobStopped):
            silent.progress(0.5, "at last")
        with pytest.raises(report.JobStopped):
            training.complete(job, {})


def test_a_heart_beats_while_the_work_says_nothing(quick, monkeypatch):
    monkeypatch.setattr(report, "BEAT_SECONDS", 0.1)
    services.job_create(job_type=Job.Type.TRAIN, params={})
    job = services.job_claim(worker="me", now=timezone.now())
    first, end = job.heartbeat_at, time.monotonic() + 15
    with report.Report(job):
        while job.heartbeat_at == first:
            assert time.monotonic() < end
            job.refresh_from_db()
