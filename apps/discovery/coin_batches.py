"""New coins for webhooks: batches in the outbox, sent at least once.

A batch is written in the transaction that moves the reader's cursor past its coins, so each coin is in exactly one
batch of each endpoint. Filtered coins are left out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.models import WebhookKind
from apps.core.outbox import Message, body_text, messages_write, subscribers
from apps.core.webhooks import endpoint_of_setting
from apps.discovery.models import Coin, FeedCursor
from apps.discovery.newcomers import slice_take

CURSOR = "n8n"
BATCH_COINS = 100
SLICE_COINS = 1_000
FIELDS = (
    "mint", "name", "symbol", "creator", "signature", "pool", "curve", "is_mayhem", "uri", "created_at",
    "initial_buy_lamports", "virtual_sol_lamports", "market_cap_sol",
)  # fmt: skip


def coins_announce() -> int:
    """Put new coins into the outbox of whoever is told of coins; how many batches."""
    endpoint_of_setting("N8N_FIND_WEBHOOK_URL")
    return batches_write(now=timezone.now())


def batches_write(*, now: datetime) -> int:
    """The coins created since the last time, in batches; how many. Where nobody is told nothing is kept for later."""
    if not (to := subscribers(WebhookKind.COINS)):
        FeedCursor.objects.filter(name=CURSOR).delete()
        return 0
    with transaction.atomic():
        taken = slice_take(CURSOR, begin_before=timedelta(0), most=SLICE_COINS)
        if taken is None:
            return 0
        begin, end = taken
        coins = Coin.objects.filter(created_at__gte=begin, created_at__lt=end, filtered_reason="")
        rows = list(coins.order_by("created_at", "mint").values(*FIELDS))
        bodies = [body_of(rows[at : at + BATCH_COINS], now) for at in range(0, len(rows), BATCH_COINS)]
        messages_write([Message(pk, WebhookKind.COINS, body) for body in bodies for pk in to])
    return len(bodies)


def body_of(coins: list[dict[str, Any]], at: datetime) -> str:
    """The body that tells of some coins; times in ISO 8601, amounts in lamports."""
    told = [coin | {"created_at": coin["created_at"].isoformat()} for coin in coins]
    return body_text("coins", at, told, count=len(told))
