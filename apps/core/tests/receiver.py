"""A receiver of webhooks on loopback that answers as a test says, also as no receiver should."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

Behaviour = Callable[["Handler"], None]
Server = TypeVar("Server", bound="Loopback")


@dataclass(frozen=True)
class Got:
    """One request as it came: names of headers in small letters, the body's very bytes."""

    path: str
    headers: dict[str, str]
    body: bytes


class Loopback(ThreadingHTTPServer):
    """A server on a free port of this machine; what waits in it ends with `closing`."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.closing = threading.Event()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def endpoint(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.server_address[1])


class QuietHandler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def sent_headers(self) -> dict[str, str]:
        """What came, names in small letters."""
        return {name.lower(): value for name, value in self.headers.items()}

    def sent_body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def tell(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Answer; `_` in the name of a header stands for `-`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Receiver(Loopback):
    """Answers with the next of `script`, then as `pages` says for the path, else with 200; keeps what it got."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.script: list[Behaviour] = []
        self.pages: dict[str, Behaviour] = {}
        self.got: list[Got] = []


class Handler(QuietHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.got.append(Got(self.path, self.sent_headers(), self.sent_body()))
        usual = self.server.pages.get(self.path, answer())
        behave = self.server.script.pop(0) if self.server.script else usual
        try:
            behave(self)
        except OSError:
            self.close_connection = True  # the sender had enough


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler: handler.tell(status, body, {"Content_Length": str(len(body)), **headers})


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
def running(server: Server) -> Iterator[Server]:
    """The server, answering until the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


def open_receiver() -> AbstractContextManager[Receiver]:
    return running(Receiver())
