"""Jobs of the queue that apps downstream do: training knows the type and the name of what does it, and no more."""

WORK: dict[str, str] = {}


def work_announce(job_type: str, path: str) -> None:
    """Let jobs of this type be done by the function at a dotted path: (job, report), as those in `runner`. Call it when
    the app is ready; the function is imported in the trainer's process, when the first such job is done."""
    WORK[job_type] = path
