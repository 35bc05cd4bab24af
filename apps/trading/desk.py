"""The desk of real orders: a thread beside the trader, so that a slow node never keeps exits on paper waiting."""

from __future__ import annotations

import logging
import threading

from django.db import connections

from apps.trading import dispatch
from apps.trading.real import venue_open

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25


class Desk(threading.Thread):
    """Sends and follows the orders of real wallets until `stop`. `failed` is what ended it, if anything did.

    A venue is opened only once there is something to send: without real orders nothing real is ever called.
    """

    def __init__(self) -> None:
        super().__init__(name="desk", daemon=True)
        self.failed: BaseException | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_SECONDS):
                if dispatch.is_needed():
                    self._work()
        except BaseException as error:
            logger.exception("the desk of real orders has ended")
            self.failed = error
            raise
        finally:
            connections.close_all()

    def _work(self) -> None:
        """With one venue, until nothing is under way."""
        venue, workers = venue_open(), dispatch.pool()
        try:
            while not self._stopping.is_set() and dispatch.round_once(venue, workers.map):
                self._stopping.wait(PAUSE_SECONDS)
        finally:
            workers.shutdown()
            venue.close()

    def stop(self) -> None:
        """End after the calls that are under way; what is sent is followed by the next desk."""
        self._stopping.set()
        self.join(timeout=30)
