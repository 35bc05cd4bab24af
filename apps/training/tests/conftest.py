"""Fixtures of training: a market with something to learn, and recipes for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from apps.training.evaluation import comparison, report
from apps.training.recipes import Recipe, recipe_parse
from apps.training.tests import market

FEATURES = [
    "price_close", "age_seconds", "from_ath", "volatility_60s", "volume_sol_60s", "volume_sol_300s",
    "net_volume_sol_60s", "trades_60s", "buy_pressure_60s", "buy_pressure_300s", "price_change_60s",
    "price_change_300s",
]  # fmt: skip


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 draws of coins instead of 1,000, for tests that are not about the ends of intervals: a third of a training."""
    for judge in (report.judge, comparison.decide):
        assert judge.__kwdefaults__ is not None
        monkeypatch.setitem(judge.__kwdefaults__, "resamples", 20)


@pytest.fixture(scope="module")
def market_of_module(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """120 coins over an hour, from the first test of a module that asks for them to its last: those that want an empty
    database stand before."""
    with django_db_blocker.unblock():
        market.fill()
    yield
    with django_db_blocker.unblock():
        market.clear()


@pytest.fixture
def filled(market_of_module: None, db: None) -> None:
    """The market of the module; what a test changes is undone by its own transaction."""


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    """A small recipe with a few features; keywords replace its parts."""

    def make(**parts: Any) -> Recipe:
        return recipe_parse(
            {
                "name": "small",
                "label": {"change_pct": 10, "horizon_seconds": 60},
                "data": {"phases": [1]},
                "features": FEATURES,
                "xgboost": {"n_estimators": 40, "early_stopping_rounds": 10, "learning_rate": 0.2, "max_depth": 3},
                **parts,
            }
        )

    return make


@pytest.fixture
def celery_messages() -> Callable[[], list[int]]:
    """The job ids that wait in the broker's queue `training`, which is empty at first."""
    from celery import current_app

    def read() -> list[int]:
        with current_app.connection_for_read() as link, link.SimpleQueue("training") as queue:
            found = []
            while True:
                try:
                    message = queue.get_nowait()
                except queue.Empty:
                    return found
                found.append(message.payload[0][0])
                message.ack()

    read()
    return read
