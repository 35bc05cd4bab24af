"""Does one claimed job: train, tune, test, compare, or what an app downstream has said it does.

Called in the trainer's process only (it loads XGBoost).
"""

import logging
from collections.abc import Callable

from django.utils import timezone
from django.utils.module_loading import import_string

from apps.core.errors import PlatformError
from apps.core.sentences import worded
from apps.training import elsewhere, services
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
            _work_of(job.job_type)(job, report)
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
            surprise = PlatformError(
                "INTERNAL_ERROR", worded("Something unexpected went wrong; see the log of job %(pk)s.", pk=job.pk)
            )
            services.job_finish(job=job, status=Job.Status.FAILED, now=timezone.now(), error=surprise)


Work = Callable[[Job, Report], None]
_WORK: dict[str, Work] = {
    Job.Type.TRAIN: train,
    Job.Type.TUNE: tune,
    Job.Type.TEST: test,
    Job.Type.COMPARE: compare,
}


def _work_of(job_type: str) -> Work:
    """What does a job of this type: here, or in the app that has announced it (see `elsewhere`)."""
    work: Work = _WORK[job_type] if job_type in _WORK else import_string(elsewhere.WORK[job_type])
    return work
