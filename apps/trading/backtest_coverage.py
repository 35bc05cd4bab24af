"""What a backtest had to go by, and what it could not know: alerts, gaps, trades without reserves, models that had seen
the range in training. Counted, so that an empty or a too good result can be explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.predictions.models import ActiveModel
from apps.trading.entries import Signal
from apps.trading.memory import History
from apps.trading.models import Strategy
from apps.training import queries as training_queries
from apps.training.columns import Integers
from apps.training.features import HISTORY_SECONDS

KNOWS = timedelta(seconds=HISTORY_SECONDS)
Seen = list[dict[str, Any]]

TRADES = """
SELECT count(*), count(*) FILTER (WHERE virtual_sol_lamports IS NULL OR NOT virtual_token_base_units > 0)
FROM coin_transactions WHERE "timestamp" > %s AND "timestamp" <= %s
"""
ALERTS = """
SELECT count(*), count(*) FILTER (WHERE cardinality(%(models)s::bigint[]) = 0 OR active_model_id = ANY(%(models)s)),
       count(*) FILTER (WHERE (cardinality(%(models)s::bigint[]) = 0 OR active_model_id = ANY(%(models)s))
                              AND probability >= %(least)s)
FROM alert_evaluations WHERE alert_id IS NOT NULL AND fired_at > %(since)s AND fired_at <= %(until)s
"""


def coverage(strategy: Strategy, since: datetime, until: datetime) -> dict[str, Any]:
    """Trades and alerts recorded in (`since`, `until`], how many of them can be used, and the times without data."""
    wanted: dict[str, Any] = {"models": list(strategy.active_model_ids), "least": strategy.min_probability}
    with connection.cursor() as cursor:
        cursor.execute(TRADES, [since, until])
        trades, unpriced = cursor.fetchone()
        cursor.execute(ALERTS, {**wanted, "since": since, "until": until})
        alerts, of_models, likely = cursor.fetchone()
    starts, ends = training_queries.unknown_times(since, until)
    recorded_to = training_queries.data_end()
    return {
        "trades_in_range": trades,
        "trades_without_reserves": unpriced,
        "alerts_in_range": alerts,
        "alerts_of_models": of_models,
        "alerts_wanted": likely,
        "gaps": len(starts),
        "gap_seconds": _inside(starts, ends, since, until),
        "recorded_to": recorded_to.isoformat() if recorded_to else None,
    }


def _inside(starts: Integers, ends: Integers, since: datetime, until: datetime) -> float:
    """Seconds of the times without data that lie in the range."""
    low, high = training_queries.to_us(since), training_queries.to_us(until)
    return float((ends.clip(low, high) - starts.clip(low, high)).sum() / 1e6)


def signals_counted(signals: Sequence[Signal], history: History, since: datetime, until: datetime) -> dict[str, int]:
    """Of the signals that were played: their coins, those off the curve or not known, and those whose features look
    back into a time without data (a recorded gap, or a silence of the whole market)."""
    unknown = training_queries.unknown_times(since - KNOWS, until)
    mints = {signal.mint for signal in signals}
    known = [history.coins[mint] for mint in mints if mint in history.coins]
    return {
        "signals": len(signals),
        "coins": len(mints),
        "coins_unknown": len(mints) - len(known),
        "coins_off_curve": sum(coin.off_curve_at is not None for coin in known),
        "signals_touching_gaps": _touching(signals, history, *unknown),
        "trades_of_coins": sum(len(coin.at_us) for coin in known),
    }


def _touching(signals: Sequence[Signal], history: History, starts: Integers, ends: Integers) -> int:
    """How many of them look back into one of these times (ascending, disjoint); none further than its coin is known."""
    as_of = np.array([training_queries.to_us(signal.as_of) for signal in signals], np.int64)
    knows = np.array([training_queries.to_us(_knows_from(signal, history)) for signal in signals], np.int64)
    first_ending_after = np.searchsorted(ends, knows, side="right")
    return int((np.searchsorted(starts, as_of, side="left") > first_ending_after).sum())


def _knows_from(signal: Signal, history: History) -> datetime:
    """Where the history that the signal's features know begins."""
    coin, oldest = history.coins.get(signal.mint), signal.as_of - KNOWS
    return oldest if coin is None else max(oldest, coin.first_seen_at)


# --- Training data --------------------------------------------------------------------------------------
SEEN = """
SELECT m.id, m.name, m.train_from, m.train_to, count(*)
FROM alert_evaluations a
LEFT JOIN predictions p ON p.active_model_id = a.active_model_id AND p.mint = a.mint AND p.as_of = a.as_of
LEFT JOIN active_models w ON w.id = a.active_model_id
JOIN ml_models m ON m.id = coalesce(p.model_id, w.model_id)
WHERE a.alert_id IS NOT NULL AND a.fired_at > %(since)s AND a.fired_at <= %(until)s
  AND (cardinality(%(models)s::bigint[]) = 0 OR a.active_model_id = ANY(%(models)s)) AND a.probability >= %(least)s
  AND a.as_of <= m.train_to
GROUP BY m.id ORDER BY m.id
"""


def seen_stored(strategy: Strategy, since: datetime, until: datetime) -> Seen:
    """Models whose stored alerts lie within what they were made from (fitted, stopped and chosen on) or before it: then
    they know what the market did next. With how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            SEEN,
            {
                "since": since,
                "until": until,
                "models": list(strategy.active_model_ids),
                "least": strategy.min_probability,
            },
        )
        return [_seen(*row) for row in cursor.fetchall()]


def seen_recomputed(places: Sequence[ActiveModel], since: datetime) -> Seen:
    """Models whose training data end after the range has begun."""
    models = {place.model_id: place.model for place in places}
    knowing = [model for model in models.values() if since < model.train_to]
    return [_seen(model.pk, model.name, model.train_from, model.train_to, None) for model in knowing]


def _seen(pk: int, name: str, start: datetime, end: datetime, alerts: int | None) -> dict[str, Any]:
    return {"model_id": pk, "name": name, "train_from": start.isoformat(), "train_to": end.isoformat(),
            "alerts": alerts}  # fmt: skip


# --- Why nothing came of it -----------------------------------------------------------------------------
WHY: dict[str, str | Promise] = {
    "NO_TRADES_RECORDED": _("No trade is recorded in this range: choose another one, or import a history."),
    "RANGE_NOT_OVER": _("The recording ends before the range does: what comes after is missing."),
    "NO_ALERTS": _("No model gave an alert in this range: none was at work then. Recompute the scores instead."),
    "NO_ALERTS_OF_MODELS": _("There are alerts, but none of the models that the strategy listens to."),
    "PROBABILITY_TOO_HIGH": _("There are alerts of these models, but all below the strategy's least probability."),
    "NO_ALERTS_RECOMPUTED": _("The models reach their threshold on no row of this range."),
    "ALL_FILTERED": _("The strategy's conditions or its sizing let no alert pass."),
    "ALL_DENIED": _("Every order was denied by the wallet's limits or the coins' state: see how orders ended."),
    "NOTHING_FILLED": _("No order was filled: all failed on their way, went past the slippage limit or came too late."),
}  # fmt: skip


def why(figures: dict[str, Any], *, recomputed: bool) -> list[str]:
    """Codes of WHY: why nothing was traded, and what makes the result incomplete. Empty where nothing is to be said."""
    seen = figures["coverage"]
    found = []
    if not seen["trades_in_range"]:
        return ["NO_TRADES_RECORDED"]
    if seen["recorded_to"] and _is_short(seen["recorded_to"], figures["to"]):
        found.append("RANGE_NOT_OVER")
    if figures["fills"]:
        return found
    if not seen["signals"]:
        return [*found, "NO_ALERTS_RECOMPUTED" if recomputed else _why_no_signal(seen)]
    statuses = {row["status"] for row in figures["orders"]}
    return [*found, "ALL_FILTERED" if not statuses else "ALL_DENIED" if statuses == {"DENIED"} else "NOTHING_FILLED"]


def _is_short(recorded_to: str, until: str) -> bool:
    """Whether more of the range is missing than the silence between two trades."""
    missing = datetime.fromisoformat(until) - datetime.fromisoformat(recorded_to)
    return missing > timedelta(seconds=training_queries.SILENCE_SECONDS)


def _why_no_signal(seen: dict[str, Any]) -> str:
    if not seen["alerts_in_range"]:
        return "NO_ALERTS"
    return "NO_ALERTS_OF_MODELS" if not seen["alerts_of_models"] else "PROBABILITY_TOO_HIGH"
