"""Gives each worker of a parallel run (`pytest -n`) a Valkey database and folders of its own.

Loaded with `-p tests.parallel`, before the settings are read. The databases of PostgreSQL are parted by pytest-django.
"""

import os
from pathlib import Path

import pytest


def part(worker: str) -> None:
    """Change the environment for a worker named `gw<number>`: the numbered database counts down from the given one."""
    server, _, database = os.environ["REDIS_URL"].rpartition("/")
    os.environ["REDIS_URL"] = f"{server}/{int(database) - int(worker.removeprefix('gw'))}"
    for name in ("RUNTIME_DIR", "JOURNAL_DIR", "PROMETHEUS_MULTIPROC_DIR"):
        if name in os.environ:
            folder = Path(os.environ[name]) / worker
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(folder)


if "PYTEST_XDIST_WORKER" in os.environ:
    part(os.environ["PYTEST_XDIST_WORKER"])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The run itself, when its workers have ended."""
    if not hasattr(session.config, "workerinput") and session.config.getoption("numprocesses", 0):
        from tests import template

        template.drop()
