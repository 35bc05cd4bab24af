from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.training import artifacts, demo, services, tasks
from apps.training.models import Job, Model
from apps.training.tests import market, remembered

pytestmark = pytest.mark.usefixtures("few_draws")


def run_next() -> None:
    tasks.run_job(0)


def run_next_of_few_features() -> None:
    """The job that waits, of a few features, which is done sooner."""
    job = Job.objects.get(status=Job.Status.PENDING)
    job.params["recipe"]["features"] = ["price_close", "age_seconds"]
    job.save()
    run_next()


def test_the_demo_waits_until_there_is_enough_to_learn_from(db):
    assert demo.train_when_ready(now=timezone.now()) is None
    market.fill(2, minutes=2, life_seconds=60)
    assert demo.train_when_ready(now=timezone.now()) is None
    assert Job.objects.count() == 0


def test_the_demo_trains_once_and_again_as_data_grows(filled):
    now = timezone.now()
    assert demo.train_when_ready(now=now).params["recipe"]["name"] == "demo-1"
    assert demo.train_when_ready(now=now) is None
    run_next()
    assert Model.objects.get().name == "demo-1"
    assert demo.train_when_ready(now=now + timedelta(minutes=4)) is None
    assert demo.train_when_ready(now=now + timedelta(minutes=6)).params["recipe"]["name"] == "demo-2"
    run_next_of_few_features()
    assert demo.train_when_ready(now=now + timedelta(minutes=19)) is None
    assert demo.train_when_ready(now=now + timedelta(minutes=21)).params["recipe"]["name"] == "demo-3"
    run_next_of_few_features()
    assert demo.train_when_ready(now=now + timedelta(hours=9)) is None
    assert Job.objects.filter(status=Job.Status.COMPLETED).count() == 3


def test_outside_the_demo_nothing_is_trained_by_itself(filled, settings):
    settings.DEMO = False
    tasks.demo_bootstrap()
    assert Job.objects.count() == 0


@pytest.fixture
def model(filled, make_recipe) -> Model:
    def make() -> None:
        services.train_request(recipe=make_recipe(features=["price_close", "volume_sol_60s", "age_seconds"]))
        run_next()

    remembered.once("three features", make)
    return Model.objects.get()


def test_a_changed_artifact_is_refused(model):
    model.artifact = bytes(model.artifact)[:-1] + b"\x00"
    with pytest.raises(PlatformError) as refused:
        artifacts.load(model)
    assert refused.value.code == "ARTIFACT_HASH_MISMATCH"


def test_bytes_that_are_no_model_are_refused():
    import hashlib

    data = b"not a model"
    with pytest.raises(PlatformError) as refused:
        artifacts.read(data, hashlib.sha256(data).hexdigest(), ["price_close"])
    assert refused.value.code == "ARTIFACT_UNREADABLE"


def test_features_in_another_order_are_refused(model):
    model.feature_names = list(reversed(model.feature_names))
    with pytest.raises(PlatformError) as refused:
        artifacts.load(model)
    assert refused.value.code == "ARTIFACT_FEATURES_MISMATCH"


def test_a_feature_this_release_does_not_have_is_named(model):
    model.feature_names = ["price_close", "volume_sol_61s", "age_seconds"]
    with pytest.raises(PlatformError) as refused:
        artifacts.load(model)
    assert refused.value.code == "FEATURE_UNKNOWN" and "volume_sol_61s" in refused.value.message
