"""A fit on a local Dask cluster of two workers beside the fit on one machine, and clusters that are not there.

Two workers sketch the bins of their own rows and merge the sketches, so edges of bins differ by a fraction of a bin,
and sums are added in another order: trees may split elsewhere among nearly equal places. Without row sampling (each
worker draws its own rows) that must not change what the model knows: PR-AUC within 0.02 of each other, and scores that
go together by more than 0.98.
"""

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from apps.core.errors import PlatformError
from apps.training import artifacts, clusters, fitting, services, tasks
from apps.training.models import Job
from apps.training.report import JobStopped

pytestmark = [
    pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is optional: requirements-dask.txt"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers, as threads of this process that talk over the loopback."""
    from distributed import LocalCluster

    options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def even(make_recipe):
    """A recipe without sampling and with a fixed number of rounds."""
    fit = {"n_estimators": 30, "early_stopping_rounds": 1000, "learning_rate": 0.2, "max_depth": 3}
    return make_recipe(xgboost={**fit, "subsample": 1.0, "colsample_bytree": 1.0}, features=FEATURES)


FEATURES = ["price_close", "volume_sol_60s", "age_seconds", "net_volume_sol_60s"]


def test_two_workers_find_what_one_machine_finds(filled, even, settings, scheduler):
    alone = model_of(even.model_copy(update={"name": "alone"}))
    settings.DASK_SCHEDULER_ADDRESS = scheduler
    together = model_of(even.model_copy(update={"name": "together"}))
    assert together.made_with["cluster_workers"] == 2 and "cluster_workers" not in alone.made_with
    assert together.data_hash == alone.data_hash and together.feature_names == alone.feature_names
    for part in ("validation", "test"):
        assert together.scores[part]["rows"] == alone.scores[part]["rows"]
        assert together.scores[part]["pr_auc"] == pytest.approx(alone.scores[part]["pr_auc"], abs=0.02)
    rng = np.random.default_rng(1)
    x = rng.random((2000, len(FEATURES)), np.float32) * np.array([1e-7, 10, 400, 5], np.float32)
    scores = [fitting.predict(artifacts.load(one), x) for one in (alone, together)]
    assert np.corrcoef(*scores)[0, 1] > 0.98


def model_of(recipe):
    services.train_request(recipe=recipe)
    tasks.run_job(0)
    job = Job.objects.order_by("-started_at").first()
    assert job.status == Job.Status.COMPLETED, (job.error_code, job.error, job.log)
    return job.model


def material():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    label = (x[:, 0] + rng.normal(size=600) > 1).astype(np.float64)
    return x, label


def test_a_fit_on_the_cluster_stops_when_it_is_told_to(scheduler, make_recipe):
    endless = {"n_estimators": 5000, "early_stopping_rounds": 1000, "learning_rate": 0.001}
    x, label = material()
    heard = []

    def stop(number, value):
        heard.append(number)
        if number:
            raise JobStopped

    with clusters._connected(scheduler) as client:
        workers = clusters._workers(client, scheduler)
        with pytest.raises(JobStopped):
            clusters._train(client, workers, ((x, label), (x, label)), make_recipe(xgboost=endless), stop)
    assert heard[-1] < 5000


def test_a_cluster_that_is_away_fails_the_job_with_what_to_do(filled, even, settings, monkeypatch):
    settings.DASK_SCHEDULER_ADDRESS = "tcp://127.0.0.1:1"
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 0.3)
    services.train_request(recipe=even)
    tasks.run_job(0)
    job = Job.objects.get()
    assert (job.status, job.error_code) == (Job.Status.FAILED, "CLUSTER_UNAVAILABLE")
    assert "DASK_SCHEDULER_ADDRESS" in job.error


def test_a_cluster_without_workers_is_no_cluster(monkeypatch):
    from distributed import LocalCluster

    options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with (
        LocalCluster(n_workers=0, **options) as cluster,
        clusters._connected(cluster.scheduler_address) as client,
        pytest.raises(PlatformError) as caught,
    ):
        clusters._workers(client, cluster.scheduler_address)
    assert caught.value.code == "CLUSTER_UNAVAILABLE" and "no workers" in caught.value.message
