"""Real kills on the ways of real money: a process that forks one for each, which kills itself on a line."""

from __future__ import annotations

import linecache
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tests.warm import Process

PROGRAM = """
import sys
import django
django.setup()
from apps.trading.tests import kills
kills.serve(sys.argv[1])
"""


class Mill:
    """`run(way, file, line)` walks a way in a process of its own and says how that ended (-9: killed on the line)."""

    def __init__(self, talk: Any) -> None:
        self._talk = talk

    def run(self, way: str, file: str, line: str) -> int:
        self._talk.write(f"{way}\t{file}\t{line}\n")
        self._talk.flush()
        return int(self._talk.readline())


@contextmanager
def open_mill(environment: Mapping[str, str]) -> Iterator[Mill]:
    """The process that forks them; it ends with the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        words = [sys.executable, "-c", PROGRAM, str(listening.getsockname()[1])]
        process = Process(words, {**os.environ, **environment})
        try:
            connection, _ = listening.accept()
            connection.settimeout(30)
            with connection, connection.makefile("rw") as talk:
                yield Mill(talk)
            process.wait(timeout=30)
        finally:
            process.kill()


# --- In the forked process -----------------------------------------------------------------------------
def serve(port: str) -> None:
    """Fork for every line that is asked for. This process imports, and opens no database connection that is shared."""
    from apps.trading import chain, dispatch, real, sending  # noqa: F401

    with socket.create_connection(("127.0.0.1", int(port))) as connection, connection.makefile("rw") as talk:
        for request in iter(talk.readline, ""):
            if (child := os.fork()) == 0:
                _walk(*request.rstrip("\n").split("\t"))
            talk.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
            talk.flush()


def _walk(way: str, file: str, line: str) -> None:
    """Two rounds of a way, unless the line comes first. Never returns."""

    def call(frame: FrameType, event: str, arg: Any) -> Any:
        return step if frame.f_code.co_filename.endswith(file) else None

    def step(frame: FrameType, event: str, arg: Any) -> Any:
        here = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and here.startswith(line):
            os.kill(os.getpid(), signal.SIGKILL)
        return step

    try:
        sys.settrace(call)
        WAYS[way]()
    finally:
        os._exit(1)


def _order() -> None:
    from apps.trading import dispatch, real

    venue = real.venue_open()
    for _ in range(2):
        dispatch.round_once(venue)


def _transfer() -> None:
    from django.utils import timezone

    from apps.trading import sending
    from apps.trading.chain import rpc_open

    rpc = rpc_open()
    for _ in range(2):
        sending.round_once(rpc, timezone.now())


WAYS = {"order": _order, "transfer": _transfer}
