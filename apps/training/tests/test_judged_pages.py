"""Judged samples on pages and in the API, from stored scores alone: old ones, empty ones, ones too good to be true."""

from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from apps.training import cautions, judged_pages
from apps.training.evaluation import Sample, baselines, report
from apps.training.evaluation.slices import regime_fit
from apps.training.models import Comparison, Model, TestResult
from apps.training.tests.market import START

OLD = {
    "rows": 100, "positives": 30, "base_rate": 0.3, "pr_auc": 0.5, "roc_auc": 0.7, "log_loss": 0.5, "brier": 0.2,
    "suspicious": False, "threshold": 0.6, "alerts": 10, "precision": 0.6, "recall": 0.2, "mcc": 0.2,
    "expected_value": 0.02, "expected_value_of_all": -0.03, "calibration": [], "curves": {"pr": [], "roc": []},
}  # fmt: skip


def model(name: str, scores: dict, **fields) -> Model:
    return Model.objects.create(
        name=name, recipe={"label": {"change_pct": 20, "horizon_seconds": 300}, "data": {"phases": [1]}},
        feature_names=["price_close"], label_name="path", horizon_seconds=300, train_from=START,
        train_to=START + timedelta(days=1), data_hash="", rows_train=1, rows_validation=1, rows_test=0,
        scores={"validation": scores}, threshold=0.6, artifact=b"", artifact_sha256="", xgboost_version="", **fields,
    )  # fmt: skip


def test_of(found: Model, scores: dict, *, overlaps: bool = False) -> TestResult:
    return TestResult.objects.create(
        model=found, test_from=START, test_to=START + timedelta(days=1), overlaps_training=overlaps, rows=100,
        rows_unknown=0, coins=40, scores=scores,
    )  # fmt: skip


test_of.__test__ = False


def whole(*, suspicious: bool = False) -> dict:
    """A whole report on made rows."""
    rng = np.random.default_rng(1)
    coin = np.repeat(np.arange(60), 8)
    quality, rows = rng.normal(size=60)[coin], len(coin)
    label = (quality > 0.5).astype(float) if suspicious else (quality + rng.normal(size=rows) > 0.8).astype(float)
    context = {name: quality + rng.normal(size=rows) for name in baselines.CONTEXT}
    as_of_us = 1_772_323_200_000_000 + rng.integers(1, 172_800_000_000, rows)
    sample = Sample(label, label * 0.3 - 0.1, coin, as_of_us, np.ones(rows, np.int16), context)
    kept = {"baselines": baselines.fit(sample, sample, min_alerts=20), "regime": regime_fit(sample, "age_seconds")}
    probability = 1 / (1 + np.exp(-quality))
    return report.judge(sample, probability, threshold=0.6, seed=1, judging=kept, resamples=30)


@pytest.fixture
def open_page(client, db):
    client.force_login(get_user_model().objects.create_user("person", is_staff=True, is_superuser=True))

    def read(name, *args, **options):
        response = client.get(reverse(name, args=args), **options)
        assert response.status_code == 200
        return response.content.decode()

    return read


def test_scores_of_before_intervals_are_still_shown(open_page):
    old = model("old", OLD)
    assert "0.500" in open_page("training:model", old.pk) and "0.500" in open_page("training:overview")
    assert "0.500" in open_page("training:test", test_of(old, OLD).pk)
    assert "+2.0 %" in open_page("training:tests")


def test_a_test_shows_baselines_slices_and_ranges(open_page):
    found = whole()
    text = open_page("training:test", test_of(model("m", found), found).pk)
    for words in ("logistic regression", "curve position rule", "momentum rule", "nobody buys", "every row is bought"):
        assert words in text
    assert "2026-03-01" in text and "2026-03-02" in text and "busy market" in text
    low, high = found["intervals"]["roc_auc"]
    assert f"{low:.3f} to {high:.3f}" in text
    assert text.count('<svg class="plot"') == 5
    german = open_page("training:test", TestResult.objects.get().pk, headers={"accept-language": "de"})
    assert f"{low:.3f}".replace(".", ",") in german


def test_what_is_too_good_leads_to_the_leak_check(open_page, client):
    found = whole(suspicious=True)
    assert found["suspicious"]
    result = test_of(model("wonder", found), found)
    link = reverse("training:leakcheck")
    assert f'href="{link}"' in open_page("training:test", result.pk)
    assert open_page("training:leakcheck").count("wonder") == 2
    assert client.get(f"/api/training/test-results/{result.pk}").json()["leakcheck"] == link
    listed = client.get("/api/training/models").json()["items"][0]
    assert listed["leakcheck"] == link and "slices" not in listed["scores"]["validation"]
    assert client.get(f"/api/training/test-results/{test_of(result.model, OLD).pk}").json()["leakcheck"] is None


def test_a_test_on_the_training_time_is_red(open_page):
    text = open_page("training:test", test_of(model("m", OLD), OLD, overlaps=True).pk)
    assert "promise nothing" in text and "note-box bad" in text
    assert '<span class="pill bad">overlaps training</span>' in open_page("training:tests")


def test_a_comparison_shows_each_lead_and_whether_it_could_be_chance(open_page):
    one, two, found = model("one", OLD), model("two", OLD), whole()
    rows = [
        {"model_id": each.pk, "name": each.name, "overlaps_training": False, "scores": found} for each in (one, two)
    ]
    lead = {"measure": "expected_value", "best": "one", "other": "two", "difference": 0.012, "interval": [-0.02, 0.04]}
    results = {"models": rows, "counts": {}, "differences": [lead]}
    made = Comparison.objects.create(test_from=START, test_to=START, results=results, reason="No winner: chance.")
    made.compared.set([one, two])
    text = open_page("training:comparison", made.pk)
    assert "+1.2 %" in text and "-2.0 to 4.0 %" in text and "could be chance" in text


@pytest.mark.parametrize(("ends", "tone"), [([0.01, 0.2], "up"), ([-0.01, 0.2], ""), ([-0.2, -0.1], "down")])
def test_a_value_that_could_be_chance_has_no_colour(ends, tone):
    value = sum(ends) / 2
    assert judged_pages.expected_tone({"expected_value": value, "intervals": {"expected_value": ends}}) == tone


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, ""),
        ({"rows_found": 100, "rows_unknown_tracking_ended": 9}, ""),
        ({"rows_found": 100, "rows_unknown_tracking_ended": 37}, "37.0 % of the windows"),
    ],
)
def test_rows_lost_with_their_coins_are_explained(counts, said):
    text = cautions.of_counts(counts)
    assert text.startswith(said) and bool(text) == bool(said)


def test_only_figures_of_validation_come_with_a_caution():
    assert [bool(cautions.of_part(part)) for part in ("validation", "test", "")] == [True, False, False]
