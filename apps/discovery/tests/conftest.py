"""Fixtures of the discovery tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import CoinStream, Phase, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.site import Site, open_site
from apps.discovery.writer import Status, write

Page = Callable[..., Any]


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


@pytest.fixture
def page(client: Client, db: None) -> Page:
    """Opens a page as a signed-in user: `page("overview")`, `page("coin", mint)`."""
    client.force_login(get_user_model().objects.create_user("person", is_staff=True))
    return lambda name, *args, **options: client.get(reverse(f"discovery:{name}", args=args), **options)


@pytest.fixture(scope="module")
def market_of_module(module_db: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small market with every oddity in the tables; gives the mint of its busiest coin."""
    with module_db.unblock():
        return filled(tmp_path_factory.mktemp("owed"))


def filled(folder: Path) -> str:
    Phase.objects.get_or_create(
        id=1, defaults={"name": "Baby Zone", "interval_seconds": 5, "min_age_minutes": 0, "max_age_minutes": 10}
    )
    StreamState.objects.get_or_create(id=1)
    config = stream_config_load()
    pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))
    pipeline.feed(SmallMarket(5).entries(1_500), Cursor("", 0, 1_500))
    write(pipeline.take(), Status("simulator", True, "live", timezone.now()), Owed(folder))
    return CoinStream.objects.order_by("-trades_total", "coin_id").values_list("coin_id", flat=True)[0]


@pytest.fixture
def market(market_of_module: str, db: None) -> str:
    """The market of the module; what a test changes in it is undone."""
    caches["local"].clear()  # figures are kept for seconds
    return market_of_module
