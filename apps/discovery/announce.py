"""Tells browsers what changed, from a thread of its own: however slow Redis is, the stream does not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from apps.core import live

EVERY_SECONDS = 0.5
MOST_COINS = 100


class Announcer(threading.Thread):
    """Publishes the topics that changed, each once per round."""

    def __init__(self) -> None:
        super().__init__(name="announcer", daemon=True)
        self._changed: dict[str, None] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def changed(self, mints: Iterable[str]) -> None:
        """Rows were committed; `mints` are the coins concerned."""
        with self._lock:
            self._changed.update(dict.fromkeys(("dashboard", "coins")))
            for mint in mints:
                if len(self._changed) >= MOST_COINS:
                    break
                self._changed[f"coin:{mint}"] = None

    def run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            with self._lock:
                topics, self._changed = list(self._changed), {}
            with live.gathered():
                for topic in topics:
                    live.publish(topic)

    def stop(self) -> None:
        self._stopping.set()
