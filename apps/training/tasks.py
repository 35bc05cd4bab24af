"""Celery tasks of training: run a job (queue `training`), keep the queue going, make the demo's models."""

import logging
import os
import socket
import uuid

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.core.clock import database_now
from apps.training import demo, services

logger = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def run_job(job_id: int) -> None:
    """Do the most urgent waiting job. `job_id` is the one that was announced: by now another may be more urgent, or
    this one done. Each announcement does at most one job."""
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    job = services.job_claim(worker=worker, now=database_now())
    if job is None:
        logger.debug("announced job %s: nothing to do now", job_id)
        return
    from apps.training import runner

    runner.run(job)


@shared_task(ignore_result=True)
def dispatch_jobs() -> None:
    """Announce waiting jobs that a lost broker or worker left behind."""
    services.jobs_dispatch(now=database_now())


@shared_task(ignore_result=True)
def demo_bootstrap() -> None:
    """In the demo: train by itself as soon as there is enough, and again as data grows."""
    if settings.DEMO:
        demo.train_when_ready(now=timezone.now())
