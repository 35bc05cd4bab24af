"""Long-running processes: clean stops, patience with an absent database."""

import os
import signal
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import pytest
from django.db import InterfaceError, OperationalError

from apps.core.process import ServiceCommand, Stop, backoff
from tests.warm import Process

WAITS = """
from apps.core.process import Stop
stop = Stop().listen()
print("waiting", flush=True)
print("stopped" if stop.wait(30) else "slept", flush=True)
"""


def test_backoff_doubles_up_to_its_limit():
    assert list(islice(backoff(first=1, most=5), 5)) == [1, 2, 4, 5, 5]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_wait_at_once(tmp_path: Path, sign: int):
    said = tmp_path / "said"
    running = Process([sys.executable, "-c", f"import django; django.setup()\n{WAITS}"], _environment(), log=said)
    while not (said.exists() and "waiting" in said.read_text()):
        assert running.poll() is None, said.read_text()
        time.sleep(0.02)
    running.send_signal(sign)
    assert running.wait(10) == 0 and said.read_text().splitlines()[-1] == "stopped"


def _environment() -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "pumpsite.settings"}


class Rounds(ServiceCommand):
    """Fails with each of `errors`, then ends."""

    name = "rounds"

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.rounds = 0

    def run(self, stop: Stop) -> None:
        self.rounds += 1
        if self.errors:
            raise self.errors.pop(0)


def test_process_goes_on_when_the_database_is_back(db, monkeypatch, caplog):
    monkeypatch.setattr("apps.core.process.backoff", lambda: iter([0.0] * 9))
    command = Rounds(OperationalError("server closed the connection\nmore"), InterfaceError("closed"))
    command._run_until(Stop())
    assert command.rounds == 3
    assert "rounds: the database is away (server closed the connection), next try in 0.0 s" in caplog.text


def test_other_errors_are_not_hidden(db):
    with pytest.raises(ValueError, match="a mistake"):
        Rounds(ValueError("a mistake"))._run_until(Stop())


def test_stop_ends_the_wait_for_the_database(db):
    stop = Stop()
    threading.Timer(0.1, stop.set).start()
    command = Rounds(*(OperationalError("away") for _ in range(99)))
    command._run_until(stop)
    assert command.rounds < 5
