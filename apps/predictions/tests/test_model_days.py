"""Days of models at work: what they keep and how far they drift, from the tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from apps.predictions import drift, evidence, model_days, services
from apps.predictions.evidence import Held
from apps.predictions.metrics import OFF_BACKTEST
from apps.predictions.models import ActiveModel, ModelDay, ModelPrediction
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import START, Feed, at, at_work, mint_of
from apps.predictions.tests.matches import Match, plain_model
from apps.training import profiles, queries
from apps.training.columns import load_columns
from apps.training.features import NAMES, compute
from apps.training.market_queries import MarketReader
from apps.training.models import Model
from apps.training.queries import to_us

pytestmark = pytest.mark.django_db

TEST = {
    "threshold": 0.5, "precision": 0.5, "expected_value": 0.1,
    "intervals": {"precision": [0.45, 0.55], "expected_value": [0.05, 0.15]},
}  # fmt: skip


def place_with(scores: dict[str, Any], **fields: Any) -> ActiveModel:
    model = plain_model("model", threshold=0.5)
    Model.objects.filter(pk=model.pk).update(scores=scores)
    return services.model_import(model=Model.objects.get(pk=model.pk), fields=fields)


def alerts(place: ActiveModel, values: list[float], failed: int = 0) -> None:
    """Judged alerts of the place worth so much, the first so many of them failed."""
    Match(place, place).play(values, [], both=False)
    worst = sorted(ModelPrediction.objects.values_list("as_of", flat=True))[:failed]
    ModelPrediction.objects.filter(as_of__in=worst).update(status="failed")


@pytest.mark.parametrize(
    ("value", "failed", "state"),
    [(0.1, 50, "as_promised"), (-0.1, 50, "below"), (0.1, 95, "below"), (0.3, 50, "above"), (0.1, 5, "above")],
)
def test_a_model_that_lives_off_its_backtest_is_told(value: float, failed: int, state: str) -> None:
    feed = Feed()
    feed.run_to(600)
    place = place_with({"test": TEST})
    alerts(place, (value + np.random.default_rng(1).normal(0, 0.1, 100)).tolist(), failed)
    assert model_days.lives_update() == 1  # no scores, so no day: only the span
    week = ModelDay.objects.get(day=None)
    assert week.state == state
    assert week.life["precision"] == pytest.approx(1 - failed / 100)
    assert week.life["expected_value"] == pytest.approx(value, abs=0.04)
    assert OFF_BACKTEST.labels(place.pk)._value.get() == (state == "below")
    services.model_deactivate(active=place)
    model_days.lives_update()
    assert OFF_BACKTEST.labels(place.pk)._value.get() == 0, "who stopped it is not warned of it any more"


def test_what_is_still_judged_of_a_stopped_model_counts_for_its_last_days_too() -> None:
    place = scored_market()
    ActiveModel.objects.update(is_active=False)
    assert model_days.lives_update() == 2
    day, span = ModelDay.objects.get(day=START.date()), ModelDay.objects.get(day=None)
    assert (span.active_model_id, span.life["scores"]) == (place.pk, day.life["scores"])


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"threshold": 0.4}, "below"), ({"phases": [1]}, "not_comparable"), ({"threshold": 0.8}, "not_comparable"),
        ({"coin_filter": "whitelist", "whitelist": ["x"]}, "not_comparable"),
    ],
)  # fmt: skip
def test_only_where_the_test_alerted_too_it_is_held_to_it(fields: dict[str, Any], state: str) -> None:
    Feed().run_to(600)
    place = place_with({"test": TEST}, **fields)
    alerts(place, [-0.5] * 60, 60)
    model_days.lives_update()
    assert ModelDay.objects.get().state == state


def test_a_model_without_a_test_is_not_judged() -> None:
    Feed().run_to(600)
    alerts(place_with({}), [-0.5] * 60)
    model_days.lives_update()
    assert ModelDay.objects.get().state == "not_promised"


@pytest.mark.parametrize(("later", "overlaps", "state"), [(1, False, "below"), (-1, False, ""), (1, True, "")])
def test_a_model_without_a_test_part_is_held_to_what_a_later_test_found(later: int, overlaps: bool, state: str) -> None:
    Feed().run_to(600)
    place = place_with({"validation": {**TEST, "precision": None, "expected_value": None}})
    alerts(place, [-0.5] * 60, 60)
    start = place.model.train_to + timedelta(seconds=later)
    place.model.test_results.create(
        test_from=start, test_to=start + timedelta(hours=1), overlaps_training=overlaps,
        rows=10, rows_unknown=0, coins=5, scores=TEST,
    )  # fmt: skip
    model_days.lives_update()
    assert ModelDay.objects.get().state == (state or "not_promised")


def scored_market(seconds: int = 300) -> ActiveModel:
    """A real model that scored some coins; nothing is late."""
    feed = Feed()
    for number in range(6):
        feed.coin(number)
    place = at_work("real", threshold=0.5)
    scorer = Scorer()
    scorer.refresh()
    for moment in range(60, seconds + 1, 60):
        feed.run_to(moment)
        while scorer.step():
            pass
    return place


def test_features_are_computed_again_exactly_as_training_has_them() -> None:
    scored_market()
    mints = [mint_of(number) for number in range(6)]
    columns = load_columns(queries.metric_records(mints, at(-1), at(300)))
    expected = compute(columns, MarketReader().between(to_us(at(0)), to_us(at(300)))).astype(np.float32)
    wanted = [*range(0, len(columns), 7), len(columns) - 1]
    rows = [(mints[columns.coin[place]], queries.to_datetime(columns.as_of_us[place])) for place in wanted]
    gone = ("nobody", at(5))
    found = model_days.features_at([*rows[::-1], gone], NAMES)
    assert found.tobytes() == expected[wanted].tobytes()


def test_drift_is_counted_for_what_was_scored_and_only_once_after_the_day() -> None:
    place = scored_market(600)
    model = place.model
    span = model_days.span_of(START.date())
    sample = evidence.score_sample(Held.of(place), span, 10_000)
    x = model_days.features_at([(mint, as_of) for mint, as_of, _ in sample], model.feature_names)
    scores = np.array([one for _, _, one in sample])
    profile = profiles.profile_of(model.feature_names, x, np.arange(len(x)), scores)
    name = next(name for name, one in profile["features"].items() if len(one["cuts"]) > 5)
    profile["features"][name] = profiles.spread_of(x[:, NAMES.index(name)] + 1e6).as_json()
    Model.objects.filter(pk=model.pk).update(profile=profile)
    assert len(sample) > drift.LEAST_ROWS
    assert model_days.drifts_update() == 1
    found = drift.drift_read(ModelDay.objects.get(day=START.date()).drift)
    assert found.highest[0] == name
    assert drift.degree_of(found.features[name]) == "much"
    others = [value for other, value in found.features.items() if other != name]
    others = [value for value in others if value is not None]  # the clock is not compared
    assert len(others) > 100
    assert max(others) == pytest.approx(0, abs=1e-6) == pytest.approx(found.score, abs=1e-6)
    Feed().run_to(timedelta(days=1).total_seconds() + 60)
    assert model_days.drifts_update() == 1
    assert model_days.drifts_update() == 0, "a day that is over is counted once more and then stands"


def test_a_model_of_before_profiles_has_no_drift() -> None:
    scored_market(60)
    assert model_days.drifts_update() == 0
