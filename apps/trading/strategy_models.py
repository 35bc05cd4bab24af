"""The models that strategies listen to: places at work, by number inside, by name in files; which are calibrated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection

from apps.core.errors import ConflictError, NotFoundError
from apps.core.sentences import worded
from apps.predictions.models import ActiveModel
from apps.trading.definitions import Definition, Kelly


def numbers_by_name() -> dict[str, int]:
    """Every model at work whose alerts can be traded on."""
    return dict(ActiveModel.objects.filter(shadow_of=None).values_list("custom_name", "pk"))


def names_by_number() -> dict[int, str]:
    """The same the other way round."""
    return {number: name for name, number in numbers_by_name().items()}


def require_models(definition: Definition) -> None:
    """Raises ACTIVE_MODEL_NOT_FOUND where a model is named that is not at work, MODEL_NOT_CALIBRATED where Kelly would
    make a stake of a probability that is none."""
    exits = definition.exits
    named = {*definition.entry.models, *exits.model_below_ids, *exits.exit_model_ids}
    if missing := sorted(named - names_by_number().keys()):
        raise NotFoundError(
            "ACTIVE_MODEL_NOT_FOUND",
            worded(
                "There is no model %(missing)s at work: see Predictions, or GET /api/server/models.", missing=missing[0]
            ),
            models=missing,
        )
    if isinstance(definition.sizing, Kelly) and (wrong := _uncalibrated(definition.entry.models)):
        names = ", ".join(wrong)
        why = worded(
            "Kelly needs calibrated probabilities, and %(names)s has none: choose other models or another stake.",
            names=names,
        )
        raise ConflictError("MODEL_NOT_CALIBRATED", why, models=wrong)


def _uncalibrated(chosen: Sequence[int]) -> list[str]:
    """Names of the chosen models (none: of all at work) that were never calibrated."""
    places = ActiveModel.objects.filter(pk__in=chosen) if chosen else ActiveModel.objects.scoring()
    found = places.filter(shadow_of=None).order_by("custom_name")
    return [name for name, scaling in found.values_list("custom_name", "model__made_with__calibration") if not scaling]


def calibrated_at_work() -> set[int]:
    """The models at work whose probabilities Kelly can use."""
    found = ActiveModel.objects.scoring().values_list("pk", "model__made_with__calibration")
    return {number for number, scaling in found if scaling}


CALIBRATED = """
SELECT k.number - 1, m.made_with -> 'calibration' IS NOT NULL AND m.made_with -> 'calibration' <> 'null'
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::bool[])
     WITH ORDINALITY AS k(place, mint, as_of, stored, number)
LEFT JOIN predictions p ON k.stored AND p.active_model_id = k.place AND p.mint = k.mint AND p.as_of = k.as_of
LEFT JOIN active_models a ON a.id = k.place
JOIN ml_models m ON m.id = coalesce(p.model_id, a.model_id)
"""


def calibrated(scores: Iterable[tuple[int, str, datetime, bool]]) -> list[bool]:
    """Of scores (place at work, coin, end of the window, whether it is a stored one): whether the model that gave it is
    calibrated. A stored score is of the model that held the place then, any other of the one that holds it now; a model
    that nobody knows any more is not."""
    rows = list(scores)
    found = [False] * len(rows)
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(CALIBRATED, [list(column) for column in zip(*rows, strict=True)])
            for number, is_calibrated in cursor.fetchall():
                found[number] = is_calibrated
    return found
