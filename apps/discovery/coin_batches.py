"""New coins for n8n: batches in an outbox, sent at least once.

A batch is written in the transaction that moves the reader's cursor past its coins, so each coin is in exactly one
batch; a batch that is sent twice carries the same `webhook-id`. Filtered coins are left out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.core.outbox import deliveries_send
from apps.discovery.metrics import N8N_BATCHES
from apps.discovery.models import Coin, CoinBatch, FeedCursor
from apps.discovery.newcomers import slice_take

CURSOR = "n8n"
BATCH_COINS = 100
SLICE_COINS = 1_000
KEEP = timedelta(days=2)
FIELDS = (
    "mint", "name", "symbol", "creator", "signature", "pool", "curve", "is_mayhem", "uri", "created_at",
    "initial_buy_lamports", "virtual_sol_lamports", "market_cap_sol",
)  # fmt: skip


def coins_announce(*, seconds: float = 8.0) -> int:
    """Put new coins into batches and send what is due; how many batches arrived.

    What waits goes where the setting says now.
    """
    batches_write(now=timezone.now())
    if not (url := settings.N8N_FIND_WEBHOOK_URL):
        return 0
    CoinBatch.objects.filter(status=CoinBatch.Status.PENDING).exclude(url=url).update(url=url)
    attempted = deliveries_send(model=CoinBatch, address_of=_address_of, seconds=seconds)
    arrived = sum(one.status == CoinBatch.Status.SENT for one in attempted)
    N8N_BATCHES.inc(arrived)
    return arrived


def batches_write(*, now: datetime) -> int:
    """The coins created since the last time, in batches; how many. Without an address nothing is kept for later."""
    if not settings.N8N_FIND_WEBHOOK_URL:
        FeedCursor.objects.filter(name=CURSOR).delete()
        return 0
    with transaction.atomic():
        taken = slice_take(CURSOR, begin_before=timedelta(0), most=SLICE_COINS)
        if taken is None:
            return 0
        begin, end = taken
        coins = Coin.objects.filter(created_at__gte=begin, created_at__lt=end, filtered_reason="")
        rows = list(coins.order_by("created_at", "mint").values(*FIELDS))
        payloads = [payload_of(rows[at : at + BATCH_COINS]) for at in range(0, len(rows), BATCH_COINS)]
        url = settings.N8N_FIND_WEBHOOK_URL
        CoinBatch.objects.bulk_create([CoinBatch(url=url, payload=one, next_attempt_at=now) for one in payloads])
    return len(payloads)


def payload_of(coins: list[dict[str, Any]]) -> dict[str, Any]:
    """The body that tells of some coins; times in ISO 8601, amounts in lamports."""
    told = [coin | {"created_at": coin["created_at"].isoformat()} for coin in coins]
    return {"type": "coins", "count": len(told), "data": told}


def batches_tidy(*, now: datetime) -> int:
    """Forget batches that are finished with; how many."""
    done = CoinBatch.objects.exclude(status=CoinBatch.Status.PENDING).filter(created_at__lt=now - KEEP)
    return done.delete()[0]


def _address_of(url: str) -> None:
    """The operator's own n8n may be anywhere."""
