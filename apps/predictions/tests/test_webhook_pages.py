"""Webhooks as people and programs handle them: pages and API, and that no secret ever comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from apps.core import outbox
from apps.core.models import WebhookEndpoint, WebhookMessage
from apps.core.outbox import Message
from apps.core.signatures import secret_key
from apps.core.tests.receiver import Receiver, answer, open_receiver
from apps.core.webhooks import endpoint_create, settings_follow
from apps.predictions.tests.test_webhooks import employed

pytestmark = pytest.mark.django_db
VALUE = "Bearer never-shown-again"
API = "/api/server/webhooks"


@pytest.fixture(scope="module")
def server() -> Iterator[Receiver]:
    with open_receiver() as opened:
        yield opened


@pytest.fixture
def receiver(server: Receiver, settings: Any) -> Receiver:
    server.script.clear()
    server.got.clear()
    settings.WEBHOOK_ALLOWED = [":".join(map(str, server.endpoint))]
    return server


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_user("person", is_staff=True))
    return client


def post(browser: Client, name: str, *args: object, **fields: Any) -> Any:
    return browser.post(reverse(f"predictions:{name}", args=args), fields)


def shown_secrets(page: Any) -> list[str]:
    return re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", page.content.decode())


def call(browser: Client, method: str, path: str, **body: Any) -> Any:
    csrf = browser.get(reverse("predictions:webhooks")).cookies["csrftoken"].value
    ask = getattr(browser, method)
    return ask(API + path, body or None, content_type="application/json", headers={"x-csrftoken": csrf})


def test_pages_answer_empty_and_full_in_both_languages(browser: Client, receiver: Receiver) -> None:
    to, _ = endpoint_create(
        url=receiver.url(), name="<b>mine</b>", kinds=["alerts"], header_name="X-Key", header_value="v"
    )
    outbox.messages_write([Message(to.pk, "alerts", '{"data": "</script>"}')] * 3)
    outbox.deliver(seconds=5)
    message = WebhookMessage.objects.order_by("id")[0]
    pages = [reverse("predictions:webhooks"), reverse("predictions:webhook", args=[to.pk]) + "?status=sent&page=9"]
    for path in (*pages, reverse("predictions:webhook_message", args=[message.pk])):
        for language in ("en", "de"):
            page = browser.get(path, headers={"accept-language": language})
            assert page.status_code == 200 and "<b>mine" not in page.content.decode()
    assert browser.get(reverse("predictions:webhook", args=[10**15])).status_code == 404


def test_a_secret_is_shown_once_when_it_is_made(browser: Client, receiver: Receiver) -> None:
    page = post(browser, "webhooks", url=receiver.url(), kinds=["coins"])
    (secret,) = shown_secrets(page)
    to = WebhookEndpoint.objects.get()
    assert (to.kinds, to.enabled, to.url) == (["coins"], True, receiver.url())
    assert shown_secrets(browser.get(reverse("predictions:webhook", args=[to.pk]))) == []
    (fresh,) = shown_secrets(post(browser, "webhook_secret", to.pk, keep_hours=1))
    assert secret_key(fresh) != secret_key(secret)
    own = "whsec_" + "QUJD" * 8
    assert shown_secrets(post(browser, "webhook_secret", to.pk, keep_hours=0, secret=own)) == [own]
    refused = post(browser, "webhook_secret", to.pk, keep_hours=0, secret="too short")
    assert "24 to 64 random bytes" in refused.content.decode() and "too short" not in refused.content.decode()


def test_a_test_is_signed_and_its_answer_shown(browser: Client, receiver: Receiver) -> None:
    receiver.script = [answer(201, b"<i>thanks</i>"), answer(302)]
    to, _ = endpoint_create(url=receiver.url())
    page = post(browser, "webhook_test", to.pk).content.decode()
    assert "201" in page and "&lt;i&gt;thanks&lt;/i&gt;" in page
    got = receiver.got[0]
    assert json.loads(got.body)["type"] == "test" and got.headers["webhook-signature"].startswith("v1,")
    assert "HTTP 302" in post(browser, "webhook_test", to.pk).content.decode()
    assert outbox.deliver(seconds=1) == []  # a test is not tried again
    assert list(to.messages.order_by("id").values_list("kind", "status")) == [("test", "sent"), ("test", "failed")]


def test_a_message_is_sent_again_by_a_click_under_its_id(browser: Client, receiver: Receiver) -> None:
    to, _ = endpoint_create(url=receiver.url())
    outbox.messages_write([Message(to.pk, "alerts", "{}")])
    outbox.deliver(seconds=5)
    message = to.messages.get()
    post(browser, "webhook_message_replay", message.pk)
    assert len(outbox.deliver(seconds=5)) == 1
    assert len(receiver.got) == 2 and len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert [one.number for one in message.tries.all()] == [1, 2]


def test_switching_off_gives_up_what_waits_and_switching_on_sends_it_by_click(
    browser: Client, receiver: Receiver
) -> None:
    to, _ = endpoint_create(url=receiver.url())
    outbox.messages_write([Message(to.pk, "alerts", "{}")])
    post(browser, "webhook_switch", to.pk)
    assert to.messages.get().status == "failed"
    page = browser.get(reverse("predictions:webhook", args=[to.pk])).content.decode()
    assert "Switched off by hand" in page
    refused = post(browser, "webhook_replay", to.pk)
    assert "switch it on first" in browser.get(refused.url).content.decode() and receiver.got == []
    post(browser, "webhook_switch", to.pk)
    post(browser, "webhook_replay", to.pk)
    outbox.deliver(seconds=5)
    assert len(receiver.got) == 1
    post(browser, "webhook_delete", to.pk)
    assert not WebhookMessage.objects.exists()


def test_the_dashboard_says_which_endpoint_was_lost(browser: Client, receiver: Receiver) -> None:
    receiver.script = [answer(410)]
    to, _ = endpoint_create(url=receiver.url(), name="my n8n")
    outbox.messages_write([Message(to.pk, "alerts", "{}")])
    assert "my n8n" not in browser.get("/").content.decode()
    outbox.deliver(seconds=5)
    page = browser.get("/").content.decode()
    assert "The webhook my n8n was switched off. It answered 410" in page
    post(browser, "webhook_switch", to.pk)
    assert "my n8n" not in browser.get("/").content.decode()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "http://10.0.0.1/x"}, "WEBHOOK_URL_REFUSED"), ({"url": "ftp://8.8.8.8/"}, "WEBHOOK_URL_REFUSED"),
        ({"url": "https://8.8.8.8/", "secret": "short"}, "WEBHOOK_SECRET_WRONG"),
        ({"url": "https://8.8.8.8/", "header_name": "Webhook-Id", "header_value": "x"}, "WEBHOOK_HEADER_WRONG"),
        ({"url": "https://8.8.8.8/", "header_name": "X-A", "header_value": "a\r\nb: c"}, "WEBHOOK_HEADER_WRONG"),
        ({"url": "https://8.8.8.8/", "header_name": "X-A"}, "WEBHOOK_HEADER_WRONG"),
        ({"url": "https://8.8.8.8/", "header_name": "X A", "header_value": "x"}, "WEBHOOK_HEADER_WRONG"),
        ({"url": "https://8.8.8.8/", "model_ids": [99]}, "MODEL_UNKNOWN"),
        ({"url": "https://8.8.8.8/", "kinds": ["gossip"]}, "VALIDATION_FAILED"),
        ({"url": "https://8.8.8.8/taken"}, "WEBHOOK_EXISTS"), ({}, "VALIDATION_FAILED"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_code(browser: Client, fields: dict[str, Any], code: str) -> None:
    WebhookEndpoint.objects.create(name="x", url="https://8.8.8.8/taken")
    answered = call(browser, "post", "", **fields)
    assert answered.json()["code"] == code and 400 <= answered.status_code < 500
    assert "a\\r\\nb" not in answered.content.decode()


def test_no_secret_comes_out_anywhere(browser: Client, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.script = [answer(500, f"you sent {VALUE}".encode()), answer(500, VALUE.encode())]
    own = "whsec_" + "c2VjcmV0" * 6
    made = call(browser, "post", "", url=receiver.url(), secret=own, header_name="Authorization", header_value=VALUE)
    assert made.status_code == 201
    pk = made.json()["id"]
    outbox.messages_write([Message(pk, "alerts", "{}")])
    outbox.deliver(seconds=5)
    tested = call(browser, "post", f"/{pk}/test")
    rotated = call(browser, "post", f"/{pk}/secret", secret="whsec_" + "c2VjcmV1" * 6)
    message = WebhookMessage.objects.get(kind="alerts")
    pages = [reverse("predictions:webhooks"), reverse("predictions:webhook", args=[pk])]
    pages += [reverse("predictions:webhook_message", args=[message.pk]), "/admin/core/webhookendpoint/"]
    pages += [f"/admin/core/webhookendpoint/{pk}/change/", API, f"{API}/{pk}", f"{API}/messages/{message.pk}"]
    get_user_model().objects.update(is_superuser=True)
    answers = [made, tested, rotated, *(browser.get(path) for path in pages)]
    assert {one.status_code for one in answers} <= {200, 201}
    told = caplog.text + "".join(one.content.decode() for one in answers)
    for secret in (own, "c2VjcmV0c2Vj", "c2VjcmV1c2Vj", VALUE, "never-shown"):
        assert secret not in told
    assert receiver.got[0].headers["authorization"] == VALUE
    assert [one.answer for one in message.tries.all()] == ["you sent ***"]
    row = WebhookEndpoint.objects.values().get()
    assert VALUE.encode() not in bytes(row["header_value"])


def test_an_endpoint_that_moves_to_another_host_forgets_its_header(browser: Client, receiver: Receiver) -> None:
    pk = endpoint_create(url=receiver.url("/a"), header_name="X-Key", header_value=VALUE)[0].pk
    assert call(browser, "patch", f"/{pk}", url=receiver.url("/b"), name="n").json()["header_name"] == "X-Key"
    assert WebhookEndpoint.objects.get().header_value is not None
    assert call(browser, "post", f"/{pk}/secret", secret="").json()["code"] == "VALIDATION_FAILED"
    moved = call(browser, "patch", f"/{pk}", url="https://8.8.8.8/mine").json()
    assert (moved["header_name"], WebhookEndpoint.objects.get().header_value) == ("", None)


def test_who_was_told_of_one_model_is_not_told_of_all_when_it_is_gone(browser: Client, receiver: Receiver) -> None:
    models = [employed(name) for name in ("gone", "stays")]
    gone, stays = (one.pk for one in models)
    pk = endpoint_create(url=receiver.url(), kinds=["alerts"], model_ids=[gone])[0].pk
    models[0].delete()
    page = browser.get(reverse("predictions:webhook", args=[pk])).content.decode()
    assert f"No. {gone}, no longer at work" in page
    post(browser, "webhook", pk, url=receiver.url("/moved"), kinds="alerts", model_ids=gone)
    assert WebhookEndpoint.objects.values_list("url", "model_ids").get() == (receiver.url("/moved"), [gone])
    assert call(browser, "patch", f"/{pk}", model_ids=[stays]).status_code == 200
    assert call(browser, "patch", f"/{pk}", model_ids=[gone]).json()["code"] == "MODEL_UNKNOWN"


def test_an_endpoint_in_use_is_not_deleted_nor_one_of_a_setting_moved(
    browser: Client, receiver: Receiver, settings: Any
) -> None:
    settings.N8N_SERVER_WEBHOOK_URL = receiver.url()
    settings_follow()
    pk = WebhookEndpoint.objects.get().pk
    assert call(browser, "patch", f"/{pk}", url="https://8.8.8.8/").json()["code"] == "WEBHOOK_OF_SETTING"
    assert call(browser, "delete", f"/{pk}").json()["code"] == "WEBHOOK_OF_SETTING"
    employed("talker", webhook_enabled=True)
    assert call(browser, "delete", f"/{pk}").json()["code"] == "WEBHOOK_IN_USE"
    settings.N8N_SERVER_WEBHOOK_URL = ""
    settings_follow()
    assert WebhookEndpoint.objects.get().off_reason == "setting"
    assert call(browser, "post", f"/{pk}/enable").json()["code"] == "WEBHOOK_OF_SETTING"
    settings.N8N_SERVER_WEBHOOK_URL = receiver.url("/moved")
    settings_follow()
    assert (WebhookEndpoint.objects.get().enabled, WebhookEndpoint.objects.get().url) == (True, receiver.url("/moved"))


def test_a_token_that_may_only_read_changes_nothing(client: Client, receiver: Receiver) -> None:
    from django.utils import timezone

    from apps.core.tokens import token_create

    user = get_user_model().objects.create_user("reader")
    text, _ = token_create(user=user, name="r", scopes=["read"], days=1, now=timezone.now())
    head = {"authorization": f"Bearer {text}"}
    pk = endpoint_create(url=receiver.url())[0].pk
    assert client.get(API, headers=head).status_code == 200
    for path in ("", f"/{pk}/test", f"/{pk}/secret", f"/{pk}/replay-failed", f"/{pk}/disable"):
        assert client.post(API + path, {}, content_type="application/json", headers=head).status_code == 403
    assert receiver.got == []
