"""Fixtures for every test: where the recordings are, and a Redis database of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from pytest_django.plugin import blocking_manager_key

ROOT = Path(__file__).resolve().parent
# Threads of OpenMP wait for each other by spinning: with more of them than idle cores a fit of 50 ms takes a second.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def recordings_dir() -> Path:
    """The folder of real recordings; a user does not have it."""
    return Path(os.environ.get("SHARED_DATA_DIR") or ROOT.parent / "shared" / "data")


def pytest_configure() -> None:
    """Passwords of the tests' users need not be hard to guess, and hashing them well takes 50 ms each."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Skips where the real recordings are missing."""
    folder = recordings_dir()
    if not folder.is_dir():
        pytest.skip(f"the real recordings are not here ({folder})")
    return folder


# Files whose tests wait long for processes: they begin first, so that no worker is left alone with one in the end.
LONG = (
    "test_scorer_process.py",
    "test_process.py",
    "test_stream.py",
    "test_pipeline.py",
    "test_mcp.py",
    "test_worker.py",
    "test_sameness.py",
    "test_outcomes.py",
    "test_market_table.py",
    "test_start.py",
    "test_disk.py",
    "test_subscriptions.py",
    "test_valkey_outage.py",
    "test_recordings.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files in front; the order inside a file stays."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


SEEDS = ("010_discovery.sql", "030_predictions.sql")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A transactional test empties every table when it ends: put the rows of the migrations back for the next one."""
    yield
    if nextitem is None:  # the test database is gone
        return
    marker = item.get_closest_marker("django_db")
    if "transactional_db" in getattr(item, "fixturenames", ()) or (marker and marker.kwargs.get("transaction")):
        with item.config.stash[blocking_manager_key].unblock(), connection.cursor() as cursor:
            for name in SEEDS:
                cursor.execute((ROOT / "sql" / name).read_text(encoding="utf-8"))
