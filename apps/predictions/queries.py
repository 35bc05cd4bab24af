"""SQL of the figures that pages and API show; `outcome_queries` judges."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.db import connection

FEED_TIME = "SELECT feed_at FROM stream_state WHERE id = 1"


def feed_time() -> datetime | None:
    """Feed time up to which the tables are complete; None before the first frame."""
    with connection.cursor() as cursor:
        cursor.execute(FEED_TIME)
        row = cursor.fetchone()
    return row[0] if row else None


ALERT_STATISTICS = """
    SELECT a.active_model_id, m.custom_name,
           count(*), count(*) FILTER (WHERE a.status = 'pending'), count(*) FILTER (WHERE a.status = 'success'),
           count(*) FILTER (WHERE a.status = 'failed'), count(*) FILTER (WHERE a.status = 'expired'),
           count(*) FILTER (WHERE a.status = 'not_applicable'),
           avg(a.change_pct) FILTER (WHERE a.status IN ('success', 'failed')),
           avg(a.highest_pct) FILTER (WHERE a.status IN ('success', 'failed')),
           avg(a.lowest_pct) FILTER (WHERE a.status IN ('success', 'failed'))
    FROM alert_evaluations a LEFT JOIN active_models m ON m.id = a.active_model_id
    WHERE a.as_of > %(since)s AND (%(shadows)s OR a.alert_id IS NOT NULL)
    GROUP BY a.active_model_id, m.custom_name ORDER BY a.active_model_id"""


def alert_statistics(since: datetime, *, shadows: bool = True) -> list[tuple[Any, ...]]:
    """Per model: id, name, alerts, pending, success, failed, expired, not applicable, mean change, high, low (%);
    without `shadows` only of alerts that were told."""
    with connection.cursor() as cursor:
        cursor.execute(ALERT_STATISTICS, {"since": since, "shadows": shadows})
        return cursor.fetchall()


# A shadow's id is its own for good; the event that began its first challenge remembers it after the place is deleted.
SHADOW_IDS = """
    SELECT id FROM active_models WHERE shadow_of_id IS NOT NULL
    UNION SELECT (figures->>'shadow_id')::bigint FROM champion_events
    WHERE kind = 'challenged' AND figures ? 'shadow_id'"""


def shadow_ids() -> set[int]:
    """The ids under which challengers score or have scored in the shadow."""
    with connection.cursor() as cursor:
        cursor.execute(SHADOW_IDS)
        return {pk for (pk,) in cursor.fetchall()}


RECIPES_OF_DELETED = """
    SELECT DISTINCT ON (place.id) place.id, m.recipe::text
    FROM champion_events e JOIN ml_models m ON m.id = e.champion_id
    CROSS JOIN LATERAL (VALUES (e.active_model_id), ((e.figures->>'shadow_id')::bigint)) AS place(id)
    WHERE e.kind = 'deleted' AND e.at > %s AND place.id IS NOT NULL
    ORDER BY place.id"""


def recipes_of_deleted(since: datetime) -> list[tuple[int, dict[str, Any]]]:
    """Id and recipe of each model taken from work since then, and of its shadow, which was asked the same."""
    with connection.cursor() as cursor:
        cursor.execute(RECIPES_OF_DELETED, (since,))
        return [(pk, json.loads(recipe)) for pk, recipe in cursor.fetchall()]


SCORE_STATISTICS = """
    SELECT active_model_id, count(*), count(DISTINCT mint), count(*) FILTER (WHERE tag = 'negative'),
           count(*) FILTER (WHERE tag = 'positive'), count(*) FILTER (WHERE tag = 'alert'),
           avg(probability), avg(duration_ms), count(*) FILTER (WHERE is_late), max(as_of)
    FROM predictions WHERE as_of > %s
    GROUP BY active_model_id ORDER BY active_model_id"""


def score_statistics(since: datetime) -> list[tuple[Any, ...]]:
    """Per model: id, scores, coins, negative, positive, alert, mean probability, mean ms, late, newest `as_of`."""
    with connection.cursor() as cursor:
        cursor.execute(SCORE_STATISTICS, (since,))
        return cursor.fetchall()


SCORED_HOURS = """
    SELECT active_model_id, extract(epoch FROM max(as_of) - min(as_of))::float8 / 3600
    FROM predictions WHERE as_of > %s
    GROUP BY active_model_id ORDER BY active_model_id"""


def scored_hours(since: datetime) -> dict[int, float]:
    """Per model the hours of feed time from its first to its newest score since then."""
    with connection.cursor() as cursor:
        cursor.execute(SCORED_HOURS, (since,))
        return dict(cursor.fetchall())


SCORE_HISTOGRAM = """
    SELECT least(floor(probability * %(bins)s), %(bins)s - 1)::int, count(*)
    FROM predictions WHERE active_model_id = %(model)s AND as_of > %(since)s
    GROUP BY 1 ORDER BY 1"""


def score_histogram(active_model_id: int, since: datetime, bins: int) -> list[int]:
    """How many scores of a model lie in each of so many equal parts of 0..1."""
    counts = [0] * bins
    with connection.cursor() as cursor:
        cursor.execute(SCORE_HISTOGRAM, {"model": active_model_id, "since": since, "bins": bins})
        for place, count in cursor.fetchall():
            counts[place] = count
    return counts


OUTCOMES_BY_TAG = """
    SELECT active_model_id, tag, count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status = 'failed')
    FROM model_predictions WHERE as_of > %s
    GROUP BY active_model_id, tag ORDER BY active_model_id, tag"""


def outcomes_by_tag(since: datetime) -> list[tuple[int, str, int, int]]:
    """Of the judged scores per model and tag: id, tag, how many came true, how many did not."""
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES_BY_TAG, (since,))
        return cursor.fetchall()


LIVE_CALIBRATION = """
    SELECT avg(probability), avg((status = 'success')::int)::float8, count(*)
    FROM model_predictions
    WHERE active_model_id = %(model)s AND as_of > %(since)s AND status IN ('success', 'failed')
    GROUP BY least(floor(probability * %(bins)s), %(bins)s - 1) ORDER BY 1"""


def live_calibration(active_model_id: int, since: datetime, bins: int) -> list[tuple[float, float, int]]:
    """Mean predicted and observed share, and rows, in each part of 0..1 in which judged scores lie."""
    with connection.cursor() as cursor:
        cursor.execute(LIVE_CALIBRATION, {"model": active_model_id, "since": since, "bins": bins})
        return cursor.fetchall()


LATEST_OF_COIN = """
    SELECT DISTINCT ON (active_model_id) active_model_id, mint, as_of, scored_at, probability, tag, price_sol,
           virtual_sol_lamports, phase_id, is_late, duration_ms, model_id
    FROM predictions WHERE mint = %s
    ORDER BY active_model_id, as_of DESC"""


def latest_of_coin(mint: str) -> list[dict[str, Any]]:
    """The newest score of a coin by each model."""
    with connection.cursor() as cursor:
        cursor.execute(LATEST_OF_COIN, (mint,))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
