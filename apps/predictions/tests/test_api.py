"""`/api/server/`: shapes, scopes and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.core.tokens import token_create
from apps.predictions import services
from apps.predictions.models import ActiveModel, AlertEvaluation, Prediction
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import Feed, at_work, mint_of, trained

pytestmark = pytest.mark.django_db
BASE = "/api/server/"


class Api:
    """A program with a token."""

    def __init__(self, *scopes: str) -> None:
        user = User.objects.create_superuser(username="-".join(scopes), password="x")
        text, _ = token_create(user=user, name="test", scopes=scopes, days=1, now=timezone.now())
        self.client = Client(headers={"Authorization": f"Bearer {text}"})

    def __call__(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response = getattr(self.client, method)(BASE + path, **data)
        assert response.status_code == status, response.content
        return response.json() if response.content else None


@pytest.fixture
def api(db: None) -> Api:
    return Api("admin")


@pytest.fixture
def scored(db: None) -> ActiveModel:
    """Two coins scored, every score an alert, all judged."""
    feed = Feed()
    feed.coin(1, seconds=400)
    feed.coin(2, seconds=400)
    active = at_work(threshold=0.0)
    scorer = Scorer()
    for seconds in range(5, 60, 5):
        feed.run_to(seconds)
        scorer.refresh()
        scorer.step()
    feed.run_to(300)
    services.outcomes_judge()
    return active


def test_available_models_become_models_at_work(api: Api) -> None:
    model = trained("fresh", threshold=0.4)
    available = api("get", "models/available")
    assert (available["count"], available["items"][0]["name"]) == (1, "fresh")
    active = api("post", "models/import", {"model_id": model.pk, "custom_name": "mine", "threshold": 0.7}, status=201)
    assert (active["custom_name"], active["threshold"], active["model_name"]) == ("mine", 0.7, "fresh")
    assert api("get", f"models/available/{model.pk}")["active_model_ids"] == [active["id"]]
    assert api("get", "models/active")["count"] == api("get", "models")["count"] == 1


def test_a_model_is_stopped_started_renamed_and_deleted(api: Api) -> None:
    path = f"models/{at_work().pk}"
    assert api("post", f"{path}/deactivate")["is_active"] is False
    assert api("get", "models/active")["count"] == 0
    assert api("post", f"{path}/activate")["is_active"] is True
    assert api("patch", f"{path}/rename", {"custom_name": "other"})["custom_name"] == "other"
    assert api("delete", path, status=409)["code"] == "MODEL_IS_ACTIVE"
    api("post", f"{path}/deactivate")
    api("delete", path, status=204)
    assert api("get", path, status=404)["code"] == "ACTIVE_MODEL_NOT_FOUND"


def test_settings_change_only_what_is_sent(api: Api) -> None:
    path = f"models/{at_work().pk}"
    changed = api("patch", f"{path}/alert-config", {"threshold": 0.9, "coin_filter": "whitelist", "whitelist": ["m"]})
    assert (changed["threshold"], changed["whitelist"], changed["send_mode"]) == (0.9, ["m"], "alerts_only")
    api("patch", f"{path}/ignore-settings", {"ignore_bad_seconds": 5})
    api("patch", f"{path}/ignore-settings", {"ignore_alert_seconds": 7})
    ignore = api("get", f"{path}/ignore-settings")
    assert (ignore["ignore_bad_seconds"], ignore["ignore_alert_seconds"]) == (5, 7)
    api("patch", f"{path}/max-log-entries", {"alert": 3})
    api("patch", f"{path}/max-log-entries", {"negative": 1})
    assert api("get", f"{path}/max-log-entries") == {"negative": 1, "positive": 0, "alert": 3}
    assert api("get", f"{path}/n8n-status")["status"] == "disabled"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("alert-config", {"threshold": 2}),
        ("alert-config", {"send_mode": "sometimes"}),
        ("ignore-settings", {"ignore_bad_seconds": -1}),
        ("max-log-entries", {"alert": -1}),
        ("rename", {"custom_name": ""}),
    ],
)
def test_wrong_values_are_refused_in_the_one_error_shape(api: Api, path: str, body: dict[str, Any]) -> None:
    error = api("patch", f"models/{at_work().pk}/{path}", body, status=422)
    assert set(error) == {"status", "code", "message", "details"}


def test_lists_of_scores_and_alerts_are_paginated_and_filtered(api: Api, scored: ActiveModel) -> None:
    scores = api("get", "predictions?limit=3")
    assert (len(scores["items"]), scores["count"]) == (3, Prediction.objects.count())
    one = api("get", f"predictions?mint={mint_of(1)}&tag=alert&active_model_id={scored.pk}")
    assert {item["mint"] for item in one["items"]} == {mint_of(1)}
    assert api("get", "predictions?tag=negative")["count"] == 0
    latest = api("get", f"predictions/latest/{mint_of(1)}")
    assert [item["as_of"] for item in latest] == [one["items"][0]["as_of"]]
    judged = api("get", "alerts?limit=500")
    assert judged["count"] == AlertEvaluation.objects.count() > 5
    assert {item["status"] for item in judged["items"]} <= {"success", "failed"}
    assert api("get", "alerts?status=pending")["count"] == 0


def test_statistics_add_up(api: Api, scored: ActiveModel) -> None:
    (figures,) = api("get", "alerts/statistics?hours=1")
    assert figures["alerts"] == figures["success"] + figures["failed"] == AlertEvaluation.objects.count()
    assert figures["precision"] == figures["success"] / figures["alerts"]
    (stats,) = api("get", "stats")["models"]
    assert (stats["predictions"], stats["coins"], stats["alert"]) == (
        Prediction.objects.count(),
        2,
        stats["predictions"],
    )


def test_health_says_how_far_the_scorer_is(api: Api, scored: ActiveModel) -> None:
    health = api("get", "health")
    assert (health["status"], health["scorer_alive"], health["active_models"]) == ("degraded", False, 1)
    assert health["lag_seconds"] > 200


def test_one_coin_is_scored_on_request(api: Api, scored: ActiveModel) -> None:
    (score,) = api("post", "predict", {"mint": mint_of(1)})
    assert score["tag"] == "alert" and 0 <= score["probability"] <= 1
    assert api("post", "predict", {"mint": "nothing"}, status=404)["code"] == "COIN_HAS_NO_METRICS"
    assert api("post", "system/preload-models") == {"loaded": ["model"]}


def test_reading_needs_the_scope_read_and_changing_admin(db: None) -> None:
    active = at_work()
    reader = Api("read")
    assert reader("get", "models")["count"] == 1
    assert reader("post", f"models/{active.pk}/deactivate", status=403)["code"] == "SCOPE_MISSING"
    assert Client().get(BASE + "models").status_code == 401
