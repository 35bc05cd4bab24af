"""The queue of coins whose metadata is to be read: filled from the feed, claimed in the database, tried a few times.

Newest coins first, filtered ones last. A worker that dies gives its coins back when the lease ends; reading twice
writes the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.discovery.fetching import FetchError, HostPausedError, Hosts, Limits, fetch_first
from apps.discovery.metadata import Metadata, MetadataError, inline, parse_metadata, sources
from apps.discovery.models import Coin, CoinMetadata, HostPause
from apps.discovery.newcomers import slice_take
from apps.discovery.simulated import endpoints, stand_ins

logger = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024
TYPES = ("application/json", "text/", "application/octet-stream", "binary/octet-stream", "application/ld+json")
RETRY_SECONDS = (20, 120, 900, 3600)
LEASE = timedelta(minutes=3)
HOPELESS_AFTER = timedelta(days=1)
FILL_MOST = 2_000
_LOCK = 7_881_402_011
_ENQUEUE = """
    INSERT INTO coin_metadata (mint, status, is_followed, created_at, attempts, next_at, host, error)
    SELECT mint, 'pending', filtered_reason = '', created_at, 0, %(now)s, '', '' FROM discovered_coins
    WHERE created_at >= %(begin)s AND created_at < %(end)s AND uri <> '' ON CONFLICT DO NOTHING
"""
_TRY_LOCK, _UNLOCK = "SELECT pg_try_advisory_lock(%s)", "SELECT pg_advisory_unlock(%s)"


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of one attempt: metadata, or an error; `wait_seconds` where the hosts were not even asked."""

    metadata: Metadata | None = None
    host: str = ""
    error: str = ""
    is_final: bool = False
    wait_seconds: float | None = None


def metadata_read(*, seconds: float = 15.0) -> int:
    """Read what is due, for about so long, unless another worker is at it; how many coins were read or given up."""
    end = timezone.now() + timedelta(seconds=seconds)
    finished = 0
    with _alone() as is_alone:
        if not is_alone:
            return 0
        coins_enqueue(now=timezone.now())
        hosts = hosts_load()
        while timezone.now() < end and (claimed := coins_claim(now=timezone.now(), limit=_at_once() * 4)):
            readings = asyncio.run(_read_all([one.coin.uri for one in claimed], hosts))
            for row, reading in zip(claimed, readings, strict=True):
                finished += reading_keep(row=row, reading=reading, now=timezone.now())
            hosts_save(hosts)
    return finished


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other worker reads: more would ask the gateways more often than agreed."""
    with connection.cursor() as cursor:
        cursor.execute(_TRY_LOCK, [_LOCK])
        is_alone = bool(cursor.fetchone()[0])
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute(_UNLOCK, [_LOCK])


def _at_once() -> int:
    return int(settings.METADATA_CONCURRENCY)


def coins_enqueue(*, now: datetime) -> None:
    """Queue the coins created since the last time, and give up what has waited too long."""
    CoinMetadata.objects.filter(status=CoinMetadata.Status.PENDING, next_at__lt=now - HOPELESS_AFTER).update(
        status=CoinMetadata.Status.FAILED, error="too old"
    )
    with transaction.atomic():
        taken = slice_take("metadata", begin_before=timedelta(hours=1), most=FILL_MOST)
        if taken is not None:
            with connection.cursor() as cursor:
                cursor.execute(_ENQUEUE, {"begin": taken[0], "end": taken[1], "now": now})


def coins_claim(*, now: datetime, limit: int) -> list[CoinMetadata]:
    """Take due coins for one attempt, followed and newest first."""
    with transaction.atomic():
        due = CoinMetadata.objects.filter(status=CoinMetadata.Status.PENDING, next_at__lte=now).select_related("coin")
        claimed = list(
            due.select_for_update(skip_locked=True, of=["self"]).order_by("-is_followed", "-created_at")[:limit]
        )
        CoinMetadata.objects.filter(pk__in=[row.pk for row in claimed]).update(next_at=now + LEASE)
    return claimed


async def _read_all(uris: Sequence[str], hosts: Hosts) -> list[Reading]:
    gate = asyncio.Semaphore(_at_once())

    async def read_one(uri: str) -> Reading:
        async with gate:
            return await read(uri, hosts)

    return list(await asyncio.gather(*map(read_one, uris)))


async def read(uri: str, hosts: Hosts) -> Reading:
    """One attempt at one coin. Raises nothing for what the outside does."""
    try:
        body, host = inline(uri, MAX_BYTES), "data"
        if body is None:
            limits = Limits(MAX_BYTES, TYPES, endpoints())
            body, host = await fetch_first(
                sources(uri, gateways=settings.METADATA_GATEWAYS, stand_ins=stand_ins()), hosts=hosts, limits=limits
            )
        return Reading(parse_metadata(body), host)
    except MetadataError as error:
        return Reading(error=str(error), is_final=True)
    except HostPausedError as error:
        return Reading(error=str(error)[:200], wait_seconds=error.seconds)
    except FetchError as error:
        return Reading(error=str(error)[:200], is_final=error.is_final)


def reading_keep(*, row: CoinMetadata, reading: Reading, now: datetime) -> bool:
    """Write down what came of an attempt; whether the coin is finished with."""
    row.host, row.error = reading.host[:255], reading.error
    if reading.wait_seconds is not None:
        row.next_at = now + timedelta(seconds=reading.wait_seconds)
        row.save(update_fields=["next_at", "error"])
        return False
    row.attempts += 1
    if reading.metadata is not None:
        row.status = CoinMetadata.Status.DONE
    elif reading.is_final or row.attempts > len(RETRY_SECONDS):
        row.status = CoinMetadata.Status.FAILED
    else:
        row.next_at = now + timedelta(seconds=RETRY_SECONDS[row.attempts - 1])
    row.read_at = now
    with transaction.atomic():
        if reading.metadata is not None:
            Coin.objects.filter(pk=row.pk).update(**asdict(reading.metadata))
        row.save(update_fields=["status", "attempts", "next_at", "read_at", "host", "error"])
    return row.status != CoinMetadata.Status.PENDING


def hosts_load() -> Hosts:
    """Which hosts are left alone, as other runs left it."""
    pauses = {one.host: (one.until.timestamp(), one.failures) for one in HostPause.objects.all()}
    return Hosts(float(settings.METADATA_PER_HOST_PER_SECOND), pauses)


def hosts_save(hosts: Hosts) -> None:
    """Keep what changed; a pause that is long over is forgotten."""
    for host in hosts.changed:
        if host in hosts.pauses:
            until, failures = hosts.pauses[host]
            values = {"until": datetime.fromtimestamp(until, UTC), "failures": failures}
            HostPause.objects.update_or_create(host=host, defaults=values)
        else:
            HostPause.objects.filter(host=host).delete()
    hosts.changed.clear()
    HostPause.objects.filter(until__lt=timezone.now() - timedelta(hours=1)).delete()
