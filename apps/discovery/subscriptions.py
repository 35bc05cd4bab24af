"""Keeps what the client asks for in step with what is tracked, pinned and allowed (`coverage.py`). Event loop only."""

from __future__ import annotations

import asyncio
import logging

from django.db import InterfaceError, OperationalError, connection

from apps.discovery.coverage import Coverage
from apps.discovery.pins import pinned_mints
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal.client import Client

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0


class Subscriptions:
    """`run` until cancelled. `begin` before the client runs; `follow` for every change of what is tracked."""

    def __init__(self, client: Client, cap: int) -> None:
        self.client = client
        self.coverage = Coverage(cap)

    def begin(self, pipeline: Pipeline, pinned: frozenset[str]) -> None:
        """Ask for what the tables say is tracked."""
        self.pipeline = pipeline
        self.coverage.follow(dict.fromkeys(pipeline.active_mints, True))
        self.coverage.settle(list(pipeline.tracker.coins.values()), pinned)
        self.client.follow(self.coverage.covered)

    def follow(self, changes: dict[str, bool]) -> None:
        """Coins that are tracked from now on (True) or no longer (False)."""
        self._tell(self.coverage.follow(changes))

    async def run(self) -> None:
        """Apply the rule again and again; while the database is away with the pins known so far."""
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            try:
                pinned = await asyncio.to_thread(_read_pins)
            except (OperationalError, InterfaceError):
                pinned = self.coverage.pinned
            self._tell(self.coverage.settle(list(self.pipeline.tracker.coins.values()), pinned))

    def _tell(self, changes: dict[str, bool]) -> None:
        self.client.follow(mint for mint, is_wanted in changes.items() if is_wanted)
        self.client.unfollow(mint for mint, is_wanted in changes.items() if not is_wanted)


def _read_pins() -> frozenset[str]:
    try:
        return pinned_mints()
    finally:
        connection.close()
