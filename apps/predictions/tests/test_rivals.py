"""Two models that truly differ, in a market where one of them is right: scorer, judge and gate from end to end."""

from __future__ import annotations

import numpy as np
import pytest

from apps.predictions import champions, retraining, services
from apps.predictions.models import ActiveModel, AlertEvaluation, ChampionEvent, Prediction
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import LABEL, Feed, at
from apps.training import artifacts
from apps.training.models import Model
from apps.training.queries import to_us
from apps.training.tests.market import FakeTrade

pytestmark = pytest.mark.django_db
SIGN = "price_change_30s"
COINS, SECONDS = 16, 180


def market() -> Feed:
    """Coins of which every second one rises by 4 % every five seconds, and the others fall."""
    feed = Feed()
    for number in range(COINS):
        step = 1.04 if number % 2 else 0.98
        feed.coin(number, trades=[_trade(number, second, step) for second in range(1, SECONDS)])
    return feed


def _trade(number: int, second: int, step: float) -> FakeTrade:
    return FakeTrade(to_us(at(second + number / 100)), True, 10**8, 1e-8 * step ** (second / 5))


def follower(name: str, *, rising: bool) -> Model:
    """A model that has learned to expect a rise where the price rose (or, the fool, where it fell)."""
    import xgboost

    x = np.random.default_rng(1).uniform(-0.2, 0.2, (400, 1)).astype(np.float32)
    matrix = xgboost.DMatrix(x, (x[:, 0] > 0) == rising, feature_names=[SIGN])
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 1, "seed": 1}, matrix, 20)
    artifact, digest = artifacts.dump(booster)
    return Model.objects.create(
        name=name, recipe={"name": name, "label": LABEL, "costs": {"flat_pct": 2.0}}, feature_names=[SIGN],
        label_name="path", horizon_seconds=60, train_from=at(-7200), train_to=at(-3600), data_hash="0" * 64,
        rows_train=1, rows_validation=1, rows_test=1, scores={}, threshold=0.5, artifact=artifact,
        artifact_sha256=digest, xgboost_version=xgboost.__version__,
    )  # fmt: skip


def run(feed: Feed, scorer: Scorer, seconds: range) -> None:
    """The stream and the scorer at these moments, then the judge."""
    for second in seconds:
        feed.run_to(second)
        scorer.refresh()
        scorer.step()
    services.outcomes_judge()


def alerting_model(since: float) -> set[int | None]:
    """Which trained models were heard from then on."""
    told = AlertEvaluation.objects.filter(as_of__gt=at(since)).exclude(alert_id=None)
    keys = told.values_list("active_model_id", "mint", "as_of")
    made_by = {(one.active_model_id, one.mint, one.as_of): one.model_id for one in Prediction.objects.all()}
    return {made_by[key] for key in keys}


def test_the_model_that_is_right_takes_the_place_and_can_be_sent_back() -> None:
    feed, scorer = market(), Scorer()
    feed.run_to(0)
    fool, sage = follower("fool", rising=False), follower("sage", rising=True)
    place = services.model_import(model=fool, custom_name="place")
    retraining.plan_set(place=place, fields={"min_alerts": 30, "promote_automatically": True})
    champions.challenge_start(place=place, model=sage)
    run(feed, scorer, range(10, 61, 10))
    assert champions.gates_look() == [], "nothing is known yet of what was said a minute ago"
    run(feed, scorer, range(70, 151, 10))
    assert alerting_model(0) == {fool.pk}
    (event,) = champions.gates_look()
    low, high = event.figures["interval"]
    assert (event.kind, event.challenger_id) == (ChampionEvent.Kind.PROMOTED, sage.pk)
    assert 0 < low < event.figures["difference"] < high
    assert event.figures["champion_value"] < 0 < event.figures["challenger_value"]
    run(feed, scorer, range(160, 161))
    assert alerting_model(150) == {sage.pk}
    place = ActiveModel.objects.get(shadow_of=None)
    champions.roll_back(place=place, by="ann")
    run(feed, scorer, range(170, 171))
    assert alerting_model(160) == {fool.pk}
    assert champions.challenge_open(place) is None
