"""The demo trains by itself: a first model as soon as there is enough to learn from, better ones as data grows."""

import logging
from datetime import datetime, timedelta

from apps.core.errors import PlatformError
from apps.training import dataset, fitting, selections, services
from apps.training.columns import Floats
from apps.training.models import Job, Model
from apps.training.recipes import Recipe, recipe_parse

logger = logging.getLogger(__name__)

NAME = "demo"
RETRAIN_AFTER = (timedelta(minutes=5), timedelta(minutes=20))
RETRY_AFTER = timedelta(minutes=1)
ENOUGH = 3


def recipe(number: int) -> Recipe:
    """The demo's recipe: +20 % within half a minute, from an entry two seconds later, on coins in their first minutes.

    The label's reach is short, since a pause of twice that lies between the parts of a split."""
    first = number == 1
    return recipe_parse(
        {
            "name": f"{NAME}-{number}",
            "label": {"kind": "path", "change_pct": 20, "horizon_seconds": 30, "latency_seconds": 2},
            "data": {"phases": [1]},
            "split": {"validation": 0.3, "test": 0.0 if first else 0.2},
            "xgboost": {"n_estimators": 150, "early_stopping_rounds": 20, "learning_rate": 0.1, "max_depth": 4},
            "min_alerts": 20,
        }
    )


def train_when_ready(*, now: datetime) -> Job | None:
    """Queue the next model of the demo where it is due and there is enough data."""
    models = list(Model.objects.filter(recipe__name__startswith=f"{NAME}-").order_by("created_at"))
    if Job.objects.filter(status__in=(Job.Status.PENDING, Job.Status.RUNNING)).exists() or _failed_lately(now):
        return None
    if not models:
        return services.train_request(recipe=recipe(1)) if _is_enough(recipe(1)) else None
    number = len(models)
    if number > len(RETRAIN_AFTER) or now - models[0].created_at < RETRAIN_AFTER[number - 1]:
        return None
    return services.train_request(recipe=recipe(number + 1))


def _failed_lately(now: datetime) -> bool:
    return Job.objects.filter(status=Job.Status.FAILED, finished_at__gt=now - RETRY_AFTER).exists()


def _is_enough(first: Recipe) -> bool:
    """Whether both parts hold several times the positives and negatives that a fit asks for at least."""
    try:
        selection = selections.selection_of(first)
        data = dataset.load(selection, ["price_close"])
        split = selections.split_of(data, first, selection)
    except PlatformError as error:
        logger.debug("the demo waits: %s", error.message)
        return False
    train, validation = data.label[split.train], data.label[split.validation]
    return _rarer(train) >= ENOUGH * fitting.MIN_POSITIVES_TRAIN and (
        _rarer(validation) >= ENOUGH * fitting.MIN_POSITIVES_VALIDATION
    )


def _rarer(label: Floats) -> int:
    """How many rows the rarer answer has."""
    positives = int(label.sum())
    return min(positives, len(label) - positives)
