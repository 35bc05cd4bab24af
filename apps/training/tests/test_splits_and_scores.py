import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.training import evaluation
from apps.training.splits import split_by_time, walk_forward

S = 1_000_000


def rows_of(seed: int, coins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coin number, its first moment, row time."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.integers(0, 3600, coins)) * S
    number = np.repeat(np.arange(coins), rng.integers(1, 30, coins))
    return number, first[number], first[number] + rng.integers(0, 600, len(number)) * S


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.sampled_from([0.05, 0.2, 0.4]),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 400),
)
def test_no_label_of_a_part_sees_the_next_and_every_coin_is_on_one_side(seed, coins, validation, test, reach):
    coin, first, as_of = rows_of(seed, coins)
    split = split_by_time(first, as_of, reach_us=reach * S, end_us=5000 * S, validation=validation, test=test)
    parts = [split.train, split.validation, split.test]
    taken = np.concatenate(parts)
    assert len(np.unique(taken)) == len(taken) == len(coin) - split.purged - split.embargoed
    for earlier, later, boundary in (
        (parts[0], parts[1], split.validation_from_us),
        (parts[1], parts[2], split.test_from_us),
    ):
        assert not set(coin[earlier]) & set(coin[later])
        assert (as_of[earlier] + reach * S <= boundary).all()
        assert (as_of[later] >= boundary + reach * S).all()


def test_shares_of_rows_come_last_in_time():
    first = np.arange(100) * S
    split = split_by_time(first, first, reach_us=0, end_us=200 * S, validation=0.2, test=0.1)
    assert (split.validation_from_us, split.test_from_us) == (70 * S, 90 * S)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [70, 20, 10]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 60), st.integers(0, 300))
def test_walking_forward_never_trains_on_what_it_is_judged_on(seed, coins, reach):
    coin, first, as_of = rows_of(seed, coins)
    folds = walk_forward(first, as_of, reach_us=reach * S, end_us=5000 * S, folds=3, validation=0.2)
    assert len(folds) == 3
    tested = np.concatenate([fold.test for fold in folds])
    assert len(np.unique(tested)) == len(tested)
    for fold in folds:
        parts = (fold.train, fold.validation, fold.test)
        for number, earlier in enumerate(parts):
            for later in parts[number + 1 :]:
                assert not set(coin[earlier]) & set(coin[later])
                if len(earlier) and len(later):
                    assert (as_of[earlier] + 2 * reach * S).max() <= as_of[later].min()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 300), st.sampled_from([3, 20, 10**6]))
def test_measures_agree_with_scikit_learn(seed, rows, levels):
    from sklearn import metrics as sklearn_metrics  # two seconds of imports, which no other worker need pay

    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.3).astype(float)
    label[:2] = 0, 1
    probability = np.clip(rng.integers(0, levels, rows) / levels * 0.9 + 0.05, 0, 1)
    alert = probability >= 0.5
    score = evaluation.scores(label, probability, np.zeros(rows), threshold=0.5)
    assert score["pr_auc"] == pytest.approx(sklearn_metrics.average_precision_score(label, probability))
    assert score["roc_auc"] == pytest.approx(sklearn_metrics.roc_auc_score(label, probability))
    assert score["log_loss"] == pytest.approx(sklearn_metrics.log_loss(label, probability))
    assert score["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(label, probability))
    assert (score["mcc"] or 0.0) == pytest.approx(sklearn_metrics.matthews_corrcoef(label, alert))
    if alert.any():
        assert score["precision"] == pytest.approx(sklearn_metrics.precision_score(label, alert))
    assert score["recall"] == pytest.approx(sklearn_metrics.recall_score(label, alert))


def test_a_measure_without_meaning_is_none():
    score = evaluation.scores(np.zeros(5), np.full(5, 0.2), np.full(5, np.nan), threshold=0.5)
    assert score["pr_auc"] is score["roc_auc"] is score["precision"] is score["recall"] is score["mcc"] is None
    assert (
        score["expected_value"] is None
        and score["alerts"] == 0
        and evaluation.curves(np.zeros(5), np.full(5, 0.2)) == {"pr": [], "roc": []}
    )


def test_the_threshold_earns_most_per_alert_after_costs():
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    value = np.array([0.05, 0.5, 0.2, -0.9, 0.1]) - 0.03
    chosen = evaluation.choose_threshold(np.ones(5), probability, value, min_alerts=1)
    assert (chosen.value, chosen.alerts) == (0.8, 2)
    assert chosen.expected_value == pytest.approx(0.275 - 0.03)


def test_a_lucky_few_do_not_make_a_threshold():
    payoff = np.r_[10.0, np.full(99, 0.01)]
    chosen = evaluation.choose_threshold(np.ones(100), np.linspace(1, 0, 100), payoff, min_alerts=30)
    assert chosen.alerts >= 30


def test_rows_with_the_same_probability_are_alerted_together():
    chosen = evaluation.choose_threshold(
        np.ones(4), np.array([0.9, 0.9, 0.9, 0.1]), np.array([1.0, -1.0, 0.3, 0.0]), min_alerts=1
    )
    assert chosen.alerts == 3


def test_without_payoffs_the_threshold_weighs_precision_twice():
    label = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    chosen = evaluation.choose_threshold(label, np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.full(5, np.nan), min_alerts=1)
    assert (chosen.value, chosen.expected_value) == (0.8, None)


def test_too_good_to_be_true_is_marked():
    label = np.r_[np.zeros(50), np.ones(50)]
    assert evaluation.scores(label, label * 0.9, np.zeros(100), threshold=0.5)["suspicious"]
