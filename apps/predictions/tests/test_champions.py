"""Challenge, gate, promotion and the way back, on judged alerts in the real tables."""

from __future__ import annotations

from typing import Any

import pytest

from apps.predictions import champions, queries, retraining, services
from apps.predictions.models import (
    ActiveModel,
    AlertEvaluation,
    ChampionEvent,
    Prediction,
)
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import LABEL, Feed, at, at_work, trained
from apps.predictions.tests.matches import Match, code_of, fresh, kinds, plain_model, values
from apps.predictions.tests.matches import match as match
from apps.training import services as training_services
from apps.training.models import Model

pytestmark = pytest.mark.django_db

Kind = ChampionEvent.Kind


# --- Challenge -----------------------------------------------------------------------------------------
def test_a_challenger_has_the_settings_of_the_place_and_its_own_threshold(match: Match) -> None:
    shadow = fresh(match.shadow)
    assert (shadow.phases, shadow.ignore_bad_seconds, shadow.threshold) == ([1], 7, 0.7)
    assert (shadow.webhook_enabled, shadow.shadow_of_id, shadow.custom_name) == (
        False,
        match.place.pk,
        "place · challenger",
    )
    services.model_configure(active=match.place, fields={"ignore_bad_seconds": 9, "threshold": 0.55})
    assert (fresh(shadow).ignore_bad_seconds, fresh(shadow).threshold) == (9, 0.7)
    event = ChampionEvent.objects.get()
    assert (event.kind, event.by, event.champion_name, event.challenger_name) == ("challenged", "ann", "old", "new")


def test_a_shadow_rests_with_its_place(match: Match) -> None:
    assert ActiveModel.objects.scoring().count() == 2
    services.model_deactivate(active=match.place)
    assert not ActiveModel.objects.scoring().exists()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"label": {**LABEL, "change_pct": 50.0}}, "LABELS_DIFFER"),
        ({"label": {**LABEL, "latency_seconds": 3.0}}, "LABELS_DIFFER"),
        ({"is_deleted": True}, "MODEL_NOT_FOUND"),
    ],
)
def test_only_a_model_asked_the_same_may_challenge(match: Match, fields: dict[str, Any], code: str) -> None:
    assert code_of(champions.challenge_start, place=match.place, model=plain_model("third", **fields)) == code
    assert code_of(champions.challenge_start, place=match.place, model=match.place.model) == "CHALLENGER_IS_CHAMPION"
    assert kinds() == ["challenged"]


def test_a_shadow_has_no_challenger_of_its_own(match: Match) -> None:
    assert code_of(champions.place_get, active_id=match.shadow.pk) == "PLACE_IS_SHADOW"
    assert code_of(champions.place_get, active_id=10**6) == "ACTIVE_MODEL_NOT_FOUND"


def test_a_new_challenger_ends_the_challenge_of_the_old_one(match: Match) -> None:
    again = champions.challenge_start(place=match.place, model=plain_model("third"))
    assert again.pk == match.shadow.pk
    assert kinds() == ["challenged", "ended", "challenged"]
    assert champions.challenge_open(match.place).challenger_name == "third"


# --- Gate ------------------------------------------------------------------------------------------------
def test_the_gate_proposes_a_better_challenger_and_a_click_promotes_it(match: Match) -> None:
    match.play(values(0.0), values(0.2, seed=2))
    event = champions.gate_look(place=match.place)
    assert (event.kind, event.verdict) == (Kind.GATE, "better")
    assert event.figures["interval"][0] > 0
    assert event.figures["difference"] == pytest.approx(0.2, abs=0.05)
    assert fresh(match.place).model.name == "old", "a passed gate only proposes"
    assert champions.gate_look(place=match.place) is None, "a proposal waits"
    champions.promote(place=match.place, by="ann")
    place, shadow = fresh(match.place), fresh(match.shadow)
    assert (place.model.name, place.threshold, shadow.model.name, shadow.threshold) == ("new", 0.7, "old", 0.6)
    assert (place.model.alias, shadow.model.alias) == ("champion", "challenger")
    assert kinds() == ["challenged", "gate", "promoted"]


def test_it_promotes_by_itself_where_the_plan_says_so(match: Match) -> None:
    retraining.plan_set(place=match.place, fields={"promote_automatically": True})
    match.play(values(0.0), values(0.2, seed=2))
    assert [event.kind for event in champions.gates_look()] == [Kind.PROMOTED]
    assert fresh(match.place).model.name == "new"


@pytest.mark.parametrize(
    ("champion", "challenger", "written", "still_open"),
    [
        ([], [], [], True),
        (values(0.0, 29), values(0.2, 30), [], True),
        (values(0.1), values(0.1, seed=2), ["gate"], True),
        (values(0.2), values(0.0, seed=2), ["gate", "ended"], False),
        # all looks, the last one too
        (values(0.1, 240), values(0.1, 240, seed=2), ["gate"], True),
    ],
)
def test_what_is_not_better_never_takes_the_place(match: Match, champion, challenger, written, still_open) -> None:
    retraining.plan_set(place=match.place, fields={"promote_automatically": True})
    match.play(champion, challenger)
    champions.gates_look()
    assert kinds() == ["challenged", *written]
    assert fresh(match.place).model.name == "old"
    assert (champions.challenge_open(match.place) is not None) == fresh(match.shadow).is_active == still_open
    assert code_of(champions.promote, place=match.place) == ("GATE_NOT_PASSED" if still_open else "NO_CHALLENGER")


def test_after_the_last_look_the_challenge_is_over(match: Match) -> None:
    match.play(values(0.1, 240), values(0.1, 240, seed=2))
    for _ in range(6):
        champions.gates_look()
    looks = [event.figures["needed"] for event in ChampionEvent.objects.filter(kind=Kind.GATE).order_by("id")]
    assert looks == [30, 60, 120, 240]
    assert kinds()[-1] == "ended"


def test_only_instants_that_both_scored_count(match: Match) -> None:
    match.play(values(0.0), values(0.2, seed=2), both=False)
    assert champions.gate_look(place=match.place) is None
    assert champions.gate_now(match.place).challenger_alerts == 0


def test_alerts_of_before_the_challenge_do_not_count(match: Match) -> None:
    match.play(values(0.0), values(0.2, seed=2), after=-1000)
    assert champions.gate_now(match.place).champion_alerts == 0


def test_an_undecided_challenge_ends_in_its_time(match: Match) -> None:
    match.play(values(0.0, 3), values(0.2, 3))
    Feed().run_to(7100)
    champions.gates_look()
    assert kinds() == ["challenged"]
    Feed().run_to(7300)
    champions.gates_look()
    assert kinds() == ["challenged", "ended"]
    assert not fresh(match.shadow).is_active
    assert fresh(match.shadow).model.alias == ""


# --- The way back ----------------------------------------------------------------------------------------
@pytest.fixture
def promoted(match: Match) -> Match:
    match.play(values(0.0), values(0.2, seed=2))
    champions.gate_look(place=match.place)
    champions.promote(place=match.place)
    return match


def test_one_click_brings_the_former_champion_back(promoted: Match) -> None:
    champions.roll_back(place=promoted.place, by="ann")
    place = fresh(promoted.place)
    assert (place.model.name, place.threshold, place.model.alias) == ("old", 0.6, "champion")
    assert (fresh(promoted.shadow).is_active, fresh(promoted.shadow).model.alias) == (False, "")
    assert kinds() == ["challenged", "gate", "promoted", "rolled_back"]
    assert code_of(champions.roll_back, place=promoted.place) == "NOTHING_TO_ROLL_BACK"
    champions.gates_look()
    assert fresh(promoted.place).model.name == "old"


def test_it_comes_back_although_the_next_challenger_sits_in_the_shadow(promoted: Match) -> None:
    third = plain_model("third")
    champions.challenge_start(place=promoted.place, model=third)
    services.model_configure(active=promoted.place, fields={"threshold": 0.9})
    champions.roll_back(place=promoted.place)
    assert (fresh(promoted.place).model.name, fresh(promoted.place).threshold) == ("old", 0.6)
    third.refresh_from_db()
    assert third.alias == ""
    assert kinds()[-3:] == ["challenged", "ended", "rolled_back"]


def test_a_deleted_champion_does_not_come_back(promoted: Match) -> None:
    ActiveModel.objects.filter(pk=promoted.shadow.pk).update(is_active=False)
    training_services.model_delete(model=Model.objects.get(name="old"))
    assert code_of(champions.roll_back, place=promoted.place) == "MODEL_NOT_FOUND"
    assert fresh(promoted.place).model.name == "new"


def test_settings_saved_from_an_old_page_leave_the_promoted_model(match: Match) -> None:
    stale = fresh(match.place)
    match.play(values(0.0), values(0.2, seed=2))
    champions.gate_look(place=match.place)
    champions.promote(place=match.place)
    services.model_configure(active=stale, fields={"ignore_bad_seconds": 1})
    assert fresh(match.place).model.name == "new"


# --- The scorer ------------------------------------------------------------------------------------------
def test_the_shadow_of_a_scorer_alerts_without_being_heard() -> None:
    feed = Feed()
    for number in range(8):
        feed.coin(number)
    place = at_work("champion", threshold=0.0)
    shadow = champions.challenge_start(place=place, model=trained("challenger", threshold=0.0, seed=2))
    feed.run_to(60)
    scorer = Scorer()
    scorer.refresh()
    scorer.step()
    heard = AlertEvaluation.objects.filter(alert_id__isnull=False).values_list("active_model_id", flat=True)
    kept = AlertEvaluation.objects.filter(alert_id=None).values_list("active_model_id", flat=True)
    assert set(heard) == {place.pk}
    assert set(kept) == {shadow.pk}
    assert len(kept) == len(heard) > 0
    made_by = set(Prediction.objects.values_list("active_model_id", "model_id"))
    assert made_by == {(place.pk, place.model_id), (shadow.pk, shadow.model_id)}
    champions._swap(place, shadow, Kind.PROMOTED, by="")
    feed.run_to(70)
    scorer.refresh()
    scorer.step()
    newest = AlertEvaluation.objects.filter(as_of__gt=at(60), alert_id__isnull=False)
    assert set(newest.values_list("active_model_id", flat=True)) == {place.pk}, "who trades on the place trades on"
    made = Prediction.objects.filter(as_of__gt=at(60), active_model_id=place.pk).values_list("model_id", flat=True)
    assert set(made) == {Model.objects.get(name="challenger").pk}


@pytest.mark.parametrize(
    "change",
    [
        services.model_activate,
        services.model_deactivate,
        champions.place_delete,
        lambda active: services.model_rename(active=active, custom_name="own"),
        lambda active: services.model_configure(active=active, fields={"threshold": 0.1}),
    ],
)
def test_nothing_changes_a_shadow_but_its_place(match: Match, change: Any) -> None:
    before = ActiveModel.objects.filter(pk=match.shadow.pk).values().get()
    argument = "place" if change is champions.place_delete else "active"
    assert code_of(change, **{argument: match.shadow}) == "PLACE_IS_SHADOW"
    assert ActiveModel.objects.filter(pk=match.shadow.pk).values().get() == before


def test_who_deletes_a_champion_ends_its_challenge(match: Match) -> None:
    assert code_of(champions.place_delete, place=match.place) == "MODEL_IS_ACTIVE"
    services.model_deactivate(active=match.place)
    champions.place_delete(place=match.place, by="ann")
    assert not ActiveModel.objects.exists()
    ended, deleted = ChampionEvent.objects.filter(active_model_id=match.place.pk).order_by("id").reverse()[:2][::-1]
    assert (ended.kind, ended.note, ended.by) == (Kind.ENDED, "deleted", "ann")
    assert (deleted.kind, deleted.by, deleted.figures) == (Kind.DELETED, "ann", {"shadow_id": match.shadow.pk})
    assert set(Model.objects.values_list("name", "alias")) == {("old", ""), ("new", "")}
    assert queries.shadow_ids() == {match.shadow.pk}, "its scores are still those of a shadow"
    assert code_of(champions.place_delete, place=match.place) == "ACTIVE_MODEL_NOT_FOUND"


def test_a_lost_shadow_leaves_no_open_challenge(match: Match) -> None:
    match.shadow.delete()
    assert champions.challenge_open(match.place) is None
    assert champions.gates_look() == []
    assert champions.challenge_start(place=match.place, model=plain_model("third")).is_active
