"""What training needs to stay: while a job runs, no old data is dropped from under it."""

from apps.training.models import Job


def running_jobs() -> str:
    """Why retention must wait, or ""."""
    ids = list(Job.objects.filter(status=Job.Status.RUNNING).order_by("id").values_list("id", flat=True)[:5])
    return f"training reads it (job {', '.join(map(str, ids))})" if ids else ""
