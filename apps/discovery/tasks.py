"""Celery tasks of discovery."""

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.discovery import rates

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
