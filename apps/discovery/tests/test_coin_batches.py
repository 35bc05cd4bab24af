"""New coins for n8n: each in one batch, delivered at least once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.discovery import coin_batches
from apps.discovery.models import Coin, CoinBatch, FeedCursor, StreamState
from apps.discovery.tests.site import Site, answer

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 7, 4, 12, tzinfo=UTC)


def seconds(number: float) -> datetime:
    return BEGIN + timedelta(seconds=number)


def feed_to(number: float) -> None:
    StreamState.objects.filter(pk=1).update(feed_at=seconds(number))


def coin(number: float, *, reason: str = "", name: str = "x") -> str:
    mint = f"{name}{number}"
    at = seconds(number)
    Coin.objects.create(mint=mint, name=name, created_at=at, first_seen_at=at, filtered_reason=reason)
    return mint


def told() -> list[list[str]]:
    batches = CoinBatch.objects.order_by("id").values_list("payload", flat=True)
    return [[one["mint"] for one in payload["data"]] for payload in batches]


@pytest.fixture(autouse=True)
def _n8n(settings: Any, site: Site) -> None:
    settings.N8N_FIND_WEBHOOK_URL = site.url("/hook")
    site.pages["/hook"] = answer()
    feed_to(0)
    coin_batches.batches_write(now=timezone.now())


def test_every_new_coin_is_in_exactly_one_batch() -> None:
    first, second = coin(1), coin(2)
    filtered = coin(2.5, reason="spam_burst")
    feed_to(2)  # the second may have companions of the same instant that are not yet committed
    coin_batches.batches_write(now=timezone.now())
    assert told() == [[first]]
    feed_to(3)
    coin_batches.batches_write(now=timezone.now())
    coin_batches.batches_write(now=timezone.now())
    assert told() == [[first], [second]] and filtered not in str(told())


def test_many_coins_are_split_into_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coin_batches, "BATCH_COINS", 2)
    monkeypatch.setattr(coin_batches, "SLICE_COINS", 3)
    mints = [coin(number) for number in range(1, 6)]
    feed_to(9)
    while coin_batches.batches_write(now=timezone.now()):
        pass
    assert [mint for batch in told() for mint in batch] == mints
    assert max(map(len, told())) == 2


def test_coins_from_before_n8n_was_set_up_are_not_told(settings: Any) -> None:
    settings.N8N_FIND_WEBHOOK_URL = ""
    coin(1)
    feed_to(5)
    assert coin_batches.coins_announce() == 0
    assert not FeedCursor.objects.filter(name="n8n").exists()
    settings.N8N_FIND_WEBHOOK_URL = "http://127.0.0.1:1/hook"
    coin_batches.batches_write(now=timezone.now())
    assert told() == []


def test_a_batch_arrives_and_is_counted(site: Site) -> None:
    before = coin_batches.N8N_BATCHES._value.get()
    mint = coin(1, name="<script>")
    feed_to(2)
    assert coin_batches.coins_announce() == 1
    assert coin_batches.coins_announce() == 0
    headers, body = site.posted[0]
    assert (body["type"], body["count"], body["data"][0]["mint"]) == ("coins", 1, mint)
    assert body["data"][0]["created_at"] == "2026-07-04T12:00:01+00:00"
    assert headers["webhook-id"] == f"coins-{CoinBatch.objects.get().pk}"
    assert coin_batches.N8N_BATCHES._value.get() - before == 1


def test_a_refused_batch_is_sent_again_under_its_id_to_where_n8n_is_now(site: Site, settings: Any) -> None:
    site.pages["/hook"] = answer(status=500)
    coin(1)
    feed_to(2)
    assert coin_batches.coins_announce() == 0
    settings.N8N_FIND_WEBHOOK_URL = site.url("/moved")
    site.pages["/moved"] = answer()
    CoinBatch.objects.update(next_attempt_at=timezone.now())
    assert coin_batches.coins_announce() == 1
    first, second = (headers["webhook-id"] for headers, _ in site.posted)
    assert first == second


def test_finished_batches_are_forgotten_in_time() -> None:
    coin(1)
    feed_to(2)
    coin_batches.coins_announce()
    assert coin_batches.batches_tidy(now=timezone.now()) == 0
    assert coin_batches.batches_tidy(now=timezone.now() + coin_batches.KEEP * 2) == 1
