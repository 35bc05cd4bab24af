"""Names of models: no two have the same, also not two that are asked for at the same moment."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from psycopg.errors import UniqueViolation

from apps.core.errors import ConflictError, PlatformError
from apps.core.sentences import worded
from apps.training.models import Job, Model
from apps.training.recipes import name_possible


def name_check(*, name: str) -> None:
    """Raises ConflictError MODEL_NAME_TAKEN where a model or a job that will make one has this name, and PlatformError
    MODEL_NAME_INVALID for what no recipe could be named."""
    if not name_possible(name):
        raise PlatformError(
            "MODEL_NAME_INVALID", "A name has 1 to 100 letters, digits, spaces and . : + - _, and not only spaces."
        )
    asking = Job.objects.filter(
        job_type__in=(Job.Type.TRAIN, Job.Type.TUNE), status__in=(Job.Status.PENDING, Job.Status.RUNNING)
    )
    if Model.objects.filter(name=name).exists() or asking.filter(params__recipe__name=name).exists():
        raise _taken(name)


def model_save(model: Model, fields: Sequence[str] | None = None) -> None:
    """Raises ConflictError MODEL_NAME_TAKEN also where another one took the name just now."""
    try:
        with transaction.atomic():
            model.save(update_fields=fields)
    except IntegrityError as error:
        raise (_taken(model.name) if isinstance(error.__cause__, UniqueViolation) else error) from None


def _taken(name: str) -> ConflictError:
    return ConflictError(
        "MODEL_NAME_TAKEN", worded("There is a model or a job named %(name)r: choose another name.", name=name)
    )
