"""The outbox against a real server on loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from apps.core import outbox
from apps.core.errors import PlatformError
from apps.predictions import services, webhooks
from apps.predictions.models import WebhookDelivery


class Receiver(ThreadingHTTPServer):
    """Answers with the next of `answers` (then 200) and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), json.loads(body)))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings.N8N_SERVER_WEBHOOK_URL = server.url
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def queued(url: str, **fields: Any) -> WebhookDelivery:
    return WebhookDelivery.objects.create(
        kind="alert",
        url=url,
        payload={"type": "alert", "data": {"mint": "m"}},
        next_attempt_at=timezone.now(),
        **fields,
    )


def again(delivery: WebhookDelivery) -> WebhookDelivery:
    """Let the next attempt be due, and make it."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(next_attempt_at=timezone.now())
    services.webhooks_deliver()
    delivery.refresh_from_db()
    return delivery


@pytest.mark.django_db
def test_a_delivery_arrives_once(receiver: Receiver) -> None:
    delivery = queued(receiver.url)
    assert services.webhooks_deliver() == 1
    assert services.webhooks_deliver() == 0
    delivery.refresh_from_db()
    assert (delivery.status, delivery.response_status, delivery.attempts) == ("sent", 200, 1)
    headers, body = receiver.got[0]
    assert body == {"type": "alert", "data": {"mint": "m"}}
    assert headers["webhook-id"] == f"delivery-{delivery.pk}"


@pytest.mark.django_db
@pytest.mark.parametrize("answer", [500, 404, 302])
def test_a_refused_delivery_is_tried_again_later_with_the_same_id(receiver: Receiver, answer: int) -> None:
    receiver.answers = [answer]
    delivery = queued(receiver.url)
    services.webhooks_deliver()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.response_status) == ("pending", answer)
    wait = (delivery.next_attempt_at - timezone.now()).total_seconds()
    assert 4 < wait <= outbox.RETRY_SECONDS[0] * 1.25
    assert again(delivery).status == "sent"
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]


@pytest.mark.django_db
def test_a_receiver_that_stays_away_makes_the_delivery_fail_in_the_end(settings: Any) -> None:
    settings.N8N_SERVER_WEBHOOK_URL = "http://127.0.0.1:1/hook"
    delivery = queued("http://127.0.0.1:1/hook", attempts=len(outbox.RETRY_SECONDS))
    services.webhooks_deliver()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.response_status) == ("failed", None)
    assert "Connect" in delivery.error


@pytest.mark.django_db
def test_a_worker_that_died_gives_its_deliveries_back_when_the_lease_ends(receiver: Receiver) -> None:
    queued(receiver.url)
    now = timezone.now()
    assert len(outbox.deliveries_claim(model=WebhookDelivery, now=now, limit=5)) == 1
    assert outbox.deliveries_claim(model=WebhookDelivery, now=now, limit=5) == []
    assert (
        len(outbox.deliveries_claim(model=WebhookDelivery, now=now + outbox.LEASE + timedelta(seconds=1), limit=5)) == 1
    )


@pytest.mark.django_db
def test_an_address_that_is_not_allowed_is_not_called(receiver: Receiver, settings: Any) -> None:
    settings.N8N_SERVER_WEBHOOK_URL = ""
    delivery = queued(receiver.url)
    services.webhooks_deliver()
    delivery.refresh_from_db()
    assert receiver.got == []
    assert "loopback" in delivery.error


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://localhost:8000/", "http://10.0.0.1/", "http://192.168.1.1/", "http://[::1]/",
        "http://169.254.169.254/latest/meta-data", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "ftp://8.8.8.8/",
        "file:///etc/passwd", "http://", "no address", "http://user@8.8.8.8/", "http://8.8.8.8:99999/",
        "http://2130706433/", "http://100.64.0.1/", "http://a..b/", " http://8.8.8.8/", "http://224.0.0.1/",
        "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
        "http://[64:ff9b:1::7f00:1]/", "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/", "http://192.0.0.192/",
    ],
)  # fmt: skip
def test_private_and_broken_addresses_are_refused(url: str) -> None:
    with pytest.raises(PlatformError) as caught:
        webhooks.url_check(url)
    assert caught.value.code == "WEBHOOK_URL_REFUSED"


def test_public_addresses_and_the_operators_own_n8n_are_allowed(settings: Any) -> None:
    settings.N8N_FIND_WEBHOOK_URL = "http://localhost:5678/webhook/find"
    webhooks.url_check("https://8.8.8.8/hook")
    webhooks.url_check("http://localhost:5678/webhook/other")
    with pytest.raises(PlatformError):
        webhooks.url_check("http://localhost:5679/webhook/other")


@pytest.mark.django_db
def test_the_address_that_was_checked_is_the_one_called(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 8443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    called: list[httpx2.Request] = []

    def transport(request: httpx2.Request) -> httpx2.Response:
        called.append(request)
        return httpx2.Response(200)

    delivery = queued("https://hooks.example:8443/x?y=1")
    with httpx2.Client(transport=httpx2.MockTransport(transport)) as client:
        outbox.delivery_send(delivery=delivery, client=client, now=timezone.now(), address_of=webhooks.url_check)
    assert delivery.status == WebhookDelivery.Status.SENT
    assert str(called[0].url) == "https://8.8.8.8:8443/x?y=1"
    assert called[0].headers["host"] == "hooks.example:8443"
    assert called[0].extensions["sni_hostname"] == "hooks.example"


def test_waits_grow_and_end() -> None:
    waits = [outbox.retry_seconds(attempts, 0.0) for attempts in range(1, 9)]
    assert waits == [5, 30, 120, 600, 1800, 7200, 21600, None]
    assert outbox.retry_seconds(1, 1.0) == 6.25
