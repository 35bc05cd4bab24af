"""What conditions ask of an alert, read from the tables in bulk: features as of its window, its coin, its creator.

All of it was fixed when the alert was given: features know nothing after their window, a creator's history is that of
the coin's creation. So the trader, which asks at once, and a backtest, which asks later, get the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from apps.core.units import LAMPORTS_PER_SOL
from apps.discovery import creators
from apps.discovery.models import Coin
from apps.trading import strategy_models
from apps.trading.conditions import FEATURE, MARKET_FACTS, Scalar, features_of
from apps.trading.entries import CALIBRATED, Signal, conditions_of, is_kelly
from apps.trading.models import Strategy
from apps.training import queries as training_queries
from apps.training.columns import load_columns
from apps.training.features import HISTORY_SECONDS, compute
from apps.training.market_queries import MarketReader

Moment = tuple[str, datetime]
Known = dict[str, Scalar | None]
MOST_MINTS = 200


def signals_informed(signals: Sequence[Signal], strategies: Iterable[Strategy]) -> list[Signal]:
    """The signals with all that the conditions of these strategies ask of them, in the same order; those that have
    been informed before stay as they are."""
    asking = list(strategies)
    conditions = [one for strategy in asking for one in conditions_of(strategy)]
    names = features_of(conditions)
    asks_coin = any(not one.fact.startswith(FEATURE) and one.fact not in MARKET_FACTS for one in conditions)
    news = [signal for signal in signals if not signal.facts]
    if any(is_kelly(strategy) for strategy in asking):
        news = _with_calibration(news)
    coins = coin_facts({signal.mint for signal in news}) if asks_coin else {}
    values = feature_values([(signal.mint, signal.as_of) for signal in news], names) if names else {}
    told = (_informed(signal, coins, values) for signal in news)
    return [signal if signal.facts else next(told) for signal in signals]


def _informed(signal: Signal, coins: Mapping[str, Known], values: Mapping[Moment, Known]) -> Signal:
    found = coins.get(signal.mint, {}) | values.get((signal.mint, signal.as_of), {})
    return replace(signal, facts={**signal.facts, **found}) if found else signal


def _with_calibration(signals: Sequence[Signal]) -> list[Signal]:
    """The signals with whether the model that gave them is calibrated."""
    moments = [(one.active_model_id, one.mint, one.as_of, one.alert_id is not None) for one in signals]
    known = strategy_models.calibrated(moments)
    return [replace(one, facts={CALIBRATED: float(is_so)}) for one, is_so in zip(signals, known, strict=True)]


def coin_facts(mints: Iterable[str]) -> dict[str, Known]:
    """What is fixed of each coin and of its creator since its creation."""
    wanted = sorted(mints)
    creators.histories_keep(wanted)
    kept = {history.mint: history for history in creators.histories_kept(wanted)}
    fields = ("mint", "symbol", "creator", "created_at", "first_seen_at", "initial_buy_lamports")
    rows = Coin.objects.filter(mint__in=wanted).values(*fields)
    return {row["mint"]: _coin(row) | _creator(kept.get(row["mint"])) for row in rows}


def _coin(row: Mapping[str, object]) -> Known:
    buy, created_at = row["initial_buy_lamports"], row["created_at"]
    return {
        "coin.mint": str(row["mint"]),
        "coin.symbol": str(row["symbol"]),
        "creator": str(row["creator"]) if row["creator"] else None,
        "coin.creation_seen": float(created_at is not None),
        "coin.initial_buy_sol": buy / LAMPORTS_PER_SOL if isinstance(buy, int) else None,
    }


def _creator(history: creators.History | None) -> Known:
    if history is None:
        return {}
    counted = min(history.coins, creators.COUNTED_COINS)
    return {
        "creator.coins": float(history.coins),
        "creator.graduated": float(history.graduated),
        "creator.died": float(history.died),
        "creator.graduated_ratio": history.graduated / counted if counted else None,
        "creator.died_ratio": history.died / counted if counted else None,
        "creator.sold80_seconds": history.sold80_seconds,
        "creator.top_market_cap_sol": history.top_market_cap_sol,
        "creator.since_last_seconds": history.since_last_seconds,
    }


def feature_values(moments: Sequence[Moment], names: Sequence[str]) -> dict[Moment, Known]:
    """The named features of coins as of the ends of windows, as `feature.NAME`; a window that is not there has none."""
    found: dict[Moment, Known] = {}
    reader = MarketReader()
    for batch in _batches(sorted(set(moments), key=lambda moment: (moment[1], moment[0]))):
        found |= _feature_values(batch, names, reader)
    return found


def _batches(moments: Sequence[Moment]) -> Iterator[list[Moment]]:
    """Moments near each other in time, of at most MOST_MINTS coins."""
    for first in range(0, len(moments), MOST_MINTS):
        yield list(moments[first : first + MOST_MINTS])


def _feature_values(moments: Sequence[Moment], names: Sequence[str], reader: MarketReader) -> dict[Moment, Known]:
    mints = sorted({mint for mint, _ in moments})
    first, last = min(at for _, at in moments), max(at for _, at in moments)
    since = first - timedelta(seconds=HISTORY_SECONDS)
    records = training_queries.metric_records(mints, since, last)
    columns = load_columns(records, highs=training_queries.highs_before(mints, since))
    number = {mint: place for place, mint in enumerate(mints)}
    rows = _rows(columns.coin, columns.as_of_us, [(number[mint], training_queries.to_us(at)) for mint, at in moments])
    there = sorted((row, moment) for row, moment in zip(rows, moments, strict=True) if row >= 0)
    if not there:
        return {}
    market = reader.between(training_queries.to_us(first), training_queries.to_us(last))
    matrix = compute(columns, market, rows=np.array([row for row, _ in there], np.int64), names=names)
    keys = [FEATURE + name for name in names]
    return {
        moment: {key: None if math.isnan(value) else value for key, value in zip(keys, values, strict=True)}
        for (_, moment), values in zip(there, matrix.tolist(), strict=True)
    }


def _rows(coin: np.ndarray, as_of_us: np.ndarray, wanted: Sequence[tuple[int, int]]) -> list[int]:
    """Where the windows stand, -1 for what is not there."""
    places = {key: row for row, key in enumerate(zip(coin.tolist(), as_of_us.tolist(), strict=True))}
    return [places.get(key, -1) for key in wanted]
