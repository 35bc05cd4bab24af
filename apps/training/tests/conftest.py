"""Fixtures of training: a market with something to learn, and recipes for it."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.training.evaluation import comparison, report
from apps.training.recipes import Recipe, recipe_parse
from apps.training.tests import market


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 draws of coins instead of 1,000, for tests that are not about the ends of intervals: a third of a training."""
    for judge in (report.judge, comparison.decide):
        assert judge.__kwdefaults__ is not None
        monkeypatch.setitem(judge.__kwdefaults__, "resamples", 50)


@pytest.fixture
def filled(db: None) -> None:
    """120 coins over an hour."""
    market.fill()


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    """A small recipe; keywords replace its parts."""

    def make(**parts: Any) -> Recipe:
        return recipe_parse(
            {
                "name": "small",
                "label": {"change_pct": 10, "horizon_seconds": 60},
                "data": {"phases": [1]},
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
