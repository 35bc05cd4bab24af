"""The demo shows the championship by itself: once its model was tested, the next ones challenge it in its shadow."""

from __future__ import annotations

import logging

from django.conf import settings

from apps.core.errors import PlatformError
from apps.predictions import champions, retraining, services
from apps.predictions.models import ActiveModel, ChampionEvent, RetrainingPlan
from apps.training.models import Job, Model

logger = logging.getLogger(__name__)

PLAN = {"every_hours": 1, "promote_automatically": True, "min_alerts": 30, "shadow_hours": 6}


def challenge() -> ActiveModel | None:
    """Demo only: give the demo's place its plan, and let a newer model of the demo challenge it; the shadow, if one
    began."""
    place = services.demo_place() if settings.DEMO else None
    if place is None or not services.is_tested(place.model):
        return None
    if not RetrainingPlan.objects.filter(active_model=place).exists():
        retraining.plan_set(place=place, fields={**PLAN, "requested_at": champions.now_of_market()})
    model = _newer(place)
    if model is None or champions.challenge_open(place):
        return None
    try:
        return champions.challenge_start(place=place, model=model)
    except PlatformError as error:
        logger.warning("the demo's model %s does not challenge: %s", model.name, error.message)
        return None


def _newer(place: ActiveModel) -> Model | None:
    """The newest model that the demo trained since and that was no challenger yet."""
    done = Job.objects.filter(job_type=Job.Type.TRAIN, status=Job.Status.COMPLETED)
    models = Model.objects.filter(pk__in=done.values("model"), is_deleted=False, origin=Model.Origin.TRAINED)
    model = models.defer("artifact").order_by("-created_at", "-id").first()
    if model is None or model.created_at <= place.model.created_at:
        return None
    return None if ChampionEvent.objects.filter(challenger=model).exists() else model
