"""Celery tasks of discovery."""

import logging
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.discovery import (
    coin_batches,
    creators,
    gaps,
    metadata_queue,
    queries,
    rate_sources,
    rates,
    rollups,
    storage,
    usage,
)

logger = logging.getLogger(__name__)


@shared_task
def rates_read() -> int:
    """Keep what one SOL costs now; how many currencies. Not with simulated money; an endpoint away is logged."""
    if settings.FEED_MODE == "simulator" or settings.DEMO or settings.RATE_SOURCE == "off":
        return 0
    try:
        found = rate_sources.fetch(settings.RATE_SOURCE)
    except rate_sources.RateUnavailableError as error:
        logger.warning("no exchange rate: %s", error)
        return 0
    return rates.rates_keep(rates=found, at=timezone.now())


@shared_task
def metadata_read() -> int:
    """Read what the creators of new coins say of them; how many coins are finished with."""
    return metadata_queue.metadata_read() if settings.METADATA_FETCH else 0


@shared_task
def coins_announce() -> int:
    """Put new coins into the outbox of webhooks; how many batches."""
    return coin_batches.coins_announce()


@shared_task
def candles_roll_up() -> int:
    """Fold the trades of minutes that are over into candles, up to 20 hours of them: the queue has other work too."""
    return rollups.rollup_run(now=timezone.now(), most_turns=20)


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
