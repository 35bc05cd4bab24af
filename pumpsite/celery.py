"""Celery: queues, the beat schedule as code, and the heart of every Celery process."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import beat_init, celeryd_init, setup_logging, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pumpsite.settings")
# Celery would run Django's checks, look at none of their findings, and import every page for it: a second a start.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")
warnings.filterwarnings("ignore", category=SecurityWarning)  # root in a container is no news
app = Celery("pumpsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Each queue has a process of the Procfile; each task names its own queue where it is not "default".
PROCESS_OF_QUEUE = {"default": "worker", "training": "trainer"}
app.conf.beat_schedule = {
    "rates": {"task": "apps.discovery.tasks.rates_read", "schedule": 300.0, "options": {"expires": 300}},
    "candles": {"task": "apps.discovery.tasks.candles_roll_up", "schedule": 30.0, "options": {"expires": 30}},
    "gaps": {"task": "apps.discovery.tasks.gaps_assess", "schedule": 30.0, "options": {"expires": 30}},
    "meter": {"task": "apps.discovery.tasks.meter_thin", "schedule": 86_400.0, "options": {"expires": 86_400}},
    "retention": {"task": "apps.discovery.tasks.retention_keep", "schedule": 3600.0, "options": {"expires": 3600}},
    "creators": {"task": "apps.discovery.tasks.creators_keep", "schedule": 60.0, "options": {"expires": 60}},
    "metadata": {"task": "apps.discovery.tasks.metadata_read", "schedule": 3.0, "options": {"expires": 10}},
    "coins": {"task": "apps.discovery.tasks.coins_announce", "schedule": 3.0, "options": {"expires": 10}},
    "webhooks-tidy": {"task": "apps.core.tasks.webhooks_tidy", "schedule": 3600.0, "options": {"expires": 3600}},
    "uptime": {"task": "apps.core.tasks.uptime_measure", "schedule": 10.0},
    "outcomes": {"task": "apps.predictions.tasks.outcomes_judge", "schedule": 5.0, "options": {"expires": 30}},
    "webhooks": {"task": "apps.predictions.tasks.webhooks_deliver", "schedule": 2.0, "options": {"expires": 10}},
    "challengers": {"task": "apps.predictions.tasks.challengers_keep", "schedule": 60.0, "options": {"expires": 60}},
    "lives": {"task": "apps.predictions.tasks.lives_update", "schedule": 300.0, "options": {"expires": 300}},
    "drifts": {"task": "apps.predictions.tasks.drifts_update", "schedule": 1800.0, "options": {"expires": 1800}},
    "transfers": {"task": "apps.trading.tasks.transfers_follow", "schedule": 5.0, "options": {"expires": 10}},
    "chain": {"task": "apps.trading.tasks.chain_reconcile", "schedule": 60.0, "options": {"expires": 60}},
    "shadows": {"task": "apps.trading.tasks.shadows_fill", "schedule": 10.0, "options": {"expires": 30}},
    "dispatch-jobs": {"task": "apps.training.tasks.dispatch_jobs", "schedule": 5.0, "options": {"expires": 10}},
    "demo-bootstrap": {"task": "apps.training.tasks.demo_bootstrap", "schedule": 15.0, "options": {"expires": 30}},
    "equity-thin": {"task": "apps.trading.tasks.equity_thin", "schedule": 86_400.0, "options": {"expires": 86_400}},
    "demo-activate": {"task": "apps.predictions.tasks.demo_activate", "schedule": 10.0, "options": {"expires": 30}},
}


def _hearts_start(names: list[str]) -> None:
    from apps.core.process import Heart, Stop

    for name in names:
        Heart(name, Stop()).start()


@setup_logging.connect
def _keep_django_logging(**kwargs: Any) -> None:
    """Log as `settings.LOGGING` says: having a receiver keeps Celery from setting up its own."""


@celeryd_init.connect
def _worker_settings(**kwargs: Any) -> None:
    from apps.core.checks import require_settings

    require_settings()


@worker_ready.connect
def _worker_hearts(sender: Any, **kwargs: Any) -> None:
    _hearts_start([PROCESS_OF_QUEUE.get(queue, queue) for queue in sender.app.amqp.queues.consume_from])


@beat_init.connect
def _beat_heart(**kwargs: Any) -> None:
    from apps.core.checks import require_settings

    require_settings()
    _hearts_start(["beat"])
