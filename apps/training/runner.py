"""Does one claimed job: train, tune, test or compare. Called in the trainer's process only (it loads XGBoost)."""

import logging
from collections.abc import Callable

from django.utils import timezone

from apps.core.errors import PlatformError
from apps.training import services
from apps.training.models import Job
from apps.training.report import AWAY, JobStopped, Report
from apps.training.testing import compare, test
from apps.training.training import train
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


_WORK: dict[str, Callable[[Job, Report], None]] = {
    Job.Type.TRAIN: train,
    Job.Type.TUNE: tune,
    Job.Type.TEST: test,
    Job.Type.COMPARE: compare,
}
