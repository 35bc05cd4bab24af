"""Scores that are computed again beside those that a scorer has stored, on the real tables with a real booster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from apps.core.errors import PlatformError
from apps.predictions.models import ActiveModel, AlertEvaluation, Prediction
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import Feed, at, at_work
from apps.trading import backtest, backtest_runs, services
from apps.trading.backtest_runs import Wish
from apps.trading.backtest_scores import Recomputed, signals_recomputed
from apps.trading.models import Strategy

pytestmark = pytest.mark.django_db
DELAY = timedelta(0)
SECONDS = 200
SOL = 10**9


@pytest.fixture
def strategy(db: None) -> Strategy:
    services.wallet_create(alias="w", balance_lamports=10 * SOL)
    services.strategy_create(name="s", wallet_alias="w", stake_lamports=SOL // 10)
    return backtest.strategy_get("s")


def scored(**fields: Any) -> ActiveModel:
    """Coins, and what a scorer that keeps up has said of them."""
    feed = Feed()
    for number in range(6):
        feed.coin(number, born=number * 7, seconds=SECONDS + 60.0)
    feed.coin(7, curve="nonstandard")
    place = at_work(**fields)
    scorer = Scorer()
    scorer.refresh()
    for seconds in range(5, SECONDS + 1, 5):
        feed.run_to(seconds)
        while scorer.step():
            pass
    return place


def off_the_curve() -> None:
    """As the stream writes a coin that is off the standard curve."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE coin_metrics m SET bonding_curve_pct = NULL FROM discovered_coins c "
                       "WHERE c.mint = m.mint AND c.curve = 'nonstandard'")  # fmt: skip


def again(strategy: Strategy, since: float = 0, until: float = SECONDS) -> Recomputed:
    return signals_recomputed(strategy, at(since), at(until), DELAY)


def stored(since: float = 0, until: float = SECONDS) -> list[tuple[str, Any, float]]:
    alerts = AlertEvaluation.objects.filter(as_of__gt=at(since), as_of__lte=at(until)).order_by("alert_id")
    return [(alert.mint, alert.as_of, alert.probability) for alert in alerts]


def told(found: Recomputed) -> list[tuple[str, Any, float]]:
    return [(signal.mint, signal.as_of, signal.probability) for signal in found.signals]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "threshold": 0.55,
            "ignore_alert_seconds": 20,
            "ignore_bad_seconds": 10,
            "min_scan_interval_seconds": 10,
            "max_log_entries": {"alert": 2, "negative": 9},
        },
    ],
)
def test_recomputed_scores_are_those_that_were_stored(strategy: Strategy, fields: dict[str, Any]) -> None:
    scored(**fields)
    off_the_curve()
    found = again(strategy)
    assert told(found) == stored()
    assert found.counts["scores"] == found.counts["scores_equal"] == Prediction.objects.count() > 10
    assert found.counts["alerts"] == found.counts["alerts_both"] > 2
    assert found.counts["rows_off_curve"] > 0
    assert found.largest_difference == 0.0


def test_what_was_said_before_the_range_keeps_a_coin_quiet_in_it(strategy: Strategy) -> None:
    scored(ignore_alert_seconds=25, ignore_bad_seconds=15, ignore_positive_seconds=15)
    off_the_curve()
    found = again(strategy, 65, 200)
    assert told(found) == stored(65, 200)
    assert told(again(strategy, 65, 10**9)) == stored(65, SECONDS)  # no longer in memory than what is recorded
    assert found.counts["scores_equal"] == found.counts["scores"] == found.counts["scores_stored"] > 10
    ActiveModel.objects.update(threshold=0.6)
    other = again(strategy, 65, 200)
    assert 0 < other.counts["alerts"] < other.counts["alerts_stored"]
    assert all(signal.probability >= 0.6 for signal in other.signals)


def test_recomputed_scores_know_nothing_after_a_cut(strategy: Strategy) -> None:
    scored()
    off_the_curve()
    whole = told(again(strategy))
    for cut in (170, 130):
        with connection.cursor() as cursor:
            for table in ("coin_metrics", "coin_transactions"):
                cursor.execute(f"DELETE FROM {table} WHERE timestamp > %s", [at(cut)])
        before = [one for one in whole if one[1] <= at(cut)]
        assert 2 < len(before) < len(whole)
        assert told(again(strategy)) == told(again(strategy, until=cut)) == before


def test_a_range_out_of_the_training_data_is_refused(strategy: Strategy) -> None:
    place = scored()
    counted = AlertEvaluation.objects.filter(as_of__lte=at(60)).count()
    for scores, alerts in (("stored", counted), ("recomputed", None)):
        type(place.model).objects.update(train_to=at(0))
        wish = Wish(strategy=strategy, since=at(0), until=at(SECONDS), scores=scores)
        assert backtest_runs.preview(wish)["overlaps_training"] == []
        type(place.model).objects.update(train_to=at(60))
        with pytest.raises(PlatformError, match=r"training data of model") as refused:
            backtest_runs.run_request(wish=wish)
        assert refused.value.code == "BACKTEST_OVERLAPS_TRAINING"
        assert [one["alerts"] for one in backtest_runs.preview(wish)["overlaps_training"]] == [alerts]
        assert backtest_runs.run_request(wish=replace(wish, allow_overlap=True)).terms["allow_overlap"]
        assert backtest_runs.preview(replace(wish, since=at(60)))["overlaps_training"] == []
        type(place.model).objects.update(train_from=at(SECONDS + 1), train_to=at(SECONDS + 2))
        with pytest.raises(PlatformError, match=r"or before them"):
            backtest_runs.run_request(wish=wish)
        type(place.model).objects.update(train_from=at(-3600))


def test_without_a_model_nothing_can_be_recomputed(strategy: Strategy) -> None:
    with pytest.raises(PlatformError) as refused:
        again(strategy)
    assert refused.value.code == "NO_MODEL_TO_RECOMPUTE"
