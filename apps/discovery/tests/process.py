"""The real stream process, a feed for it, and networks that can be cut: for tests that kill and stop things."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

from apps.discovery.pumpportal.server import FeedServer, Frame
from tests.warm import Process

PATIENCE_SECONDS = 40.0


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of a condition. Fails, naming what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


class Feed:
    """A feed server on loopback in a thread of its own."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = FeedServer(port=0, **options)
        self.call(self.server.__aenter__())

    def call(self, coroutine: Coroutine[Any, Any, Any], timeout: float = PATIENCE_SECONDS) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def publish(self, *frames: Frame) -> None:
        """Hand frames to whoever is connected now."""

        async def hand_over() -> None:
            for frame in frames:
                self.server.publish(frame)
            await self.server.drain()

        self.call(hand_over())

    def offer(self, frames: list[Frame]) -> None:
        """Hand frames over, waiting for a client where there is none."""

        async def hand_over() -> None:
            for frame in frames:
                await self.server.offer(frame)

        self.call(hand_over())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call(self.server.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


class Network:
    """A TCP way to a service of this machine that can be cut and mended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self.open_sockets: list[socket.socket] = []
        self.listener = self._listen(0)
        self.port = self.listener.getsockname()[1]
        account = parts.netloc.rpartition("@")[0]
        host = f"{account}@127.0.0.1:{self.port}" if account else f"127.0.0.1:{self.port}"
        self.url = urlunsplit(parts._replace(netloc=host))

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), reuse_port=True)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            self.open_sockets += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.open_sockets:
            _close(one)
        self.open_sockets = []

    def mend(self) -> None:
        self.listener = self._listen(self.port)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    _close(source)
    _close(target)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def database_url() -> str:
    """The test database, as a process is told of it."""
    values = connection.settings_dict
    account = f"{values['USER']}:{values['PASSWORD']}" if values["PASSWORD"] else values["USER"]
    return f"postgresql://{account}@{values['HOST']}:{values['PORT']}/{values['NAME']}"


class StreamProcess:
    """`manage.py runstream` with its own journal and settings."""

    def __init__(self, folder: Path, ws_uri: str, **environment: str) -> None:
        self.journal = folder / "journal"
        self.log = folder / "runstream.log"
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
            "RUNTIME_DIR": str(folder),
            "JOURNAL_DIR": str(self.journal),
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "prom"),
            "FEED_MODE": "live",
            "WS_URI": ws_uri,
            "WS_RETRY_DELAY": "0.05",
            "WS_MAX_RETRY_DELAY": "0.2",
            "FLUSH_MS": "50",
            "DEMO": "false",
            **environment,
        }
        self.process: Process | None = None

    def start(self) -> Self:
        self.process = Process([sys.executable, "manage.py", "runstream"], self.environment, log=self.log)
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, seconds: float = 10.0) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if error is not None:
            sys.stderr.write(self.log.read_text()[-4_000:])
