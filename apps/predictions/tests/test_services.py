"""Putting models to work and changing their settings."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.discovery.models import Phase
from apps.predictions import champions, on_request, services
from apps.predictions.models import ActiveModel, Prediction
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import Feed, at, at_work, trained
from apps.training import services as training
from apps.training.models import Job, Model

pytestmark = pytest.mark.django_db


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(PlatformError) as caught:
        call(**arguments)
    return caught.value.code


def test_an_imported_model_takes_name_and_threshold_of_its_model() -> None:
    active = services.model_import(model=trained("mine", threshold=0.61))
    assert (active.custom_name, active.threshold, active.is_active) == ("mine", 0.61, True)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"threshold": 1.5}, "THRESHOLD_OUT_OF_RANGE"),
        ({"phases": [77]}, "PHASE_UNKNOWN"),
        ({"max_log_entries": {"odd": 1}}, "TAG_UNKNOWN"),
        ({"max_log_entries": {"negative": 10**20}}, "LIMIT_OUT_OF_RANGE"),
        ({"max_log_entries": {"alert": "many"}}, "LIMIT_OUT_OF_RANGE"),
        ({"webhook_url": "http://127.0.0.1/"}, "WEBHOOK_URL_REFUSED"),
        ({"webhook_enabled": True}, "WEBHOOK_URL_MISSING"),
        ({"whitelist": ["m"] * 10_001}, "WHITELIST_TOO_LONG"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_changes(fields: dict[str, Any], code: str) -> None:
    active = at_work()
    assert code_of(services.model_configure, active=active, fields=fields) == code
    assert list(ActiveModel.objects.values()) == list(ActiveModel.objects.filter(threshold=0.5, phases=[]).values())


def test_what_was_taken_away_under_a_model_does_not_keep_it_from_being_stopped(settings: Any) -> None:
    Phase.objects.filter(id=2).get_or_create(id=2, defaults={"name": "Old Zone", "interval_seconds": 5})
    settings.N8N_SERVER_WEBHOOK_URL = "http://n8n:5678/webhook"
    active = at_work(phases=[2], webhook_enabled=True)
    Phase.objects.filter(id=2).delete()
    settings.N8N_SERVER_WEBHOOK_URL = ""
    assert services.model_rename(active=active, custom_name="old").custom_name == "old"
    assert not services.model_deactivate(active=active).is_active
    assert services.model_configure(active=active, fields={"phases": [2], "threshold": 0.7}).threshold == 0.7
    assert code_of(services.model_configure, active=active, fields={"phases": [2, 99]}) == "PHASE_UNKNOWN"
    services.model_configure(active=active, fields={"webhook_enabled": False})
    assert code_of(services.model_configure, active=active, fields={"webhook_enabled": True}) == "WEBHOOK_URL_MISSING"


def test_names_are_unique() -> None:
    at_work("one")
    two = at_work("two")
    assert code_of(services.model_rename, active=two, custom_name="one") == "NAME_TAKEN"
    assert code_of(services.model_rename, active=two, custom_name="  ") == "NAME_MISSING"
    assert services.model_rename(active=two, custom_name="two").custom_name == "two"


def test_only_a_stopped_model_is_deleted_and_its_scores_stay() -> None:
    feed = Feed()
    feed.coin(1)
    active = at_work()
    feed.run_to(10)
    scorer = Scorer()
    scorer.refresh()
    scorer.step()
    assert code_of(champions.place_delete, place=active) == "MODEL_IS_ACTIVE"
    champions.place_delete(place=services.model_deactivate(active=active))
    assert not ActiveModel.objects.exists()
    assert Prediction.objects.exists()


def test_a_deleted_model_is_not_put_to_work() -> None:
    active = services.model_deactivate(active=at_work())
    Model.objects.update(is_deleted=True)
    active.model.refresh_from_db()
    assert code_of(services.model_activate, active=active) == "MODEL_NOT_FOUND"
    assert code_of(services.model_import, model=active.model) == "MODEL_NOT_FOUND"


def test_a_coin_scored_on_request_gets_what_the_scorer_gave_it() -> None:
    feed = Feed()
    mint = feed.coin(1, seconds=3000)
    at_work("one")
    at_work("two", seed=2)
    scorer = Scorer()
    for seconds in range(300, 3000, 300):
        feed.run_to(seconds)
        scorer.refresh()
        scorer.step()
    asked = on_request.coin_predict(mint=mint)
    newest = Prediction.objects.filter(mint=mint, as_of=asked["as_of"]).order_by("active_model_id")
    assert [(one["probability"], one["tag"]) for one in asked["scores"]] == [
        (one.probability, one.tag) for one in newest
    ]


def test_asking_for_an_unknown_coin_or_without_a_model_says_so() -> None:
    feed = Feed()
    assert code_of(on_request.coin_predict, mint="nothing") == "COIN_UNKNOWN"
    mint = feed.coin(1)
    feed.run_to(20)
    assert code_of(on_request.coin_predict, mint=mint) == "NO_ACTIVE_MODEL"


def job_of(model: Model, minutes: int) -> Job:
    finished = timezone.now() + timedelta(minutes=minutes)
    return Job.objects.create(
        job_type=Job.Type.TRAIN, status=Job.Status.COMPLETED, model=model, finished_at=finished, progress=1.0
    )


def test_the_demo_puts_the_newest_model_to_work_in_place_of_its_own_last_one(settings: Any) -> None:
    settings.DEMO = True
    by_hand = at_work("by hand")
    job_of(trained("first"), 1)
    first = services.demo_activate()
    assert first is not None and (first.custom_name, first.is_active) == ("demo first", True)
    assert services.demo_activate() is None
    job_of(trained("second"), 2)
    second = services.demo_activate()
    assert second is not None
    active = set(ActiveModel.objects.filter(is_active=True).values_list("custom_name", flat=True))
    assert active == {"demo second", by_hand.custom_name}


def test_a_demo_model_that_was_stopped_by_hand_stays_stopped(settings: Any) -> None:
    settings.DEMO = True
    job_of(trained("first"), 1)
    active = services.demo_activate()
    assert active is not None
    services.model_deactivate(active=active)
    assert services.demo_activate() is None
    assert not ActiveModel.objects.filter(is_active=True).exists()


def test_nothing_is_put_to_work_by_itself_outside_the_demo(settings: Any) -> None:
    settings.DEMO = False
    job_of(trained("first"), 1)
    assert services.demo_activate() is None
    assert at(0) and not ActiveModel.objects.exists()


def test_webhook_state_is_told_in_a_word(settings: Any) -> None:
    active = at_work()
    assert services.n8n_status(active=active)["status"] == "disabled"
    settings.N8N_SERVER_WEBHOOK_URL = "http://127.0.0.1:9/"
    services.model_configure(active=active, fields={"webhook_enabled": True})
    assert services.n8n_status(active=active)["status"] == "never_sent"


def test_a_model_at_work_is_not_deleted_until_it_is_stopped(db: None) -> None:
    active = at_work()
    with pytest.raises(PlatformError, match="at work") as refused:
        training.model_delete(model=active.model)
    assert refused.value.code == "MODEL_IS_ACTIVE"
    services.model_deactivate(active=active)
    training.model_delete(model=active.model)
    assert Model.objects.get(pk=active.model_id).is_deleted
