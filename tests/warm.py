"""Processes of the platform, forked from an interpreter that imported the libraries once: a start takes 0.4 s, not 1.3.

Only libraries are warm (`warm_libraries.py`). Every process reads its own settings and imports the project, has memory,
connections and locks of its own, and dies of a signal as any other. `test_start.py` starts each of
them with nothing warm but what all of them import.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.warm_libraries"])


class Process:
    """As a `subprocess.Popen` of that command in the project's folder; what it says is appended to `log`."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, log: Path | None = None, group: bool = False
    ) -> None:
        """`command` begins with this Python or is a script of Python. With `group` it leads a process group."""
        words = list(command[1:] if command[0] == sys.executable else command)
        self.args = list(command)
        self._process: BaseProcess = _context.Process(target=_become, args=(words, dict(environment), log, group))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Its exit status, of a signal the negative number; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; `subprocess.TimeoutExpired` after `timeout` seconds."""
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(words: list[str], environment: dict[str, str], log: Path | None, group: bool) -> None:
    """Do in a new process what `python WORDS` would do there."""
    if group:
        os.setsid()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    if log is not None:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
    try:
        _run(words)
    finally:  # as at the end of an interpreter
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()


def _run(words: list[str]) -> None:
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    elif words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
