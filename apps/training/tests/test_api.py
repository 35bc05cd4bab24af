import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from apps.core.tokens import token_create
from apps.training import features, tasks
from apps.training.models import Job, Model
from apps.training.tests import market, remembered
from apps.training.tests.conftest import FEATURES

pytestmark = pytest.mark.usefixtures("few_draws")

ROOT = "/api/training/"
BODY = {
    "name": "by-api",
    "label": {"change_pct": 10, "horizon_seconds": 60},
    "data": {"phases": [1]},
    "features": FEATURES,
    "xgboost": {"n_estimators": 20, "max_depth": 3},
}
SPAN = {"from": market.START.isoformat(), "to": (market.START + timedelta(hours=1)).isoformat()}


@pytest.fixture
def call(client: Client, db: None):
    """Calls with a token of an administrator, or of somebody who may only read."""
    user = get_user_model().objects.create_superuser("root", password="correct horse battery")
    tokens = {
        scope: token_create(user=user, name=scope, scopes=[scope], days=1, now=timezone.now())[0]
        for scope in ("read", "admin")
    }

    def ask(method: str, path: str, body: Any = None, *, scope: str = "admin", status: int | None = None) -> Any:
        headers = {"Authorization": f"Bearer {tokens[scope]}"}
        if method == "upload":
            response = client.post(ROOT + path, body, headers=headers)
            assert status is None or response.status_code == status, response.content
            return response
        response = getattr(client, method)(ROOT + path, body, headers=headers, content_type="application/json")
        assert status is None or response.status_code == status, response.content
        return response

    return ask


@pytest.fixture
def model(filled, call) -> int:
    """A model that was trained over the API."""

    def make() -> None:
        call("post", "models/create/advanced", BODY, status=202)
        tasks.run_job(0)

    remembered.once("by-api", make)
    return Model.objects.get().pk


def test_an_empty_database_has_an_answer_to_everything(call):
    for path in ("models", "queue", "test-results", "comparisons", "data-availability", "health"):
        call("get", path, status=200)
    assert call("post", "models/preview", BODY, status=400).json()["code"] == "NO_DATA"


def test_a_model_is_trained_listed_shown_and_downloaded(model, call):
    [row] = call("get", "models", scope="read", status=200).json()["items"]
    assert row["name"] == "by-api" and "curves" not in row["scores"]["test"]
    shown = call("get", f"models/{model}", scope="read", status=200).json()
    assert shown["recipe"]["name"] == "by-api" and shown["scores"]["test"]["curves"]["pr"]
    assert shown["feature_names"] == FEATURES
    assert "expect worse" in shown["cautions"]["validation"] and "expect worse" in row["cautions"]["validation"]
    answer = call("get", f"models/{model}/download?format=ubj", scope="read", status=200)
    assert hashlib.sha256(answer.content).hexdigest() == answer["X-Artifact-SHA256"] == shown["artifact_sha256"]


def test_a_downloaded_model_is_imported_again(model, call):
    file = call("get", f"models/{model}/download", scope="read", status=200)
    assert file["Content-Type"] == "application/zip"
    shown = call("upload", "models/import", {"file": upload(file.content), "name": "again"}, status=201).json()
    assert (shown["name"], shown["origin"]) == ("again", "imported")
    taken = call("upload", "models/import", {"file": upload(file.content)}, status=409).json()
    assert taken["code"] == "MODEL_NAME_TAKEN"
    wrong = call("upload", "models/import", {"file": upload(file.content[:-9])}, status=400).json()
    assert wrong["code"] == "MODEL_FILE_FOREIGN"


def test_a_model_is_imported_from_json_too(model, call):
    file = base64.b64encode(call("get", f"models/{model}/download", status=200).content).decode()
    assert call("post", "models/import", {"file": file, "name": "again"}, status=201).json()["name"] == "again"
    assert call("post", "models/import", {"file": "no base64!"}, status=400).json()["code"] == "MODEL_FILE_NOT_BASE64"
    lacking = call("post", "models/import", {"name": "x", "nmae": "y"}, status=422).json()
    assert [one["field"] for one in lacking["details"]["errors"]] == ["file", "nmae"]
    assert call("upload", "models/import", {"name": "x"}, status=400).json()["code"] == "MODEL_FILE_MISSING"


def upload(data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("model.zip", data, "application/zip")


def test_aliases_go_from_one_model_to_the_next(model, call):
    assert call("patch", f"models/{model}", {"alias": "champion"}, status=200).json()["alias"] == "champion"
    copy = Model.objects.get(pk=model)
    copy.pk, copy.name, copy.alias = None, "other", ""
    copy.save()
    other = copy.pk
    call("patch", f"models/{other}", {"alias": "champion"}, status=200)
    [champion] = call("get", "models?alias=champion", status=200).json()["items"]
    assert champion["id"] == other
    assert call("patch", f"models/{other}", {"alias": ""}, status=200).json()["alias"] == ""


def test_a_deleted_model_comes_back(model, call):
    call("patch", f"models/{model}", {"alias": "champion"}, status=200)
    call("delete", f"models/{model}", status=204)
    [row] = call("get", "models?deleted=true", status=200).json()["items"]
    assert (row["id"], row["alias"]) == (model, "")
    assert call("post", f"models/{model}/restore", {}, status=200).json()["name"] == "by-api"
    assert call("post", f"models/{model}/restore", {}, status=409).json()["code"] == "MODEL_NOT_DELETED"


def test_a_model_is_retrained_as_challenger(model, call):
    job = call("post", f"models/{model}/retrain", {"alias": "challenger"}, status=202).json()
    assert job["params"]["recipe"]["name"] == "by-api.2"
    tasks.run_job(0)
    child = Model.objects.get(name="by-api.2")
    shown = call("get", f"models/{child.pk}", status=200).json()
    assert (shown["parent_id"], shown["origin"], shown["alias"]) == (model, "retrained", "challenger")
    assert call("get", f"models/{model}", status=200).json()["children"] == [child.pk]


def test_a_study_is_queued_run_looked_into_and_its_best_trained(filled, call):
    study = call("post", "models/tune", {**BODY, "tune": {"trials": 2}}, status=202).json()
    assert study["job_type"] == "TUNE"
    tasks.run_job(0)
    trials = call("get", f"queue/{study['id']}/trials", scope="read", status=200).json()
    assert trials["count"] == 2 and {"max_depth", "learning_rate"} <= set(trials["items"][0]["params"])
    best = call("post", f"queue/{study['id']}/train-best", {"name": "best"}, status=202).json()
    assert best["params"]["lineage"]["study_id"] == study["id"]
    assert call("post", f"queue/{best['id']}/train-best", {}, status=409).json()["code"] == "STUDY_WITHOUT_BEST"
    assert call("get", "queue?job_type=TUNE", status=200).json()["count"] == 1


def test_a_preview_says_what_a_recipe_would_find(filled, call):
    counts = call("post", "models/preview", BODY, scope="read", status=200).json()
    assert counts["rows"] > counts["positives"] > 0 and counts["coins"] > 50
    assert counts["exact"] and counts["lacking"] == ""
    parts = counts["parts"].values()
    outside = counts["purged"] + counts["embargoed"] + counts["sampled_out"]
    assert sum(part["rows"] for part in parts) == counts["rows"] - outside


def test_a_model_is_renamed_and_deleted(model, call):
    assert call("patch", f"models/{model}", {"name": "better"}, status=200).json()["name"] == "better"
    call("delete", f"models/{model}", status=204)
    missing = call("get", f"models/{model}", status=404).json()
    assert missing["code"] == "MODEL_NOT_FOUND"
    assert call("get", "models", status=200).json()["count"] == 0


def test_a_test_is_queued_run_read_and_deleted(model, call):
    job = call("post", f"models/{model}/test", SPAN, status=202).json()
    tasks.run_job(job["id"])
    [row] = call("get", f"test-results?model_id={model}", status=200).json()["items"]
    assert row["overlaps_training"] is True and row["scores"]["rows"] == row["rows"]
    assert "promise nothing" in row["cautions"]["overlap"]
    call("delete", f"test-results/{row['id']}", status=204)
    assert call("get", f"test-results/{row['id']}", status=404).json()["code"] == "TEST_RESULT_NOT_FOUND"


def test_models_are_compared(model, call):
    call("post", "models/create/advanced", {**BODY, "name": "other", "features": ["age_seconds"]}, status=202)
    tasks.run_job(0)
    ids = list(Model.objects.values_list("pk", flat=True))
    call("post", "models/compare", {"model_ids": ids, **SPAN}, status=202)
    tasks.run_job(0)
    [row] = call("get", "comparisons", status=200).json()["items"]
    assert row["model_ids"] == sorted(ids) and row["winner_id"] in [*ids, None] and row["reason"]
    assert "promise nothing" in row["cautions"]["overlap"]
    assert call("get", f"comparisons/{row['id']}", status=200).json()["results"]["models"]
    call("delete", f"comparisons/{row['id']}", status=204)


def test_a_model_is_not_compared_with_itself(model, call):
    answer = call("post", "models/compare", {"model_ids": [model, model], **SPAN}, status=400).json()
    assert answer["code"] == "COMPARE_NUMBER"


def test_the_queue_is_listed_filtered_and_cancelled(filled, call):
    job = call("post", "models/create/advanced", BODY, status=202).json()
    assert call("get", "queue?status=PENDING", status=200).json()["count"] == 1
    assert call("post", f"queue/{job['id']}/cancel", status=200).json()["status"] == "CANCELLED"
    assert call("post", f"queue/{job['id']}/cancel", status=409).json()["code"] == "JOB_ALREADY_ENDED"
    assert call("get", f"queue/{job['id']}", status=200).json()["log"] == ""
    assert call("get", "queue/999999", status=404).json()["code"] == "JOB_NOT_FOUND"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"features": ["price_tomorrow"]}, "features"),
        ({"label": {"horizon_seconds": 0}}, "label.horizon_seconds"),
        ({"data": {"from": SPAN["to"], "to": SPAN["from"]}}, "data"),
        ({"data": {"from": "2026-03-01T00:00:00"}}, "data.from"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_recipe_names_its_field(call, change, field):
    error = call("post", "models/create/advanced", {**BODY, **change}, status=422).json()
    assert (error["code"], error["details"]["errors"][0]["field"]) == ("VALIDATION_FAILED", field)
    assert Job.objects.count() == 0


@pytest.mark.parametrize("path", ["models/preview", "models/create/advanced"])
def test_a_phase_that_there_is_not_is_named(filled, call, path):
    answer = call("post", path, {**BODY, "data": {"phases": [1, 7]}}, status=400).json()
    assert answer["code"] == "UNKNOWN_PHASE" and "no phase 7: take some of 1, 2, 3 (" in answer["message"]


def test_a_reader_changes_nothing(call):
    for method, path, body in (
        ("post", "models/create/advanced", BODY),
        ("patch", "models/1", {"name": "x"}),
        ("delete", "models/1", None),
        ("post", "models/1/test", SPAN),
        ("post", "models/compare", {"model_ids": [1, 2], **SPAN}),
        ("post", "queue/1/cancel", None),
        ("post", "queue/1/train-best", {}),
        ("post", "models/1/restore", {}),
        ("post", "models/1/retrain", {}),
        ("post", "models/tune", BODY),
        ("upload", "models/import", {"file": upload(b"x")}),
        ("delete", "test-results/1", None),
        ("delete", "comparisons/1", None),
    ):
        assert call(method, path, body, scope="read", status=403).json()["code"] == "SCOPE_MISSING"


def test_what_there_is_to_choose_from_is_listed(filled, call):
    listed = call("get", "features?limit=500", scope="read", status=200).json()
    assert [row["name"] for row in listed["items"]] == list(features.NAMES)
    assert [row["id"] for row in call("get", "phases", status=200).json()["items"]] == [1, 2, 3]
    assert call("get", "config", status=200).json()["recipe_defaults"]["label"]["latency_seconds"] == 2.0
    assert call("get", "health", status=200).json()["status"] == "no_trainer"
    data = call("get", "data-availability", status=200).json()
    assert sum(day["rows"] for day in data["days"]) > 1000 and data["data_end"]
