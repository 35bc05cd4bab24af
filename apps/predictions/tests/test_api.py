"""`/api/server/`: shapes, scopes and errors."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.core.tokens import token_create
from apps.discovery.models import CoinMetric, Phase
from apps.predictions import champions, services
from apps.predictions.models import ActiveModel, AlertEvaluation, Prediction
from apps.predictions.reasons import probability_of
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import Feed, at, at_work, mint_of, trained
from apps.predictions.tests.matches import Match
from apps.predictions.tests.matches import match as match
from apps.training import containers
from apps.training.models import Model

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
    while scorer.explain():
        pass
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


def test_a_model_file_is_stored_and_put_to_work_or_neither(api: Api) -> None:
    model = trained("carried")
    file = base64.b64encode(containers.pack(model)).decode()
    assert api("post", "models/import", {"file": file}, status=409)["code"] == "MODEL_NAME_TAKEN"
    Model.objects.filter(pk=model.pk).update(name="carried elsewhere")
    assert api("post", "models/import", {"file": file, "threshold": 0.5, "phases": [77]}, status=400)["code"] == (
        "PHASE_UNKNOWN"
    )
    assert Model.objects.count() == 1
    active = api("post", "models/import", {"file": file}, status=201)
    assert (active["model_name"], active["threshold"]) == ("carried", model.threshold)
    for body, code in [
        ({}, "MODEL_NOT_NAMED"),
        ({"model_id": model.pk, "file": file}, "MODEL_NOT_NAMED"),
        ({"file": "no base64!"}, "MODEL_FILE_NOT_BASE64"),
        ({"file": base64.b64encode(b"no zip").decode()}, "MODEL_FILE_FOREIGN"),
    ]:
        assert api("post", "models/import", body, status=400)["code"] == code


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
    assert latest["count"] == 1 and [item["as_of"] for item in latest["items"]] == [one["items"][0]["as_of"]]
    judged = api("get", "alerts?limit=500")
    assert judged["count"] == AlertEvaluation.objects.count() > 5
    assert {item["status"] for item in judged["items"]} <= {"success", "failed"}
    assert api("get", "alerts?status=pending")["count"] == 0


JUDGED = [  # second, status, change, highest and lowest in percent
    (10, "success", 30.0, 40.0, -5.0), (20, "failed", -10.0, 5.0, -30.0), (30, "failed", -20.0, 0.0, -40.0),
    (40, "pending", None, None, None), (50, "not_applicable", 99.0, 99.0, 99.0), (60, "expired", None, None, None),
]  # fmt: skip


def test_statistics_are_those_counted_by_hand(api: Api) -> None:
    Feed().run_to(7_300)
    active = ActiveModel.objects.create(model=trained("one"), custom_name="place", threshold=0.5)
    for offset, first in ((7_200, 1), (0, 11)):  # the same once more, two hours before: too old for both figures
        for number, (seconds, status, change, high, low) in enumerate(JUDGED):
            alert = {"mint": mint_of(number % 2), "as_of": at(offset + seconds), "active_model_id": active.pk}
            score = {"probability": (number + 1) / 10, "price_sol": 1e-8, "phase_id": 1}
            AlertEvaluation.objects.create(
                **alert, **score, alert_id=first + number, fired_at=at(0), horizon_at=at(0), status=status,
                change_pct=change, highest_pct=high, lowest_pct=low,
            )  # fmt: skip
            tag, late = ("alert", "positive", "negative")[number % 3], number == 5
            Prediction.objects.create(**alert, **score, scored_at=at(0), tag=tag, is_late=late, duration_ms=number)
    (figures,) = api("get", "alerts/statistics?hours=1")["items"]
    assert figures == {
        "active_model_id": active.pk, "custom_name": "place", "alerts": 6, "pending": 1, "success": 1, "failed": 2,
        "expired": 1, "not_applicable": 1, "precision": pytest.approx(1 / 3), "mean_change_pct": pytest.approx(0.0),
        "mean_highest_pct": pytest.approx(15.0), "mean_lowest_pct": pytest.approx(-25.0),
    }  # fmt: skip
    (stats,) = api("get", "stats?hours=1")["models"]
    assert stats == {
        "active_model_id": active.pk, "is_shadow": False, "predictions": 6, "coins": 2, "negative": 2, "positive": 2,
        "alert": 2, "mean_probability": pytest.approx(0.35), "mean_duration_ms": pytest.approx(2.5), "late": 1,
        "newest_as_of": "2026-03-01T02:01:00Z",
    }  # fmt: skip


def test_health_says_how_far_the_scorer_is(api: Api, scored: ActiveModel) -> None:
    health = api("get", "health")
    assert (health["status"], health["scorer_alive"], health["active_models"]) == ("degraded", False, 1)
    assert health["lag_seconds"] > 200


def test_one_coin_is_scored_on_request(api: Api, scored: ActiveModel) -> None:
    other = at_work("other", seed=2)
    said = api("post", "predict", {"mint": mint_of(1)})
    assert (said["count"], [one["custom_name"] for one in said["items"]]) == (2, ["model", "other"])
    newest = CoinMetric.objects.filter(mint=mint_of(1)).latest("timestamp").timestamp
    assert datetime.fromisoformat(said["as_of"]) == newest
    assert said["age_seconds"] == (at(300) - newest).total_seconds()
    for score in said["items"]:
        assert probability_of(score["reasons"]) == pytest.approx(score["probability"], abs=1e-6)
    services.model_deactivate(active=other)
    assert api("post", "predict", {"mint": mint_of(1)})["count"] == 1
    chosen = api("post", "predict", {"mint": mint_of(1), "active_model_ids": [other.pk]})
    assert [one["active_model_id"] for one in chosen["items"]] == [other.pk]
    assert api("post", "predict?limit=1&offset=1", {"mint": mint_of(1)})["items"] == []
    assert api("post", "system/preload-models") == {"loaded": ["model"], "unusable": []}


def test_what_predict_cannot_answer_it_says(api: Api) -> None:
    feed = Feed()
    silent, odd = feed.coin(1, trades=[]), feed.coin(2, curve="nonstandard")
    known = feed.coin(3)
    feed.run_to(30)

    def code(status: int, **body: Any) -> str:
        return api("post", "predict", body, status=status)["code"]

    assert code(404, mint="nothing") == "COIN_UNKNOWN"
    assert code(409, mint=odd) == "CURVE_NOT_STANDARD"
    assert code(404, mint=silent) == "COIN_HAS_NO_METRICS"
    assert code(409, mint=known) == "NO_ACTIVE_MODEL"
    assert code(404, mint=known, active_model_ids=[7]) == "ACTIVE_MODEL_NOT_FOUND"
    broken = at_work()
    Model.objects.filter(pk=broken.model_id).update(artifact=b"nothing")
    assert code(409, mint=known, active_model_ids=[broken.pk]) == "MODEL_UNUSABLE"
    assert api("post", "system/preload-models") == {"loaded": [], "unusable": ["model"]}
    CoinMetric.objects.filter(mint=known).update(phase_id_at_time=Phase.GRADUATED)
    assert code(409, mint=known) == "COIN_NOT_TRADED"


def test_alerts_say_why_and_leave_out_shadows(api: Api, scored: ActiveModel) -> None:
    first = api("get", "alerts?limit=1")["items"][0]
    assert first["reasons"]["top"] and first["touches_gap"] is False
    assert first["highest_at"] is not None or first["highest_pct"] is None
    AlertEvaluation.objects.filter(alert_id=first["alert_id"]).update(alert_id=None)
    count = AlertEvaluation.objects.count()
    assert api("get", "alerts")["count"] == count - 1
    assert api("get", "alerts?shadows=true")["count"] == count


def test_shadows_are_left_out_or_marked(api: Api, scored: ActiveModel) -> None:
    shadow = champions.challenge_start(place=scored, model=trained("rival", seed=2))
    Prediction.objects.filter(mint=mint_of(2)).update(active_model_id=shadow.pk)
    of_place = Prediction.objects.filter(mint=mint_of(1)).count()
    assert api("get", "predictions")["count"] == of_place
    seen = api("get", "predictions?shadows=true&limit=500")["items"]
    assert {(one["active_model_id"], one["is_shadow"]) for one in seen} == {(scored.pk, False), (shadow.pk, True)}
    assert api("get", f"predictions?active_model_id={shadow.pk}&limit=1")["items"][0]["is_shadow"] is True
    assert api("get", f"predictions/latest/{mint_of(2)}")["count"] == 0
    assert api("get", f"predictions/latest/{mint_of(2)}?shadows=true")["items"][0]["is_shadow"] is True
    assert [one["is_shadow"] for one in api("get", "stats")["models"]] == [False, True]
    assert [one["is_shadow"] for one in api("post", "predict", {"mint": mint_of(1)})["items"]] == [False]
    chosen = api("post", "predict", {"mint": mint_of(1), "active_model_ids": [shadow.pk]})
    assert [one["is_shadow"] for one in chosen["items"]] == [True]
    assert api("get", "health")["active_models"] == 1


def test_the_plain_routes_refuse_a_shadow(api: Api, match: Match) -> None:
    path = f"models/{match.shadow.pk}"
    for method, rest, body in [
        ("delete", "", None),
        ("post", "/activate", None),
        ("post", "/deactivate", None),
        ("patch", "/rename", {"custom_name": "own"}),
        ("patch", "/alert-config", {"threshold": 0.1}),
        ("patch", "/ignore-settings", {"ignore_bad_seconds": 1}),
        ("patch", "/max-log-entries", {"alert": 1}),
    ]:
        assert api(method, path + rest, body, status=409)["code"] == "PLACE_IS_SHADOW"
    assert api("get", path)["shadow_of_id"] == match.place.pk


def test_reading_needs_the_scope_read_and_changing_admin(db: None) -> None:
    active = at_work()
    reader = Api("read")
    assert reader("get", "models")["count"] == 1
    assert reader("post", f"models/{active.pk}/deactivate", status=403)["code"] == "SCOPE_MISSING"
    assert Client().get(BASE + "models").status_code == 401
