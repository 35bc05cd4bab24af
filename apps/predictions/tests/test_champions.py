"""Challenge, gate, promotion and the way back, on judged alerts in the real tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from apps.core.errors import PlatformError
from apps.predictions import champions, demo, retraining, services
from apps.predictions.models import (
    ActiveModel,
    AlertEvaluation,
    ChampionEvent,
    ModelPrediction,
    Prediction,
    RetrainingPlan,
)
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import LABEL, Feed, at, at_work, mint_of, trained
from apps.training import services as training_services
from apps.training.models import Job, Model

pytestmark = pytest.mark.django_db

Kind = ChampionEvent.Kind


def plain_model(name: str, *, threshold: float = 0.5, **fields: Any) -> Model:
    """A trained model that nobody lets score."""
    recipe = {"name": name, "label": fields.pop("label", LABEL), "costs": {"flat_pct": 2.0}}
    given = {"label_name": "path", "train_from": at(-7200), "train_to": at(0), **fields}
    return Model.objects.create(
        name=name, recipe=recipe, feature_names=["price_close"], horizon_seconds=60, data_hash="", rows_train=1,
        rows_validation=1, rows_test=1, scores={}, threshold=threshold, artifact=b"", artifact_sha256="",
        xgboost_version="", **given,
    )  # fmt: skip


@dataclass
class Match:
    """A champion at work and its challenger, and alerts that each of them has had."""

    place: ActiveModel
    shadow: ActiveModel

    def play(
        self, champion: list[float], challenger: list[float], *, after: float = 0.0, coins: int = 50, both: bool = True
    ) -> None:
        """Judged alerts worth so much after costs, one an instant; the other one scored the same instant unless not
        `both`."""
        outcomes, alerts = list[ModelPrediction](), list[AlertEvaluation]()
        sides = [(self.place, self.shadow, champion), (self.shadow, self.place, challenger)]
        for number, (place, other, values) in enumerate(sides):
            for turn, value in enumerate(values):
                told = (turn % coins, after + 10 + 2 * turn + number, value)
                alerts.append(self._alert(place, *told[:2]))
                outcomes.append(self._outcome(place, *told, alert=True))
                if both:
                    outcomes.append(self._outcome(other, *told, alert=False))
        ModelPrediction.objects.bulk_create(outcomes)
        AlertEvaluation.objects.bulk_create(alerts)

    @staticmethod
    def _outcome(place: ActiveModel, coin: int, seconds: float, value: float, *, alert: bool) -> ModelPrediction:
        return ModelPrediction(
            active_model_id=place.pk, mint=mint_of(coin), as_of=at(seconds), horizon_at=at(seconds + 62),
            probability=0.9, tag="alert" if alert else "negative", status="success", model_id=place.model_id,
            entry_price_sol=1e-8, exit_price_sol=1e-8 * (1.02 + value), exit_at=at(seconds + 64), quoted_price_sol=1e-8,
        )  # fmt: skip

    @staticmethod
    def _alert(place: ActiveModel, coin: int, seconds: float) -> AlertEvaluation:
        return AlertEvaluation(
            active_model_id=place.pk, mint=mint_of(coin), as_of=at(seconds), fired_at=at(seconds), probability=0.9,
            price_sol=1e-8, phase_id=1, horizon_at=at(seconds + 62), status="success", alert_id=None,
        )  # fmt: skip


@pytest.fixture
def match() -> Match:
    Feed().run_to(0)
    place = services.model_import(
        model=plain_model("old", threshold=0.6), custom_name="place", fields={"phases": [1], "ignore_bad_seconds": 7}
    )
    retraining.plan_set(place=place, fields={"min_alerts": 30, "shadow_hours": 2})
    shadow = champions.challenge_start(place=place, model=plain_model("new", threshold=0.7), by="ann")
    return Match(place, shadow)


def values(mean: float, count: int = 30, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(mean, 0.05, count).tolist()


def kinds() -> list[str]:
    return list(ChampionEvent.objects.order_by("id").values_list("kind", flat=True))


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(PlatformError) as caught:
        call(**arguments)
    return caught.value.code


def fresh(active: ActiveModel) -> ActiveModel:
    return ActiveModel.objects.select_related("model").get(pk=active.pk)


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


# --- Demo ------------------------------------------------------------------------------------------------
def demo_model(name: str, number: int, **scores: Any) -> Model:
    model = plain_model(name)
    Model.objects.filter(pk=model.pk).update(scores=scores)
    Job.objects.create(job_type="TRAIN", status="COMPLETED", model=model, finished_at=at(number))
    return Model.objects.get(pk=model.pk)


def test_in_the_demo_a_tested_model_stays_and_newer_ones_challenge_it(settings: Any) -> None:
    settings.DEMO = True
    Feed().run_to(0)
    for number, scores in enumerate([{}, {"test": {"rows": 1}}], start=1):
        demo_model(f"demo-{number}", number, **scores)
        assert services.demo_activate().model.name == f"demo-{number}"
        assert demo.challenge() is None
    demo_model("demo-3", 3, test={"rows": 1})
    assert services.demo_activate() is None
    assert demo.challenge().model.name == "demo-3"
    assert demo.challenge() is None
    place = services.demo_place()
    assert (place.model.name, place.plan.promote_automatically) == ("demo-2", True)
    champions.challenge_end(place=place, note="dismissed")
    assert demo.challenge() is None, "it was sent away"


def test_outside_the_demo_nobody_challenges_by_himself(settings: Any) -> None:
    settings.DEMO = False
    demo_model("demo-1", 1, test={"rows": 1})
    assert demo.challenge() is None
    assert services.demo_activate() is None


def test_a_deleted_shadow_leaves_no_open_challenge(match: Match) -> None:
    services.model_deactivate(active=match.shadow)
    services.model_delete(active=match.shadow)
    assert champions.challenge_open(match.place) is None
    assert champions.gates_look() == []
    assert champions.challenge_start(place=match.place, model=plain_model("third")).is_active


# --- Retraining --------------------------------------------------------------------------------------------
@pytest.fixture
def planned() -> ActiveModel:
    feed = Feed()
    feed.coin(1)
    feed.run_to(300)
    place = services.model_import(model=plain_model("old"), custom_name="place")
    retraining.plan_set(place=place, fields={"every_hours": 6, "window_hours": 3})
    return place


def plan() -> RetrainingPlan:
    return RetrainingPlan.objects.get()


def finish(job: Job, status: str, **fields: Any) -> None:
    Job.objects.filter(pk=job.pk).update(status=status, **fields)


def test_a_plan_trains_the_recipe_on_newer_data(planned: ActiveModel) -> None:
    retraining.plans_run()
    retraining.plans_run()
    job = Job.objects.get()
    data = job.params["recipe"]["data"]
    length = timedelta(hours=3).total_seconds()
    moments = [np.datetime64(data[name].replace("Z", "")) for name in ("from", "to")]
    assert (moments[1] - moments[0]) / np.timedelta64(1, "s") == length
    assert job.params["lineage"]["parent_id"] == planned.model_id
    assert code_of(retraining.retrain, place=planned) == "RETRAINING_RUNS"


def test_the_model_of_its_job_challenges(planned: ActiveModel) -> None:
    retraining.plans_run()
    finish(Job.objects.get(), "COMPLETED", model=plain_model("newer", parent=planned.model))
    retraining.plans_run()
    assert (champions.challenge_open(planned).challenger_name, plan().job) == ("newer", None)
    assert champions.shadow_of(planned).is_active
    Feed().run_to(7 * 3600)
    retraining.plans_run()
    assert Job.objects.count() == 1, "an open challenge is waited for"
    champions.challenge_end(place=planned, note="dismissed", by="ann")
    retraining.plans_run()
    assert Job.objects.count() == 2


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_job_without_a_model_is_told_and_tried_at_the_next_turn(planned: ActiveModel, status: str) -> None:
    retraining.plans_run()
    finish(Job.objects.get(), status, error="not enough positives")
    retraining.plans_run()
    assert (plan().job, champions.challenge_open(planned)) == (None, None)
    assert "not enough positives" in plan().note
    retraining.plans_run()
    assert Job.objects.count() == 1
    Feed().run_to(300 + 6 * 3600)
    retraining.plans_run()
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("change", "jobs"),
    [({"every_hours": 0}, 0), ({"every_hours": 1}, 1)],
)
def test_only_a_plan_with_hours_runs_by_itself(planned: ActiveModel, change: dict[str, int], jobs: int) -> None:
    retraining.plan_set(place=planned, fields=change)
    retraining.plans_run()
    assert Job.objects.count() == jobs


def test_a_stopped_place_is_not_retrained(planned: ActiveModel) -> None:
    services.model_deactivate(active=planned)
    retraining.plans_run()
    assert not Job.objects.exists()


def test_a_recipe_that_cannot_be_read_is_told_once_a_turn(planned: ActiveModel) -> None:
    Model.objects.filter(pk=planned.model_id).update(recipe={"label": LABEL, "name": "x", "odd": 1})
    retraining.plans_run()
    assert "odd" in plan().note
    assert plan().requested_at == at(300)


@pytest.mark.parametrize(
    "fields", [{"every_hours": -1}, {"min_alerts": 1}, {"shadow_hours": 0}, {"window_hours": 10**6}]
)
def test_a_plan_has_limits(planned: ActiveModel, fields: dict[str, int]) -> None:
    assert code_of(retraining.plan_set, place=planned, fields=fields) == "PLAN_OUT_OF_RANGE"
