"""On the real recordings of September: train through the queue with a real Celery worker, judge on the next day.

A slice of each day keeps this short; docs/recipes/plus20_5min.toml is the whole.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.training import leakcheck, services
from apps.training.models import Model, TestResult
from apps.training.recipes import recipe_parse
from apps.training.tests.conftest import FEATURES
from apps.training.tests.worker import trainer, wait_for

pytestmark = [pytest.mark.recordings, pytest.mark.django_db(transaction=True)]

TRAIN = (datetime(2025, 9, 6, 10, tzinfo=UTC), datetime(2025, 9, 6, 13, tzinfo=UTC))
TEST = (datetime(2025, 9, 7, 0, tzinfo=UTC), datetime(2025, 9, 7, 1, 30, tzinfo=UTC))
RECIPE = {
    "name": "september",
    "label": {"change_pct": 20, "horizon_seconds": 300, "latency_seconds": 2},
    "data": {"from": TRAIN[0].isoformat(), "to": TRAIN[1].isoformat(), "phases": [1, 2]},
    "features": FEATURES,
    "split": {"validation": 0.25, "test": 0.0},
    "xgboost": {"n_estimators": 60, "early_stopping_rounds": 15, "learning_rate": 0.1, "max_depth": 4},
}


def import_slice(folder: Path, start: datetime, end: datetime) -> None:
    path = str(folder / "trades_2025-09-05_to_07.csv.gz")
    call_command("import_trades", path, "--from", start.isoformat(), "--to", end.isoformat())


def test_a_model_of_one_day_is_judged_on_the_next_through_the_queue(
    recordings: Path, celery_messages: Callable[[], list[int]]
) -> None:
    import_slice(recordings, *TRAIN)
    import_slice(recordings, *TEST)
    call_command("import_tracking", str(recordings / "coin_summaries_2025-09-05_to_07.jsonl.gz"))
    with trainer():
        job = wait_for(services.train_request(recipe=recipe_parse(RECIPE)))
        model = Model.objects.get(pk=job.result["model_id"])
        tested = wait_for(services.test_request(model=model, start=TEST[0], end=TEST[1]))
    result = TestResult.objects.get(pk=tested.result["test_result_id"])
    assert not result.overlaps_training
    assert tested.result["counts"]["rows_unknown"] > 0
    assert 0.1 < result.scores["base_rate"] < 0.5
    assert result.scores["pr_auc"] > 1.3 * result.scores["base_rate"]
    assert 0.6 < result.scores["roc_auc"] < 0.95
    assert result.scores["intervals"]["pr_auc"][0] > result.scores["base_rate"]
    worth = {row["name"]: row["expected_value"] for row in result.scores["baselines"]}
    assert worth["always_no"] is None and -0.2 < worth["always_yes"] < -0.03  # fees and slippage alone take 3.6 %
    findings = leakcheck.check([datetime(2025, 9, 6, 11, 17, 3, tzinfo=UTC)], coins_per_cut=100, seed=1)
    assert findings.is_clean and findings.rows_compared > 500, findings
