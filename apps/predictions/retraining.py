"""Renewing the model of a place at work: by plan or on request, the recipe on newer data, the result as challenger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from apps.core.errors import ConflictError, PlatformError
from apps.core.sentences import worded
from apps.predictions import champions
from apps.predictions.models import ActiveModel, RetrainingPlan
from apps.training import queries as training_queries
from apps.training import services as training_services
from apps.training.models import Job

logger = logging.getLogger(__name__)

MOST_HOURS = 8_760
LIMITS = {
    "every_hours": (0, MOST_HOURS), "window_hours": (0, MOST_HOURS), "min_alerts": (30, 1_000_000),
    "shadow_hours": (1, MOST_HOURS),
}  # fmt: skip
_OPEN = (Job.Status.PENDING, Job.Status.RUNNING)
PRIORITY = 6


def plan_set(*, place: ActiveModel, fields: Mapping[str, Any]) -> RetrainingPlan:
    """Change a place's plan; what is left out stays. Raises PLAN_OUT_OF_RANGE."""
    for name, (least, most) in LIMITS.items():
        if name in fields and not least <= fields[name] <= most:
            raise PlatformError(
                "PLAN_OUT_OF_RANGE",
                worded("`%(name)s` goes from %(least)s to %(most)s.", name=name, least=f"{least:,}", most=f"{most:,}"),
                field=name,
            )
    plan, _created = RetrainingPlan.objects.update_or_create(active_model=place, defaults=dict(fields))
    return plan


@transaction.atomic
def retrain(*, place: ActiveModel) -> Job:
    """Queue the champion's recipe on the newest data; its model will challenge. Raises RETRAINING_RUNS, NO_DATA and
    what the request raises (RECIPE_INVALID, ...)."""
    RetrainingPlan.objects.get_or_create(active_model=place)
    plan = RetrainingPlan.objects.select_for_update().get(active_model=place)
    if plan.job and plan.job.status in _OPEN:
        raise ConflictError(
            "RETRAINING_RUNS",
            worded("Job %(job_id)s already trains the next challenger: wait for it.", job_id=plan.job_id),
        )
    start, end = window(place, plan)
    job = training_services.retrain_request(model=place.model, start=start, end=end, priority=PRIORITY)
    plan.job, plan.requested_at, plan.note = job, champions.now_of_market(), f"job {job.pk} trains the next challenger"
    plan.save(update_fields=["job", "requested_at", "note"])
    return job


def window(place: ActiveModel, plan: RetrainingPlan) -> tuple[datetime, datetime]:
    """The data to train on: as long as the plan says, or as the present model's own stretch, up to the newest there is.

    Raises NO_DATA.
    """
    end = training_queries.data_end()
    if end is None:
        raise PlatformError("NO_DATA", "There are no trades yet: let the stream run or import a history.")
    model = place.model
    length = timedelta(hours=plan.window_hours) or model.train_to - model.train_from or timedelta(days=1)
    return end - length, end


def plans_run() -> None:
    """Take up finished jobs as challengers, and queue what is due. A place with an open challenge waits for its end."""
    for pk, job_id in list(RetrainingPlan.objects.order_by("pk").values_list("pk", "job_id")):
        try:
            _turn(pk)
        except PlatformError as error:
            logger.warning("retraining of model %s at work: %s %s", pk, error.code, error.message)
            _note(pk, job_id, error.message)


@transaction.atomic
def _turn(pk: int) -> None:
    """One plan, read when nobody else changes it (the place is held first, as everywhere)."""
    ActiveModel.objects.select_for_update(no_key=True).filter(pk=pk).first()
    rows = RetrainingPlan.objects.select_for_update(of=("self",)).select_related("active_model", "job__model")
    plan = rows.filter(pk=pk).first()
    if plan is None:
        return
    if plan.job:
        _take_up(plan)
    elif _is_due(plan):
        retrain(place=champions.place_get(active_id=pk))


def _is_due(plan: RetrainingPlan) -> bool:
    if not plan.every_hours or not plan.active_model.is_active:
        return False
    now, last = champions.now_of_market(), plan.requested_at
    if last is not None and timedelta(0) <= now - last < timedelta(hours=plan.every_hours):
        return False
    return champions.challenge_open(plan.active_model) is None


def _take_up(plan: RetrainingPlan) -> None:
    """Let the model of a job that has ended challenge, or say why there is none."""
    job = plan.job
    if job is None or job.status in _OPEN:
        return
    if job.status == Job.Status.COMPLETED and job.model and not job.model.is_deleted:
        place = champions.place_get(active_id=plan.pk)
        RetrainingPlan.objects.filter(pk=plan.pk).update(job=None, note="")  # the history says it
        champions.challenge_start(place=place, model=job.model)
        return
    RetrainingPlan.objects.filter(pk=plan.pk).update(job=None, note=f"job {job.pk}: {job.error or job.status}"[:300])


def _note(pk: int, job_id: int | None, text: str) -> None:
    """Say why nothing came of it, and let the plan wait for its next turn; a job asked for meanwhile stays."""
    seen = RetrainingPlan.objects.filter(Q(job=None) if job_id is None else Q(job=job_id), pk=pk)
    seen.update(job=None, requested_at=champions.now_of_market(), note=text[:300])
