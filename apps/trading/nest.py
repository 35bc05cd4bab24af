"""Traders forked from a process that has imported everything: a start takes a tenth of a second instead of two.

What is forked is the command `manage.py trader` as it stands in memory after its imports, before its first line: with
connections, locks and signal handlers of its own. It dies of a signal as any other process. For the crash test, which
starts a thousand of them.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

FOLDER = Path(__file__).resolve().parent.parent.parent


class Nest:
    """`with Nest(environment) as nest: nest.fork()`; all that it forks have this environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "apps.trading.nest"],
            env=dict(environment),
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Nest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def fork(self) -> Forked:
        """A trader that begins to run."""
        return Forked(self, self.ask("fork"))

    def ask(self, request: str) -> int:
        """Ask the process for something; its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class Forked:
    """What `rehearsal.TraderProcess` needs of a `subprocess.Popen`."""

    def __init__(self, nest: Nest, pid: int) -> None:
        self._nest, self._pid = nest, pid

    def send_signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, of a signal the negative number."""
        return self._nest.ask(f"wait {self._pid}")


def serve() -> None:
    """Fork traders as they are asked for on the standard input, until it ends."""
    import django

    gc.disable()  # there is no garbage among modules
    django.setup()
    import apps.trading.management.commands.trader  # noqa: F401 - what its process would import first

    gc.freeze()
    gc.enable()
    for line in sys.stdin:
        request, _, pid = line.strip().partition(" ")
        answer = _fork() if request == "fork" else os.waitstatus_to_exitcode(os.waitpid(int(pid), 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _fork() -> int:
    if pid := os.fork():
        return pid
    os.close(0)
    os.dup2(2, 1)
    sys.argv = ["manage.py", "trader"]
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
    sys.exit(0)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pumpsite.settings")
    serve()
