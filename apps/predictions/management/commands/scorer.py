"""`manage.py scorer`: score new windows with the models at work, until told to stop."""

import logging
import sys
import time

from django.db import connection

from apps.core.listener import Listener
from apps.core.process import ServiceCommand, Stop
from apps.predictions.scorer import Scorer
from apps.predictions.scorer_queries import CursorMovedError

logger = logging.getLogger(__name__)

ADVISORY_LOCK = 0x73636F72  # "scor": only its holder scores; a second scorer waits
CHANNELS = ("feed", "active_models")
POLL_SECONDS = 1.0


class Command(ServiceCommand):
    help = "Score new metric windows with every model at work: predictions, alerts, webhook outbox."
    name = "scorer"

    def run(self, stop: Stop) -> None:
        """Each call begins anew from the tables: nothing in memory outlives an error of the database."""
        sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]  # XGBoost would import it: a second of the start
        with Listener(CHANNELS) as listener:
            while listener.own(ADVISORY_LOCK, stop) and not stop:
                try:
                    with connection.wrap_database_errors:  # COPY is not wrapped by Django
                        self._score(listener, stop)
                except CursorMovedError as error:
                    logger.warning("starting over: %s", error)

    def _score(self, listener: Listener, stop: Stop) -> None:
        scorer = Scorer()
        scorer.warm_up()
        refresh_at = 0.0
        heard: set[str] = set()
        while not stop:
            if "active_models" in heard or time.monotonic() >= refresh_at:
                scorer.refresh()
                refresh_at = time.monotonic() + POLL_SECONDS
            heard = listener.wait(0.0 if scorer.step() or scorer.explain() else POLL_SECONDS)
