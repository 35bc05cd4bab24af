"""The training pages, empty and full, in both languages, and what their forms do."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import translation

from apps.core import display
from apps.training import containers, features, services
from apps.training.models import Comparison, Job, Model, TestResult
from apps.training.recipes import SPACE
from apps.training.tests import market, remembered
from apps.training.tests.test_jobs import hours, run_next, trained

pytestmark = pytest.mark.usefixtures("few_draws")

NAMES = ("overview", "new", "import", "data", "jobs", "tests", "comparisons", "features")
MOST_QUERIES = 25


@pytest.fixture
def page(client, db):
    """Opens a page as a signed-in user: `page("overview")`, `page("model", 3)`."""
    client.force_login(get_user_model().objects.create_user("person", is_staff=True))
    return lambda name, *args, **options: client.get(reverse(f"training:{name}", args=args), **options)


@pytest.fixture
def send(page, client):
    """Posts a form."""
    return lambda address, *args, **fields: client.post(reverse(f"training:{address}", args=args), fields)


CHANGES = {
    "new": (), "model": (1,), "import": (), "model_delete": (1,), "model_restore": (1,), "model_alias": (1,),
    "model_retrain": (1,), "train_best": (1,), "job_cancel": (1,), "test_delete": (1,), "comparisons": (),
    "comparison_delete": (1,),
}  # fmt: skip


def test_who_may_not_by_the_api_changes_nothing_by_the_pages(client, db):
    client.force_login(get_user_model().objects.create_user("reader"))
    for name, args in CHANGES.items():
        assert client.post(reverse(f"training:{name}", args=args)).status_code == 403, name
    assert client.get(reverse("training:new")).status_code == 200
    assert client.post(reverse("training:preview"), recipe_fields()).status_code == 200


def german(response_of, *args):
    return response_of(*args, headers={"accept-language": "de"})


def recipe_fields(**fields):
    """What the form of a new model sends."""
    return {
        "name": "by hand", "kind": "path", "change_pct": "10", "horizon_seconds": "60", "latency_seconds": "2",
        "phases": ["1"], "validation": "0.2", "test": "0.2", "n_estimators": "20", "early_stopping_rounds": "5",
        "max_depth": "3", "learning_rate": "0.2", "min_child_weight": "5", "subsample": "0.8", "seed": "7",
        "stake_sol": "0.1", "min_alerts": "10", "priority": "5", **fields,
    }  # fmt: skip


@pytest.fixture
def judged(filled, make_recipe):
    """Two models, a test of the first and a comparison of both; the first."""

    def make():
        data = {"to": hours(0.6).isoformat(), "phases": [1]}
        first = trained(make_recipe(name="first", data=data, description="a note"))
        second = trained(make_recipe(name="second", data=data, features=["price_change_60s", "buy_pressure_60s"]))
        services.test_request(model=first, start=hours(0.6), end=hours(1))
        run_next()
        services.compare_request(models=[first, second], start=hours(0.6), end=hours(1))
        run_next()

    remembered.once("judged", make)
    return Model.objects.get(name="first")


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_page_answers_in_both_languages(page, name):
    assert page(name).status_code == 200
    assert german(page, name).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_a_page_needs_a_login(client, db, name):
    response = client.get(reverse(f"training:{name}"))
    assert response.status_code == 302 and "/accounts/login/" in response.url


def test_the_demo_says_that_it_waits_for_data(page, settings):
    settings.DEMO = True
    assert b"Waiting for enough data." in page("overview").content
    settings.DEMO = False
    assert b"No data to learn from yet." in page("overview").content


def test_full_pages_answer_with_few_queries(page, judged, django_assert_max_num_queries):
    addresses = [(name,) for name in NAMES] + [
        ("model", judged.pk),
        ("job", Job.objects.first().pk),
        ("test", TestResult.objects.get().pk),
        ("comparison", Comparison.objects.get().pk),
    ]
    for address in addresses:
        with django_assert_max_num_queries(MOST_QUERIES):
            assert page(*address).status_code == 200
        assert german(page, *address).status_code == 200


def test_a_model_without_a_test_part_is_listed_with_the_figures_of_a_later_test(page, judged):
    for model in Model.objects.all():
        Model.objects.filter(pk=model.pk).update(scores={"validation": model.scores["validation"]})
    rows = {row["name"]: row for row in page("overview").context["page"].items}
    assert rows["second"]["caution"] and str(rows["second"]["part"]) == "Validation"
    assert not rows["first"]["caution"] and str(rows["first"]["part"]) == "Later test"
    assert rows["first"]["sample_rows"] == f"{judged.test_results.get().rows:,}"
    judged.test_results.update(overlaps_training=True)
    assert {row["name"] for row in page("overview").context["page"].items if row["caution"]} == {"first", "second"}


def test_the_overview_answers_htmx_with_its_fragment(page, judged):
    response = page("overview", headers={"hx-request": "true"})
    assert response.content.lstrip().startswith(b'<div class="stack" id="training"')
    assert b"first" in response.content and b"<html" not in response.content


def test_the_model_page_shows_scores_beside_the_base_rate(page, judged):
    text = page("model", judged.pk).content.decode()
    scores = judged.scores["test"]
    assert f"{scores['pr_auc']:.3f}" in text and f"base rate {scores['base_rate']:.3f}" in text
    assert text.count('<svg class="plot"') == 11  # five a sample, and what shuffling a feature costs
    assert max(judged.importances, key=judged.importances.get) in text and judged.artifact_sha256 in text


def test_the_preview_counts_before_the_click(send, filled):
    text = send("preview", **recipe_fields(name="")).content.decode()
    assert "120" in text and "Base rate" in text
    assert Job.objects.count() == 0


def test_the_preview_says_what_is_wrong(send, filled):
    assert "label.change_pct" in send("preview", **recipe_fields(change_pct="0")).content.decode()
    assert "not filled in" in send("preview", **recipe_fields(horizon_seconds="")).content.decode()
    assert "Not enough for a fit." in send("preview", **recipe_fields(change_pct="5000")).content.decode()


def test_the_form_queues_a_training_that_succeeds(send, filled):
    chosen = ["price_change_60s", "buy_pressure_60s"]
    response = send("new", **recipe_fields(features=chosen, balanced="on", stop_pct="30", time_from="2026-03-01T00:05"))
    job = Job.objects.get()
    assert response.url == reverse("training:job", args=[job.pk])
    assert run_next().status == Job.Status.COMPLETED
    recipe = Model.objects.get(name="by hand").recipe
    assert recipe["features"] == chosen and recipe["label"]["stop_pct"] == 30
    assert recipe["xgboost"]["scale_pos_weight"] == "balanced" and recipe["data"]["from"].startswith("2026-03-01T")


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"kind": "close", "metric": "market_cap_close"}, {"kind": "close", "metric": "market_cap_close"}),
        ({"kind": "path", "stop_pct": "9", "label_costs_pct": "3"}, {"stop_pct": 9, "costs_pct": 3, "change_pct": 10}),
        (
            {"kind": "rule", "metric": "num_buys", "operator": ">", "value": "5", "when": "after", "stop_pct": "9"},
            {"metric": "num_buys", "operator": ">", "value": 5, "when": "after", "change_pct": None, "stop_pct": None},
        ),
        ({"kind": "graduates", "metric": "num_buys", "value": "5"}, {"kind": "graduates", "value": None}),
    ],
    ids=["close", "path", "rule", "graduates"],
)
def test_the_form_asks_every_kind_of_question(send, db, fields, label):
    send("new", **recipe_fields(**fields))
    found = Job.objects.get().params["recipe"]["label"]
    assert {name: found[name] for name in label} == label


def test_the_form_says_how_rows_are_chosen_what_trades_cost_and_what_is_varied(send, db):
    fields = {"creators": "new", "min_trades": "3", "max_rows_per_coin": "50", "every_seconds": "10", "folds": "2",
              "mints": "MintA\nMintB", "venue_fee_bps": "100", "failure_rate": "0.1", "positive_weight": "4",
              "tune": "on", "trials": "7", "measure": "expected_value", "tune_seconds": "60"}  # fmt: skip
    send("new", **recipe_fields(**fields))
    job = Job.objects.get()
    recipe = job.params["recipe"]
    assert job.job_type == Job.Type.TUNE and (recipe["tune"]["trials"], recipe["tune"]["seconds"]) == (7, 60)
    assert recipe["data"]["mints"] == ["MintA", "MintB"] and recipe["data"]["creators"] == "new"
    assert (recipe["data"]["max_rows_per_coin"], recipe["data"]["every_seconds"], recipe["split"]["folds"]) == (
        50,
        10,
        2,
    )
    assert (recipe["costs"]["venue_fee_bps"], recipe["costs"]["failure_rate"]) == (100, 0.1)
    assert recipe["xgboost"]["scale_pos_weight"] == 4


def test_a_recipe_that_cannot_be_is_told_in_the_form(send, db):
    response = send("new", **recipe_fields(validation="0.9"))
    assert response.status_code == 200 and "split.validation" in response.content.decode()
    assert Job.objects.count() == 0


def test_a_job_is_cancelled_by_its_button(send, make_recipe, db):
    job = services.train_request(recipe=make_recipe())
    send("job_cancel", job.pk)
    job.refresh_from_db()
    assert job.status == Job.Status.CANCELLED
    assert "already ended" in send("job_cancel", job.pk).wsgi_request._messages._queued_messages[0].message


def test_a_failed_job_tells_why(page, filled, make_recipe):
    services.train_request(recipe=make_recipe(data={"phases": [3]}))
    job = run_next()
    text = page("job", job.pk).content.decode()
    assert "NO_DATA" in text and "Choose another time range" in text
    assert "small" in page("jobs", data={"status": "FAILED"}).content.decode()
    assert "small" not in page("jobs", data={"status": "RUNNING"}).content.decode()


def test_a_model_is_tested_renamed_and_deleted_from_its_page(send, page, judged):
    end = market.START + timedelta(hours=1)
    fields = {"action": "test", "time_from": "2026-03-01T00:40", "time_to": end.strftime("%Y-%m-%dT%H:%M")}
    assert send("model", judged.pk, **fields).status_code == 302
    assert run_next().job_type == Job.Type.TEST
    wrong = {**fields, "time_from": fields["time_to"]}
    assert "after the beginning" in send("model", judged.pk, **wrong).content.decode()
    send("model", judged.pk, action="change", name="renamed", description="new")
    judged.refresh_from_db()
    assert (judged.name, judged.description) == ("renamed", "new")
    assert "choose another name" in send("model", judged.pk, action="change", name="second").content.decode()
    send("model_delete", judged.pk)
    assert page("model", judged.pk).status_code == 404
    assert page("tests").status_code == 200 and page("comparison", Comparison.objects.get().pk).status_code == 200


def test_models_are_compared_and_results_deleted(send, judged):
    second = Model.objects.get(name="second")
    times = {"time_from": "2026-03-01T00:40", "time_to": "2026-03-01T01:00"}
    assert send("comparisons", models=[judged.pk, second.pk], **times).status_code == 302
    assert Job.objects.filter(job_type=Job.Type.COMPARE).count() == 2
    assert "Choose 2 to 4" in send("comparisons", models=[judged.pk], **times).content.decode()
    send("comparison_delete", Comparison.objects.get().pk)
    send("test_delete", TestResult.objects.get().pk)
    assert not Comparison.objects.exists() and not TestResult.objects.exists()


def test_features_are_found_by_name_and_window(page):
    text = page("features", data={"q": "buy_pressure", "window": "60"}).content.decode()
    assert "buy_pressure_60s" in text and "buy_pressure_300s" not in text
    assert "No feature is named so." in page("features", data={"q": "nonsense"}).content.decode()
    assert page("features", data={"page": "2"}).status_code == 200


def test_the_page_of_a_study_shows_its_trials_and_trains_the_best(page, send, filled, make_recipe):
    services.tune_request(recipe=make_recipe(tune={"trials": 3}))
    study = run_next()
    text = page("job", study.pk).content.decode()
    assert text.count('id="trial-') == 3 and text.count('<svg class="plot"') == 1 + len(SPACE)
    assert german(page, "job", study.pk).status_code == 200
    send("train_best", study.pk)
    model = run_next().model
    assert f"/training/models/{model.pk}/" in page("job", study.pk).content.decode()
    assert f"/training/jobs/{study.pk}/" in page("model", model.pk).content.decode()


def test_a_study_that_waits_has_a_page(page, db, make_recipe):
    job = services.tune_request(recipe=make_recipe())
    assert "No trial yet." in page("job", job.pk).content.decode()


def test_a_model_gets_an_alias_is_retrained_deleted_and_restored(page, send, judged):
    send("model_alias", judged.pk, alias="champion")
    judged.refresh_from_db()
    assert judged.alias == "champion" and "champion" in page("overview").content.decode()
    send("model_retrain", judged.pk)
    child = run_next().model
    assert child.parent == judged and child.name in page("model", judged.pk).content.decode()
    send("model_delete", judged.pk)
    listed = page("overview", query_params={"deleted": "1"}).content.decode()
    assert f"/training/models/{judged.pk}/restore/" in listed
    send("model_restore", judged.pk)
    judged.refresh_from_db()
    assert (judged.name, judged.is_deleted, judged.alias) == ("first", False, "")


def test_a_models_file_is_uploaded(page, client, judged):
    file = SimpleUploadedFile("model.zip", containers.pack(judged))
    client.post(reverse("training:import"), {"file": file, "name": "from a file"})
    assert Model.objects.get(name="from a file").artifact_sha256 == judged.artifact_sha256
    refused = client.post(reverse("training:import"), {"file": SimpleUploadedFile("model.zip", b"something else")})
    assert "not a model file" in refused.content.decode()


def test_every_formula_of_the_registry_is_said_in_german():
    formulas = {one["formula"] for one in features.describe()} - {"price_close / ath_price - 1"}
    with translation.override("de"):
        assert [formula for formula in formulas if display.error_text(formula) == formula] == []
