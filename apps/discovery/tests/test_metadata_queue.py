"""The queue of coins whose metadata is to be read, from the feed to the coin."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from apps.discovery import metadata_queue, simulated
from apps.discovery.fetching import FetchError, Hosts, Limits, fetch
from apps.discovery.metadata_queue import coins_claim, coins_enqueue, metadata_read
from apps.discovery.models import Coin, CoinMetadata, HostPause, StreamState
from apps.discovery.pumpportal.market_metadata import METADATA_HOST, METADATA_PATH, document_at
from apps.discovery.pumpportal.server import FeedServer
from apps.discovery.tests.frames import create
from apps.discovery.tests.site import Site, answer
from apps.discovery.tests.test_pipeline import feed

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 7, 4, 12, tzinfo=UTC)
DOCUMENT = (
    b'{"description": "<script>alert(1)</script>", "twitter": "https://x.com/dog", "telegram": null, "website": 5}'
)


def coin(number: int, uri: str, *, reason: str = "") -> Coin:
    at = BEGIN + timedelta(seconds=number)
    return Coin.objects.create(mint=f"m{number}", uri=uri, created_at=at, first_seen_at=at, filtered_reason=reason)


@pytest.fixture(autouse=True)
def _simulator(site: Site, settings: Any) -> None:
    """The site stands where the simulator would, so that it may be asked."""
    settings.FEED_MODE, settings.SIMULATOR_PORT = "simulator", site.port
    settings.METADATA_PER_HOST_PER_SECOND = 1_000.0
    StreamState.objects.filter(pk=1).update(feed_at=BEGIN + timedelta(minutes=5))


def state_of(one: Coin) -> tuple[str, int, str]:
    row = CoinMetadata.objects.get(pk=one.pk)
    return row.status, row.attempts, row.error


def test_what_a_creator_says_gets_to_the_coin(site: Site) -> None:
    site.pages["/a.json"] = answer(DOCUMENT)
    one, without = coin(1, site.url("/a.json")), coin(2, "")
    assert metadata_read() == 1
    one.refresh_from_db()
    assert (one.description, one.twitter) == ("<script>alert(1)</script>", "https://x.com/dog")
    assert (one.telegram, one.website, one.image_url) == ("", "", "")
    assert state_of(one) == ("done", 1, "")
    assert not CoinMetadata.objects.filter(pk=without.pk).exists()
    assert metadata_read() == 0 and len(site.asked) == 1


def test_later_frames_of_the_coin_do_not_overwrite_what_was_read(site: Site) -> None:
    mint = "M" * 40 + "pump"
    feed((0, create(mint, uri=site.url("/a.json"))))
    Coin.objects.filter(pk=mint).update(description="read")
    feed((1, create(mint, uri=site.url("/b.json"))))
    assert Coin.objects.get(pk=mint).description == "read"


def test_followed_and_newest_coins_come_first() -> None:
    for number in range(4):
        coin(number, "https://a.example/x", reason="spam_burst" if number == 3 else "")
    coins_enqueue(now=timezone.now())
    now = timezone.now()
    first, second = coins_claim(now=now, limit=2), coins_claim(now=now, limit=9)
    assert [[row.pk for row in rows] for rows in (first, second)] == [["m2", "m1"], ["m0", "m3"]]


def test_a_worker_that_died_gives_its_coins_back() -> None:
    coin(1, "https://a.example/x")
    coins_enqueue(now=timezone.now())
    now = timezone.now()
    assert len(coins_claim(now=now, limit=5)) == 1
    assert coins_claim(now=now, limit=5) == []
    assert len(coins_claim(now=now + metadata_queue.LEASE + timedelta(seconds=1), limit=5)) == 1


def test_failures_are_tried_again_a_few_times(site: Site) -> None:
    one = coin(1, site.url("/missing"))
    for attempt in range(1, len(metadata_queue.RETRY_SECONDS) + 2):
        assert metadata_read() == (1 if attempt > len(metadata_queue.RETRY_SECONDS) else 0)
        assert state_of(one)[1:] == (attempt, "HTTP 404")
        CoinMetadata.objects.update(next_at=timezone.now())
    assert state_of(one)[0] == "failed"
    assert len(site.asked) == len(metadata_queue.RETRY_SECONDS) + 1


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("http://10.0.0.1/x", "Private"), ("http://localhost:1/x", "Private"), ("x", "no address"),
        ("http://169.254.169.254/latest", "Private"), ("data:application/json;base64,!", "broken"),
    ],
)  # fmt: skip
def test_addresses_that_lead_nowhere_are_given_up_at_once(uri: str, error: str) -> None:
    one = coin(1, uri)
    metadata_read()
    status, attempts, text = state_of(one)
    assert (status, attempts) == ("failed", 1) and error in text


def test_a_busy_host_does_not_use_up_the_attempts(site: Site) -> None:
    site.pages["/busy"] = answer(status=429, Retry_After="60")
    first = coin(2, site.url("/busy"))
    metadata_read()
    second = coin(1, site.url("/busy"))
    CoinMetadata.objects.create(coin=second, created_at=second.created_at, next_at=timezone.now())
    metadata_read()
    assert (state_of(first)[1], state_of(second)[1]) == (1, 0)
    assert HostPause.objects.get().host == "127.0.0.1" and len(site.asked) == 1
    assert CoinMetadata.objects.get(pk=second.pk).next_at > timezone.now() + timedelta(seconds=30)


def test_what_waited_a_day_is_given_up() -> None:
    one = coin(1, "https://a.example/x")
    CoinMetadata.objects.create(coin=one, created_at=BEGIN, next_at=timezone.now() - timedelta(days=2))
    coins_enqueue(now=timezone.now())
    assert state_of(one) == ("failed", 0, "too old")


def test_documents_inside_the_uri_need_no_network() -> None:
    one = coin(1, 'data:application/json,{"description": "inside"}')
    assert metadata_read() == 1
    one.refresh_from_db()
    assert one.description == "inside"


# --- The simulator -------------------------------------------------------------------------------------
def test_simulated_coins_are_read_from_the_simulator() -> None:
    async def fetch_one() -> bytes:
        async with FeedServer(port=0) as server:
            limits = Limits(10_000, metadata_queue.TYPES, {("127.0.0.1", server.port)})
            with pytest.raises(FetchError):
                await fetch(f"http://127.0.0.1:{server.port}{METADATA_PATH}no/such", limits)
            return await fetch(f"http://127.0.0.1:{server.port}{METADATA_PATH}abc", limits)

    assert asyncio.run(fetch_one()).decode() == document_at(f"{METADATA_PATH}abc")


def test_only_the_simulator_stands_in_and_only_while_it_is_the_feed(site: Site, settings: Any) -> None:
    site.pages[f"{METADATA_PATH}abc"] = answer(b'{"description": "made up"}')
    uri = f"https://{METADATA_HOST}/abc"
    reading = asyncio.run(metadata_queue.read(uri, Hosts(100.0)))
    assert reading.metadata is not None and reading.metadata.description == "made up"
    settings.FEED_MODE = "live"
    assert (simulated.endpoints(), simulated.stand_ins()) == ((), {})
    assert asyncio.run(metadata_queue.read(uri, Hosts(100.0))).metadata is None
    assert len(site.asked) == 1


def test_only_one_worker_reads_at_a_time() -> None:
    coin(1, 'data:application/json,{"description": "inside"}')
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [metadata_queue._LOCK])
        assert metadata_read() == 0
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [metadata_queue._LOCK])
    finally:
        other.close()
    assert metadata_read() == 1
