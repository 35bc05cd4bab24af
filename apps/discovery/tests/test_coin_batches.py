"""New coins for n8n: each in one batch, delivered at least once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.core.models import WebhookEndpoint, WebhookMessage
from apps.discovery import coin_batches
from apps.discovery.models import Coin, FeedCursor, StreamState

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
    bodies = WebhookMessage.objects.order_by("id").values_list("body", flat=True)
    return [[one["mint"] for one in json.loads(body)["data"]] for body in bodies]


@pytest.fixture(autouse=True)
def _n8n(settings: Any) -> None:
    settings.N8N_FIND_WEBHOOK_URL = "http://127.0.0.1:9/hook"
    feed_to(0)
    coin_batches.coins_announce()


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
    assert coin_batches.coins_announce() == 0
    assert told() == []


def test_a_batch_goes_to_each_endpoint_that_is_told_of_coins() -> None:
    WebhookEndpoint.objects.create(name="b", url="https://8.8.8.8/b", kinds=["coins", "alerts"])
    WebhookEndpoint.objects.create(name="c", url="https://8.8.8.8/c", kinds=["alerts"])
    mint = coin(1)
    feed_to(2)
    assert coin_batches.coins_announce() == 1
    assert told() == [[mint], [mint]]
