"""`/api/server/models/{id}/...`: live beside promised, drift, challenger and gate, promotion and the way back, the plan
of retraining."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from apps.core.pagination import Page, PageQuery, paginate
from apps.core.schemas import Body
from apps.core.tokens import admin, read
from apps.predictions import champions, drift, living, model_days, retraining
from apps.predictions.models import ActiveModel, ChampionEvent, ModelDay, RetrainingPlan
from apps.predictions.retraining import LIMITS
from apps.predictions.schemas import ActiveOut
from apps.training import services as training_services

router = Router(tags=["server"])


class PromiseOut(Schema):
    """What the model's own test said (`part` test, else validation; empty: nothing)."""

    part: str
    threshold: float | None
    precision: float | None
    expected_value: float | None
    precision_interval: list[float] | None
    expected_value_interval: list[float] | None


class LifeOut(Schema):
    """How a model does beside its promise over the last days; `states` by measure, `state` the worst of them:
    as_promised, below, above, too_few (alerts), not_comparable (its settings alert elsewhere), not_promised, "" (not
    counted yet)."""

    active_model_id: int
    model_id: int
    state: str
    states: dict[str, str]
    days: int
    promised: PromiseOut
    live: living.Life | None
    updated_at: datetime | None


class DayOut(Schema):
    """One UTC day of one trained model at this place."""

    day: date
    model_id: int
    state: str
    life: living.Life | None
    score_psi: float | None
    feature_psi_max: float | None
    feature_psi_name: str | None
    rows_compared: int


class FeatureDriftOut(Schema):
    """The population stability index of a feature on a day against the training sample; `name` "score" is the score."""

    day: date
    name: str
    psi: float | None
    degree: str


class EventOut(Schema):
    """One line of the place's history; `figures` are those of the gate."""

    id: int
    kind: str
    at: datetime
    champion_id: int | None
    champion_name: str
    challenger_id: int | None
    challenger_name: str
    verdict: str
    figures: dict[str, Any]
    by: str
    note: str
    created_at: datetime


class PlanOut(Schema):
    """Hours are of feed time; `every_hours` 0: only on request; `window_hours` 0: as long as the model's own data."""

    every_hours: int
    window_hours: int
    promote_automatically: bool
    min_alerts: int
    shadow_hours: int
    requested_at: datetime | None
    job_id: int | None
    note: str


def _hours(name: str) -> Any:
    return Field(None, ge=LIMITS[name][0], le=LIMITS[name][1])


class PlanIn(Body):
    """What is left out stays as it is."""

    every_hours: int | None = _hours("every_hours")
    window_hours: int | None = _hours("window_hours")
    promote_automatically: bool | None = None
    min_alerts: int | None = _hours("min_alerts")
    shadow_hours: int | None = _hours("shadow_hours")


class ChampionshipOut(Schema):
    """Who holds the place, who challenges, and how that stands. `gate_passed`: the challenger may be promoted now;
    `standing` is the gate's count of this moment; `rolls_back_to` the model that a roll back would bring back."""

    active_model_id: int
    champion_id: int
    champion_name: str
    shadow_id: int | None
    challenger_id: int | None
    challenger_name: str
    challenged_at: datetime | None
    gate_passed: bool
    standing: dict[str, Any] | None
    rolls_back_to: str
    plan: PlanOut


class ChallengeIn(Body):
    model_id: int


class JobOut(Schema):
    job_id: int


class DriftQuery(PageQuery):
    day: date | None = Field(None, description="UTC day of feed time; empty: the newest")


# --- Live and promised, drift ------------------------------------------------------------------------------
@router.get("/{active_id}/life", response=LifeOut, auth=read)
def model_life(request: HttpRequest, active_id: int) -> dict[str, Any]:
    """What the model keeps of its promise, over the last days."""
    place = _place(active_id)
    row = ModelDay.objects.filter(active_model_id=place.pk, model_id=place.model_id, day=None).first()
    promise = living.promise_of(place.model.promising_scores())
    return {
        "active_model_id": place.pk,
        "model_id": place.model_id,
        "state": model_days.state_stored(place, row),
        "states": model_days.states_stored(place, row),
        "days": living.SPAN_DAYS,
        "promised": _promised(promise),
        "live": row.life if row else None,
        "updated_at": row.updated_at if row else None,
    }


def _promised(promise: living.Promise) -> dict[str, Any]:
    ends = {f"{name}_interval": promise.intervals.get(name) for name in living.MEASURES}
    return {"part": promise.part, "threshold": promise.threshold, **promise.values, **ends}


@router.get("/{active_id}/days", response=Page[DayOut], auth=read)
def model_days_list(request: HttpRequest, active_id: int, page: Query[PageQuery]) -> dict[str, Any]:
    """The days of the place, newest first; a day on which the model changed has a row for each."""
    rows = ModelDay.objects.filter(active_model_id=_place(active_id).pk, day__isnull=False)
    return paginate(rows.order_by("-day", "-model_id"), page, _day)


def _day(row: ModelDay) -> dict[str, Any]:
    found = drift.drift_read(row.drift)
    highest = found.highest
    return {
        "day": row.day,
        "model_id": row.model_id,
        "state": row.state,
        "life": row.life or None,
        "score_psi": found.score,
        "feature_psi_max": highest[1] if highest else None,
        "feature_psi_name": highest[0] if highest else None,
        "rows_compared": found.rows,
    }


@router.get("/{active_id}/drift", response=Page[FeatureDriftOut], auth=read)
def model_drift(request: HttpRequest, active_id: int, page: Query[DriftQuery]) -> dict[str, Any]:
    """The drift of each feature and of the score on a day, highest first."""
    row = model_days.drift_row(_place(active_id), page.day)
    if row is None:
        return paginate([], page)
    found = drift.drift_read(row.drift)
    indices = [("score", found.score), *model_days.by_drift(found)]
    rows = [{"day": row.day, "name": name, "psi": psi, "degree": drift.degree_of(psi)} for name, psi in indices]
    return paginate(rows, page)


# --- Challenger --------------------------------------------------------------------------------------------
@router.get("/{active_id}/championship", response=ChampionshipOut, auth=read)
def model_championship(request: HttpRequest, active_id: int) -> dict[str, Any]:
    """Champion, challenger, the gate and the plan."""
    place = champions.place_get(active_id=active_id)
    challenge, shadow = champions.challenge_open(place), champions.shadow_of(place)
    standing, back = champions.gate_now(place), champions.way_back(place)
    return {
        "active_model_id": place.pk,
        "champion_id": place.model_id,
        "champion_name": place.model.name,
        "shadow_id": shadow.pk if shadow else None,
        "challenger_id": challenge.challenger_id if challenge else None,
        "challenger_name": challenge.challenger_name if challenge else "",
        "challenged_at": challenge.at if challenge else None,
        "gate_passed": champions.gate_passed(place) is not None,
        "standing": standing.as_json() if standing else None,
        "rolls_back_to": back.champion_name if back else "",
        "plan": champions.plan_of(place),
    }


@router.get("/{active_id}/history", response=Page[EventOut], auth=read)
def model_history(request: HttpRequest, active_id: int, page: Query[PageQuery]) -> dict[str, Any]:
    """Challenges, looks of the gate, promotions and ways back, newest first."""
    return paginate(champions.events_of(champions.place_get(active_id=active_id)), page)


@router.post("/{active_id}/challenge", response={201: ActiveOut}, auth=admin)
def model_challenge(request: HttpRequest, active_id: int, body: ChallengeIn) -> tuple[int, ActiveModel]:
    """Let a trained model score in the shadow; it answers with the shadow's settings."""
    model = training_services.model_get(model_id=body.model_id)
    place = champions.place_get(active_id=active_id)
    return 201, champions.challenge_start(place=place, model=model, by=who(request))


@router.post("/{active_id}/challenge/end", response={204: None}, auth=admin)
def model_challenge_end(request: HttpRequest, active_id: int) -> tuple[int, None]:
    """End the challenge; the champion stays."""
    champions.challenge_end(place=champions.place_get(active_id=active_id), note="dismissed", by=who(request))
    return 204, None


@router.post("/{active_id}/promote", response=EventOut, auth=admin)
def model_promote(request: HttpRequest, active_id: int) -> ChampionEvent:
    """Let the challenger take the place, where the gate let it pass."""
    return champions.promote(place=champions.place_get(active_id=active_id), by=who(request))


@router.post("/{active_id}/rollback", response=EventOut, auth=admin)
def model_rollback(request: HttpRequest, active_id: int) -> ChampionEvent:
    """Give the place back to the model it had before its last promotion."""
    return champions.roll_back(place=champions.place_get(active_id=active_id), by=who(request))


# --- Retraining --------------------------------------------------------------------------------------------
@router.get("/{active_id}/retraining", response=PlanOut, auth=read)
def model_retraining(request: HttpRequest, active_id: int) -> RetrainingPlan:
    """How the place renews its model."""
    return champions.plan_of(champions.place_get(active_id=active_id))


@router.patch("/{active_id}/retraining", response=PlanOut, auth=admin)
def model_retraining_change(request: HttpRequest, active_id: int, body: PlanIn) -> RetrainingPlan:
    """Change how the place renews its model."""
    place = champions.place_get(active_id=active_id)
    return retraining.plan_set(place=place, fields=body.model_dump(exclude_none=True))


@router.post("/{active_id}/retrain", response={201: JobOut}, auth=admin)
def model_retrain(request: HttpRequest, active_id: int) -> tuple[int, dict[str, Any]]:
    """Train the champion's recipe on the newest data now; the result will challenge."""
    return 201, {"job_id": retraining.retrain(place=champions.place_get(active_id=active_id)).pk}


def who(request: HttpRequest) -> str:
    """The name of the user who calls."""
    return str(request.auth.user.get_username())  # type: ignore[attr-defined]


def _place(active_id: int) -> ActiveModel:
    """A model at work, also a shadow."""
    return champions.active_get(active_id=active_id)
