"""What became of a coin after a row: 1, 0, or NaN where nobody knows. Pure.

Entry is at the price that stood `latency_seconds` after the row (the last trade until then), never at the price seen
when deciding. Prices are those of single trades, so a peak between two windows counts. Unknown begins where the coin's
tracking ended, where a gap in the recording begins, or where the data ends: what was decided before that is known, the
rest is NaN. A coin that merely stops trading keeps its price and is known. A metric's row without a value (wallets of
an imported history) may have been anything: what it could have decided is unknown, as "undefined".

Graduation ends the tracking of prices (the pool is not followed), but is itself announced for every coin, tracked or
not: so it is known to the label `graduates`, and to the others an end. A rise that the curve could show was shown
before it: those rows stay. What was still open then is left out, as "graduated".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats, Integers
from apps.training.label_rules import PRICE, LabelRule
from apps.training.series import Series, Trades

__all__ = ["PRICE", "UNKNOWN", "Knowledge", "LabelRule", "Outcomes", "Trades", "outcomes"]

_US = 1_000_000
_NEVER = np.iinfo(np.int64).max
# Why a row is left out, by code; 0 is known.
UNKNOWN: tuple[str, ...] = ("", "no_entry", "tracking_ended", "gap", "data_end", "graduated", "undefined")
_NO_ENTRY, _TRACKING, _GAP, _END, _GRADUATED, _UNDEFINED = range(1, 7)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of the market: end of tracking by coin number, ascending disjoint gaps, end of the data, and when
    each coin graduated (by coin number; the largest int64 where it has not; None: no coin has)."""

    tracking_end_us: Integers
    gap_start_us: Integers
    gap_end_us: Integers
    data_end_us: int
    graduated_us: Integers | None = None

    def graduated(self, coin: Integers) -> Integers:
        """When the coin of each row graduated."""
        return np.full(len(coin), _NEVER) if self.graduated_us is None else self.graduated_us[coin]

    def until(self, coin: Integers, as_of_us: Integers, *, tracked: bool = True) -> tuple[Integers, Integers]:
        """The moment at which the future of each row becomes unknown (`as_of_us` where it already is), and why (codes
        of UNKNOWN). `tracked` False: what is announced of all coins stays known when their tracking ends."""
        gap = np.searchsorted(self.gap_end_us, as_of_us, side="right")
        ends = [np.full(len(coin), self.data_end_us), np.r_[self.gap_start_us, _NEVER][gap]]
        causes = [_END, _GAP]
        if tracked:
            ends.append(self.tracking_end_us[coin])
            causes.append(_TRACKING)
        first = np.argmin(ends[::-1], axis=0)
        until = np.maximum(np.min(ends, axis=0), as_of_us)
        cause = np.array(causes[::-1])[first]
        by_graduation = (cause == _TRACKING) & (self.graduated(coin) <= self.tracking_end_us[coin])
        return until, np.where(by_graduation, _GRADUATED, cause)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One value a row. Prices are SOL per token: the quote at the row's end, the entry after the latency, the exit
    `latency_seconds` after the target, the stop or the horizon; NaN where unknown. `complete` says that the row may
    be used: its whole horizon is known, or the label was settled before a graduation cut it. To fit or judge on
    rows that are known only because the target was reached would count the successes near an end and drop the
    failures. `unknown` says why it may not."""

    label: Floats
    quoted_price: Floats
    entry_price: Floats
    exit_price: Floats
    complete: NDArray[np.bool_]
    unknown: NDArray[np.int8]

    @property
    def payoff(self) -> Floats:
        """Change from entry to exit, before costs."""
        return self.exit_price / self.entry_price - 1


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that are asked about: coin number, entry and end of the horizon, and the series of the metric."""

    coin: Integers
    entry_us: Integers
    end_us: Integers
    series: Series
    graduated_us: Integers


def outcomes(
    coin: Integers,
    as_of_us: Integers,
    rule: LabelRule,
    trades: Trades,
    known: Knowledge,
    metric: Trades | None = None,
) -> Outcomes:
    """Label, prices and completeness of each row (coin number, end of its window); rows may be in any order.

    `metric` holds the rows of `rule.metric`, which must be given unless that is PRICE.
    """
    latency, horizon = round(rule.latency_seconds * _US), round(rule.horizon_seconds * _US)
    prices = Series(trades, coin, as_of_us)
    series = prices if metric is None else Series(metric, coin, as_of_us)
    entry_us = as_of_us + latency
    rows = _Rows(coin, entry_us, entry_us + horizon, series, known.graduated(coin))
    tracked_to, cut_by = known.until(coin, as_of_us)
    entry = np.where(tracked_to >= entry_us, prices.at(coin, entry_us), np.nan)
    until, cause = (tracked_to, cut_by) if rule.kind != "graduates" else known.until(coin, as_of_us, tracked=False)
    label, decided_us = _ask(rows, rule, entry)
    undefined = np.isnan(label)
    label = np.where(np.isnan(entry) | (decided_us > until), np.nan, label)
    exit_us = decided_us + latency
    leave = np.where(~np.isnan(label) & (exit_us <= until), prices.at(coin, exit_us), np.nan)
    settled = (cause == _GRADUATED) & (rule.kind == "path") & (rule.metric == PRICE) & rule.rises
    complete = ~np.isnan(label) & ((rows.end_us <= until) | settled)
    reason = np.select(
        [complete, tracked_to < entry_us, np.isnan(entry), rows.end_us > until, undefined],
        [0, cut_by, _NO_ENTRY, cause, _UNDEFINED],
        _UNDEFINED,
    )
    return Outcomes(label, prices.at(coin, as_of_us), entry, leave, complete, reason.astype(np.int8))


def _ask(rows: _Rows, rule: LabelRule, entry: Floats) -> tuple[Floats, Integers]:
    """Label (NaN where the question has no answer) and the moment at which it was decided, if all were known."""
    if rule.kind == "graduates":
        yes = rows.graduated_us <= rows.end_us
        return yes.astype(np.float64), np.where(yes, rows.graduated_us, rows.end_us)
    if rule.kind == "rule":
        return _rule(rows, rule)
    base = entry if rule.metric == PRICE else rows.series.at(rows.coin, rows.entry_us)
    label, decided_us = _close(rows, rule, base) if rule.kind == "close" else _path(rows, rule, base)
    return np.where(base > 0, label, np.nan), decided_us


def _rule(rows: _Rows, rule: LabelRule) -> tuple[Floats, Integers]:
    """Whether the metric compares as asked, at any moment within the horizon or at its end."""
    if rule.value is None:
        raise ValueError("a rule needs a value to compare with")
    sign = 1.0 if rule.operator in (">=", ">") else -1.0
    # Strictly beyond the value is at or beyond the next number there is.
    level = rule.value if "=" in rule.operator else float(np.nextafter(rule.value, sign * np.inf))
    if rule.when == "after":
        value = rows.series.at(rows.coin, rows.end_us)
        return np.where(np.isnan(value), np.nan, sign * value >= sign * level), rows.end_us
    low, high = rows.series.after(rows.coin, rows.entry_us), rows.series.after(rows.coin, rows.end_us)
    first = rows.series.first(sign, low, high, np.full(len(low), level))
    missed = (first == high) & rows.series.any_unknown(low, high)
    label = np.where(missed, np.nan, first < high)
    return label, np.where(first < high, rows.series.moment(first), rows.end_us)


def _close(rows: _Rows, rule: LabelRule, base: Floats) -> tuple[Floats, Integers]:
    last, target = rows.series.at(rows.coin, rows.end_us), base * rule.target_factor
    there = last >= target if rule.rises else last <= target
    return np.where(np.isnan(last), np.nan, there), rows.end_us


def _path(rows: _Rows, rule: LabelRule, base: Floats) -> tuple[Floats, Integers]:
    """Decided at the target, the stop, or the end of the horizon."""
    sign, series = 1.0 if rule.rises else -1.0, rows.series
    low, high = series.after(rows.coin, rows.entry_us), series.after(rows.coin, rows.end_us)
    target = series.first(sign, low, high, base * rule.target_factor)
    stop = high
    if rule.stop_factor is not None:
        stop = series.first(-sign, low, high, base * rule.stop_factor)
    first = np.minimum(target, stop)
    decided_us = np.where(first < high, series.moment(first), rows.end_us)
    reached = (target < high) & (target < stop)
    # A value that is not known may have been beyond either level; without a stop, what was reached stays reached.
    doubtful = series.any_unknown(low, first) & (~reached if rule.stop_factor is None else True)
    return np.where(doubtful, np.nan, reached), decided_us
