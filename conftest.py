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
