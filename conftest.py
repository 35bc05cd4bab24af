"""Fixtures for every test: where the recordings are, and a Redis database of their own."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent


def recordings_dir() -> Path:
    """The folder of real recordings; a user does not have it."""
    return Path(os.environ.get("SHARED_DATA_DIR") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Skips where the real recordings are missing."""
    folder = recordings_dir()
    if not folder.is_dir():
        pytest.skip(f"the real recordings are not here ({folder})")
    return folder


SEEDS = ("010_discovery.sql", "030_predictions.sql")


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Transactional tests empty every table afterwards: the rows of the migrations are put back before the next one."""
    marker = request.node.get_closest_marker("django_db")
    if "transactional_db" in request.fixturenames or (marker and marker.kwargs.get("transaction")):
        request.getfixturevalue("transactional_db")
        from django.db import connection

        with connection.cursor() as cursor:
            for name in SEEDS:
                cursor.execute((ROOT / "sql" / name).read_text(encoding="utf-8"))
