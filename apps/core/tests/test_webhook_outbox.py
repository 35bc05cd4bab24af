"""The outbox: who gets what, in which order, once, again, or no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.core import outbox, retries, signatures, webhooks
from apps.core.errors import PlatformError
from apps.core.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from apps.core.outbox import Message, Settled, body_text
from apps.core.sender import Outcome
from apps.core.tests.receiver import Receiver, answer, hang, open_receiver
from apps.core.webhook_secrets import receiver_of

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(scope="module")
def server() -> Iterator[Receiver]:
    with open_receiver() as opened:
        yield opened


@pytest.fixture
def receiver(server: Receiver, settings: Any) -> Receiver:
    server.script.clear()
    server.got.clear()
    server.pages.clear()
    settings.WEBHOOK_ALLOWED = [":".join(map(str, server.endpoint))]
    settings.WEBHOOK_TIMEOUT_SECONDS = 5.0
    return server


def endpoint(receiver: Receiver, path: str = "/hook", **fields: Any) -> WebhookEndpoint:
    return webhooks.endpoint_create(url=receiver.url(path), **fields)[0]


def write(to: WebhookEndpoint, *names: str, kind: str = "alerts") -> list[WebhookMessage]:
    outbox.messages_write([Message(to.pk, kind, json.dumps({"n": name})) for name in names or ("a",)])
    return list(to.messages.order_by("id"))


def deliver() -> list[str]:
    return [one.status for one in outbox.deliver(seconds=5.0)]


def bodies(receiver: Receiver) -> list[str]:
    return [json.loads(got.body)["n"] for got in receiver.got]


def due_again(message: WebhookMessage) -> WebhookMessage:
    """Let the next attempt be due, and make it."""
    WebhookMessage.objects.filter(pk=message.pk).update(next_attempt_at=timezone.now())
    WebhookEndpoint.objects.update(paused_until=None)
    deliver()
    message.refresh_from_db()
    return message


def test_messages_arrive_once_in_the_order_of_their_writing(receiver: Receiver) -> None:
    to = endpoint(receiver)
    names = [f"{number:02}" for number in range(outbox.LETTERS_A_TURN + 3)]
    write(to, *names)
    assert deliver() == ["sent"] * len(names)
    assert deliver() == [] and bodies(receiver) == names
    attempt = WebhookAttempt.objects.order_by("id")[0]
    assert (attempt.number, attempt.response_status, attempt.error) == (1, 200, "")
    assert len({got.headers["webhook-id"] for got in receiver.got}) == len(names)


def test_what_arrives_is_signed_by_the_secret_that_was_shown(receiver: Receiver) -> None:
    to, secret = webhooks.endpoint_create(url=receiver.url())
    (message,) = write(to)
    deliver()
    got, key = receiver.got[0], signatures.secret_key(secret)
    stamp = int(got.headers["webhook-timestamp"])
    assert got.headers["webhook-id"] == message.webhook_id
    assert got.headers["webhook-signature"] == signatures.sign(key, message.webhook_id, stamp, got.body)


def test_a_refused_message_is_tried_again_later_under_its_id(receiver: Receiver) -> None:
    receiver.script = [answer(500, b"out of coffee")]
    (message,) = write(endpoint(receiver))
    deliver()
    message.refresh_from_db()
    assert (message.status, message.response_status, message.attempts) == ("pending", 500, 1)
    wait = (message.next_attempt_at - timezone.now()).total_seconds()
    assert 4 < wait <= retries.RETRY_SECONDS[0] * 1.25
    assert due_again(message).status == "sent"
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert [one.answer for one in message.tries.all()] == ["out of coffee", ""]


def test_a_message_is_given_up_after_the_whole_schedule(receiver: Receiver) -> None:
    receiver.script = [answer(500)]
    (message,) = write(endpoint(receiver))
    WebhookMessage.objects.update(attempts=len(retries.RETRY_SECONDS))
    deliver()
    message.refresh_from_db()
    assert (message.status, message.next_attempt_at) == ("failed", None)


def test_gone_switches_the_endpoint_off_and_gives_up_what_waits(receiver: Receiver) -> None:
    receiver.script = [answer(410)]
    to = endpoint(receiver)
    write(to, "a", "b")
    deliver()
    to.refresh_from_db()
    assert (to.enabled, to.off_reason) == (False, "gone")
    assert [one.status for one in to.messages.all()] == ["failed", "failed"] and len(receiver.got) == 1
    assert write(to, "c") and to.messages.count() == 2  # none is written for an endpoint that is off
    with pytest.raises(PlatformError, match="switch it on"):
        webhooks.failed_replay(endpoint=to, since=NOW - timedelta(hours=1))
    webhooks.endpoint_enable(endpoint=to)
    assert webhooks.failed_replay(endpoint=to, since=NOW - timedelta(hours=1)) == 2
    deliver()
    assert bodies(receiver) == ["a", "a", "b"]


@pytest.mark.parametrize(("header", "least", "most"), [({"Retry_After": "1800"}, 1790, 1800), ({}, 50, 60)])
def test_too_many_requests_let_the_endpoint_rest(
    receiver: Receiver, header: dict[str, str], least: int, most: int
) -> None:
    receiver.script = [answer(429, **header)]
    to = endpoint(receiver)
    first, second = write(to, "a", "b")
    deliver()
    to.refresh_from_db()
    assert least < (to.paused_until - timezone.now()).total_seconds() <= most
    first.refresh_from_db()
    assert not header or first.next_attempt_at >= to.paused_until - timedelta(seconds=1)
    assert deliver() == [] and second.attempts == 0 and len(receiver.got) == 1


def test_a_receiver_that_hangs_holds_up_no_other(receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 0.5
    receiver.pages["/slow"] = hang
    slow = endpoint(receiver, "/slow")
    write(slow, "slow", "slow, too", kind="coins")
    write(endpoint(receiver, "/quick"), *"abc")
    settled = outbox.deliver(seconds=5.0)
    assert settled == [Settled("alerts", "sent")] * 3 + [Settled("coins", "pending")]
    slow.refresh_from_db()
    assert (slow.failures, slow.last_error) == (1, "no answer within 0.5 s") and slow.paused_until > timezone.now()
    assert len(receiver.got) == 4  # the slow one is not asked a second time


def test_two_workers_never_have_the_same_endpoint(receiver: Receiver) -> None:
    write(endpoint(receiver), "a", "b")
    now = timezone.now()
    [turn] = outbox.turns_claim(now=now, limit=8)
    assert outbox.turns_claim(now=now, limit=8) == [] and deliver() == []
    after = turn.lease + timedelta(seconds=1)
    [other] = outbox.turns_claim(now=after, limit=8)  # the first worker died
    assert other.message_ids == turn.message_ids
    lost = [Outcome(now, 0.1, 200)]
    assert outbox.turn_settle(turn=turn, outcomes=lost, now=after) == []
    assert set(WebhookMessage.objects.values_list("status", "attempts")) == {("pending", 0)}
    assert outbox.turn_settle(turn=other, outcomes=lost, now=after) == [Settled("alerts", "sent")]
    assert list(WebhookMessage.objects.order_by("id").values_list("status", "attempts")) == [
        ("sent", 1),
        ("pending", 0),
    ]


def test_messages_share_the_fate_of_what_they_tell(receiver: Receiver) -> None:
    to = endpoint(receiver)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write(to)
        raise ZeroDivisionError
    assert not to.messages.exists()


@pytest.mark.parametrize(
    ("kinds", "models", "kind", "model", "told"),
    [
        (["alerts"], [], "alerts", 7, True), (["alerts"], [7, 8], "alerts", 7, True),
        (["alerts"], [8], "alerts", 7, False), (["coins"], [8], "coins", None, True), ([], [], "coins", None, False),
        (["alerts", "trades"], [], "trades", None, True), (["predictions"], [], "alerts", 7, False),
    ],
)  # fmt: skip
def test_who_is_told(kinds: list[str], models: list[int], kind: str, model: int | None, told: bool) -> None:
    to = WebhookEndpoint.objects.create(name="x", url="https://8.8.8.8/", kinds=kinds, model_ids=models)
    assert outbox.subscribers(kind, model) == ([to.pk] if told else [])
    WebhookEndpoint.objects.update(enabled=False, off_reason="person")
    assert outbox.subscribers(kind, model) == []


def test_an_endpoint_that_failed_for_days_is_switched_off(receiver: Receiver) -> None:
    receiver.script = [answer(500)]
    to = endpoint(receiver)
    WebhookEndpoint.objects.update(failing_since=timezone.now() - outbox.OFF_AFTER)
    write(to)
    deliver()
    to.refresh_from_db()
    assert (to.enabled, to.off_reason, to.last_error) == (False, "failing", "HTTP 500")


def test_success_makes_an_endpoint_well_again(receiver: Receiver) -> None:
    to = endpoint(receiver)
    WebhookEndpoint.objects.update(failing_since=NOW - outbox.OFF_AFTER, failures=9, last_error="HTTP 500")
    write(to)
    deliver()
    to.refresh_from_db()
    assert (to.failures, to.failing_since, to.last_error, to.leased_until) == (0, None, "", None)


def test_nothing_goes_out_unsigned(receiver: Receiver, settings: Any) -> None:
    to = endpoint(receiver)
    (message,) = write(to)
    settings.ENCRYPTION_KEY = "QUJD" * 10 + "QUE="
    assert deliver() == [] and receiver.got == []
    to.refresh_from_db()
    assert "new secret" in to.last_error and message.attempts == 0
    webhooks.secret_rotate(endpoint=to)
    assert deliver() == ["sent"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"a": 1.5, "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=NOW.tzinfo)}, {"a": 1.5, "at": "2026-01-02T03:04:05Z"}),
        ([{"x": float("nan")}, {"x": [float("inf"), 2]}], [{"x": None}, {"x": [None, 2]}]),
        ("\x00ä\u2028", "\x00ä\u2028"),
    ],
)
def test_a_body_is_json_that_every_reader_understands(data: Any, told: Any) -> None:
    text = body_text("alert", datetime(2026, 1, 2, tzinfo=NOW.tzinfo), data, model="m")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "type": "alert", "timestamp": "2026-01-02T00:00:00Z", "model": "m", "data": told,
    }  # fmt: skip
    assert text.isascii()


def test_the_log_is_forgotten_in_time_and_a_queue_has_an_end(receiver: Receiver, monkeypatch: Any) -> None:
    to = endpoint(receiver)
    write(to, "a")
    deliver()
    write(to, *"bcde")
    webhooks.secret_rotate(endpoint=to, keep_hours=1)
    monkeypatch.setattr(outbox, "MOST_PENDING", 3)
    assert outbox.tidy(now=timezone.now()) == 0
    assert [one.status for one in to.messages.order_by("id")] == ["sent", "failed", "pending", "pending", "pending"]
    assert outbox.tidy(now=timezone.now() + timedelta(days=8)) == 2
    assert to.messages.count() == 3 and not WebhookAttempt.objects.exists()
    to.refresh_from_db()
    assert to.old_secret is None


def test_a_new_secret_signs_beside_the_old_one_for_a_while(receiver: Receiver) -> None:
    to, old = webhooks.endpoint_create(url=receiver.url())
    new = webhooks.secret_rotate(endpoint=to, keep_hours=24)
    now = timezone.now()
    assert receiver_of(to, now=now).keys == (signatures.secret_key(new), signatures.secret_key(old))
    assert receiver_of(to, now=now + timedelta(hours=25)).keys == (signatures.secret_key(new),)
    webhooks.secret_rotate(endpoint=to, keep_hours=0)
    assert len(receiver_of(to, now=now).keys) == 1
    for row in WebhookEndpoint.objects.values_list("secret", "old_secret"):
        assert all(signatures.secret_key(new) not in bytes(one or b"") for one in row)


def test_of_two_new_secrets_at_once_both_are_good_and_a_first_delivery_replaces_none(receiver: Receiver) -> None:
    to, _ = webhooks.endpoint_create(url=receiver.url())
    stale, now = WebhookEndpoint.objects.get(), timezone.now()
    texts = [webhooks.secret_rotate(endpoint=one) for one in (to, stale)]
    assert receiver_of(stale, now=now).keys == tuple(signatures.secret_key(text) for text in reversed(texts))
    WebhookEndpoint.objects.update(secret=None, old_secret=None)
    fresh, stale = WebhookEndpoint.objects.get(), WebhookEndpoint.objects.get()
    text = webhooks.secret_rotate(endpoint=fresh)
    assert receiver_of(stale, now=now).keys == (signatures.secret_key(text),)


def test_settings_changed_by_a_person_do_not_take_the_lease_away(receiver: Receiver) -> None:
    to = endpoint(receiver)
    write(to, "a")
    stale = WebhookEndpoint.objects.get()
    [turn] = outbox.turns_claim(now=timezone.now(), limit=8)
    webhooks.endpoint_change(endpoint=stale, name="other", kinds=["coins"])
    webhooks.secret_rotate(endpoint=stale)
    assert outbox.turn_settle(turn=turn, outcomes=outbox.sender()(turn), now=timezone.now()) == [
        Settled("alerts", "sent")
    ]
    to.refresh_from_db()
    assert (to.name, to.kinds, to.old_secret is not None) == ("other", ["coins"], True)


def test_an_address_that_became_unusable_is_a_failed_attempt(receiver: Receiver) -> None:
    to = endpoint(receiver)
    (message,) = write(to)
    WebhookEndpoint.objects.update(url="http://[/")
    outbox.deliver(seconds=5)
    message.refresh_from_db()
    to.refresh_from_db()
    assert (message.status, message.attempts, to.leased_until) == ("pending", 1, None) and message.error


def test_a_surprise_while_sending_counts_as_a_failed_attempt(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    to = endpoint(receiver)
    (message,) = write(to)
    [turn] = outbox.turns_claim(now=timezone.now(), limit=8)
    future: Future[list[Outcome]] = Future()
    future.set_exception(RuntimeError("nobody thought of this"))
    settled = outbox.turn_settle(turn=turn, outcomes=outbox._outcomes(future, turn), now=timezone.now())
    message.refresh_from_db()
    assert settled == [Settled("alerts", "pending")] and message.error == "This program failed: RuntimeError"
    assert "nobody thought of this" in caplog.text and WebhookEndpoint.objects.get().leased_until is None
