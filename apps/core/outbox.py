"""The outbox of webhooks: messages written in the transaction of what they tell, sent by a task, at least once.

Every attempt of a message carries the same `webhook-id`, so that a receiver can drop a repetition. A worker takes an
endpoint (not a message) by a lease: what one endpoint gets comes in the order of writing, one at a time, and one that
hangs holds up no other. Who lost the lease writes no result.
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from apps.core import metrics
from apps.core.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from apps.core.prepared import fetch
from apps.core.retries import THROTTLED_SECONDS, pause_seconds, retry_seconds, verdict_of
from apps.core.sender import Outcome, Receiver, letters_send
from apps.core.webhook_secrets import SealedError, receiver_of
from apps.core.webhook_urls import endpoints_allowed

logger = logging.getLogger(__name__)

ENDPOINTS_AT_ONCE = 8
LETTERS_A_TURN = 20
TURN_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.5
LEASE_SPARE = timedelta(seconds=60)
UNREADABLE_PAUSE = timedelta(minutes=5)
OFF_AFTER = timedelta(days=4)  # longer than one message's whole schedule
MOST_PENDING = 10_000
TIDY_ROWS = 10_000


# --- Writing -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent to one endpoint; `body` is JSON (`body_text`)."""

    endpoint_id: int
    kind: str
    body: str
    active_model_id: int | None = None


# Taking the key of the endpoint's row keeps it there until the commit; one that is off or gone is passed over.
MESSAGES_INSERT = """
    INSERT INTO webhook_messages (uid, endpoint_id, kind, active_model_id, body, status, attempts, attempts_before,
        next_attempt_at, error, created_at)
    SELECT gen_random_uuid(), e.id, m.kind, m.active_model_id, m.body, 'pending', 0, 0, now(), '', now()
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[])
        WITH ORDINALITY AS m(endpoint_id, kind, active_model_id, body, place)
    JOIN webhook_endpoints e ON e.id = m.endpoint_id AND e.enabled
    ORDER BY m.place FOR KEY SHARE OF e"""


def messages_write(messages: Sequence[Message]) -> None:
    """Put messages into the outbox, in the caller's transaction; endpoints that are off get none."""
    if messages:
        rows = [(one.endpoint_id, str(one.kind), one.active_model_id, one.body) for one in messages]
        with connection.cursor() as cursor:
            cursor.execute(MESSAGES_INSERT, [list(column) for column in zip(*rows, strict=True)])


def subscribers(kind: str, active_model_id: int | None = None) -> list[int]:
    """Ids of the endpoints that are told of something by themselves."""
    return [pk for (pk,) in fetch(SUBSCRIBERS, {"kind": kind, "model": active_model_id})]


SUBSCRIBERS = """
SELECT id FROM webhook_endpoints WHERE enabled AND kinds @> to_jsonb(%(kind)s::text)
AND (%(model)s::bigint IS NULL OR model_ids = '[]' OR model_ids @> to_jsonb(%(model)s::bigint)) ORDER BY id
"""


def body_text(kind: str, at: datetime, data: Any, **more: Any) -> str:
    """A body in the shape of Standard Webhooks: type, timestamp of the event, data; NaN is told as null."""
    told = {"type": kind, "timestamp": at, **more, "data": data}
    try:
        return json.dumps(told, cls=DjangoJSONEncoder, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(told), cls=DjangoJSONEncoder, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- Sending -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Turn:
    """One worker's turn at one endpoint: its messages as they were when the lease was taken."""

    endpoint_id: int
    lease: datetime
    receiver: Receiver
    message_ids: list[int]
    letters: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Settled:
    """What an attempt left behind."""

    kind: str
    status: str


def deliver(*, seconds: float) -> list[Settled]:
    """Send what is due, for at most about so long; the messages attempted. Endpoints are served side by side."""
    settled: list[Settled] = []
    end = time.monotonic() + seconds
    send = sender()
    with ThreadPoolExecutor(ENDPOINTS_AT_ONCE, thread_name_prefix="webhook") as pool:
        running: dict[Future[list[Outcome]], Turn] = {}
        while True:
            if time.monotonic() < end:
                for turn in turns_claim(now=timezone.now(), limit=ENDPOINTS_AT_ONCE - len(running)):
                    running[pool.submit(send, turn)] = turn
            if not running:
                return settled
            done, _ = wait(running, timeout=LOOK_AGAIN_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                turn = running.pop(future)
                settled += turn_settle(turn=turn, outcomes=_outcomes(future, turn), now=timezone.now())


def _outcomes(future: Future[list[Outcome]], turn: Turn) -> list[Outcome]:
    """What a turn gave; a surprise is logged and counts as a failed attempt, so that it cannot come back for ever."""
    if (surprise := future.exception()) is None:
        return future.result()
    logger.error("sending to webhook endpoint %d failed", turn.endpoint_id, exc_info=surprise)
    return [Outcome(timezone.now(), 0.0, None, f"This program failed: {type(surprise).__name__}")]


def sender() -> Callable[[Turn], list[Outcome]]:
    """What a thread does for a turn; it reads no setting and no table."""
    allowed, timeout = endpoints_allowed(), settings.WEBHOOK_TIMEOUT_SECONDS

    def send(turn: Turn) -> list[Outcome]:
        return letters_send(turn.receiver, turn.letters, allowed=allowed, timeout=timeout, seconds=TURN_SECONDS)

    return send


def turns_claim(*, now: datetime, limit: int) -> list[Turn]:
    """Take endpoints with something due; a worker that dies gives them back when the lease ends."""
    if limit <= 0:
        return []
    due = WebhookMessage.objects.filter(status=WebhookMessage.Status.PENDING, next_attempt_at__lte=now)
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    awake = Q(paused_until=None) | Q(paused_until__lte=now)
    with transaction.atomic():
        rows = WebhookEndpoint.objects.filter(free, awake, Exists(due.filter(endpoint=OuterRef("pk"))), enabled=True)
        rows = rows.order_by(F("leased_until").asc(nulls_first=True), "id")
        found = list(rows.select_for_update(skip_locked=True, no_key=True)[:limit])
        turns = [_turn(one, list(_next_letters(due, one)), now) for one in found]
    return [turn for turn in turns if turn is not None]


def _next_letters(due: Any, endpoint: WebhookEndpoint) -> Any:
    return due.filter(endpoint=endpoint).order_by("next_attempt_at", "id")[:LETTERS_A_TURN]


def _turn(endpoint: WebhookEndpoint, messages: list[WebhookMessage], now: datetime) -> Turn | None:
    """Lease the endpoint; None (and a pause) where its secrets do not open, because nothing goes out unsigned."""
    try:
        receiver = receiver_of(endpoint, now=now)
    except SealedError:
        logger.error("the secrets of webhook endpoint %d do not open: is ENCRYPTION_KEY the same?", endpoint.pk)
        endpoint.paused_until = now + UNREADABLE_PAUSE
        endpoint.last_error = "Its secret does not open with this ENCRYPTION_KEY: make a new secret."
        endpoint.save(update_fields=["paused_until", "last_error"])
        return None
    endpoint.leased_until = now + LEASE_SPARE + timedelta(seconds=2 * settings.WEBHOOK_TIMEOUT_SECONDS)
    endpoint.save(update_fields=["leased_until"])
    letters = [(one.webhook_id, one.body.encode()) for one in messages]
    return Turn(endpoint.pk, endpoint.leased_until, receiver, [one.pk for one in messages], letters)


# --- Results -------------------------------------------------------------------------------------------
def turn_settle(*, turn: Turn, outcomes: Sequence[Outcome], now: datetime) -> list[Settled]:
    """Write what became of a turn and give the endpoint back; nothing where the lease has gone to another worker."""
    with transaction.atomic():
        held = WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=turn.endpoint_id)
        endpoint = held.filter(leased_until=turn.lease).first()
        if endpoint is None:
            logger.warning("webhook endpoint %d: the lease ended before the answer came", turn.endpoint_id)
            return []
        endpoint.leased_until = None
        messages = WebhookMessage.objects.select_for_update().in_bulk(turn.message_ids)
        settled = []
        for pk, outcome in zip(turn.message_ids, outcomes, strict=False):
            endpoint_note(endpoint=endpoint, outcome=outcome)
            if (message := messages.get(pk)) is not None:
                message_note(message=message, outcome=outcome)
                settled.append(Settled(message.kind, message.status))
        endpoint.save()
        if not endpoint.enabled:
            waiting_drop(endpoint)
    for one in settled:
        metrics.WEBHOOKS.labels(one.kind, one.status).inc()
    return settled


def message_note(*, message: WebhookMessage, outcome: Outcome, again: bool = True) -> WebhookAttempt:
    """Keep an attempt, and say when the next one is due (none where `again` is false, or enough was tried)."""
    message.attempts += 1
    message.response_status, message.error = outcome.status, outcome.error
    verdict = verdict_of(outcome.status)
    delay = retry_seconds(message.attempts - message.attempts_before, random.random()) if again else None
    if verdict == "sent":
        message.status, message.sent_at, message.next_attempt_at = WebhookMessage.Status.SENT, outcome.at, None
    elif message.status == WebhookMessage.Status.PENDING:
        if verdict == "gone" or delay is None:
            message.status, message.next_attempt_at = WebhookMessage.Status.FAILED, None
        else:
            delay = max(delay, outcome.retry_after or 0.0)
            message.next_attempt_at = outcome.at + timedelta(seconds=outcome.seconds + delay)
    message.save()
    return WebhookAttempt.objects.create(
        message=message,
        number=message.attempts,
        at=outcome.at,
        duration_ms=outcome.seconds * 1000,
        response_status=outcome.status,
        error=outcome.error,
        answer=outcome.answer,
    )


def endpoint_note(*, endpoint: WebhookEndpoint, outcome: Outcome) -> None:
    """What an attempt says of its endpoint: well again, to be left alone for a while, or off. The caller saves."""
    verdict = verdict_of(outcome.status)
    ended = outcome.at + timedelta(seconds=outcome.seconds)
    if verdict == "sent":
        endpoint.failures, endpoint.failing_since, endpoint.paused_until = 0, None, None
        endpoint.last_error, endpoint.last_success_at = "", ended
        return
    endpoint.failures += 1
    endpoint.failing_since = endpoint.failing_since or outcome.at
    endpoint.last_error = outcome.error
    if verdict == "busy":
        endpoint.paused_until = ended + timedelta(seconds=_pause(endpoint.failures, outcome))
    if verdict == "gone":
        endpoint_off(endpoint=endpoint, reason=WebhookEndpoint.Off.GONE, now=ended)
    elif ended - endpoint.failing_since > OFF_AFTER:
        endpoint_off(endpoint=endpoint, reason=WebhookEndpoint.Off.FAILING, now=ended)


def _pause(failures: int, outcome: Outcome) -> float:
    if outcome.retry_after is not None:
        return outcome.retry_after
    return THROTTLED_SECONDS if outcome.status == 429 else pause_seconds(failures, random.random())


def endpoint_off(*, endpoint: WebhookEndpoint, reason: WebhookEndpoint.Off, now: datetime) -> None:
    """Switch an endpoint off, with a line in the log where nobody asked for it. The caller saves."""
    endpoint.enabled, endpoint.off_reason, endpoint.off_at = False, reason, now
    if reason in (WebhookEndpoint.Off.GONE, WebhookEndpoint.Off.FAILING):
        logger.warning("webhook endpoint %d is off: %s (%s)", endpoint.pk, reason, endpoint.last_error)


def waiting_drop(endpoint: WebhookEndpoint) -> None:
    """What waits for an endpoint that is off will not be sent by itself."""
    waiting = endpoint.messages.filter(status=WebhookMessage.Status.PENDING)
    waiting.update(status=WebhookMessage.Status.FAILED, next_attempt_at=None, error="The endpoint was switched off.")


# --- Keeping order -------------------------------------------------------------------------------------
TIDY = """
    WITH old AS (
        SELECT id FROM webhook_messages WHERE status <> 'pending' AND created_at < %s ORDER BY id LIMIT %s
    ), tries AS (DELETE FROM webhook_attempts WHERE message_id IN (SELECT id FROM old))
    DELETE FROM webhook_messages WHERE id IN (SELECT id FROM old)"""


def tidy(*, now: datetime) -> int:
    """Forget messages that are finished with, old secrets, and all but the newest of an endless queue; how many."""
    WebhookEndpoint.objects.filter(old_secret_until__lte=now).update(old_secret=None, old_secret_until=None)
    for endpoint in WebhookEndpoint.objects.order_by("id"):
        _queue_cut(endpoint)
    before, forgotten = now - timedelta(days=settings.WEBHOOK_LOG_DAYS), 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(TIDY, (before, TIDY_ROWS))
            forgotten += cursor.rowcount
            if cursor.rowcount < TIDY_ROWS:
                return forgotten


def _queue_cut(endpoint: WebhookEndpoint) -> None:
    waiting = endpoint.messages.filter(status=WebhookMessage.Status.PENDING)
    if not endpoint.enabled:
        waiting_drop(endpoint)
        return
    oldest_kept = waiting.order_by("-id").values_list("id", flat=True)[MOST_PENDING : MOST_PENDING + 1].first()
    if oldest_kept is not None:
        cut = waiting.filter(id__lte=oldest_kept)
        cut.update(
            status=WebhookMessage.Status.FAILED,
            next_attempt_at=None,
            error=f"More than {MOST_PENDING:,} messages were waiting: the oldest are given up.",
        )
