"""Celery tasks of discovery."""

import logging
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.discovery import creators, gaps, queries, rates, rollups, storage, usage

logger = logging.getLogger(__name__)


@shared_task
def rates_read() -> str | None:
    """Keep the present price of SOL; not with simulated money, and an endpoint that is away is only logged."""
    if settings.FEED_MODE == "simulator" or settings.DEMO:
        return None
    try:
        rate = rates.fetch()
    except rates.RateUnavailableError as error:
        logger.warning("no exchange rate: %s", error)
        return None
    return str(rates.rate_keep(rate=rate, at=timezone.now()).rate)


@shared_task
def candles_roll_up() -> int:
    """Fold the trades of the minutes that are over into candles."""
    return rollups.rollup_run(now=timezone.now())


@shared_task
def gaps_assess() -> int:
    """Say of gaps that are over what was missed, as far as it can be told; how many were looked at."""
    return gaps.gaps_assess()


@shared_task
def meter_thin() -> int:
    """Keep of the feed's meter only a row a day where it is old."""
    return usage.meter_thin(timezone.now())


@shared_task
def retention_keep() -> int:
    """Drop what is older than the settings want it kept, summing up before what creators did; how many chunks."""
    creators.keep_up()
    return sum(dropped.chunks for dropped in storage.retention_run(settings.RETENTION_DAYS))


@shared_task
def creators_keep() -> tuple[int, int]:
    """Keep what creators made before the coins of the last hours, and how those that ended went."""
    return creators.keep_up((queries.feed_at() or timezone.now()) - timedelta(hours=2))
