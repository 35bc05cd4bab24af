"""Fixtures for every test: where the recordings are, and a Redis database of their own."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django.plugin import DjangoDbBlocker

from tests import emptying, template

ROOT = Path(__file__).resolve().parent
# Threads of OpenMP wait for each other by spinning: with more of them than idle cores a fit of 50 ms takes a second.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def recordings_dir() -> Path:
    """The folder of real recordings; a user does not have it."""
    return Path(os.environ.get("SHARED_DATA_DIR") or ROOT.parent / "shared" / "data")


def pytest_configure() -> None:
    """Passwords of the tests' users need not be hard to guess, and hashing them well takes 50 ms each. An example that
    took long on a busy machine is no failure. Looking for garbage every 700 objects takes an eighth of the time."""
    TransactionTestCase._fixture_teardown = lambda self: emptying.restore()  # type: ignore[attr-defined]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    hypothesis_settings.register_profile(
        "tests", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
    )
    hypothesis_settings.load_profile("tests")
    gc.set_threshold(20_000, 20, 20)
    settings.WHITENOISE_AUTOREFRESH = True  # or each client of a test would look at every static file when it is made


def pytest_collection_finish() -> None:
    """Tests and modules stay until the end: the search for garbage need not go through them again."""
    gc.freeze()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings: None, request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker
) -> None:
    """Workers of a parallel run copy one database, each migrating one of its own would take longer."""
    if run := getattr(request.config, "workerinput", {}).get("testrunuid"):
        with django_db_blocker.unblock():
            template.prepare(run)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The database of the tests. Without a test that wants it there is none, and the connection leads to the user's."""
    with django_db_blocker.unblock():
        if str(connection.settings_dict["NAME"]).startswith("test_"):
            emptying.remember()
            with connection.cursor() as cursor:  # for every connection made from now on: no commit waits for the disk
                name = connection.ops.quote_name(connection.settings_dict["NAME"])
                cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit TO off")
                cursor.execute("SET synchronous_commit TO off")


@pytest.fixture(scope="module")
def module_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[DjangoDbBlocker]:
    """A transaction around the tests of a module, from the first that asks for it on. What fixtures of the module write
    within `module_db.unblock()` is written once; what a test writes is undone by its own (with `db`) inside of it. For
    modules without tests that commit."""
    with django_db_blocker.unblock():
        around = transaction.atomic()
        around.__enter__()
    yield django_db_blocker
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


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
    "test_market.py",
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
