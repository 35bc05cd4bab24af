"""Retention waits for training."""

import pytest

from apps.discovery import storage
from apps.training.holds import running_jobs
from apps.training.models import Job

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", Job.Status.values)
def test_only_a_running_job_holds_old_data(status: str) -> None:
    job = Job.objects.create(job_type=Job.Type.TRAIN, status=status)
    assert running_jobs() == (f"training reads it (job {job.pk})" if status == "RUNNING" else "")


def test_retention_asks_training() -> None:
    assert running_jobs in storage._holds
