"""Real servers on loopback for tests: Daphne with our application, a Valkey of our own."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from tests.warm import Process

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_true(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of `condition`; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{condition} did not come true within {seconds} s")


def test_database_url() -> str:
    """The address of the database that the running test uses."""
    of = connection.settings_dict
    return f"postgresql://{of['USER']}:{of['PASSWORD']}@{of['HOST']}:{of['PORT']}/{of['NAME']}"


@contextmanager
def process(*command: str, log: Path, **environment: str) -> Iterator[Process]:
    """A process of the platform against the test's database; ended with TERM, its output in `log`."""
    env = {**os.environ, "DATABASE_URL": test_database_url(), **environment}
    running = Process(command, env, log=log)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def answers(address: str) -> bool:
    """Whether an HTTP server is there, whatever it says."""
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def daphne(log: Path, **environment: str) -> Iterator[str]:
    """The web process as in the Procfile; yields its address."""
    port = free_port()
    program = str(Path(sys.executable).parent / "daphne")
    command = [program, "-v", "0", "-b", "127.0.0.1", "-p", str(port), "pumpsite.asgi:application"]
    with process(*command, log=log, **environment) as running:
        address = f"http://127.0.0.1:{port}"
        await_true(lambda: answers(f"{address}/health") or running.poll() is not None)
        assert running.poll() is None, log.read_text()
        yield address


def valkey_program() -> str | None:
    """A Valkey or Redis server: of the embedded services, of the host, or named by VALKEY_SERVER."""
    homes = [settings.RUNTIME_DIR, settings.RUNTIME_DIR.parent, ROOT / ".runtime"]
    embedded = [str(home / "services/servers/usr/bin/valkey-server") for home in homes]
    found = [
        program for program in [os.environ.get("VALKEY_SERVER", ""), *embedded] if program and Path(program).exists()
    ]
    return found[0] if found else shutil.which("valkey-server") or shutil.which("redis-server")


class OwnValkey:
    """A Valkey that a test may stop and start again on the same port, with its data kept."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        self._command += ["--dir", str(folder)]
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "valkey.log").open("ab") as log:
            self._running = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        await_true(self._listens)

    def stop(self) -> None:
        if self._running:
            self._running.terminate()
            self._running.wait()

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0
