import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.core.errors import ConflictError, PlatformError
from apps.training import artifacts, dataset, queries, selections, services, tasks
from apps.training.models import Comparison, Job, Model, TestResult
from apps.training.tests import market

pytestmark = pytest.mark.usefixtures("few_draws")


def run_next() -> Job:
    """What the trainer does with an announcement."""
    tasks.run_job(0)
    return Job.objects.order_by("-started_at").first()


def trained(recipe) -> Model:
    services.train_request(recipe=recipe)
    job = run_next()
    assert job.status == Job.Status.COMPLETED, (job.error_code, job.error)
    return job.model


def hours(count: float):
    return market.START + timedelta(hours=count)


def test_a_recipe_becomes_a_model_that_knows_something(filled, make_recipe):
    model = trained(make_recipe(features="all"))
    test = model.scores["test"]
    assert test["pr_auc"] > test["base_rate"] * 1.2
    assert test["roc_auc"] > 0.6
    assert model.rows_train > model.rows_validation > 0 < model.rows_test
    assert 0 < model.threshold < 1
    assert sum(model.importances.values()) == pytest.approx(1.0)
    assert set(model.profile["features"]) == set(model.feature_names)
    assert model.profile["features"]["price_close"]["rows"] == model.rows_train
    assert model.profile["score"]["rows"] == model.rows_validation + model.rows_test
    assert artifacts.load(model).num_features() == len(model.feature_names)
    job = model.jobs.get()
    assert (job.progress, job.result["model_id"]) == (1.0, model.pk)
    assert "fitted" in job.log


def test_the_same_recipe_on_the_same_data_gives_the_same_bytes(filled, make_recipe):
    first = trained(make_recipe(name="one"))
    second = trained(make_recipe(name="two"))
    assert first.data_hash == second.data_hash
    assert first.artifact_sha256 == second.artifact_sha256
    assert first.threshold == second.threshold


def test_other_data_has_another_hash(filled, make_recipe):
    recipe = make_recipe()
    selection = selections.selection_of(recipe)
    before = dataset.load(selection, ["price_close"]).content_hash
    with connection.cursor() as cursor:
        cursor.execute("UPDATE coin_metrics SET price_close = price_close * 2 WHERE mint LIKE 'Coin%0007pump'")
    assert dataset.load(selection, ["price_close"]).content_hash != before


def test_batches_do_not_change_the_dataset(filled, make_recipe, monkeypatch):
    selection = selections.selection_of(make_recipe())
    whole = dataset.load(selection, ["price_close", "volume_sol_300s"])
    monkeypatch.setattr(dataset, "BATCH_ROWS", 500)
    assert dataset.load(selection, ["price_close", "volume_sol_300s"]).content_hash == whole.content_hash


@pytest.mark.parametrize("to", [None, "2099-01-01T00:00:00Z"])
def test_rows_take_part_up_to_the_last_whose_label_is_known(filled, make_recipe, to):
    recipe = make_recipe(data={"to": to, "phases": [1]}, split={"validation": 0.3, "test": 0.0})
    selection = selections.selection_of(recipe)
    assert selection.end == queries.data_end()
    data = dataset.load(selection, ["price_close"])
    newest = data.as_of_us[selections.split_of(data, recipe, selection).validation].max()
    last_us = queries.to_us(selection.end) - round(selection.rule.reach_seconds * 1e6)
    assert last_us - 10_000_000 < newest <= last_us


def test_a_test_is_on_coins_the_model_never_saw(filled, make_recipe):
    middle = hours(0.6)
    model = trained(make_recipe(data={"to": middle.isoformat(), "phases": [1]}))
    services.test_request(model=model, start=middle, end=hours(1))
    job = run_next()
    result = TestResult.objects.get(pk=job.result["test_result_id"])
    assert not result.overlaps_training
    assert result.rows == result.scores["rows"] > 100
    assert job.result["counts"]["rows_of_known_coins"] > 0
    assert job.result["counts"]["rows_unknown"] > 0
    assert result.scores["threshold"] == model.threshold


def test_a_test_on_earlier_days_leaves_out_coins_that_training_saw_later(filled, make_recipe, client, admin_user):
    middle = hours(0.5)
    model = trained(make_recipe(data={"from": middle.isoformat(), "phases": [1]}))
    services.test_request(model=model, start=hours(0), end=middle)
    job = run_next()
    result, counts = TestResult.objects.get(pk=job.result["test_result_id"]), job.result["counts"]
    assert not result.overlaps_training and result.rows == counts["rows"]
    seen = queries.mints_between(middle, hours(1))
    rows = {mint: count for mint, count, _, _ in queries.coins_between(hours(0), middle, [1])}
    assert counts["rows_of_known_coins"] == sum(count for mint, count in rows.items() if mint in seen) > 100
    client.force_login(admin_user)
    assert "learned from what the market did next" in client.get(f"/training/tests/{result.pk}/").content.decode()


def test_a_test_inside_the_training_time_says_so(filled, make_recipe):
    model = trained(make_recipe())
    services.test_request(model=model, start=hours(0.1), end=hours(0.5))
    assert TestResult.objects.get(pk=run_next().result["test_result_id"]).overlaps_training


def test_a_comparison_names_the_winner_and_why(filled, make_recipe):
    middle = hours(0.6)
    data = {"to": middle.isoformat(), "phases": [1]}
    good = trained(make_recipe(name="good", data=data))
    poor = trained(make_recipe(name="poor", data=data, features=["day_sine"]))
    services.compare_request(models=[good, poor], start=middle, end=hours(1))
    comparison = Comparison.objects.get(pk=run_next().result["comparison_id"])
    rows = {row["name"]: row["scores"] for row in comparison.results["models"]}
    assert rows["good"]["rows"] == rows["poor"]["rows"]
    assert rows["good"]["pr_auc"] > rows["poor"]["pr_auc"]
    better = max(rows, key=lambda name: rows[name]["expected_value"])
    assert comparison.winner.name == better and better in comparison.reason
    assert set(comparison.compared.all()) == {good, poor}


def test_a_model_made_from_what_came_after_wins_no_comparison(filled, make_recipe):
    middle = hours(0.5)
    fair = trained(make_recipe(name="fair", data={"to": hours(0.25).isoformat(), "phases": [1]}))
    later = trained(make_recipe(name="later", data={"from": middle.isoformat(), "phases": [1]}))
    services.compare_request(models=[fair, later], start=hours(0.25), end=middle)
    comparison = Comparison.objects.get(pk=run_next().result["comparison_id"])
    assert comparison.winner is None and "later was trained on this time or on what came after" in (comparison.reason)
    assert not any(row["overlaps_training"] for row in comparison.results["models"])


def test_models_with_different_questions_are_not_compared(filled, make_recipe):
    one = trained(make_recipe(name="one"))
    other = trained(make_recipe(name="other", label={"change_pct": 5, "horizon_seconds": 60}))
    with pytest.raises(PlatformError) as caught:
        services.compare_request(models=[one, other], start=hours(0), end=hours(1))
    assert caught.value.code == "COMPARE_LABELS_DIFFER"


@pytest.mark.parametrize(
    ("parts", "code", "advice", "counted"),
    [
        ({"label": {"change_pct": 9000, "horizon_seconds": 60}}, "NOT_ENOUGH_POSITIVES", "an easier target", ""),
        ({"data": {"phases": [3]}}, "NO_DATA", "another time range", "rows_found"),
        (
            {"label": {"change_pct": 10, "horizon_seconds": 7200}},
            "NO_KNOWN_ROWS",
            "a shorter horizon",
            "rows_unknown_data_end",
        ),
        ({"data": {"phases": [1], "min_trades": 100_000}}, "NO_KNOWN_ROWS", "loosen them", "rows_found"),
    ],
)
def test_what_cannot_be_trained_fails_with_a_code_and_what_it_counted(
    filled, make_recipe, parts, code, advice, counted
):
    services.train_request(recipe=make_recipe(**parts))
    job = run_next()
    assert (job.status, job.error_code) == (Job.Status.FAILED, code)
    assert advice in job.error and Model.objects.count() == 0
    assert counted in job.result["counts"] if counted else job.result is None


def test_a_name_is_given_once(filled, make_recipe):
    services.train_request(recipe=make_recipe())
    with pytest.raises(ConflictError):
        services.train_request(recipe=make_recipe())


def test_a_deleted_model_frees_its_name_and_hides(filled, make_recipe):
    model = trained(make_recipe())
    services.model_delete(model=model)
    assert trained(make_recipe()).name == "small"
    with pytest.raises(PlatformError, match="no model"):
        services.model_get(model_id=model.pk)


def test_the_urgent_job_goes_first(db):
    late = services.job_create(job_type=Job.Type.TRAIN, params={}, priority=5)
    urgent = services.job_create(job_type=Job.Type.TRAIN, params={}, priority=1)
    assert services.job_claim(worker="a", now=timezone.now()).pk == urgent.pk
    assert services.job_claim(worker="b", now=timezone.now()) is None
    late.refresh_from_db()
    assert late.status == Job.Status.PENDING


def test_more_jobs_run_at_once_where_that_is_allowed(db, settings):
    settings.MAX_CONCURRENT_JOBS = 2
    for _ in range(3):
        services.job_create(job_type=Job.Type.TRAIN, params={})
    claims = [services.job_claim(worker=str(number), now=timezone.now()) for number in range(3)]
    assert [claim is not None for claim in claims] == [True, True, False]


def test_a_dead_workers_job_is_taken_up_again_once_and_then_fails(db):
    job = services.job_create(job_type=Job.Type.TRAIN, params={})
    later = timezone.now()
    for expected in (Job.Status.PENDING, Job.Status.FAILED):
        services.job_claim(worker="dying", now=later)
        assert services.jobs_reap(now=later + timedelta(seconds=59)) == 0
        later += timedelta(seconds=61)
        assert services.jobs_reap(now=later) == 1
        job.refresh_from_db()
        assert job.status == expected
    assert job.error_code == "WORKER_LOST"


def test_a_worker_whose_job_was_taken_cannot_end_it(db):
    services.job_create(job_type=Job.Type.TRAIN, params={})
    now = timezone.now()
    lost = services.job_claim(worker="slow", now=now)
    services.jobs_reap(now=now + timedelta(minutes=2))
    mine = services.job_claim(worker="fresh", now=now)
    assert services.job_beat(job=lost, now=now) == (False, False)
    assert not services.job_finish(job=lost, status=Job.Status.COMPLETED, now=now)
    assert services.job_finish(job=mine, status=Job.Status.COMPLETED, now=now)


def test_a_waiting_job_is_cancelled_at_once(db):
    job = services.job_create(job_type=Job.Type.TRAIN, params={})
    assert services.job_cancel(job=job, now=timezone.now()).status == Job.Status.CANCELLED
    with pytest.raises(ConflictError):
        services.job_cancel(job=job, now=timezone.now())


def test_a_dead_workers_cancelled_job_is_cancelled(db):
    services.job_create(job_type=Job.Type.TRAIN, params={})
    job = services.job_claim(worker="dying", now=timezone.now())
    services.job_cancel(job=job, now=timezone.now())
    assert services.jobs_reap(now=timezone.now() + timedelta(seconds=61)) == 1
    job.refresh_from_db()
    assert (job.status, job.error_code) == (Job.Status.CANCELLED, "")


def test_a_job_that_nobody_took_is_announced_again(db, celery_messages):
    job = services.job_create(job_type=Job.Type.TRAIN, params={})
    assert services.jobs_dispatch(now=timezone.now() + timedelta(minutes=1)) == 1
    assert celery_messages() == [job.pk]


def test_a_broker_that_is_away_stops_nobody_from_asking(db, django_capture_on_commit_callbacks):
    from celery import current_app

    before = current_app.conf.broker_write_url
    current_app.conf.broker_write_url = "redis://127.0.0.1:1/0"
    began = time.monotonic()
    try:
        with django_capture_on_commit_callbacks(execute=True):
            job = services.job_create(job_type=Job.Type.TRAIN, params={})
    finally:
        current_app.conf.broker_write_url = before
    assert time.monotonic() - began < 2
    job.refresh_from_db()
    assert job.status == Job.Status.PENDING


def test_a_recipe_with_folds_is_judged_walking_forward(filled, make_recipe):
    walks = trained(make_recipe(split={"validation": 0.2, "test": 0.2, "folds": 2})).scores["walk_forward"]
    assert len(walks) == 2 and walks[0]["rows_train"] < walks[1]["rows_train"]
    assert walks[0]["to"] < walks[1]["from"] and all(walk["rows"] > 100 for walk in walks)
    assert all(0 < walk["pr_auc"] <= 1 and "curves" not in walk for walk in walks)


def test_a_fold_that_cannot_be_fitted_says_why_and_the_model_is_made(filled, make_recipe):
    model = trained(make_recipe(split={"validation": 0.2, "test": 0.2, "folds": 10}))
    assert model.scores["test"]["rows"] > 0
    assert model.scores["walk_forward"][0]["error_code"] in ("NOT_ENOUGH_POSITIVES", "NOT_ENOUGH_NEGATIVES")
