"""A receiver of webhooks on loopback that answers as a test says, also as no receiver should."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler"], None]


@dataclass(frozen=True)
class Got:
    """One request as it came: names of headers in small letters, the body's very bytes."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers with the next of `script`, then as `pages` says for the path, else with 200; keeps what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Behaviour] = []
        self.pages: dict[str, Behaviour] = {}
        self.got: list[Got] = []
        self.closing = threading.Event()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def endpoint(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append(Got(self.path, headers, body))
        usual = self.server.pages.get(self.path, answer())
        behave = self.server.script.pop(0) if self.server.script else usual
        try:
            behave(self)
        except OSError:
            self.close_connection = True  # the sender had enough

    def log_message(self, *args: object) -> None:
        pass


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def hang(handler: Handler) -> None:
    """Says nothing."""
    handler.server.closing.wait(30)


def raw(*pieces: bytes, pause: float = 0.0) -> Behaviour:
    """Sends pieces, waiting between them, and closes."""

    def behave(handler: Handler) -> None:
        for piece in pieces:
            handler.wfile.write(piece)
            if handler.server.closing.wait(pause):
                break
        handler.connection.shutdown(socket.SHUT_RDWR)

    return behave


def drip(head: bytes, *, count: int = 600) -> Behaviour:
    """A byte every 20 ms after `head`, for long."""
    return raw(head, *[b"x"] * count, pause=0.02)


@contextmanager
def open_receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()
