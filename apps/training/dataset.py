"""Rows with features and labels out of the database, in batches of whole coins, with what was left out and a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.core.errors import PlatformError
from apps.training import features, queries
from apps.training.columns import Floats, Integers, MetricColumns
from apps.training.labels import Knowledge, LabelRule, Outcomes, Trades, outcomes

BATCH_ROWS = 100_000
HISTORY = timedelta(seconds=features.HISTORY_SECONDS)

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: start < window end <= end, in these phases, of coins on the standard curve.

    `coins_from`: leave out the coins whose first row ever was before (those a model may know from training).
    """

    start: datetime
    end: datetime
    phases: tuple[int, ...]
    rule: LabelRule
    coins_from: datetime | None = None


@dataclass(slots=True)
class Counts:
    """How many rows and coins there were, and what was left out and why."""

    rows_found: int = 0
    rows_nonstandard_curve: int = 0
    rows_of_known_coins: int = 0
    rows_unknown: int = 0
    rows: int = 0
    coins: int = 0
    positives: int = 0

    def as_json(self) -> dict[str, int]:
        """For results and logs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One row a sample. `x` float32 (n, k); `coin` indexes `mints`; `coin_first_us` is its coin's first row ever.

    `quoted_price`, `entry_price` and `exit_price` (SOL per token, float64) are the market's prices at the row's end and
    at the feasible entry and exit: see labels.Outcomes. The exit is NaN where the data ends before it."""

    names: tuple[str, ...]
    x: NDArray[np.float32]
    label: Floats
    quoted_price: Floats
    entry_price: Floats
    exit_price: Floats
    as_of_us: Integers
    coin: Integers
    coin_first_us: Integers
    phase: NDArray[np.int16]
    mints: tuple[str, ...]
    counts: Counts
    content_hash: str

    def __len__(self) -> int:
        return len(self.label)

    @property
    def payoff(self) -> Floats:
        """Change from entry to exit before costs, float64 (n,)."""
        return self.exit_price / self.entry_price - 1


@dataclass(frozen=True, slots=True)
class _Batch:
    """Whole coins: their columns with history, the rows that were asked for and what became of these."""

    mints: list[str]
    columns: MetricColumns
    chosen: Integers
    outcome: Outcomes


class _Collector:
    """Known rows of all batches, in one matrix that was allocated once."""

    def __init__(self, names: Sequence[str], capacity: int) -> None:
        self.names, self.mints = tuple(names), list[str]()
        self.x = np.empty((capacity, len(names)), np.float32)
        self.parts: list[tuple[NDArray[Any], ...]] = []
        self.rows = 0

    def add(self, batch: _Batch) -> None:
        keep = batch.outcome.complete
        rows, columns = batch.chosen[keep], batch.columns
        self.x[self.rows : self.rows + len(rows)] = features.compute(columns, rows=rows, names=self.names)
        coin = columns.coin[rows] + len(self.mints)
        outcome = batch.outcome
        prices = (outcome.quoted_price[keep], outcome.entry_price[keep], outcome.exit_price[keep])
        found = (outcome.label[keep], *prices)
        self.parts.append((*found, columns.as_of_us[rows], coin, columns.phase_id[rows]))
        self.rows += len(rows)
        self.mints += batch.mints

    def dataset(self, first_us: dict[str, int], counts: Counts) -> Dataset:
        columns = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        label, quoted, entry, leave, as_of_us, coin, phase = columns
        firsts, x = np.array([first_us[mint] for mint in self.mints], dtype=np.int64), self.x[: self.rows]
        mints, phase = tuple(self.mints), phase.astype(np.int16)
        digest = _hash(self.names, mints, (x, label, quoted, entry, leave, as_of_us, coin))
        values = (x, label, quoted, entry, leave, as_of_us, coin, firsts[coin], phase)
        return Dataset(self.names, *values, mints, counts, content_hash=digest)


def load(selection: Selection, names: Sequence[str], on_progress: Progress = lambda ratio, message: None) -> Dataset:
    """The labelled rows of a selection with the named features; may be empty. Raises PlatformError NO_DATA.

    `on_progress` is called after each batch with the ratio done, and may raise to stop.
    """
    counts = Counts()
    coins = _coins(selection, counts)
    collector = _Collector(names, sum(rows for _, rows, _ in coins))
    for batch in _batches(selection, coins, counts):
        collector.add(batch)
        on_progress(len(collector.mints) / len(coins), f"{counts.rows:,} rows of {len(collector.mints):,} coins")
    return collector.dataset({mint: first for mint, _, first in coins}, counts)


def preview(selection: Selection) -> Counts:
    """How many rows, coins and positives a selection gives, without computing features. Raises NO_DATA."""
    counts = Counts()
    for _ in _batches(selection, _coins(selection, counts), counts):
        pass
    return counts


def _coins(selection: Selection, counts: Counts) -> list[tuple[str, int, int]]:
    """Mint, rows, first row (microseconds) of each coin that takes part; the others are counted."""
    chosen = []
    for mint, rows, standard, first in queries.coins_between(selection.start, selection.end, selection.phases):
        counts.rows_found += rows
        first_us = queries.to_us(first)
        if not standard:
            counts.rows_nonstandard_curve += rows
        elif selection.coins_from is not None and first < selection.coins_from:
            counts.rows_of_known_coins += rows
        else:
            chosen.append((mint, rows, first_us))
    if not chosen:
        raise PlatformError(
            "NO_DATA",
            f"No metric rows between {selection.start:%Y-%m-%d %H:%M} and {selection.end:%Y-%m-%d %H:%M} UTC in phases "
            f"{list(selection.phases)}. Choose another time range, or let the stream run.",
            **counts.as_json(),
        )
    return chosen


def _market(selection: Selection) -> tuple[Integers, Integers, int]:
    """Gaps (starts, ends) around the selection and the end of the data."""
    end = queries.data_end()
    if end is None:
        raise PlatformError("NO_DATA", "There are no trades yet: let the stream run or import a history.")
    reach = timedelta(seconds=selection.rule.reach_seconds)
    upto = max(min(end, selection.end + reach), selection.start)
    starts, ends = queries.unknown_times(selection.start - timedelta(seconds=queries.SILENCE_SECONDS), upto)
    return starts, ends, queries.to_us(end)


def _batches(selection: Selection, coins: list[tuple[str, int, int]], counts: Counts) -> Iterator[_Batch]:
    """Batches of whole coins with their outcomes; counts what they hold."""
    market = _market(selection)
    for mints in queries.batches([(mint, rows) for mint, rows, _ in coins], BATCH_ROWS):
        batch = _batch(mints, selection, market)
        label, known = batch.outcome.label, batch.outcome.complete
        counts.rows_unknown += int((~known).sum())
        counts.rows += int(known.sum())
        counts.positives += int(label[known].sum())
        counts.coins += len(np.unique(batch.columns.coin[batch.chosen[known]]))
        yield batch


def _batch(mints: list[str], selection: Selection, market: tuple[Integers, Integers, int]) -> _Batch:
    oldest, rule = selection.start - HISTORY, selection.rule
    records = queries.metric_records(mints, oldest, selection.end)
    columns = features.load_columns(records, highs=queries.highs_before(mints, oldest))
    inside = columns.as_of_us > queries.to_us(selection.start)
    chosen = np.flatnonzero(inside & np.isin(columns.phase_id, selection.phases))
    trades = queries.trade_records(mints, oldest, selection.end + timedelta(seconds=rule.reach_seconds))
    events = Trades(*(np.ascontiguousarray(trades[name]) for name in ("coin", "at_us", "price")))
    known = Knowledge(queries.tracking_ends(mints), *market)
    return _Batch(mints, columns, chosen, outcomes(columns.coin[chosen], columns.as_of_us[chosen], rule, events, known))


def _hash(names: Sequence[str], mints: Sequence[str], arrays: Sequence[NDArray[Any]]) -> str:
    """SHA-256 of everything a fit sees, in order."""
    digest = hashlib.sha256(json.dumps([list(names), list(mints)]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
