"""Costs, intervals, slices, baselines and comparisons as pure functions."""

import json

import numpy as np
import pytest

from apps.core.errors import PlatformError
from apps.training import features
from apps.training.evaluation import Sample, average_precision, baselines, choose_threshold, comparison, costs, report
from apps.training.evaluation.bootstrap import draw, interval, mean_difference, weights
from apps.training.evaluation.slices import regime_fit, slices
from apps.training.recipes import recipe_parse

DAY = 86_400_000_000
US = 1_780_012_800_000_000 // DAY * DAY


def sample(seed: int = 1, coins: int = 60, rows_a_coin: int = 8) -> tuple[Sample, np.ndarray]:
    """Rows of coins with a hidden quality, and a probability that knows some of it."""
    rng = np.random.default_rng(seed)
    coin = np.repeat(np.arange(coins), rows_a_coin)
    quality, rows = rng.normal(size=coins)[coin], len(coin)
    label = (quality + rng.normal(size=rows) > 0.8).astype(float)
    value = np.where(rng.random(rows) < 0.02, np.nan, label * 0.4 - 0.15 + 0.1 * rng.normal(size=rows))
    context = {name: quality + rng.normal(size=rows) for name in baselines.CONTEXT} | {
        "busy": rng.exponential(size=rows)
    }
    context["age_seconds"] = np.where(rng.random(rows) < 0.1, np.nan, context["age_seconds"])
    as_of_us = US + rng.integers(1, 2 * DAY, rows)
    phase = (1 + coin % 2).astype(np.int16)
    return Sample(label, value, coin * 3 + 5, as_of_us, phase, context), 1 / (1 + np.exp(1.0 - quality))


# --- Costs ---------------------------------------------------------------------------------------------
def worth(entry: float, leave: float, **parts) -> float:
    us = np.array([US])
    quoted = parts.pop("quoted", None)
    quote = {} if quoted is None else {"quoted_price": np.array([quoted])}
    return float(costs.values(np.array([entry]), np.array([leave]), us, us, costs.Costs(**parts), **quote)[0])


START = 30 / 1_073_000_000


@pytest.mark.parametrize(
    ("parts", "low", "high"),
    [
        ({"venue_fee_bps": 0, "network_fee_sol": 0.0, "failure_rate": 0.0}, -0.0248, -0.0246),  # domain.md: 2.469 %
        ({"venue_fee_bps": 0, "network_fee_sol": 0.0, "failure_rate": 0.0, "stake_sol": 5.0}, -0.0248, -0.0246),
        ({"failure_rate": 0.0}, -0.0368, -0.0364),  # and the venue's 0.5 % twice, and the network's fee
        ({"failure_rate": 0.0, "tip_sol": 0.001}, -0.0569, -0.0563),
        ({"flat_pct": 3.0}, -0.03, -0.03),
    ],
)
def test_buying_and_selling_at_once_costs_what_the_fees_are(parts, low, high):
    assert low <= worth(START, START, **parts) <= high


def test_a_larger_stake_moves_the_curve_against_itself():
    small, large = (worth(START, 2 * START, stake_sol=stake, network_fee_sol=0.0) for stake in (0.01, 5.0))
    assert 0.9 < small < 1.0 and large < small - 0.15


def test_a_price_that_ran_away_is_not_paid_but_the_network_is():
    assert worth(1.1 * START, 2 * START, quoted=START) == pytest.approx(-0.00105)
    assert worth(1.01 * START, 2 * START, quoted=START) > 0.8


def test_failures_take_their_share_and_an_unknown_price_stays_unknown():
    sure, failing = worth(START, 2 * START, failure_rate=0.0), worth(START, 2 * START, failure_rate=0.5)
    assert failing == pytest.approx(sure / 2 - 0.00105)
    assert np.isnan(worth(START, np.nan)) and np.isnan(worth(np.nan, START))


def test_a_recipe_of_before_keeps_its_flat_costs():
    assert recipe_parse({"name": "old", "costs_pct": 3.0}).costs.rule() == costs.Costs(flat_pct=3.0)
    assert recipe_parse(recipe_parse({"name": "old", "costs_pct": 3.0}).as_json()).costs.flat_pct == 3.0
    with pytest.raises(PlatformError, match="not both"):
        recipe_parse({"name": "torn", "costs_pct": 3.0, "costs": {"stake_sol": 1.0}})


# --- Intervals -----------------------------------------------------------------------------------------
def test_whole_coins_are_drawn_and_as_many_as_there_are():
    drawn = np.concatenate(list(weights(37, seed=3, resamples=500)))
    assert drawn.shape == (500, 37) and (drawn.sum(axis=1) == 37).all()
    assert drawn.mean() == 1.0 and abs(drawn.std() - 1.0) < 0.05


def test_every_draw_is_the_measure_of_the_rows_it_drew():
    from sklearn import metrics as sklearn_metrics  # here, as each worker of the tests would import it: a second

    rows, probability = sample()
    coin, known = rows.coins(), ~np.isnan(rows.value)
    options = {"threshold": 0.4, "seed": 5, "resamples": 30}
    drawn = draw(coin, rows.label, probability, rows.value, **options).measures
    for number, weight in enumerate(np.concatenate(list(weights(60, seed=5, resamples=30)))[:, coin]):
        alert = (probability >= 0.4) * weight
        assert drawn["pr_auc"][number] == pytest.approx(
            sklearn_metrics.average_precision_score(rows.label, probability, sample_weight=weight), rel=1e-5
        )
        assert drawn["roc_auc"][number] == pytest.approx(
            sklearn_metrics.roc_auc_score(rows.label, probability, sample_weight=weight), rel=1e-5
        )
        assert drawn["log_loss"][number] == pytest.approx(
            sklearn_metrics.log_loss(rows.label, probability, sample_weight=weight), rel=1e-5
        )
        assert drawn["mcc"][number] == pytest.approx(
            sklearn_metrics.matthews_corrcoef(rows.label, probability >= 0.4, sample_weight=weight), rel=1e-4
        )
        assert drawn["precision"][number] == pytest.approx((alert * rows.label).sum() / alert.sum(), rel=1e-5)
        assert drawn["expected_value"][number] == pytest.approx(
            np.average(rows.value[known], weights=alert[known]), rel=1e-4
        )


def test_many_scores_in_groups_hardly_change_the_ranking():
    rng = np.random.default_rng(2)
    coin = np.repeat(np.arange(400), 20)
    score = rng.random(8000)
    label = (rng.random(8000) < score**2).astype(float)
    drawn = draw(coin, label, score, label, threshold=0.9, seed=1, resamples=200).measures["pr_auc"]
    low, high = interval(drawn)
    assert low < average_precision(label, score) < high and high - low < 0.06


def test_the_interval_knows_that_rows_of_a_coin_repeat_each_other():
    rng = np.random.default_rng(4)
    per_coin = rng.normal(size=50)
    coin = np.repeat(np.arange(50), 40)
    first, none = per_coin[coin], np.zeros(2000)
    point, ends = mean_difference(coin, first, none, seed=1)
    assert point == pytest.approx(per_coin.mean())
    assert ends[1] - ends[0] == pytest.approx(2 * 1.96 * per_coin.std() / np.sqrt(50), rel=0.2)


def test_nothing_to_compare_has_no_difference_and_few_coins_no_interval():
    unknown, coin = np.full(6, np.nan), np.arange(6)
    assert mean_difference(coin, unknown, np.ones(6), seed=1) == (None, None)
    assert mean_difference(coin, np.ones(6), np.zeros(6), seed=1) == (1.0, None)
    assert interval(np.array([1.0, np.nan, np.nan])) is None


# --- Threshold -----------------------------------------------------------------------------------------
def test_one_lucky_coin_does_not_make_a_threshold():
    coin = np.r_[np.zeros(50, int), np.arange(1, 51)]
    value = np.r_[np.full(50, 5.0), np.full(50, -0.1)]
    probability = np.linspace(1, 0, 100)
    options = {"min_alerts": 30}
    assert choose_threshold(np.ones(100), probability, value, **options).alerts == 30
    assert choose_threshold(np.ones(100), probability, value, coin=coin, **options).alerts >= 50 + 19


# --- Slices --------------------------------------------------------------------------------------------
def test_slices_part_the_rows_by_phase_day_and_market():
    rows, _ = sample()
    regime = regime_fit(rows, "busy")
    found: dict[str, dict[str, np.ndarray]] = {}
    for kind, key, mask in slices(rows, regime):
        found.setdefault(kind, {})[key] = mask
    assert set(found) == {"phase", "day", "market"} and set(found["phase"]) == {"1", "2"}
    assert list(found["day"]) == ["2026-05-29", "2026-05-30"] and list(found["market"]) == ["calm", "normal", "busy"]
    for masks in found.values():
        assert (np.sum(list(masks.values()), axis=0) == 1).all()
    assert rows.context["busy"][found["market"]["calm"]].max() <= rows.context["busy"][found["market"]["normal"]].min()


def test_a_window_that_ends_at_midnight_belongs_to_the_day_it_was_in():
    rows, _ = sample(coins=1, rows_a_coin=1)
    midnight = Sample(rows.label, rows.value, rows.coin, np.array([US]), rows.phase, rows.context)
    assert [key for kind, key, _ in slices(midnight, {}) if kind == "day"] == ["2026-05-28"]


# --- Baselines and the whole report --------------------------------------------------------------------
def test_baselines_read_features_that_there_are():
    assert set(baselines.CONTEXT) <= set(features.NAMES)


def test_a_report_holds_the_model_against_every_baseline_on_the_same_rows():
    train, validation = sample(seed=2)[0], sample(seed=3)[0]
    kept = {"baselines": baselines.fit(train, validation, min_alerts=20), "regime": regime_fit(train, "busy")}
    rows, probability = sample(seed=4, coins=200)
    kept = json.loads(json.dumps(kept))  # as it comes back from the database
    found = report.judge(rows, probability, threshold=0.5, seed=7, judging=kept, resamples=200)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [row["name"] for row in found["baselines"]] == list(baselines.NAMES)
    table = {row["name"]: row for row in found["baselines"]}
    assert {row["rows"] for row in table.values()} == {found["rows"]}
    never, always = table["always_no"], table["always_yes"]
    assert (never["alerts"], never["expected_value"], never["lead"]) == (0, None, found["expected_value"])
    assert always["expected_value"] == found["expected_value_of_all"] and always["pr_auc"] == found["base_rate"]
    assert table["momentum"]["log_loss"] is None and table["logistic"]["log_loss"] > 0
    assert table["logistic"]["roc_auc"] > 0.65
    for name in ("pr_auc", "roc_auc", "log_loss", "brier", "precision", "expected_value"):
        low, high = found["intervals"][name]
        assert low <= found[name] <= high
    assert always["lead_interval"][0] < always["lead"] < always["lead_interval"][1]
    assert [row["key"] for row in found["slices"]["market"]] == ["calm", "normal", "busy"]
    assert sum(row["rows"] for row in found["slices"]["phase"]) == found["rows"]


def test_the_value_curve_falls_from_few_alerts_to_all_of_them():
    rows, probability = sample(coins=200)
    found = report.judge(rows, probability, threshold=0.5, seed=7, resamples=100)
    curve = found["ev_curve"]
    assert curve[-1]["alerts"] == len(rows)
    assert curve[-1]["expected_value"] == pytest.approx(found["expected_value_of_all"], rel=1e-5)
    for point in curve:
        alert = probability >= point["threshold"]
        assert (point["alerts"], point["coins"]) == (alert.sum(), len(np.unique(rows.coin[alert])))
        assert point["expected_value"] == pytest.approx(np.nanmean(rows.value[alert]), rel=1e-4)
        assert point["low"] is None or point["low"] <= point["expected_value"] <= point["high"]


def test_the_same_seed_gives_the_same_intervals():
    rows, probability = sample()
    first, second = (report.judge(rows, probability, threshold=0.5, seed=7, resamples=50) for _ in range(2))
    assert first == second != report.judge(rows, probability, threshold=0.5, seed=8, resamples=50)


def test_few_coins_get_figures_without_intervals():
    rows, probability = sample(coins=4)
    found = report.judge(rows, probability, threshold=0.5, seed=7, resamples=50)
    assert found["pr_auc"] is not None and found["intervals"] == {} and found["ev_curve"] == []


# --- Comparisons ---------------------------------------------------------------------------------------
def entrant(rows: Sample, name: str, probability: np.ndarray, **parts) -> comparison.Entrant:
    scores = report.judge(rows, probability, threshold=0.5, seed=1, resamples=20)
    return comparison.Entrant(name, probability, 0.5, scores, **parts)


def test_a_clear_lead_wins_and_says_by_how_much():
    rows, good = sample(coins=300)
    noise = np.random.default_rng(9).random(len(rows))
    verdict = comparison.decide(
        rows, [entrant(rows, "noise", noise), entrant(rows, "good", good)], seed=1, resamples=300
    )
    assert verdict.winner == 1 and "good" in verdict.reason and "noise" in verdict.reason
    assert verdict.differences[0]["interval"][0] > 0


@pytest.mark.parametrize(("wobble", "said"), [(0.0, "chance"), (1e-9, "chance")])
def test_a_lead_that_could_be_chance_is_none(wobble, said):
    rows, good = sample(coins=300)
    pair = [entrant(rows, "one", good), entrant(rows, "two", good + wobble)]
    verdict = comparison.decide(rows, pair, seed=1, resamples=100)
    assert verdict.winner is None and said in verdict.reason and verdict.reason.startswith("No winner")


def test_a_model_that_saw_the_time_cannot_win():
    rows, good = sample(coins=300)
    pair = [entrant(rows, "knows", good, has_seen=True), entrant(rows, "fair", 1 - good)]
    verdict = comparison.decide(rows, pair, seed=1, resamples=20)
    assert verdict.winner is None and "knows" in verdict.reason


def test_too_few_coins_have_no_winner():
    rows, good = sample(coins=5)
    verdict = comparison.decide(rows, [entrant(rows, "a", good), entrant(rows, "b", 1 - good)], seed=1, resamples=20)
    assert verdict.winner is None and "coins" in verdict.reason
