"""Our trades are told in the transaction that books them."""

from __future__ import annotations

import json

import pytest
from django.db import transaction

from apps.core.models import WebhookEndpoint, WebhookMessage
from apps.trading import engine
from apps.trading.models import TradeLog
from apps.trading.tests.conftest import World

pytestmark = pytest.mark.django_db


def bought(world: World) -> TradeLog:
    mint = world.coin()
    world.wallet()
    world.strategy()
    world.alert(mint, 5)
    for seconds in (5, 6):
        world.feed(seconds)
        engine.round_once()
    return TradeLog.objects.get()


def listen() -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(name="x", url="https://8.8.8.8/", kinds=["trades"])


def test_a_fill_is_told(started: World) -> None:
    to, trade = listen(), bought(started)
    message = WebhookMessage.objects.get()
    body = json.loads(message.body)
    assert (message.kind, message.endpoint_id, body["type"]) == ("trades", to.pk, "trade")
    told = body["data"]
    assert (told["trade_id"], told["status"], told["action"]) == (trade.pk, "SUCCESS", "buy")
    assert told["balance_change_lamports"] == trade.balance_change_lamports < 0
    assert (told["wallet"], told["strategy"], told["mint"]) == ("test", "s", trade.mint)
    assert told["is_simulation"] is True


def test_a_failed_order_is_told(started: World, settings: object) -> None:
    listen()
    settings.PAPER_FAILURE_RATE = 1.0  # type: ignore[attr-defined]
    trade = bought(started)
    told = json.loads(WebhookMessage.objects.get().body)["data"]
    assert (told["status"], told["code"]) == (trade.status, trade.code) == ("FAILED", "TRANSACTION_FAILED")
    assert told["position_id"] is None


def test_nobody_is_told_where_nobody_listens_and_nothing_of_what_is_undone(started: World) -> None:
    trade = bought(started)
    assert not WebhookMessage.objects.exists()
    from apps.trading.webhooks import trade_tell

    listen()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert trade.order is not None
        trade_tell(trade, trade.order)
        raise ZeroDivisionError
    assert not WebhookMessage.objects.exists()
