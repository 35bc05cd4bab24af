"""Which endpoint is told what of a model's scores, alerts and their outcomes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from apps.core.errors import PlatformError
from apps.core.models import WebhookEndpoint, WebhookMessage
from apps.core.outbox import Message, messages_write
from apps.core.tests.receiver import open_receiver
from apps.discovery.metrics import N8N_BATCHES
from apps.discovery.tests.test_indexes import resolve
from apps.predictions import endpoints, services, webhooks
from apps.predictions.models import ActiveModel, AlertEvaluation
from apps.predictions.tests.feed import LABEL, Feed
from apps.predictions.tests.judged import RISE, beating_heart, model_with, predict, trade
from apps.predictions.webhooks import Hook, alert_messages, predictions_messages
from apps.training.models import Model

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OWN = "http://127.0.0.1:9/own"


def endpoint(name: str, *kinds: str, models: list[int] | None = None, **fields: Any) -> WebhookEndpoint:
    url = f"https://8.8.8.8/{name}"
    return WebhookEndpoint.objects.create(name=name, url=url, kinds=list(kinds), model_ids=models or [], **fields)


def employed(name: str, **fields: Any) -> ActiveModel:
    """A model at work that nobody will let score."""
    model = Model.objects.create(
        name=name, recipe={"name": name, "label": LABEL}, feature_names=[], label_name="rise", horizon_seconds=60,
        train_from=NOW, train_to=NOW, data_hash="0" * 64, rows_train=1, rows_validation=1, rows_test=1, scores={},
        threshold=0.5, artifact=b"", artifact_sha256="0" * 64, xgboost_version="0",
    )  # fmt: skip
    return services.model_import(model=model, fields=fields)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://localhost:8000/", "http://10.0.0.1/", "http://192.168.1.1/", "http://[::1]/",
        "http://169.254.169.254/latest/meta-data", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "ftp://8.8.8.8/",
        "file:///etc/passwd", "http://", "no address", "http://user@8.8.8.8/", "http://8.8.8.8:99999/",
        "http://2130706433/", "http://100.64.0.1/", "http://a..b/", " http://8.8.8.8/", "http://224.0.0.1/",
        "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
        "http://[64:ff9b:1::7f00:1]/", "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/", "http://192.0.0.192/",
        "http://8.8.8.8/\r\nX: y", "http://8.8.\t8.8/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127\u30020\u30020\u30021/",
    ],
)  # fmt: skip
def test_private_and_broken_addresses_are_refused(url: str) -> None:
    with pytest.raises(PlatformError) as caught:
        webhooks.url_check(url)
    assert caught.value.code == "WEBHOOK_URL_REFUSED"


def test_public_addresses_and_the_operators_own_hosts_are_allowed(settings: Any) -> None:
    settings.N8N_FIND_WEBHOOK_URL = "http://localhost:5678/webhook/find"
    settings.WEBHOOK_ALLOWED = ["127.0.0.1:5680", "[::1]:80"]
    for url in (
        "https://8.8.8.8/hook",
        "http://localhost:5678/webhook/other",
        "http://127.0.0.1:5680/",
        "http://[::1]/",
    ):
        webhooks.url_check(url)
    for url in ("http://localhost:5679/webhook/other", "http://127.0.0.1:5681/"):
        with pytest.raises(PlatformError):
            webhooks.url_check(url)


@pytest.mark.parametrize(
    ("mode", "subscribed", "own"),
    [
        ("alerts_only", [], (True, False)), ("all", [], (False, True)), ("negative_only", ["alerts"], (True, True)),
        ("alerts_only", ["predictions"], (True, True)), ("alerts_only", ["coins"], (True, False)),
    ],
)  # fmt: skip
@pytest.mark.django_db
def test_a_models_own_webhook_is_told_by_its_send_mode(
    mode: str, subscribed: list[str], own: tuple[bool, bool], settings: Any
) -> None:
    settings.N8N_SERVER_WEBHOOK_URL = OWN
    active = employed("m", webhook_enabled=True, send_mode=mode)
    WebhookEndpoint.objects.update(kinds=subscribed)
    (hook,) = webhooks.hooks_read([active])[active.pk]
    assert (hook.alerts, hook.scores) == own
    assert WebhookEndpoint.objects.get().setting == "N8N_SERVER_WEBHOOK_URL"


@pytest.mark.django_db
def test_models_that_name_one_address_share_its_endpoint(settings: Any) -> None:
    settings.N8N_SERVER_WEBHOOK_URL = OWN
    models = [employed("a", webhook_enabled=True), employed("b", webhook_enabled=True, webhook_url=OWN)]
    models.append(employed("c", webhook_enabled=True, webhook_url="https://8.8.8.8/c"))
    hooks = webhooks.hooks_read(models)
    shared, own = WebhookEndpoint.objects.order_by("id")
    assert [[hook.endpoint_id for hook in hooks[one.pk]] for one in models] == [[shared.pk], [shared.pk], [own.pk]]
    assert endpoints.models_of(shared) == models[:2] and endpoints.models_of(own) == models[2:]
    with pytest.raises(PlatformError, match="already"):
        endpoints.endpoint_create(url=OWN)


@pytest.mark.django_db
def test_other_endpoints_are_told_of_all_models_or_of_some() -> None:
    one, other = employed("one"), employed("other")
    everyone, some = endpoint("a", "alerts"), endpoint("b", "predictions", models=[other.pk])
    endpoint("c", "coins", "outcomes")
    endpoint("d", "alerts", enabled=False, off_reason="gone")
    assert webhooks.hooks_read([one, other]) == {
        one.pk: [Hook(everyone.pk, True, False)],
        other.pk: [Hook(everyone.pk, True, False), Hook(some.pk, False, True)],
    }
    ActiveModel.objects.filter(pk=other.pk).update(shadow_of=one)
    assert webhooks.hooks_read(ActiveModel.objects.filter(pk=other.pk)) == {other.pk: []}


def test_a_body_has_the_shape_of_the_standard_and_what_n8n_knows_from_before() -> None:
    hooks = [Hook(1, True, False), Hook(2, True, True)]
    alert = {"mint": "M", "as_of": NOW, "probability": 0.9, "price_sol": float("nan")}
    first, second = alert_messages(hooks, 7, "mine", NOW, [alert])
    assert (first.endpoint_id, second.endpoint_id, first.kind, first.active_model_id) == (1, 2, "alerts", 7)
    assert json.loads(first.body) == {
        "type": "alert", "timestamp": "2026-11-22T12:00:00Z", "model": "mine",
        "data": {"mint": "M", "as_of": "2026-11-22T12:00:00Z", "probability": 0.9, "price_sol": None},
    }  # fmt: skip
    parts = [json.loads(one.body) for one in predictions_messages(hooks, 7, "mine", NOW, [{"mint": "M"}] * 250)]
    assert [part["count"] for part in parts] == [100, 100, 50] and parts[0]["type"] == "predictions"
    assert alert_messages([Hook(1, False, True)], 7, "m", NOW, [alert]) == predictions_messages(
        hooks[:1], 7, "m", NOW, [alert]
    )


@pytest.mark.django_db
def test_what_became_of_alerts_is_told_by_model() -> None:
    one, other = employed("one"), employed("other")
    endpoint("a", "outcomes", models=[other.pk])
    for number, active in enumerate((one, other, other)):
        AlertEvaluation.objects.create(
            active_model_id=active.pk, mint=f"M{number}", as_of=NOW, alert_id=number, fired_at=NOW, probability=0.9,
            price_sol=1.0, phase_id=1, horizon_at=NOW, status="success", change_pct=51.0,
        )  # fmt: skip
    webhooks.outcomes_tell([0, 1, 2], at=NOW)
    message = WebhookMessage.objects.get()
    body = json.loads(message.body)
    assert (body["type"], body["model"], body["count"], message.active_model_id) == ("outcomes", "other", 2, other.pk)
    assert [(alert["mint"], alert["status"]) for alert in body["data"]] == [("M1", "success"), ("M2", "success")]
    webhooks.outcomes_tell([], at=NOW)
    assert WebhookMessage.objects.count() == 1


@pytest.mark.django_db
def test_a_model_says_how_its_webhook_does(settings: Any) -> None:
    settings.N8N_SERVER_WEBHOOK_URL = OWN
    active = employed("m", webhook_enabled=True)
    status = services.n8n_status(active=active)
    own = WebhookEndpoint.objects.get()
    assert (status["status"], status["url"], status["endpoint_id"]) == ("never_sent", OWN, own.pk)
    for state, told in (("sent", "ok"), ("failed", "failing")):
        WebhookMessage.objects.create(
            endpoint=own, kind="alerts", active_model_id=active.pk, body="{}", status=state, attempts=1
        )
        assert services.n8n_status(active=active)["status"] == told
    own.enabled, own.off_reason = False, "gone"
    own.save()
    status = services.n8n_status(active=active)
    assert (status["status"], status["sent"], status["failed"], status["pending"]) == ("switched_off", 1, 1, 0)


@pytest.mark.django_db
def test_batches_of_coins_that_arrive_are_counted(settings: Any) -> None:
    before = N8N_BATCHES._value.get()
    with open_receiver() as receiver:
        settings.N8N_FIND_WEBHOOK_URL = receiver.url()
        services.webhooks_deliver()  # makes the endpoint of the setting
        to = WebhookEndpoint.objects.get()
        messages_write([Message(to.pk, kind, "{}") for kind in ("coins", "coins", "alerts")])
        assert services.webhooks_deliver() == 3
    assert N8N_BATCHES._value.get() - before == 2


@pytest.mark.django_db
def test_the_judge_tells_what_became_of_an_alert() -> None:
    to, feed = endpoint("a", "outcomes"), Feed()
    beating_heart(feed, 200)
    mint = feed.coin(1, trades=[trade(11, 1.0), trade(20, 1.3)])
    active = model_with(RISE)
    predict(active, mint, 10)
    predict(active, mint, 11, tag="positive")
    feed.run_to(180)
    services.outcomes_judge()
    message = WebhookMessage.objects.get(endpoint=to)
    (told,) = json.loads(message.body)["data"]
    assert (told["mint"], told["status"], told["alert_id"]) == (mint, "success", 100)
    services.outcomes_judge()
    assert WebhookMessage.objects.count() == 1


INDEXES = """
    SELECT i.relname, obj_description(i.oid, 'pg_class') FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    WHERE t.relname LIKE 'webhook%' AND NOT x.indisprimary ORDER BY 1"""


@pytest.mark.django_db
def test_every_index_names_a_query_that_exists() -> None:
    with connection.cursor() as cursor:
        cursor.execute(INDEXES)
        found = cursor.fetchall()
    assert len(found) == 6
    for index, comment in found:
        names = re.findall(r"apps\.\w+\.\w+(?:\.\w+)?", comment or "")
        assert names, index
        for name in names:
            resolve(name)
