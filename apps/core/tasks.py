"""Background work of core."""

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from apps.core import metrics, outbox
from apps.core.process import uptime_seconds


@shared_task(ignore_result=True, expires=10)
def uptime_measure() -> None:
    """Set the uptime gauge and say whether the database answers."""
    try:
        metrics.UPTIME_SECONDS.set(uptime_seconds(now=timezone.now()))
    except (OperationalError, InterfaceError):
        metrics.DB_CONNECTED.set(0)
    else:
        metrics.DB_CONNECTED.set(1)


@shared_task
def webhooks_tidy() -> int:
    """Forget webhook messages that are finished with; how many."""
    return outbox.tidy(now=timezone.now())
