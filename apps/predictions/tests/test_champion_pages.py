"""Pages and API of champions, lives and drifts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from apps.predictions import champions, model_days, services
from apps.predictions.models import ActiveModel, AlertEvaluation, ChampionEvent, ModelDay, Prediction, RetrainingPlan
from apps.predictions.tests.feed import START, Feed, at, mint_of
from apps.predictions.tests.matches import Match, fresh, plain_model, values
from apps.predictions.tests.matches import match as match
from apps.predictions.tests.test_model_days import TEST
from apps.training.models import Job, Model

pytestmark = pytest.mark.django_db

PAGES = ("life", "drift", "champion", "model")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))
    return client


def text(client: Client, name: str, pk: int, **query: Any) -> str:
    response = client.get(reverse(f"predictions:{name}", args=[pk]), query, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def post(client: Client, name: str, pk: int, **data: Any) -> str:
    return client.post(reverse(f"predictions:{name}", args=[pk]), data, follow=True).content.decode()


# --- Pages -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PAGES)
def test_pages_say_what_to_do_while_there_is_nothing(staff: Client, match: Match, name: str) -> None:
    assert "place" in text(staff, name, match.place.pk)
    assert "place" in text(staff, name, match.shadow.pk)
    assert staff.get(reverse(f"predictions:{name}", args=[10**6])).status_code == 404


def test_a_click_promotes_and_another_brings_the_former_champion_back(staff: Client, match: Match) -> None:
    assert "has not shown a better value" in post(staff, "promote", match.place.pk)
    match.play(values(0.0), values(0.2, seed=2))
    page = text(staff, "champion", match.place.pk)
    assert "beyond chance" in page
    assert reverse("predictions:promote", args=[match.place.pk]) not in page, "the gate has not looked yet"
    champions.gates_look()
    assert reverse("predictions:promote", args=[match.place.pk]) in text(staff, "champion", match.place.pk)
    assert "has taken the place" in post(staff, "promote", match.place.pk)
    assert "Roll back to old" in text(staff, "champion", match.place.pk)
    assert "has its place back" in post(staff, "roll_back", match.place.pk)
    assert fresh(match.place).model.name == "old"
    assert list(ChampionEvent.objects.filter(kind__in=("promoted", "rolled_back")).values_list("by", flat=True)) == [
        "boss", "boss",
    ]  # fmt: skip


def test_forms_keep_the_plan_and_choose_a_challenger(staff: Client, match: Match) -> None:
    third, other = plain_model("third"), plain_model("asked otherwise", label_name="other")
    page = text(staff, "champion", match.place.pk)
    assert third.name in page
    assert other.name not in page
    plan = {"every_hours": 12, "window_hours": 48, "min_alerts": 60, "shadow_hours": 24}
    assert "Saved" in post(staff, "champion", match.place.pk, action="plan", **plan)
    assert RetrainingPlan.objects.values(*plan).get() == plan
    assert "greater than or equal to 30" in post(
        staff, "champion", match.place.pk, action="plan", **plan | {"min_alerts": 5}
    )
    post(staff, "champion", match.place.pk, action="challenge", model=third.pk)
    assert champions.challenge_open(match.place).challenger == third
    post(staff, "challenge_end", match.place.pk)
    assert champions.challenge_open(match.place) is None


def test_training_anew_is_a_click(staff: Client, match: Match) -> None:
    assert "queued" in post(staff, "retrain", match.place.pk)
    assert "already trains" in post(staff, "retrain", match.place.pk)
    assert Job.objects.count() == 1


@pytest.fixture
def below(match: Match) -> Match:
    """The champion had a test and earns less than it said."""
    Model.objects.filter(pk=match.place.model_id).update(scores={"test": TEST | {"threshold": 0.6}})
    services.model_configure(active=match.place, fields={"phases": []})
    Feed().run_to(600)
    match.play([-0.5] * 60, [])
    model_days.lives_update()
    return match


@pytest.mark.parametrize(("name", "args"), [("model", True), ("life", True), ("overview", False)])
def test_a_model_off_its_backtest_is_said_at_once(staff: Client, below: Match, name: str, args: bool) -> None:
    page = staff.get(reverse(f"predictions:{name}", args=[below.place.pk] if args else [])).content.decode()
    assert "lives below its backtest" in page
    assert "-50.00" in page
    assert "promised +10.00" in page


def test_a_promoted_model_is_not_blamed_for_its_predecessor(staff: Client, below: Match) -> None:
    below.play([], values(0.2), after=200)
    champions._swap(fresh(below.place), fresh(below.shadow), ChampionEvent.Kind.PROMOTED, by="")
    assert "lives below" not in text(staff, "life", below.place.pk)


def test_alerts_of_the_shadow_are_listed_with_its_model_only(staff: Client, match: Match) -> None:
    match.play([], [0.1])
    alerts = reverse("predictions:alerts")
    key = f"{match.shadow.pk}-Coin"
    assert key not in staff.get(alerts).content.decode()
    assert key in staff.get(alerts, {"model": match.shadow.pk}).content.decode()
    assert "place · challenger" not in staff.get(reverse("predictions:statistics")).content.decode()


def test_neither_charts_nor_figures_tell_of_the_shadow(staff: Client, match: Match) -> None:
    match.play([], [0.1])
    AlertEvaluation.objects.update(as_of=at(0))
    Prediction.objects.create(
        active_model_id=match.shadow.pk, mint=mint_of(0), as_of=at(0), scored_at=at(0), probability=0.9, tag="alert",
        price_sol=1e-8, phase_id=1, duration_ms=1.0,
    )  # fmt: skip
    marks, figures = reverse("predictions:marks", args=[mint_of(0)]), "/api/server/alerts/statistics"
    assert staff.get(marks).json()["items"] == []
    assert staff.get(figures).json()["items"] == []
    assert staff.get(figures, {"shadows": True}).json()["items"][0]["active_model_id"] == match.shadow.pk
    AlertEvaluation.objects.update(alert_id=1)
    assert [one["time"] for one in staff.get(marks).json()["items"]] == [at(0).timestamp()]


def day_of_drift(match: Match, day: int, **features: float | None) -> None:
    moment = START.date() + timedelta(days=day)
    drift = {"rows": 500, "scores": 500, "features": features, "score": 0.02, "to": datetime.now(UTC).isoformat()}
    ModelDay.objects.create(active_model_id=match.place.pk, model=match.place.model, day=moment, drift=drift)


def test_drift_is_shown_by_feature_highest_first(staff: Client, match: Match) -> None:
    Model.objects.filter(pk=match.place.model_id).update(profile={"features": {"a": {}}})
    day_of_drift(match, 0, calm=0.01, wild=0.2, new=None)
    day_of_drift(match, 1, calm=0.02, wild=0.9, new=None)
    page = text(staff, "drift", match.place.pk)
    assert page.index("drift-wild") < page.index("drift-calm") < page.index("drift-new")
    assert page.count('<svg class="spark') == 3
    assert '<svg class="spark down"' in page


# --- API -------------------------------------------------------------------------------------------------
def api(client: Client, method: str, path: str, pk: int, body: Any = None) -> tuple[int, Any]:
    response = getattr(client, method)(f"/api/server/models/{pk}/{path}", body, content_type="application/json")
    return response.status_code, response.json() if response.content else None


def test_the_api_tells_life_days_and_drift(staff: Client, below: Match) -> None:
    day_of_drift(below, 0, calm=0.01, wild=0.9)
    status, life = api(staff, "get", "life", below.place.pk)
    assert (status, life["state"], life["states"]) == (200, "below", {"precision": "above", "expected_value": "below"})
    assert (life["live"]["alerts"], life["promised"]["expected_value_interval"]) == (60, [0.05, 0.15])
    _, days = api(staff, "get", "days", below.place.pk)
    assert (days["count"], days["items"][0]["feature_psi_name"], days["items"][0]["life"]) == (1, "wild", None)
    _, drift = api(staff, "get", "drift", below.place.pk)
    assert [(row["name"], row["degree"]) for row in drift["items"]] == [
        ("score", "none"), ("wild", "much"), ("calm", "none"),
    ]  # fmt: skip
    assert api(staff, "get", "drift?day=2020-01-01", below.place.pk)[1]["count"] == 0


def test_who_sets_a_model_otherwise_than_it_was_tested_reads_so_at_once(staff: Client, below: Match) -> None:
    page = text(staff, "life", below.place.pk)
    assert "lives below its backtest" in page and "part of a gap may come from them" in page
    ActiveModel.objects.filter(pk=below.place.pk).update(ignore_bad_seconds=0)
    assert "part of a gap" not in text(staff, "life", below.place.pk)
    ActiveModel.objects.filter(pk=below.place.pk).update(threshold=0.99)
    page = text(staff, "life", below.place.pk)
    assert "lives below its backtest" not in page and "not comparable" in page
    assert api(staff, "get", "life", below.place.pk)[1]["state"] == "not_comparable"


def test_the_api_challenges_promotes_and_rolls_back(staff: Client, match: Match) -> None:
    place = match.place.pk
    match.play(values(0.0), values(0.2, seed=2))
    status, now = api(staff, "get", "championship", place)
    assert (status, now["challenger_name"], now["gate_passed"], now["rolls_back_to"]) == (200, "new", False, "")
    assert now["standing"]["verdict"] == "better"
    assert api(staff, "post", "promote", place)[1]["code"] == "GATE_NOT_PASSED"
    champions.gates_look()
    assert api(staff, "post", "promote", place)[1]["challenger_name"] == "new"
    assert api(staff, "get", "championship", place)[1]["rolls_back_to"] == "old"
    assert api(staff, "post", "rollback", place)[1]["kind"] == "rolled_back"
    third = plain_model("third")
    status, shadow = api(staff, "post", "challenge", place, {"model_id": third.pk})
    assert (status, shadow["model_name"]) == (201, "third")
    assert api(staff, "post", "challenge/end", place)[0] == 204
    _, history = api(staff, "get", "history", place)
    assert [row["kind"] for row in history["items"]] == [
        "ended", "challenged", "rolled_back", "promoted", "gate", "challenged",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"), [({"every_hours": 6}, 200), ({"min_alerts": 1}, 422), ({"every_hours": 10**9}, 422)]
)
def test_the_api_changes_a_plan(staff: Client, match: Match, body: dict[str, int], status: int) -> None:
    assert api(staff, "patch", "retraining", match.place.pk, body)[0] == status
    hours = api(staff, "get", "retraining", match.place.pk)[1]["every_hours"]
    assert hours == (body["every_hours"] if status == 200 else 0)


@pytest.mark.parametrize("path", ["championship", "history", "retraining", "promote", "rollback", "retrain"])
def test_a_shadow_has_none_of_it(staff: Client, match: Match, path: str) -> None:
    method = "get" if path in ("championship", "history", "retraining") else "post"
    assert api(staff, method, path, match.shadow.pk)[1]["code"] == "PLACE_IS_SHADOW"
    assert api(staff, method, path, 10**6)[1]["code"] == "ACTIVE_MODEL_NOT_FOUND"
