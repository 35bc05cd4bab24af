"""Cuts the stored data at random instants: nothing known before a cut may change by what comes after it.

Five comparisons, bit by bit: feature rows from the cut stream and the market until then against the whole of both; the
newest row of each coin from its last half hour (what a scorer holds) against the whole; labels of every kind that were
known at the cut against now; stored windows against the trades before their end; and what was kept of
creators when their coins were created against what all the data says now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.core.units import LAMPORTS_PER_SOL
from apps.discovery import creators
from apps.training import features, queries
from apps.training.columns import Floats, MetricColumns
from apps.training.labels import PRICE, Knowledge, LabelRule, Outcomes, Trades, outcomes
from apps.training.market import Market
from apps.training.market_queries import MarketReader

HISTORY = timedelta(seconds=features.HISTORY_SECONDS)
MOST_SHOWN = 20
LABELS = (
    LabelRule("path", 20, 300, 40, 2),
    LabelRule("close", 20, 300),
    LabelRule("path", 20, 300, metric="market_cap_close"),
    LabelRule("rule", None, 300, metric="volume_sol", value=1.0),
    LabelRule("graduates", None, 300),
)
WINDOW = ("price_close", "num_buys", "volume_sol", "price_high", "price_low")

Compute = Callable[[MetricColumns, Market, NDArray[np.int64]], Floats]
Judge = Callable[..., Outcomes]  # as labels.outcomes


@dataclass(slots=True)
class Findings:
    """What was compared and what differed; `examples` names feature, coin and instants of the first few."""

    cuts: int = 0
    coins: int = 0
    rows_compared: int = 0
    rows_different: int = 0
    scorer_rows_compared: int = 0
    scorer_rows_different: int = 0
    labels_compared: int = 0
    labels_different: int = 0
    windows_compared: int = 0
    windows_different: int = 0
    creators_compared: int = 0
    creators_different: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """No difference anywhere."""
        return not (
            self.rows_different
            or self.scorer_rows_different
            or self.labels_different
            or self.windows_different
            or self.creators_different
        )

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {**asdict(self), "clean": self.is_clean}


def _product(columns: MetricColumns, market: Market, rows: NDArray[np.int64]) -> Floats:
    return features.compute(columns, market, rows=rows)


def check(
    cuts: list[datetime],
    *,
    coins_per_cut: int,
    seed: int,
    compute: Compute = _product,
    judge: Judge = outcomes,
    on_cut: Callable[[float, str], None] = lambda ratio, message: None,
) -> Findings:
    """Compare around every cut; `compute` (columns, market, rows -> matrix) and `judge` are put to the test."""
    findings, rng = Findings(), np.random.default_rng(seed)
    for number, cut in enumerate(cuts):
        chosen = _coins_around(cut, coins_per_cut, rng)
        findings.cuts += 1
        if chosen:
            findings.coins += len(chosen)
            _check_features(chosen, cut, compute, findings)
            _check_labels(chosen, cut, judge, findings)
            _check_windows(chosen, cut, findings)
            _check_creators(chosen, cut, findings)
        on_cut((number + 1) / len(cuts), f"{findings.rows_compared:,} rows compared")
    return findings


def _coins_around(cut: datetime, most: int, rng: np.random.Generator) -> list[str]:
    """Coins drawn of those with rows near the cut; first those with rows on both sides: only these can leak."""
    phases = queries.all_phases()
    before, after = (
        {mint for mint, *_ in queries.coins_between(start, start + HISTORY, phases)} for start in (cut - HISTORY, cut)
    )
    drawn = [rng.permutation(sorted(mints)).tolist() for mints in (before & after, before ^ after)]
    return sorted([*drawn[0], *drawn[1]][:most])


def _check_features(mints: list[str], cut: datetime, compute: Compute, findings: Findings) -> None:
    beginning = queries.EPOCH
    columns = features.load_columns(queries.metric_records(mints, beginning, cut + HISTORY))
    before = np.flatnonzero(columns.as_of_us <= queries.to_us(cut))
    if not len(before):
        return
    past, first_us, cut_us = columns.take(before), int(columns.as_of_us.min()), queries.to_us(cut)
    whole = compute(columns, MarketReader().between(first_us, int(columns.as_of_us.max())), before)
    different = _differences(whole, compute(past, MarketReader().between(first_us, cut_us), np.arange(len(past))))
    findings.rows_compared += len(before)
    findings.rows_different += int(different.any(axis=1).sum())
    _note(findings, "cut", different, past, mints, cut)
    _check_scorer(mints, cut, compute, past, whole, findings)


def _check_scorer(
    mints: list[str], cut: datetime, compute: Compute, past: MetricColumns, whole: Floats, findings: Findings
) -> None:
    """The newest row of each coin by what a scorer holds: half an hour and the high before it."""
    last = np.flatnonzero(np.r_[past.coin[1:] != past.coin[:-1], True])
    last = last[past.as_of_us[last] > queries.to_us(cut - HISTORY)]
    if not len(last):
        return
    highs = queries.highs_before(mints, cut - 2 * HISTORY)
    held = features.load_columns(queries.metric_records(mints, cut - 2 * HISTORY, cut), highs=highs)
    newest = np.flatnonzero(np.r_[held.coin[1:] != held.coin[:-1], True])
    newest = newest[held.as_of_us[newest] > queries.to_us(cut - HISTORY)]
    recent = held.take(_within_history(held, newest))
    rows = np.flatnonzero(np.r_[recent.coin[1:] != recent.coin[:-1], True])
    market = MarketReader().between(int(recent.as_of_us.min()), int(recent.as_of_us.max()))
    different = _differences(whole[last], compute(recent, market, rows))
    findings.scorer_rows_compared += len(last)
    findings.scorer_rows_different += int(different.any(axis=1).sum())
    _note(findings, "scorer", different, recent.take(rows), mints, cut)


def _within_history(held: MetricColumns, newest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of these coins that end in the half hour until the coin's newest row."""
    end = np.zeros(int(held.coin.max(initial=0)) + 1, np.int64)
    end[held.coin[newest]] = held.as_of_us[newest]
    return held.as_of_us > end[held.coin] - features.HISTORY_SECONDS * 1_000_000


def _check_labels(mints: list[str], cut: datetime, judge: Judge, findings: Findings) -> None:
    """A label that was decided at the cut is the same today, whatever the question."""
    start, later = cut - HISTORY, cut + timedelta(seconds=max(rule.reach_seconds for rule in LABELS))
    columns = features.load_columns(queries.metric_records(mints, start, cut))
    trades = queries.trade_records(mints, start - HISTORY, later)
    gaps = queries.unknown_times(start, later)
    end = queries.to_us(queries.data_end() or later)
    ends = (queries.tracking_ends(mints), queries.graduations(mints))
    for rule in LABELS:
        series = None if rule.metric == PRICE else queries.metric_series(mints, rule.metric, start - HISTORY, later)
        labels = []
        for limit in (queries.to_us(cut), end):
            tracking, graduated = (np.where(moment > limit, queries.FOREVER_US, moment) for moment in ends)
            known = Knowledge(tracking, *gaps, min(limit, end), graduated)
            events = (_seen(trades, limit), known, None if series is None else _seen(series, limit))
            labels.append(judge(columns.coin, columns.as_of_us, rule, *events).label)
        decided = ~np.isnan(labels[0])
        findings.labels_compared += int(decided.sum())
        changed = np.flatnonzero(decided & (labels[0] != labels[1]))
        findings.labels_different += len(changed)
        _note_labels(findings, rule, changed, columns, mints, cut)


def _seen(records: NDArray[np.void], limit_us: int) -> Trades:
    """What there was until a moment."""
    seen = records[records["at_us"] <= limit_us]
    return Trades(*(np.ascontiguousarray(seen[name]) for name in ("coin", "at_us", "price")))


def _note_labels(
    findings: Findings,
    rule: LabelRule,
    changed: NDArray[np.int64],
    rows: MetricColumns,
    mints: list[str],
    cut: datetime,
) -> None:
    for row in changed[: MOST_SHOWN - len(findings.examples)].tolist():
        as_of = queries.to_datetime(rows.as_of_us[row]).isoformat()
        found = {"feature": rule.name, "mint": mints[int(rows.coin[row])], "as_of": as_of, "cut": cut.isoformat()}
        findings.examples.append({"check": "label", **found})


def _check_windows(mints: list[str], cut: datetime, findings: Findings) -> None:
    """A window holds the trades before its end and none later: so says its close, and, where the coin's window before
    it is there too, how many trades there were since, their volume, highest and lowest price."""
    first, _last = queries.trades_span() or (cut, cut)  # older windows can have outlived their trades
    records = queries.metric_records(mints, max(cut - HISTORY, first), cut)
    trades = queries.traded_records(mints, cut - 2 * HISTORY, cut)
    if not len(records) or not len(trades):
        return
    different = np.column_stack([records[name] != value for name, value in _windows_of(trades, records).items()])
    findings.windows_compared += len(records)
    findings.windows_different += int(different.any(axis=1).sum())
    for row, place in np.argwhere(different)[: MOST_SHOWN - len(findings.examples)].tolist():
        as_of = queries.to_datetime(records["as_of_us"][row]).isoformat()
        found = {"feature": WINDOW[place], "mint": mints[int(records["coin"][row])], "as_of": as_of}
        findings.examples.append({"check": "window", **found, "cut": cut.isoformat()})


def _windows_of(trades: NDArray[np.void], records: NDArray[np.void]) -> dict[str, Floats]:
    """What the trades (TRADED) give for these rows of windows, by WINDOW; a coin's first row only its close."""
    base = int(min(trades["at_us"].min(), records["as_of_us"].min()))
    span = int(max(trades["at_us"].max(), records["as_of_us"].max())) - base + 1
    key = trades["coin"] * span + trades["at_us"] - base
    until = np.searchsorted(key, records["coin"] * span + records["as_of_us"] - base, side="left")
    since = np.r_[0, until[:-1]]
    follows = np.r_[False, records["coin"][1:] == records["coin"][:-1]]
    last = np.maximum(until - 1, 0)
    known = (until > 0) & (trades["coin"][last] == records["coin"])
    lamports, prices = np.r_[0, np.cumsum(trades["lamports"])], np.r_[trades["price"], np.nan]
    pairs = np.column_stack((since, until)).ravel()
    trades_since = np.where(until > since, until - since, np.nan)
    found = {
        "num_buys": trades_since - records["num_sells"],
        "volume_sol": (lamports[until] - lamports[since]) / LAMPORTS_PER_SOL,
        "price_high": np.maximum.reduceat(prices, pairs)[::2],
        "price_low": np.minimum.reduceat(prices, pairs)[::2],
    }
    close = {"price_close": np.where(known, trades["price"][last], np.nan)}
    return close | {name: np.where(follows, value, records[name]) for name, value in found.items()}


def _check_creators(mints: list[str], cut: datetime, findings: Findings) -> None:
    """What was kept when a coin was created is what its creator's past says today: nothing later slipped in."""
    now = {history.mint: history for history in creators.histories(mints)}
    for kept in creators.histories_kept(mints):
        findings.creators_compared += 1
        if (today := now.get(kept.mint)) != kept:
            findings.creators_different += 1
            name = _different_feature(kept, today)
            as_of = kept.as_of.isoformat()
            if len(findings.examples) < MOST_SHOWN:
                findings.examples.append(
                    {"check": "creator", "feature": name, "mint": kept.mint, "as_of": as_of, "cut": cut.isoformat()}
                )


def _different_feature(kept: creators.History, today: creators.History | None) -> str:
    """The first feature in which two histories of a coin differ."""
    found = (f"creator_{name}" for name, value in asdict(kept).items() if value != getattr(today, name, None))
    return next(found, "creator")


def _differences(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """Where the bits differ; NaN equals NaN of the same bits."""
    return np.ascontiguousarray(one).view(np.int64) != np.ascontiguousarray(other).view(np.int64)


def _note(
    findings: Findings, kind: str, different: NDArray[np.bool_], rows: MetricColumns, mints: list[str], cut: datetime
) -> None:
    for row, feature in np.argwhere(different)[: MOST_SHOWN - len(findings.examples)].tolist():
        name = features.NAMES[feature] if feature < len(features.NAMES) else f"column {feature}"
        as_of = queries.to_datetime(rows.as_of_us[row]).isoformat()
        mint = mints[int(rows.coin[row])]
        findings.examples.append({"check": kind, "feature": name, "mint": mint, "as_of": as_of, "cut": cut.isoformat()})
