import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.training.labels import UNKNOWN, Knowledge, LabelRule, Trades, outcomes

S = 1_000_000
FOREVER = np.iinfo(np.int64).max


def trades_from(events: list[tuple[int, float, float]]) -> Trades:
    """(coin, second, price), already in order."""
    coin, at, price = zip(*events, strict=True) if events else ((), (), ())
    return Trades(np.array(coin, np.int64), (np.array(at, float) * S).astype(np.int64), np.array(price, float))


def known(
    coins: int = 1,
    *,
    end: float = 10_000,
    gaps=(),
    tracked: dict[int, float] | None = None,
    graduated: float | None = None,
) -> Knowledge:
    """`graduated`: of coin 0, whose tracking it ends."""
    tracking, graduations = np.full(coins, FOREVER), np.full(coins, FOREVER)
    for coin, second in (tracked or {}).items():
        tracking[coin] = int(second * S)
    if graduated is not None:
        graduations[0] = int(graduated * S)
        tracking[0] = min(tracking[0], graduations[0])
    table = np.array(gaps, float).reshape(-1, 2) * S
    return Knowledge(tracking, table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), int(end * S), graduations)


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


GRADUATES = LabelRule("graduates", None, 60)
CAP = "market_cap_close"
CAP_UP = LabelRule("path", 20, 60, metric=CAP)
CAP_STOPPED = LabelRule("path", 20, 60, 10, metric=CAP)
CAP_CLOSE = LabelRule("close", -30, 60, metric=CAP)


def above(value: float, operator=">=", when="within") -> LabelRule:
    return LabelRule("rule", None, 60, metric=CAP, operator=operator, value=value, when=when)


FLAT = [(0, 9, 1.0)]
# Name, rows of the metric, rule, what is known, label, why it is left out. The row is of second 10, the entry at 12.
METRIC_CASES = [
    ("the metric reaches the level", [(0, 10, 50), (0, 30, 60)], CAP_UP, None, 1, ""),
    ("the metric does not", [(0, 10, 50), (0, 30, 59.9)], CAP_UP, None, 0, ""),
    ("its base is the last row until the entry", [(0, 10, 10), (0, 12, 50), (0, 30, 59)], CAP_UP, None, 0, ""),
    ("it falls to its stop before", [(0, 10, 50), (0, 20, 45), (0, 30, 60)], CAP_STOPPED, None, 0, ""),
    ("it is there at the end", [(0, 10, 50), (0, 30, 90), (0, 71, 35)], CAP_CLOSE, None, 1, ""),
    ("it was there and came back", [(0, 10, 50), (0, 30, 35), (0, 71, 40)], CAP_CLOSE, None, 0, ""),
    ("a base of nothing has no levels", [(0, 10, 0.0), (0, 30, 60)], CAP_UP, None, math.nan, "undefined"),
    ("nor has an unknown one", [(0, 10, math.nan), (0, 30, 60)], CAP_UP, None, math.nan, "undefined"),
    ("it may have, in an unknown row", [(0, 10, 50), (0, 30, math.nan)], CAP_UP, None, math.nan, "undefined"),
    ("an unknown row hides no success", [(0, 10, 50), (0, 30, math.nan), (0, 40, 60)], CAP_UP, None, 1, ""),
    ("but a stop", [(0, 10, 50), (0, 20, math.nan), (0, 40, 60)], CAP_STOPPED, None, math.nan, "undefined"),
    ("not after it", [(0, 10, 50), (0, 20, 45), (0, 40, math.nan)], CAP_STOPPED, None, 0, ""),
    ("a metric that nobody recorded", [(0, 10, math.nan), (0, 30, math.nan)], above(60), None, math.nan, "undefined"),
    ("it holds beside an unknown row", [(0, 20, math.nan), (0, 30, 60)], above(60), None, 1, ""),
    ("an unknown row past the end", [(0, 30, 5), (0, 73, math.nan)], above(60), None, 0, ""),
    ("it holds at one moment", [(0, 10, 5), (0, 30, 60), (0, 40, 5)], above(60), None, 1, ""),
    ("it only held before the entry", [(0, 12, 60), (0, 40, 5)], above(60), None, 0, ""),
    ("strictly above is not at", [(0, 30, 60)], above(60, ">"), None, 0, ""),
    ("strictly above", [(0, 30, 60.000001)], above(60, ">"), None, 1, ""),
    ("at most", [(0, 30, 60)], above(60, "<="), None, 1, ""),
    ("strictly below is not at", [(0, 30, 60)], above(60, "<"), None, 0, ""),
    ("strictly below", [(0, 30, 59.9)], above(60, "<"), None, 1, ""),
    ("a value below zero", [(0, 30, -3.0)], above(-2, "<"), None, 1, ""),
    ("it holds at the end", [(0, 10, 5), (0, 70, 60)], above(60, when="after"), None, 1, ""),
    ("the last row stands for the end", [(0, 10, 60)], above(60, when="after"), None, 1, ""),
    ("it held but not at the end", [(0, 30, 60), (0, 70, 5)], above(60, when="after"), None, 0, ""),
    ("no row says how it ended", [], above(60, when="after"), None, math.nan, "undefined"),
    ("a gap before the end", [(0, 10, 50)], CAP_UP, known(gaps=[(40, 50)]), math.nan, "gap"),
]


@pytest.mark.parametrize(
    ("rows", "rule", "knowledge", "expected", "why"),
    [case[1:] for case in METRIC_CASES],
    ids=[c[0] for c in METRIC_CASES],
)
def test_label_of_a_metric_is_as_the_table_says(rows, rule, knowledge, expected, why):
    result = outcomes(ROW, ROW_AT, rule, trades_from(FLAT), knowledge or known(), trades_from(rows))
    np.testing.assert_array_equal(result.label, [expected])
    assert UNKNOWN[result.unknown[0]] == why
    assert result.complete[0] == (why == "")


ROW, ROW_AT = np.zeros(1, np.int64), np.array([10 * S])
RISEN = [(0, 9, 1.0), (0, 30, 1.3)]
GRADUATION_CASES = [
    ("it graduates", GRADUATES, FLAT, known(graduated=50), 1, ""),
    ("at the last moment", GRADUATES, FLAT, known(graduated=72), 1, ""),
    ("too late", GRADUATES, FLAT, known(graduated=72.000001), 0, ""),
    ("never", GRADUATES, FLAT, known(), 0, ""),
    ("it is announced when tracking has ended", GRADUATES, FLAT, known(graduated=50, tracked={0: 30}), 1, ""),
    ("it would have been announced", GRADUATES, FLAT, known(tracked={0: 30}), 0, ""),
    ("but not during a gap", GRADUATES, FLAT, known(gaps=[(40, 50)]), math.nan, "gap"),
    ("before the gap", GRADUATES, FLAT, known(graduated=30, gaps=[(40, 50)]), 1, "gap"),
    ("nor after the data", GRADUATES, FLAT, known(end=60), math.nan, "data_end"),
    ("nobody can buy when it has graduated", GRADUATES, FLAT, known(graduated=11), math.nan, "graduated"),
    ("nor where nobody has traded", GRADUATES, [], known(graduated=50), math.nan, "no_entry"),
    ("nor once tracking has ended", GRADUATES, FLAT, known(graduated=50, tracked={0: 11}), math.nan, "tracking_ended"),
    ("the price rose before it graduated: that stays", UP, RISEN, known(graduated=30), 1, ""),
    ("it was still open when it graduated", UP, FLAT, known(graduated=30), math.nan, "graduated"),
    ("the stop was hit before", STOPPED, [(0, 9, 1.0), (0, 20, 0.8)], known(graduated=30), 0, ""),
    ("a fall that came is left out with those that did not", FALL, [(0, 9, 1.0), (0, 20, 0.6)], known(graduated=30), 1,
     "graduated"),
    ("what stands at the end is not known", CLOSE, RISEN, known(graduated=30), math.nan, "graduated"),
    ("tracking ended for another reason", UP, RISEN, known(tracked={0: 40}), 1, "tracking_ended"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "rows", "knowledge", "expected", "why"),
    [case[1:] for case in GRADUATION_CASES],
    ids=[c[0] for c in GRADUATION_CASES],
)
def test_graduation_is_known_to_those_who_ask_and_ends_the_price(rule, rows, knowledge, expected, why):
    result = outcomes(ROW, ROW_AT, rule, trades_from(rows), knowledge)
    np.testing.assert_array_equal(result.label, [expected])
    assert UNKNOWN[result.unknown[0]] == why
    assert result.complete[0] == (why == "")


def test_who_held_a_coin_that_graduates_leaves_at_the_end_of_the_curve():
    label, payoff, _, _ = one([(0, 9, 1.0), (0, 50, 4.0)], GRADUATES, known(graduated=50))
    assert (label, payoff) == (1, pytest.approx(3.0))


@pytest.mark.parametrize(
    ("rule", "price", "expected"),
    [
        (LabelRule("path", 20, 60, costs_pct=3), 1.22, 0),
        (LabelRule("path", 20, 60, costs_pct=3), 1.23, 1),
        (LabelRule("close", 20, 60, costs_pct=3), 1.22, 0),
        (LabelRule("close", 20, 60, costs_pct=3), 1.23, 1),
        (LabelRule("path", -30, 60, costs_pct=3), 0.74, 0),
        (LabelRule("path", -30, 60, costs_pct=3), 0.73, 1),
    ],
)
def test_costs_are_taken_off_the_change(rule, price, expected):
    assert one([(0, 9, 1.0), (0, 30, price)], rule)[0] == expected


def test_costs_bring_the_stop_nearer():
    net = LabelRule("path", 20, 60, 10, costs_pct=3)
    assert one([(0, 9, 1.0), (0, 20, 0.92), (0, 30, 1.3)], net)[0] == 0
    assert one([(0, 9, 1.0), (0, 20, 0.94), (0, 30, 1.3)], net)[0] == 1


def test_each_kind_has_its_name():
    assert GRADUATES.name == "graduates_60s"
    assert above(60, "<").name == "market_cap_close_below_60_within_60s"
    assert CAP_UP.name == "market_cap_close_path_+20pct_60s"
    assert LabelRule("path", 20, 60, 10, costs_pct=3).name == "path_+20pct_-10pct_net_3pct_60s"


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


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=30, deadline=None)
@given(events, st.integers(60, 250))
def test_what_was_known_at_a_cut_stays_the_same_when_more_arrives(rows, cut):
    rule, coin, as_of = LabelRule("path", 20, 40, 10, 2), np.repeat(np.arange(3), 31), np.tile(np.arange(0, 310, 10), 3)
    early = outcomes(coin, as_of * S, rule, trades_from([row for row in rows if row[1] <= cut]), known(3, end=cut))
    late = outcomes(coin, as_of * S, rule, trades_from(rows), known(3, end=1000))
    was_known = ~np.isnan(early.label)
    np.testing.assert_array_equal(early.label[was_known], late.label[was_known])
