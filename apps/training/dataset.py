"""Rows with features and labels out of the database, in batches of whole coins, with what was left out and a hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.core.errors import PlatformError
from apps.core.sentences import worded
from apps.training import dataset_cache, features, queries, sampling
from apps.training.columns import Integers, MetricColumns
from apps.training.labels import PRICE, Knowledge, Outcomes, Trades, outcomes
from apps.training.market import Market, nowhere
from apps.training.market_queries import MarketReader
from apps.training.samples import Counts, Dataset, Selection, content_hash
from apps.training.windowing import History

__all__ = ["Counts", "Dataset", "Selection", "estimate", "load", "read"]

BATCH_ROWS = 100_000
HISTORY = timedelta(seconds=features.HISTORY_SECONDS)
ESTIMATE_SEED = 7

Progress = Callable[[float, str], None]
Coin = tuple[str, int, int]  # mint, rows, first row ever in microseconds


@dataclass(frozen=True, slots=True)
class _Batch:
    """Whole coins: their columns with history, the rows that were asked for and what became of these."""

    mints: list[str]
    columns: MetricColumns
    chosen: Integers
    outcome: Outcomes


class _Collector:
    """Known rows of all batches, in one matrix that was allocated once."""

    def __init__(self, names: Sequence[str], market: Market, capacity: int) -> None:
        self.names, self.market, self.mints = tuple(names), market, list[str]()
        self.x = np.empty((capacity, len(names)), np.float32)
        self.parts: list[tuple[NDArray[Any], ...]] = []
        self.rows = 0

    def add(self, batch: _Batch) -> None:
        keep, outcome, columns = batch.outcome.complete, batch.outcome, batch.columns
        rows = batch.chosen[keep]
        here = self.x[self.rows : self.rows + len(rows)]
        features.compute(columns, self.market, rows=rows, names=self.names, into=here)
        found = (outcome.label, outcome.quoted_price, outcome.entry_price, outcome.exit_price)
        coin = columns.coin[rows] + len(self.mints)
        self.parts.append((*(one[keep] for one in found), columns.as_of_us[rows], coin, columns.phase_id[rows]))
        self.rows += len(rows)
        self.mints += batch.mints

    def dataset(self, first_us: dict[str, int], counts: Counts) -> Dataset:
        columns = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        label, quoted, entry, leave, as_of_us, coin, phase = columns
        firsts = np.array([first_us[mint] for mint in self.mints], dtype=np.int64)
        arrays = (
            self.x[: self.rows], label, quoted, entry, leave, as_of_us, coin, firsts[coin], phase.astype(np.int16),
        )  # fmt: skip
        mints = tuple(self.mints)
        return Dataset(self.names, *arrays, mints, counts, content_hash=content_hash(self.names, mints, arrays))


def load(selection: Selection, names: Sequence[str], on_progress: Progress = lambda ratio, message: None) -> Dataset:
    """The labelled rows of a selection with the named features; may be empty. Raises PlatformError NO_DATA.

    From the cache where the tables say the same as when it was written; `on_progress` is called after each batch with
    the ratio done, and may raise to stop.
    """

    def state() -> dataset_cache.State:
        counts = Counts()
        return _coins(selection, counts), counts, queries.data_end()

    def fresh() -> Dataset:
        return read(selection, names, on_progress)

    return dataset_cache.through(selection, tuple(names), state, fresh, on_progress)


def read(selection: Selection, names: Sequence[str], on_progress: Progress = lambda ratio, message: None) -> Dataset:
    """The same, always from the tables."""
    counts = Counts()
    coins = _coins(selection, counts)
    market = MarketReader().between(*map(queries.to_us, queries.metrics_within(selection.start, selection.end)))
    collector = _Collector(names, market, sum(rows for _, rows, _ in coins))
    for batch in _batches(selection, coins, counts):
        collector.add(batch)
        read = worded(
            "read %(rows)s rows of %(coins)s coins", rows=f"{counts.rows:,}", coins=f"{len(collector.mints):,}"
        )
        on_progress(len(collector.mints) / len(coins), read)
    return collector.dataset({mint: first for mint, _, first in coins}, counts)


def estimate(selection: Selection, most_rows: int) -> tuple[Dataset, Counts, float]:
    """A look at a selection that takes a bounded time: labelled rows without features of some of its coins, the counts
    for all of them, and the share of the rows that was looked at. Raises NO_DATA.

    Where that is 1 the counts are exact; else what depends on the rows' future is projected from the coins that were
    drawn (the same each time), at most about `most_rows` rows."""
    counts = Counts()
    coins = _coins(selection, counts)
    drawn, taken = [], 0
    total = sum(rows for _, rows, _ in coins)
    for coin in sorted(coins, key=lambda one: sampling.lot(one[0], ESTIMATE_SEED)):
        if taken and taken + coin[1] > most_rows:
            break
        drawn.append(coin)
        taken += coin[1]
    collector, seen = _Collector([], nowhere(), taken), Counts()
    for batch in _batches(selection, sorted(drawn), seen):
        collector.add(batch)
    share = taken / total
    for name, value in seen.as_json().items():
        setattr(counts, name, getattr(counts, name) + round(value / share))
    return collector.dataset({mint: first for mint, _, first in drawn}, seen), counts, share


def _coins(selection: Selection, counts: Counts) -> list[Coin]:
    """The coins that take part; the rows of the others are counted."""
    chosen, only = [], frozenset(selection.filter.mints)
    seen = set[str]().union(*(queries.mints_between(*span) for span in selection.coins_unseen_in))
    for mint, rows, standard, first in queries.coins_between(selection.start, selection.end, selection.phases):
        counts.rows_found += rows
        if not standard:
            counts.rows_nonstandard_curve += rows
        elif mint in seen or (selection.coins_from is not None and first < selection.coins_from):
            counts.rows_of_known_coins += rows
        elif only and mint not in only:
            counts.rows_filtered += rows
        else:
            chosen.append((mint, rows, queries.to_us(first)))
    if not chosen:
        raise PlatformError("NO_DATA", _nothing(selection), counts=counts.as_json())
    return chosen


def _nothing(selection: Selection) -> str:
    """The sentence for a selection without rows."""
    span = queries.metrics_span()
    if span is None:
        return "There are no metric rows yet: let the stream run or import a history."
    start, end, first, last = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (selection.start, selection.end, *span))
    asked = f"after {start} UTC" if selection.start >= selection.end else f"between {start} and {end} UTC"
    return (
        f"No metric rows {asked} in phases {list(selection.phases)} that pass the filters; the tables reach from "
        f"{first} to {last}. Choose another time range, or import more."
    )


def _market(selection: Selection) -> tuple[Integers, Integers, int]:
    """Gaps (starts, ends) around the selection and the end of the data."""
    end = queries.data_end()
    if end is None:
        raise PlatformError("NO_DATA", "There are no trades yet: let the stream run or import a history.")
    reach = timedelta(seconds=selection.rule.reach_seconds)
    upto = max(min(end, selection.end + reach), selection.start)
    starts, ends = queries.unknown_times(selection.start - timedelta(seconds=queries.SILENCE_SECONDS), upto)
    return starts, ends, queries.to_us(end)


def _batches(selection: Selection, coins: list[Coin], counts: Counts) -> Iterator[_Batch]:
    """Batches of whole coins with their outcomes; counts what they hold."""
    market = _market(selection)
    for mints in queries.batches([(mint, rows) for mint, rows, _ in coins], BATCH_ROWS):
        batch = _batch(mints, selection, market, counts)
        label, known = batch.outcome.label, batch.outcome.complete
        counts.note_unknown(batch.outcome.unknown)
        counts.rows += int(known.sum())
        counts.positives += int(label[known].sum())
        counts.coins += len(np.unique(batch.columns.coin[batch.chosen[known]]))
        yield batch


def _batch(mints: list[str], selection: Selection, market: tuple[Integers, Integers, int], counts: Counts) -> _Batch:
    oldest, rule = selection.start - HISTORY, selection.rule
    records = queries.metric_records(mints, oldest, selection.end)
    columns = features.load_columns(records, highs=queries.highs_before(mints, oldest))
    inside = columns.as_of_us > queries.to_us(selection.start)
    chosen = np.flatnonzero(inside & np.isin(columns.phase_id, selection.phases))
    passing = sampling.passing(History(columns, chosen), selection.filter)
    counts.rows_filtered += int((~passing).sum())
    chosen = chosen[passing]
    until = selection.end + timedelta(seconds=rule.reach_seconds)
    events = _events(queries.trade_records(mints, oldest, until))
    metric = None if rule.metric == PRICE else _events(queries.metric_series(mints, rule.metric, oldest, until))
    known = Knowledge(queries.tracking_ends(mints), *market, queries.graduations(mints))
    rows = (columns.coin[chosen], columns.as_of_us[chosen])
    return _Batch(mints, columns, chosen, outcomes(*rows, rule, events, known, metric))


def _events(records: NDArray[np.void]) -> Trades:
    return Trades(*(np.ascontiguousarray(records[name]) for name in ("coin", "at_us", "price")))
