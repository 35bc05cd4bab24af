"""Prometheus metrics of training; the names are fixed by contract."""

from prometheus_client import Counter, Gauge, Histogram

JOBS = Counter("training_jobs_total", "jobs that ended, by type and status", ["job_type", "status"])
JOBS_ACTIVE = Gauge("training_jobs_active", "jobs that run now", multiprocess_mode="mostrecent")
JOB_DURATION = Histogram(
    "training_job_duration_seconds",
    "from claim to end",
    ["job_type"],
    buckets=(1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
MODELS = Gauge("training_models_total", "models that are not deleted", multiprocess_mode="mostrecent")
