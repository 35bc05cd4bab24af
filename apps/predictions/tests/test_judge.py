"""The rules of the judge: what a score is measured by, what is unknown, and when."""

from __future__ import annotations

import pytest

from apps.discovery.models import Coin, CoinStream, StreamGap
from apps.discovery.windows import METRIC_COLUMNS
from apps.predictions import champions, services
from apps.predictions.models import AlertEvaluation, ModelPrediction, Prediction, ScorerState
from apps.predictions.tests.feed import Feed, at, mint_of
from apps.predictions.tests.judged import RISE, beating_heart, feed_at, model_with, predict, the_outcome, trade
from apps.training import services as training_services
from apps.training.queries import to_us

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("label", "trades", "status", "reason", "highest", "lowest"),
    [
        (RISE, [(11, 1.0), (20, 1.2), (30, 0.9)], "success", "", 20, -10),
        (RISE, [(11, 1.0), (20, 1.19)], "failed", "", 19, 19),
        (RISE, [(11, 1.0)], "failed", "", None, None),
        (RISE, [(11, 1.0), (72.000001, 1.5)], "failed", "", None, None),
        (RISE, [(11, 1.0), (72, 1.5)], "success", "", 50, 50),
        # entry is the last price at decision + latency, not the one that was seen
        (RISE, [(9, 1.0), (12, 1.2), (20, 1.3)], "failed", "", 100 / 12, 100 / 12),
        (RISE | {"stop_pct": 10}, [(11, 1.0), (20, 0.9), (30, 1.2)], "failed", "stop_reached", 20, -10),
        (RISE | {"stop_pct": 10}, [(11, 1.0), (20, 1.2), (20, 0.9)], "success", "", 20, -10),
        (RISE | {"stop_pct": 10}, [(11, 1.0), (20, 0.9), (20, 1.2)], "failed", "stop_reached", 20, -10),
        (RISE | {"change_pct": -10.0}, [(11, 1.0), (20, 0.9)], "success", "", -10, -10),
        (RISE | {"kind": "close"}, [(11, 1.0), (20, 1.3), (30, 1.1)], "failed", "", 30, 10),
        (RISE | {"kind": "close"}, [(11, 1.0), (20, 1.1), (30, 1.3)], "success", "", 30, 10),
    ],
)
def test_a_path_is_judged_as_the_label_says(label, trades, status, reason, highest, lowest) -> None:
    feed = Feed()
    beating_heart(feed, 200)
    mint = feed.coin(1, trades=[trade(*one) for one in trades])
    feed.run_to(180)
    predict(model_with(label), mint, 10)
    judged = services.outcomes_judge()
    assert (judged.predictions, judged.alerts) == (1, 1)
    outcome, alert = the_outcome(), AlertEvaluation.objects.get()
    assert (outcome.status, outcome.reason) == (alert.status, alert.reason) == (status, reason)
    assert outcome.highest_pct == alert.highest_pct == (None if highest is None else pytest.approx(highest))
    assert outcome.lowest_pct == alert.lowest_pct == (None if lowest is None else pytest.approx(lowest))
    inside = [price for moment, price in trades if moment <= 72]
    entry = [price for moment, price in trades if moment <= 12][-1]
    assert outcome.change_pct == pytest.approx((inside[-1] / entry - 1) * 100)
    assert alert.judged_price_sol == pytest.approx(inside[-1] * 1e-8)


def test_extremes_carry_the_time_they_were_first_reached() -> None:
    feed = Feed()
    beating_heart(feed, 200)
    mint = feed.coin(1, trades=[trade(11, 1.0), trade(20, 1.1), trade(30, 0.9), trade(40, 1.1), trade(50, 0.9)])
    feed.run_to(180)
    predict(model_with(RISE), mint, 10)
    services.outcomes_judge()
    assert (the_outcome().highest_at, the_outcome().lowest_at) == (at(20), at(30))


def test_nothing_is_judged_before_its_horizon_in_feed_time() -> None:
    feed = Feed()
    beating_heart(feed, 200)
    mint = feed.coin(1, trades=[trade(11, 1.0), trade(20, 1.3)])
    predict(model_with(RISE), mint, 10)
    feed.run_to(71.9)
    assert services.outcomes_judge().predictions == 0
    feed.run_to(80)
    assert services.outcomes_judge().predictions == 1
    assert services.outcomes_judge().predictions == 0


@pytest.mark.parametrize(
    ("hurdle", "reason"), [("ended", "tracking_ended"), ("gap", "gap"), ("silence", "gap"), ("gap_at_entry", "gap")]
)
def test_what_cannot_be_known_is_not_applicable(hurdle: str, reason: str) -> None:
    feed = Feed()
    mint = feed.coin(1, trades=[trade(11, 1.0), trade(40, 1.1), trade(170, 1.1)])
    if hurdle != "silence":
        beating_heart(feed, 200)
    if hurdle == "ended":
        CoinStream.objects.filter(pk=mint).update(ended_at=at(50))
    elif hurdle == "gap":
        StreamGap.objects.create(started_at=at(50), ended_at=at(52), reason="test")
    elif hurdle == "gap_at_entry":
        StreamGap.objects.create(started_at=at(9), ended_at=at(11), reason="test")
    feed.run_to(180)
    predict(model_with(RISE), mint, 10)
    services.outcomes_judge()
    assert (the_outcome().status, the_outcome().reason) == ("not_applicable", reason)
    assert AlertEvaluation.objects.get().status == "not_applicable"


def test_what_was_reached_before_a_gap_counts_for_neither_side() -> None:
    """What was not reached before it cannot be judged either: to count the rest would be to count successes alone."""
    feed = Feed()
    beating_heart(feed, 200)
    mint = feed.coin(1, trades=[trade(11, 1.0), trade(40, 1.2)])
    StreamGap.objects.create(started_at=at(50), ended_at=at(60), reason="test")
    feed.run_to(180)
    predict(model_with(RISE), mint, 10)
    services.outcomes_judge()
    assert (the_outcome().status, the_outcome().reason, the_outcome().change_pct) == ("not_applicable", "gap", None)
    assert the_outcome().highest_pct == pytest.approx(20)


GRADUATES = {"kind": "graduates", "change_pct": None, "horizon_seconds": 60}


@pytest.mark.parametrize(
    ("label", "graduated", "gap", "status", "reason"),
    [
        (GRADUATES, 50, None, "success", ""),
        (GRADUATES, 72, None, "success", ""),
        (GRADUATES, 72.000001, None, "failed", ""),
        (GRADUATES, None, None, "failed", ""),
        (GRADUATES, 11, None, "not_applicable", "graduated"),
        (GRADUATES, None, 30, "not_applicable", "gap"),
        # the rise that the curve could show came before it, or not: of the rest nobody knows
        (RISE, 50, None, "success", ""),
        (RISE, 30, None, "not_applicable", "graduated"),
        (RISE | {"stop_pct": 5.0, "change_pct": 50.0}, 50, None, "failed", "stop_reached"),
        (RISE | {"kind": "close"}, 50, None, "not_applicable", "graduated"),
        (RISE | {"change_pct": -4.0}, 50, None, "not_applicable", "graduated"),
    ],
)
def test_graduation_is_an_answer_or_an_end(label, graduated, gap, status, reason) -> None:
    feed = Feed()
    beating_heart(feed, 200)
    mint = feed.coin(1, trades=[trade(11, 1.0), trade(35, 0.95), trade(40, 1.2)])
    if graduated:
        Coin.objects.filter(pk=mint).update(graduated_at=at(graduated))
        CoinStream.objects.filter(pk=mint).update(ended_at=at(graduated))
    if gap:
        StreamGap.objects.create(started_at=at(gap), ended_at=at(gap + 5), reason="test")
    feed.run_to(180)
    predict(model_with(label), mint, 10)
    services.outcomes_judge()
    assert (the_outcome().status, the_outcome().reason) == (status, reason)


def above(value: float, **fields) -> dict:
    return {"kind": "rule", "change_pct": None, "horizon_seconds": 60, "metric": "volume_sol", "value": value, **fields}


# Windows of coin 1 end at 15 (1 SOL), 25 (2), 40 (4) and 75 (9).
@pytest.mark.parametrize(
    ("label", "status", "reason"),
    [
        (above(4.0), "success", ""),
        (above(4.0, operator=">"), "failed", ""),
        (above(9.0), "failed", ""),
        (above(1.0, operator="<="), "success", ""),
        (above(1.0, operator="<"), "failed", ""),
        (above(4.0, when="after"), "success", ""),
        (above(3.0, when="after", operator="<"), "failed", ""),
        (above(1.2e-8, metric="price"), "success", ""),
        (above(1.2e-8, metric="price", operator=">"), "failed", ""),
        (above(1.1e-8, metric="price", when="after"), "failed", ""),
        # from the value that stood at the entry: there is none before the first window
        (above(0) | {"kind": "path", "change_pct": 50.0, "value": None}, "not_applicable", "undefined"),
        (above(0) | {"kind": "path", "change_pct": 50.0, "value": None, "latency_seconds": 10.0}, "success", ""),
        (above(0) | {"kind": "close", "change_pct": 100.0, "value": None, "latency_seconds": 20.0}, "success", ""),
        (above(1.0, metric="unique_wallets", when="after"), "not_applicable", "undefined"),
        (above(1.0, metric="unique_wallets"), "not_applicable", "undefined"),
        # +19 % net of 1 % asks for +20 %
        (RISE | {"change_pct": 19.0, "costs_pct": 1.0}, "success", ""),
        (RISE | {"change_pct": 19.5, "costs_pct": 1.0}, "failed", ""),
        # -4 % net of 1 % is reached at -3 %
        (RISE | {"stop_pct": 6.0, "costs_pct": 1.0}, "failed", "stop_reached"),
        (RISE | {"stop_pct": 6.0}, "success", ""),
    ],
)
def test_rules_metrics_and_costs_are_judged_as_the_label_says(label, status, reason) -> None:
    feed = Feed()
    beating_heart(feed, 200)
    trades = [(11, 1.0), (24, 0.945), (35, 1.2), (36, 1.0)]
    mint = feed.coin(1, trades=[trade(*one) for one in trades])
    feed.rows = [row for row in feed.rows if row[0] != mint] + [
        _window(feed.rows[0], mint, *one) for one in ((15, 1.0), (25, 2.0), (40, 4.0), (75, 9.0))
    ]
    feed.run_to(180)
    predict(model_with(label), mint, 10)
    services.outcomes_judge()
    assert (the_outcome().status, the_outcome().reason) == (status, reason)


def _window(like: tuple, mint: str, seconds: float, volume: float) -> tuple:
    """A metric row whose other columns are those of `like`, without its wallets."""
    values = dict(zip(METRIC_COLUMNS, like, strict=True))
    values |= {"mint": mint, "timestamp": to_us(at(seconds)), "volume_sol": volume, "unique_wallets": None}
    return tuple(values.values())


def test_an_alert_without_trades_waits_and_then_expires() -> None:
    feed = Feed()
    beating_heart(feed, 2000)
    feed.coin(1, trades=[])
    feed.run_to(300)
    predict(model_with(RISE), mint_of(1), 10)
    assert services.outcomes_judge().predictions == 0
    assert AlertEvaluation.objects.get().status == "pending"
    feed.run_to(800)
    services.outcomes_judge()
    assert (AlertEvaluation.objects.get().status, the_outcome().reason) == ("expired", "no_trades")


def test_what_a_deleted_model_has_said_is_judged_like_any_other() -> None:
    feed = Feed()
    beating_heart(feed, 200)
    mint = feed.coin(1, trades=[trade(11, 1.0), trade(20, 1.2)])
    feed.run_to(100)
    active = services.model_deactivate(active=model_with(RISE))
    active_id = active.pk
    predict(active, mint, 10)
    predict(active, mint, 80)
    predict(active, mint, 85, tag="negative")
    champions.place_delete(place=active)
    training_services.model_delete(model=active.model)
    services.outcomes_judge()
    judged = AlertEvaluation.objects.order_by("as_of").values_list("status", flat=True)
    assert list(judged) == ["success", "pending"]
    feed.run_to(180)
    services.outcomes_judge()
    assert list(judged.all()) == ["success", "failed"]
    assert ModelPrediction.objects.get(tag="negative").status == "failed", "every score has its outcome"
    assert [target.active_model_id for target in services.model_targets(at(300))] == [active_id]
    assert services.model_targets(at(4 * 86_400)) == []


def test_alerts_of_which_no_score_is_left_expire_after_a_day() -> None:
    feed = Feed()
    mint = feed.coin(1)
    feed.run_to(100)
    active = services.model_deactivate(active=model_with(RISE))
    predict(active, mint, 10)
    Prediction.objects.all().delete()
    champions.place_delete(place=active)
    services.outcomes_judge()
    assert AlertEvaluation.objects.get().status == "pending"
    feed_at(90_000)
    services.outcomes_judge()
    assert (AlertEvaluation.objects.get().status, AlertEvaluation.objects.get().reason) == ("expired", "not_judged")


def test_a_backlog_is_judged_newest_first_and_to_the_end() -> None:
    feed = Feed()
    beating_heart(feed, 600)
    mint = feed.coin(1, trades=[trade(second, 1.0) for second in range(1, 500, 3)])
    active = model_with(RISE)
    for second in range(10, 300, 10):
        predict(active, mint, second, tag="negative")
    feed.run_to(600)
    first = services.outcomes_judge(limit=10)
    assert (first.predictions, first.complete) == (10, False)
    assert ModelPrediction.objects.order_by("as_of").first().as_of == at(200)
    assert ScorerState.objects.get().judged_to is None
    while not services.outcomes_judge(limit=10).complete:
        pass
    assert ModelPrediction.objects.count() == 29
    assert ScorerState.objects.get().judged_to is not None


def test_a_score_that_comes_late_is_judged_although_newer_ones_already_were() -> None:
    feed = Feed()
    beating_heart(feed, 600)
    mint = feed.coin(1, trades=[trade(second, 1.0) for second in range(1, 500, 3)])
    active = model_with(RISE)
    predict(active, mint, 300)
    feed.run_to(500)
    services.outcomes_judge()
    predict(active, mint, 20)
    assert services.outcomes_judge().predictions == 1
