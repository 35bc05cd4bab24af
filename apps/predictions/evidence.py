"""What judged scores and alerts say of a model: SQL, and the values of alerts after costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection

from apps.predictions.championship import Alerts
from apps.predictions.living import Alerted, Scored
from apps.predictions.models import ActiveModel
from apps.training.columns import Floats
from apps.training.evaluation import costs
from apps.training.models import Model
from apps.training.queries import to_us
from apps.training.recipes import Recipe, recipe_parse

Span = tuple[datetime, datetime]
"""Later than the first, up to the second."""


@dataclass(frozen=True, slots=True)
class Held:
    """A trained model at a place at work: under both ids stand the scores it made there."""

    active_model_id: int
    model_id: int

    @classmethod
    def of(cls, place: ActiveModel) -> Held:
        """What holds the place now."""
        return cls(place.pk, place.model_id)


# An alert is a row of alert_evaluations: a high score that came late or on a coin nobody could trade is none.
COMMON_ALERTS = """
    SELECT a.active_model_id, a.mint, a.as_of, c.entry_price_sol, c.exit_price_sol, c.exit_at, c.quoted_price_sol
    FROM alert_evaluations a
    JOIN model_predictions c ON c.active_model_id = %(champion)s AND c.mint = a.mint AND c.as_of = a.as_of
    JOIN model_predictions s ON s.active_model_id = %(shadow)s AND s.mint = a.mint AND s.as_of = a.as_of
    WHERE a.active_model_id IN (%(champion)s, %(shadow)s) AND a.as_of > %(since)s
      AND c.model_id = %(champion_model)s AND s.model_id = %(challenger)s
      AND c.status IN ('success', 'failed') AND s.status = c.status AND c.exit_price_sol IS NOT NULL
    ORDER BY a.as_of, a.mint, a.active_model_id"""


def common_alerts(champion: Held, challenger: Held, since: datetime, recipe: dict[str, Any]) -> tuple[Alerts, Alerts]:
    """The judged alerts of each since then, among the coins and instants that both scored; `recipe` says what trading
    costs."""
    parameters: dict[str, Any] = {
        "champion": champion.active_model_id, "shadow": challenger.active_model_id,
        "champion_model": champion.model_id, "challenger": challenger.model_id, "since": since,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(COMMON_ALERTS, parameters)
        rows = cursor.fetchall()
    numbers = {mint: number for number, mint in enumerate(sorted({row[1] for row in rows}))}
    coin = np.array([numbers[row[1]] for row in rows], np.int64)
    value = values_of([row[2:] for row in rows], recipe)
    mine = np.array([row[0] == champion.active_model_id for row in rows], np.bool_)
    known = ~np.isnan(value)
    return Alerts(coin[mine & known], value[mine & known]), Alerts(coin[~mine & known], value[~mine & known])


def values_of(rows: list[tuple[Any, ...]], recipe: dict[str, Any]) -> Floats:
    """Value after all costs of alerts given as (as_of, entry price, exit price, exit_at, quoted price)."""
    if not rows:
        return np.empty(0)
    parsed = recipe_parse(recipe)
    latency = timedelta(seconds=parsed.label.rule().latency_seconds)
    entry_us = np.array([to_us(row[0] + latency) for row in rows], np.int64)
    exit_us = np.array([to_us(row[3] or row[0]) for row in rows], np.int64)
    entry, leave, quoted = (np.array([row[place] for row in rows], np.float64) for place in (1, 2, 4))
    return costs.values(entry, leave, entry_us, exit_us, costs_of(parsed), quoted_price=quoted)


def costs_of(recipe: Recipe) -> costs.Costs:
    """What a trade costs where a model with this recipe alerts."""
    return recipe.costs.rule()


SCORED = """
    SELECT count(*), count(*) FILTER (WHERE status = 'success'), sum(probability),
           sum((probability - (status = 'success')::int) ^ 2)
    FROM model_predictions
    WHERE active_model_id = %(place)s AND model_id = %(model)s AND as_of > %(start)s AND as_of <= %(end)s
      AND status IN ('success', 'failed')
    GROUP BY mint ORDER BY mint"""


def scored(held: Held, span: Span) -> Scored:
    """The judged scores of a stretch, an element a coin."""
    with connection.cursor() as cursor:
        cursor.execute(SCORED, _parameters(held, span))
        rows = np.array(cursor.fetchall(), np.float64).reshape(-1, 4)
    return Scored(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2], rows[:, 3])


ALERTED = """
    SELECT a.mint, m.status = 'success', m.as_of, m.entry_price_sol, m.exit_price_sol, m.exit_at, m.quoted_price_sol
    FROM alert_evaluations a
    JOIN model_predictions m ON m.active_model_id = a.active_model_id AND m.mint = a.mint AND m.as_of = a.as_of
    WHERE a.active_model_id = %(place)s AND m.model_id = %(model)s AND a.as_of > %(start)s AND a.as_of <= %(end)s
      AND m.status IN ('success', 'failed') AND a.probability >= %(least)s AND a.phase_id = ANY(%(phases)s)
    ORDER BY a.as_of, a.mint"""


def alerted(held: Held, span: Span, recipe: dict[str, Any], least: float) -> Alerted:
    """The judged alerts of a stretch with at least this probability, in the phases of the recipe: those that a test at
    this threshold speaks of."""
    phases = recipe_parse(recipe).data.phases
    with connection.cursor() as cursor:
        cursor.execute(ALERTED, {**_parameters(held, span), "least": least, "phases": phases})
        rows = cursor.fetchall()
    numbers = {mint: number for number, mint in enumerate(sorted({row[0] for row in rows}))}
    return Alerted(
        np.array([numbers[row[0]] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.bool_),
        values_of([row[2:] for row in rows], recipe),
    )


def _parameters(held: Held, span: Span) -> dict[str, Any]:
    return {"place": held.active_model_id, "model": held.model_id, "start": span[0], "end": span[1]}


CALIBRATION = """
    SELECT avg(probability), avg((status = 'success')::int)::float8, count(*)
    FROM model_predictions
    WHERE active_model_id = %(place)s AND model_id = %(model)s AND as_of > %(start)s AND as_of <= %(end)s
      AND status IN ('success', 'failed')
    GROUP BY least(floor(probability * %(bins)s), %(bins)s - 1) ORDER BY 1"""


def calibration(held: Held, span: Span, bins: int) -> list[tuple[float, float, int]]:
    """Mean predicted and observed share, and rows, in each part of 0..1 in which judged scores lie."""
    with connection.cursor() as cursor:
        cursor.execute(CALIBRATION, {**_parameters(held, span), "bins": bins})
        return cursor.fetchall()


# The order of a hash is as good as chance, and the same for every run.
SCORE_SAMPLE = """
    SELECT mint, as_of, probability FROM predictions
    WHERE active_model_id = %(place)s AND model_id = %(model)s AND as_of > %(start)s AND as_of <= %(end)s
    ORDER BY hashtextextended(mint || as_of::text, 0), mint, as_of LIMIT %(limit)s"""


def score_sample(held: Held, span: Span, limit: int) -> list[tuple[str, datetime, float]]:
    """At most so many scores of a stretch as chance has it: mint, as of, probability."""
    with connection.cursor() as cursor:
        cursor.execute(SCORE_SAMPLE, {**_parameters(held, span), "limit": limit})
        return cursor.fetchall()


HELD = """
    SELECT DISTINCT p.active_model_id, p.model_id FROM predictions p
    WHERE p.as_of > %s AND p.as_of <= %s AND p.model_id IS NOT NULL
    ORDER BY 1, 2"""


def held_between(span: Span) -> list[Held]:
    """Which models scored at which places in a stretch, if both are still known."""
    with connection.cursor() as cursor:
        cursor.execute(HELD, span)
        found = [Held(*row) for row in cursor.fetchall()]
    places = set(ActiveModel.objects.values_list("pk", flat=True))
    models = set(Model.objects.values_list("pk", flat=True))
    return [one for one in found if one.active_model_id in places and one.model_id in models]
