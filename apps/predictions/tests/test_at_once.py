"""Two people change the same at the same moment: the second waits for the first, then hears what it did."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from apps.core.errors import PlatformError
from apps.predictions import champions, retraining, services
from apps.predictions.models import ActiveModel, ChampionEvent, RetrainingPlan
from apps.predictions.tests.feed import Feed, at_work, trained
from apps.training import services as training
from apps.training.models import Job, Model

pytestmark = pytest.mark.django_db(transaction=True)

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def outcome(call: Callable[[], Any]) -> str:
    """The code of the refusal, "" where there was none."""
    try:
        call()
    except PlatformError as error:
        return error.code
    finally:
        connection.close()
    return ""


def at_once(first: Callable[[], Any], second: Callable[[], Any]) -> str:
    """What `second` came to that began after `first` had done its work and before it was committed."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            other = pool.submit(outcome, second)
            end = time.monotonic() + 15
            while not other.done() and not waits():
                assert time.monotonic() < end
        return other.result(timeout=15)


def waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])


def test_of_two_places_with_one_name_the_second_is_refused() -> None:
    one, two = trained("one"), trained("two", seed=2)
    found = at_once(
        lambda: services.model_import(model=one, custom_name="same"),
        lambda: services.model_import(model=two, custom_name="same"),
    )
    assert (found, ActiveModel.objects.get().model_id) == ("NAME_TAKEN", one.pk)


def test_of_two_models_with_one_name_the_second_is_refused_and_what_each_changed_stays() -> None:
    one, two = trained("one"), trained("two", seed=2)
    stale = Model.objects.get(pk=one.pk)
    found = at_once(
        lambda: training.model_update(model=one, name="same"), lambda: training.model_update(model=two, name="same")
    )
    training.model_update(model=stale, description="a note")
    one.refresh_from_db()
    assert (found, one.name, one.description) == ("MODEL_NAME_TAKEN", "same", "a note")


def test_what_is_put_to_work_is_not_deleted_and_what_is_deleted_is_not_put_to_work() -> None:
    model = trained("one")

    def delete() -> None:
        training.model_delete(model=model)

    assert at_once(lambda: services.model_import(model=model), delete) == "MODEL_IS_ACTIVE"
    place = services.model_deactivate(active=ActiveModel.objects.get())
    stale = ActiveModel.objects.select_related("model").get()
    assert at_once(delete, lambda: services.model_activate(active=stale)) == "MODEL_NOT_FOUND"
    place.refresh_from_db()
    assert not place.is_active and Model.objects.get().is_deleted


def test_a_place_that_is_taken_away_is_not_changed_and_changes_at_once_are_checked_together() -> None:
    place = at_work("one")
    ActiveModel.objects.update(webhook_url="https://example.org/hook")
    stale = ActiveModel.objects.get()
    found = at_once(
        lambda: services.model_configure(active=place, fields={"webhook_url": ""}),
        lambda: services.model_configure(active=stale, fields={"webhook_enabled": True}),
    )
    assert (found, ActiveModel.objects.get().webhook_enabled) == ("WEBHOOK_URL_MISSING", False)
    found = at_once(
        lambda: services.log_limits_change(active=place, limits={"alert": 3}),
        lambda: services.log_limits_change(active=stale, limits={"negative": 5}),
    )
    assert (found, ActiveModel.objects.get().max_log_entries) == ("", {"alert": 3, "negative": 5})
    services.model_deactivate(active=place)
    found = at_once(
        lambda: champions.place_delete(place=place),
        lambda: services.model_activate(active=stale),
    )
    assert (found, ActiveModel.objects.exists()) == ("ACTIVE_MODEL_NOT_FOUND", False)


def test_what_a_person_asks_for_while_plans_are_looked_at_is_not_lost() -> None:
    feed = Feed()
    feed.coin(1)
    feed.run_to(300)
    place = at_work("one")
    retraining.plan_set(place=place, fields={"every_hours": 6})
    assert at_once(lambda: retraining.retrain(place=place), retraining.plans_run) == ""
    plan = RetrainingPlan.objects.get()
    assert (Job.objects.count(), plan.job_id, plan.active_model_id) == (1, Job.objects.get().pk, place.pk)
    Job.objects.update(status="COMPLETED", model=trained("two", seed=2))
    assert at_once(retraining.plans_run, retraining.plans_run) == ""
    events = ChampionEvent.objects.order_by("id").values_list("kind", "challenger_name")
    assert list(events) == [("challenged", "two")]
