"""Champion and challenger of a place at work: the challenge, the gate's looks, promotion, and the way back.

A place (`ActiveModel`) keeps its id, its settings and what strategies and webhooks know of it; a promotion only puts
another trained model into it. The challenger sits in the place's shadow: a place of its own, never heard by anyone.
An open challenge is one whose newest event is CHALLENGED or GATE. Every change is an event, written with the change.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.predictions import championship, evidence, metrics, queries, services
from apps.predictions.championship import Gate
from apps.predictions.evidence import Held
from apps.predictions.models import ActiveModel, ChampionEvent, RetrainingPlan
from apps.training import services as training_services
from apps.training.models import Model
from apps.training.recipes import Label

logger = logging.getLogger(__name__)

Kind = ChampionEvent.Kind
SUFFIX = " · challenger"
SHOWN_RESAMPLES = 1_000  # what a page shows need not be as fine as what is decided


# --- Reading -------------------------------------------------------------------------------------------
def active_get(*, active_id: int) -> ActiveModel:
    """A place at work, also a shadow. Raises ACTIVE_MODEL_NOT_FOUND."""
    place = ActiveModel.objects.select_related("model").defer("model__artifact").filter(pk=active_id).first()
    if place is None:
        raise NotFoundError(
            "ACTIVE_MODEL_NOT_FOUND",
            worded("There is no model %(active_id)s at work: see GET models.", active_id=active_id),
        )
    return place


def place_get(*, active_id: int) -> ActiveModel:
    """A place at work that is no shadow. Raises ACTIVE_MODEL_NOT_FOUND, PLACE_IS_SHADOW."""
    place = active_get(active_id=active_id)
    services.place_check(place)
    return place


def shadow_of(place: ActiveModel) -> ActiveModel | None:
    """The place's shadow with its model."""
    return ActiveModel.objects.select_related("model").defer("model__artifact").filter(shadow_of=place).first()


def challengers_of(places: Sequence[ActiveModel]) -> dict[int, str]:
    """By place, the name of the trained model that scores in its shadow."""
    held = ActiveModel.objects.filter(shadow_of__in=places, is_active=True).order_by("pk")
    return dict(held.values_list("shadow_of_id", "model__name"))


def events_of(place: ActiveModel) -> Any:
    """The history of a place, newest first."""
    return ChampionEvent.objects.filter(active_model_id=place.pk).select_related("champion", "challenger")


def challenge_open(place: ActiveModel) -> ChampionEvent | None:
    """The event that began the challenge that runs now; None where none does."""
    newest = events_of(place).exclude(kind=Kind.GATE).first()
    is_open = newest is not None and newest.kind == Kind.CHALLENGED
    return newest if is_open and ActiveModel.objects.filter(shadow_of=place).exists() else None


def looks_of(place: ActiveModel, challenge: ChampionEvent) -> list[ChampionEvent]:
    """What the gate said in a challenge, newest first."""
    return list(events_of(place).filter(kind=Kind.GATE, pk__gt=challenge.pk))


def gate_passed(place: ActiveModel) -> ChampionEvent | None:
    """The look that lets the present challenger take the place; None where there is none."""
    challenge = challenge_open(place)
    looks = looks_of(place, challenge) if challenge else []
    return looks[0] if looks and looks[0].verdict == "better" else None


def way_back(place: ActiveModel) -> ChampionEvent | None:
    """The promotion that brought the place its present model: what `roll_back` undoes."""
    return events_of(place).filter(kind=Kind.PROMOTED, challenger=place.model_id).first()


def now_of_market() -> datetime:
    """Feed time; the wall clock before the first frame."""
    return queries.feed_time() or timezone.now()


# --- Challenge -----------------------------------------------------------------------------------------
@transaction.atomic
def challenge_start(*, place: ActiveModel, model: Model, by: str = "") -> ActiveModel:
    """Let a trained model score in the place's shadow from now on; an open challenge ends. Returns the shadow.

    Raises CHALLENGER_IS_CHAMPION, LABELS_DIFFER, MODEL_NOT_FOUND.
    """
    place = _locked(place)
    _challenger_check(place.model, model)
    if challenge_open(place):
        challenge_end(place=place, note="superseded", by=by)
    shadow = shadow_of(place) or ActiveModel(shadow_of=place)
    shadow.model, shadow.threshold, shadow.is_active = model, model.threshold, True
    shadow.custom_name, shadow.model_since = _shadow_name(place, shadow), now_of_market()
    for name in services.FOLLOWED:
        setattr(shadow, name, getattr(place, name))
    shadow.save()
    if not model.alias:
        training_services.alias_set(model=model, alias=Model.Alias.CHALLENGER)
    _event(place, Kind.CHALLENGED, challenger=model, by=by, figures={"shadow_id": shadow.pk})
    services.scorer_notify()
    return shadow


def _challenger_check(champion: Model, model: Model) -> None:
    if model.is_deleted:
        raise NotFoundError("MODEL_NOT_FOUND", "This model was deleted: choose another one.")
    if model.pk == champion.pk:
        raise ConflictError("CHALLENGER_IS_CHAMPION", "This model holds the place already: choose another one.")
    if question_of(model) != question_of(champion):
        raise ConflictError(
            "LABELS_DIFFER", "Only a model with the same label can challenge: their alerts must mean the same."
        )


def question_of(model: Model) -> Any:
    """What a model is asked, in a form that can be compared."""
    return Label.model_validate(model.recipe["label"]).rule()


def _shadow_name(place: ActiveModel, shadow: ActiveModel) -> str:
    """A free name that says whose shadow it is."""
    name = place.custom_name[: 100 - len(SUFFIX)] + SUFFIX
    taken = ActiveModel.objects.filter(custom_name=name).exclude(pk=shadow.pk).exists()
    return f"{name[:90]} {place.pk}" if taken else name


@transaction.atomic
def challenge_end(*, place: ActiveModel, note: str, by: str = "", figures: dict[str, Any] | None = None) -> None:
    """End the open challenge without a change of the place; the shadow stops scoring. Raises NO_CHALLENGER."""
    place = _locked(place)
    shadow = shadow_of(place)
    if shadow is None or challenge_open(place) is None:
        raise ConflictError("NO_CHALLENGER", "No challenger scores beside this model: there is nothing to end.")
    _event(place, Kind.ENDED, challenger=shadow.model, by=by, note=note, figures=figures)
    _shadow_rest(shadow)


def _shadow_rest(shadow: ActiveModel) -> None:
    """Let the shadow score no more; its model is no challenger any longer."""
    shadow.is_active = False
    shadow.save(update_fields=["is_active"])
    if shadow.model.alias == Model.Alias.CHALLENGER:
        training_services.alias_set(model=shadow.model, alias=Model.Alias.NONE)
    services.scorer_notify()


@transaction.atomic
def place_delete(*, place: ActiveModel, by: str = "") -> None:
    """Take a stopped model out of the list, and its shadow with it; an open challenge ends.

    The history, the scores and the alerts stay, and what is pending is still judged. Raises ACTIVE_MODEL_NOT_FOUND,
    PLACE_IS_SHADOW, MODEL_IS_ACTIVE.
    """
    place = _locked(place)
    if place.is_active:
        raise ConflictError("MODEL_IS_ACTIVE", "Deactivate the model before you delete it.")
    shadow = shadow_of(place)
    if challenge_open(place):
        challenge_end(place=place, note="deleted", by=by)
    elif shadow:
        _shadow_rest(shadow)
    _event(place, Kind.DELETED, by=by, figures={"shadow_id": shadow.pk} if shadow else None)
    place.delete()
    services.scorer_notify()


# --- The gate ------------------------------------------------------------------------------------------
def gate_now(place: ActiveModel) -> Gate | None:
    """How the open challenge stands at this moment, as the next look would count it; None without one."""
    challenge, shadow = challenge_open(place), shadow_of(place)
    if challenge is None or shadow is None:
        return None
    look = min(len(looks_of(place, challenge)) + 1, championship.MOST_LOOKS)
    return _gate(place, shadow, challenge, look, resamples=SHOWN_RESAMPLES)


def _gate(
    place: ActiveModel,
    shadow: ActiveModel,
    challenge: ChampionEvent,
    look: int,
    resamples: int = championship.RESAMPLES,
) -> Gate:
    alerts = evidence.common_alerts(Held.of(place), Held.of(shadow), challenge.at, place.model.recipe)
    return championship.decide(*alerts, look=look, least=plan_of(place).min_alerts, resamples=resamples)


def plan_of(place: ActiveModel) -> RetrainingPlan:
    """The place's plan, or one with the defaults that is not stored."""
    return RetrainingPlan.objects.filter(active_model=place).first() or RetrainingPlan(active_model=place)


@transaction.atomic
def gate_look(*, place: ActiveModel) -> ChampionEvent | None:
    """Let the gate look at the open challenge where a look is due, and act on what it says; the newest event it wrote.

    A better challenger is promoted where the plan says so, else it waits for a click. A worse one, one that was looked
    at often enough and one that had its time end their challenge.
    """
    place = _locked(place)
    challenge, shadow = challenge_open(place), shadow_of(place)
    if shadow is None:
        return None
    if challenge is None:
        _look_back_end(place, shadow)
        return None
    looks = looks_of(place, challenge)
    if looks and looks[0].verdict == "better":
        return _promoted_if_wanted(place)
    gate = _gate(place, shadow, challenge, len(looks) + 1) if len(looks) < championship.MOST_LOOKS else None
    if gate is None or gate.verdict == "too_few":
        return _ended_if_over(place, challenge, gate)
    said = _event(place, Kind.GATE, challenger=shadow.model, verdict=gate.verdict, figures=gate.as_json())
    metrics.GATE_LOOKS.labels(gate.verdict).inc()
    if gate.verdict == "better":
        return _promoted_if_wanted(place) or said
    if gate.verdict == "worse" or gate.look == championship.MOST_LOOKS:
        challenge_end(place=place, note=gate.verdict, figures=gate.as_json())
    return events_of(place).first()


def _promoted_if_wanted(place: ActiveModel) -> ChampionEvent | None:
    return promote(place=place) if plan_of(place).promote_automatically else None


def _ended_if_over(place: ActiveModel, challenge: ChampionEvent, gate: Gate | None) -> ChampionEvent | None:
    if now_of_market() - challenge.at <= timedelta(hours=plan_of(place).shadow_hours):
        return None
    figures = gate.as_json() if gate else None
    challenge_end(place=place, note="timed_out", figures=figures)
    return events_of(place).first()


def _look_back_end(place: ActiveModel, shadow: ActiveModel) -> None:
    """A champion that went into the shadow scores there for as long as a challenger may, then rests."""
    since = shadow.model_since or shadow.activated_at
    if shadow.is_active and now_of_market() - since > timedelta(hours=plan_of(place).shadow_hours):
        _shadow_rest(shadow)


def gates_look() -> list[ChampionEvent]:
    """Look at every place with a challenger; what was written."""
    places = ActiveModel.objects.filter(shadow_of=None, shadow__isnull=False, is_active=True).order_by("pk")
    found = []
    for pk in places.values_list("pk", flat=True):
        try:
            found.append(gate_look(place=place_get(active_id=pk)))
        except PlatformError as error:
            logger.warning("the challenger of model %s at work is not judged: %s %s", pk, error.code, error.message)
    return [event for event in found if event is not None]


# --- Promotion and the way back --------------------------------------------------------------------------
@transaction.atomic
def promote(*, place: ActiveModel, by: str = "") -> ChampionEvent:
    """Let the challenger take the place; the champion goes on in its shadow, so that both can still be compared.

    Raises NO_CHALLENGER, GATE_NOT_PASSED.
    """
    place = _locked(place)
    shadow = shadow_of(place)
    if shadow is None or challenge_open(place) is None:
        raise ConflictError("NO_CHALLENGER", "No challenger scores beside this model: train or choose one first.")
    gate = gate_passed(place)
    if gate is None:
        raise ConflictError(
            "GATE_NOT_PASSED",
            "The challenger has not shown a better value per alert beyond chance yet: see its figures.",
        )
    return _swap(place, shadow, Kind.PROMOTED, by=by, figures=gate.figures)


@transaction.atomic
def roll_back(*, place: ActiveModel, by: str = "") -> ChampionEvent:
    """Give the place back to the model it had before its last promotion, at its former threshold; an open challenge
    ends. Raises NOTHING_TO_ROLL_BACK, MODEL_NOT_FOUND."""
    place = _locked(place)
    promotion = way_back(place)
    if promotion is None:
        raise ConflictError("NOTHING_TO_ROLL_BACK", "This place has had no other model by promotion.")
    former = promotion.champion
    if former is None or former.is_deleted:
        raise NotFoundError("MODEL_NOT_FOUND", "The former model was deleted: restore it first.")
    if challenge_open(place):
        challenge_end(place=place, note="rolled_back", by=by)
    shadow = shadow_of(place)
    if shadow is None or shadow.model_id != former.pk:
        shadow = _seat(place, shadow, former, promotion.figures.get("champion_threshold", former.threshold))
    event = _swap(place, shadow, Kind.ROLLED_BACK, by=by)
    _shadow_rest(shadow)
    return event


def _seat(place: ActiveModel, shadow: ActiveModel | None, model: Model, threshold: float) -> ActiveModel:
    """A shadow that holds this model, to be swapped with the place."""
    shadow = shadow or ActiveModel(shadow_of=place, is_active=False)
    shadow.custom_name = shadow.custom_name or _shadow_name(place, shadow)
    shadow.model, shadow.threshold = model, threshold
    shadow.save()
    return shadow


def _swap(
    place: ActiveModel, shadow: ActiveModel, kind: ChampionEvent.Kind, *, by: str, figures: dict[str, Any] | None = None
) -> ChampionEvent:
    """Change the models and thresholds of place and shadow, and the aliases; with the event, in the caller's
    transaction."""
    before, after = place.model, shadow.model
    kept = {**(figures or {}), "champion_threshold": place.threshold, "challenger_threshold": shadow.threshold}
    place.model, shadow.model = after, before
    place.threshold, shadow.threshold = shadow.threshold, place.threshold
    place.model_since = shadow.model_since = now_of_market()
    for one in (place, shadow):
        one.save(update_fields=["model", "threshold", "model_since"])
    training_services.alias_set(model=after, alias=Model.Alias.CHAMPION)
    training_services.alias_set(model=before, alias=Model.Alias.CHALLENGER)
    event = _event(place, kind, champion=before, challenger=after, by=by, figures=kept)
    metrics.PROMOTIONS.labels(kind.value).inc()
    services.scorer_notify()
    return event


def _locked(place: ActiveModel) -> ActiveModel:
    """The place as it is now, held against others until the transaction ends."""
    ActiveModel.objects.select_for_update().filter(pk=place.pk).first()
    return place_get(active_id=place.pk)


def _event(
    place: ActiveModel,
    kind: ChampionEvent.Kind,
    *,
    challenger: Model | None = None,
    champion: Model | None = None,
    by: str = "",
    note: str = "",
    verdict: str = "",
    figures: dict[str, Any] | None = None,
) -> ChampionEvent:
    champion = champion or place.model
    return ChampionEvent.objects.create(
        active_model_id=place.pk, kind=kind, at=now_of_market(), champion=champion, challenger=challenger,
        champion_name=champion.name, challenger_name=challenger.name if challenger else "", verdict=verdict,
        figures=figures or {}, by=by, note=note,
    )  # fmt: skip


def candidates(place: ActiveModel) -> Sequence[Model]:
    """Trained models that may challenge and do not yet, newest first."""
    challenge = challenge_open(place)
    taken = [place.model_id, (challenge.challenger_id if challenge else None) or place.model_id]
    same = Model.objects.filter(is_deleted=False, label_name=place.model.label_name).exclude(pk__in=taken)
    question = question_of(place.model)
    return [model for model in same.defer("artifact")[:100] if question_of(model) == question]
