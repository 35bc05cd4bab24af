"""Fixtures of the discovery tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.discovery.tests.site import Site, open_site


@pytest.fixture
def feed_tables(transactional_db: None) -> None:
    """The tables of discovery, empty but for their seed; every commit is a real one."""


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on loopback."""
    with open_site() as server:
        yield server
