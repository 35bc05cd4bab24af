import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.training.labels import Knowledge, LabelRule, Trades, outcomes

S = 1_000_000
FOREVER = np.iinfo(np.int64).max


def trades_from(events: list[tuple[int, float, float]]) -> Trades:
    """(coin, second, price), already in order."""
    coin, at, price = zip(*events, strict=True) if events else ((), (), ())
    return Trades(np.array(coin, np.int64), (np.array(at, float) * S).astype(np.int64), np.array(price, float))


def known(coins: int = 1, *, end: float = 10_000, gaps=(), tracked: dict[int, float] | None = None) -> Knowledge:
    tracking = np.full(coins, FOREVER)
    for coin, second in (tracked or {}).items():
        tracking[coin] = int(second * S)
    table = np.array(gaps, float).reshape(-1, 2) * S
    return Knowledge(tracking, table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), int(end * S))


def one(events, rule: LabelRule, knowledge: Knowledge | None = None, as_of: float = 10.0):
    """Label, payoff, entry and completeness of one row of coin 0."""
    result = outcomes(
        np.zeros(1, np.int64), np.array([int(as_of * S)]), rule, trades_from(events), knowledge or known()
    )
    return float(result.label[0]), float(result.payoff[0]), float(result.entry_price[0]), bool(result.complete[0])


UP = LabelRule("path", 20, 60, None, 2)
STOPPED = LabelRule("path", 20, 60, 10, 2)
FALL = LabelRule("path", -30, 60, None, 2)
CLOSE = LabelRule("close", 20, 60, None, 2)

CASES = [
    ("reached", [(0, 9, 1.0), (0, 30, 1.2)], UP, None, 1),
    ("not reached", [(0, 9, 1.0), (0, 30, 1.19)], UP, None, 0),
    ("reached only before the entry", [(0, 9, 1.0), (0, 11, 1.3), (0, 12, 1.0)], UP, None, 0),
    ("entry is the price after the latency", [(0, 9, 1.0), (0, 12, 2.0), (0, 30, 2.3)], UP, None, 0),
    ("reached one moment too late", [(0, 9, 1.0), (0, 72.000001, 1.5)], UP, None, 0),
    ("reached at the last moment", [(0, 9, 1.0), (0, 72, 1.5)], UP, None, 1),
    ("stopped first", [(0, 9, 1.0), (0, 20, 0.9), (0, 30, 1.3)], STOPPED, None, 0),
    ("reached before the stop", [(0, 9, 1.0), (0, 20, 1.3), (0, 30, 0.5)], STOPPED, None, 1),
    ("stop in the same instant but earlier in order", [(0, 9, 1.0), (0, 20, 0.9), (0, 20, 1.3)], STOPPED, None, 0),
    ("fell", [(0, 9, 1.0), (0, 20, 0.7)], FALL, None, 1),
    ("did not fall", [(0, 9, 1.0), (0, 20, 0.71)], FALL, None, 0),
    ("a coin that stops trading is known", [(0, 9, 1.0)], UP, None, 0),
    ("close above at the end", [(0, 9, 1.0), (0, 30, 0.5), (0, 71, 1.2)], CLOSE, None, 1),
    ("close reached but lost again", [(0, 9, 1.0), (0, 30, 1.5), (0, 71, 1.1)], CLOSE, None, 0),
    ("no trade before the entry", [(0, 13, 1.0), (0, 30, 2.0)], UP, None, math.nan),
    ("data ends first", [(0, 9, 1.0)], UP, known(end=71), math.nan),
    ("data ends exactly at the horizon", [(0, 9, 1.0)], UP, known(end=72), 0),
    ("reached before the data ends", [(0, 9, 1.0), (0, 30, 1.3)], UP, known(end=40), 1),
    ("stopped before the data ends", [(0, 9, 1.0), (0, 30, 0.8)], STOPPED, known(end=40), 0),
    ("tracking ends first", [(0, 9, 1.0)], UP, known(tracked={0: 50}), math.nan),
    ("a gap in between", [(0, 9, 1.0), (0, 60, 1.3)], UP, known(gaps=[(40, 50)]), math.nan),
    ("reached before the gap", [(0, 9, 1.0), (0, 30, 1.3)], UP, known(gaps=[(40, 50)]), 1),
    ("the row itself lies in a gap", [(0, 5, 1.0), (0, 30, 1.3)], UP, known(gaps=[(8, 11)]), math.nan),
    ("the gap begins between decision and entry", [(0, 9, 1.0), (0, 30, 1.3)], UP, known(gaps=[(11, 20)]), math.nan),
    ("a gap that was over before", [(0, 9, 1.0), (0, 30, 1.3)], UP, known(gaps=[(2, 8)]), 1),
    ("close with a gap before the end", [(0, 9, 1.0), (0, 71, 2.0)], CLOSE, known(gaps=[(40, 50)]), math.nan),
]


@pytest.mark.parametrize(
    ("events", "rule", "knowledge", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_label_is_as_the_table_says(events, rule, knowledge, expected):
    label = one(events, rule, knowledge)[0]
    assert label == expected or (math.isnan(expected) and math.isnan(label))


def test_payoff_leaves_at_the_price_after_the_latency_and_not_at_the_target():
    label, payoff, entry, _ = one([(0, 9, 1.0), (0, 30, 1.3), (0, 31.5, 1.1), (0, 33, 5.0)], UP)
    assert (label, entry) == (1, 1.0)
    assert payoff == pytest.approx(0.1)


def test_payoff_of_a_miss_is_the_change_at_the_horizon():
    assert one([(0, 9, 1.0), (0, 30, 0.5), (0, 71, 0.8)], UP)[1] == pytest.approx(-0.2)


def test_a_success_before_the_data_ends_is_known_but_not_complete():
    assert one([(0, 9, 1.0), (0, 30, 1.3)], UP, known(end=40))[3] is False
    assert one([(0, 9, 1.0), (0, 30, 1.3)], UP, known(end=72))[3] is True


def test_no_trades_at_all_are_unknown():
    assert math.isnan(one([], UP)[0])


def test_the_rule_says_its_name_and_its_reach():
    assert LabelRule("path", 50, 600, 40, 2).name == "path_+50pct_-40pct_600s"
    assert LabelRule("path", -30, 60, 10, 2).name == "path_-30pct_+10pct_60s"
    assert CLOSE.name == "close_+20pct_60s"
    assert UP.reach_seconds == 64


def slow_label(events, rule: LabelRule, knowledge: Knowledge, coin: int, as_of: float) -> float:
    """The same, read off the definition trade by trade."""
    entry_at, end = as_of + rule.latency_seconds, as_of + rule.latency_seconds + rule.horizon_seconds
    until = min(knowledge.tracking_end_us[coin] / S, knowledge.data_end_us / S)
    for low, high in zip(knowledge.gap_start_us / S, knowledge.gap_end_us / S, strict=True):
        if high > as_of:
            until = min(until, max(low, as_of))
    mine = [(at, price) for number, at, price in events if number == coin]
    before = [price for at, price in mine if at <= entry_at]
    if not before or until < entry_at:
        return math.nan
    entry = before[-1]
    for at, price in mine:
        if not entry_at < at <= end:
            continue
        if at > until:
            return math.nan
        if price >= entry * (1 + rule.change_pct / 100):
            return 1.0
        if rule.stop_pct is not None and price <= entry * (1 - rule.stop_pct / 100):
            return 0.0
    return 0.0 if end <= until else math.nan


events = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 300), st.sampled_from([0.5, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0])),
    max_size=60,
).map(lambda rows: sorted(rows, key=lambda row: row[:2]))


@settings(max_examples=200, deadline=None)
@given(
    events,
    st.integers(1, 120),
    st.sampled_from([None, 10, 30]),
    st.lists(st.integers(0, 300), min_size=4, max_size=4, unique=True).map(sorted),
    st.integers(50, 400),
    st.integers(0, 400),
)
def test_labels_are_those_of_the_definition(rows, horizon, stop, edges, end, tracked):
    rule = LabelRule("path", 20, horizon, stop, 2)
    knowledge = known(3, end=end, gaps=[edges[:2], edges[2:]], tracked={1: tracked})
    coin = np.repeat(np.arange(3), 31)
    as_of = np.tile(np.arange(0, 310, 10), 3)
    result = outcomes(coin, as_of * S, rule, trades_from(rows), knowledge)
    expected = [slow_label(rows, rule, knowledge, int(c), float(t)) for c, t in zip(coin, as_of, strict=True)]
    np.testing.assert_array_equal(result.label, expected)


@settings(max_examples=60, deadline=None)
@given(events, st.integers(60, 250))
def test_what_was_known_at_a_cut_stays_the_same_when_more_arrives(rows, cut):
    rule, coin, as_of = LabelRule("path", 20, 40, 10, 2), np.repeat(np.arange(3), 31), np.tile(np.arange(0, 310, 10), 3)
    early = outcomes(coin, as_of * S, rule, trades_from([row for row in rows if row[1] <= cut]), known(3, end=cut))
    late = outcomes(coin, as_of * S, rule, trades_from(rows), known(3, end=1000))
    was_known = ~np.isnan(early.label)
    np.testing.assert_array_equal(early.label[was_known], late.label[was_known])
