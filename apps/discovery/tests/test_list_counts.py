"""What the pages of coins count, and how seldom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.discovery import pages_list
from apps.discovery.models import Coin, CoinStream, Phase

pytestmark = pytest.mark.django_db
COUNT = 'SELECT COUNT(*) AS "__count" FROM "coin_streams"'


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    caches["local"].clear()


@pytest.fixture
def person(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_user("person"))
    return client


def coins(first: int, end: int) -> None:
    now, phase = timezone.now(), Phase.objects.get(pk=1)
    made = [Coin(mint=f"{number:040d}pump", first_seen_at=now, symbol="S") for number in range(first, end)]
    Coin.objects.bulk_create(made)
    CoinStream.objects.bulk_create(
        CoinStream(coin=coin, phase=phase, started_at=now - timedelta(seconds=number), is_active=number % 2 == 0)
        for number, coin in enumerate(made)
    )


def shown(person: Client, address: str) -> tuple[list[Any], list[str]]:
    """[first, last, count, next page] of the list, and the counts that were asked for."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = person.get(address).context["page"]
    return [page.first, page.last, page.count, page.next], [q["sql"] for q in queries if q["sql"].startswith(COUNT)]


def test_all_coins_are_counted_by_phase_only(person: Client) -> None:
    coins(0, 250)
    assert shown(person, "/discovery/streams/") == ([1, 100, 250, 2], [])
    assert shown(person, "/discovery/streams/?page=3&sort=volume") == ([201, 250, 250, None], [])
    assert shown(person, "/discovery/streams/?page=99") == ([201, 250, 250, None], [])


def test_a_choice_is_counted_itself(person: Client) -> None:
    coins(0, 250)
    assert shown(person, "/discovery/streams/")[0][2] == 250
    for query, count in (("flag=quiet", 125), ("phase=2", 0), ("q=S", 250), ("min_volume=0", 250)):
        (_first, _last, found, _next), counted = shown(person, f"/discovery/streams/?{query}")
        assert (found, len(counted)) == (count, 1), query
    assert shown(person, "/discovery/")[0][2] == 125


def test_a_count_of_a_moment_ago_hides_nobody_on_the_page(person: Client) -> None:
    coins(0, 1)
    assert shown(person, "/discovery/streams/")[0] == [1, 1, 1, None]
    coins(1, 60)
    assert shown(person, "/discovery/streams/")[0] == [1, 60, 60, None]


def test_what_takes_long_to_count_is_counted_seldom() -> None:
    slow = "SELECT clock_timestamp() FROM pg_sleep(0.1)"
    assert pages_list._kept("slow", 0, slow, {}) == pages_list._kept("slow", 0, slow, {})
    quick = "SELECT clock_timestamp()"
    first = pages_list._kept("quick", 60, quick, {})
    assert pages_list._kept("quick", 60, quick, {}) == first
