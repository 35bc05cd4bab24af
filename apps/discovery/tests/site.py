"""A web server on loopback that answers as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from apps.core.tests.receiver import Loopback, QuietHandler, running
from apps.discovery.fetching import Limits

Answer = Callable[["Handler"], None]


class Site(Loopback):
    """Answers each path as `pages` says and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.pages: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.posted: list[tuple[dict[str, str], Any]] = []

    @property
    def port(self) -> int:
        return self.endpoint[1]

    @property
    def limits(self) -> Limits:
        return Limits(1_000, ("application/json",), {self.endpoint})


class Handler(QuietHandler):
    server: Site

    def do_GET(self) -> None:  # noqa: N802 - so named by http.server
        self.server.asked.append((self.path, self.sent_headers()))
        self.server.pages.get(self.path, answer(status=404))(self)

    def do_POST(self) -> None:  # noqa: N802
        self.server.posted.append((dict(self.headers), json.loads(self.sent_body())))
        self.server.pages.get(self.path, answer(status=404))(self)


def answer(body: bytes = b"{}", *, status: int = 200, **headers: str) -> Answer:
    """Without a length, so that a reader must look where it ends."""
    return lambda handler: handler.tell(status, body, {"Content_Type": "application/json", **headers})


def open_site() -> AbstractContextManager[Site]:
    return running(Site())
