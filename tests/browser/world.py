"""A small but whole world for browser tests: the simulated market through the product's own code, up to positions.

Nothing is written by hand: frames -> pipeline -> tables -> job -> model -> scorer -> alerts -> trader.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apps.core import webhooks
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import CoinStream
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal.market import Market
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor, Entry
from apps.discovery.tests import tables
from apps.discovery.writer import Status, write
from apps.predictions import services as predictions
from apps.predictions.models import ActiveModel, ScorerState
from apps.predictions.scorer import Scorer
from apps.trading import engine
from apps.trading import services as trading
from apps.training import services as training
from apps.training import tasks
from apps.training.models import Model
from apps.training.recipes import recipe_parse

SEED, RATE = 7, 1.0
LEARNING, LIVING = timedelta(minutes=12), timedelta(minutes=2)
STEP = timedelta(seconds=5)


class World:
    """The market until now, folded into the tables; `live` goes on from there."""

    def __init__(self, folder: Path) -> None:
        tables.reset()
        ScorerState.objects.get_or_create(id=1)
        self.now = datetime.now(UTC) - LEARNING - LIVING
        self._market = Market(SEED, self.now.timestamp(), RATE)
        self._seq = itertools.count()
        self._owed = Owed(folder)
        self._scorer = Scorer()
        config = stream_config_load()
        self._pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))

    def fold(self, until: datetime) -> None:
        """Write everything that happens until then, as the stream does."""
        entries = list(self._entries(until))
        cursor = Cursor("", 0, entries[-1].seq + 1) if entries else Cursor()
        self._pipeline.feed(entries, cursor)
        self._pipeline.advance(round(until.timestamp() * 1e6))
        now = datetime.now(UTC)
        mode = "simulator" if until > now - 2 * STEP else "replay"  # what is made of the past is not stale
        write(self._pipeline.take(), Status(mode, True, "live", now), self._owed)
        self.now = until

    def _entries(self, until: datetime) -> Iterator[Entry]:
        for at, frame in self._market.until(until.timestamp()):
            yield Entry(next(self._seq), round(at * 1e6), json.dumps(frame))

    def live(self) -> None:
        """Fold, score and trade step by step until the clock of the wall."""
        while self.now + STEP < datetime.now(UTC):
            self.step()

    def step(self) -> None:
        """The next five seconds of the market."""
        self.fold(self.now + STEP)
        self._scorer.refresh()
        while self._scorer.step():
            pass
        while engine.round_once():
            pass

    @property
    def busiest_mint(self) -> str:
        """The coin with the most trades among those that can be traded now."""
        lately = self.now - 12 * STEP
        traded = CoinStream.objects.filter(coin__curve="standard", is_active=True, last_trade_at__gt=lately)
        return traded.order_by("-trades_total", "coin_id").values_list("coin_id", flat=True)[0]


def models_made(*names: str) -> list[Model]:
    """Models fitted by the trainer's task on what is in the tables."""
    for seed, name in enumerate(names):
        recipe = {
            "name": name,
            "description": "made for the pages",
            "label": {"kind": "path", "change_pct": 10, "horizon_seconds": 60, "latency_seconds": 2},
            "data": {"phases": [1]},
            "xgboost": {"n_estimators": 15, "max_depth": 3, "early_stopping_rounds": 10},
            "min_alerts": 10,
            "seed": seed,
        }
        job = training.train_request(recipe=recipe_parse(recipe))
        tasks.run_job(0)
        job.refresh_from_db()
        assert job.status == "COMPLETED", (job.error_code, job.error)
    return list(Model.objects.order_by("id"))


def put_to_work(model: Model) -> ActiveModel:
    """The model with a threshold low enough that minutes bring alerts."""
    return predictions.model_import(
        model=model, fields={"custom_name": "early riser", "threshold": 0.3, "ignore_alert_seconds": 60}
    )


def build(folder: Path) -> World:
    """The whole world, a few minutes of it live."""
    world = World(folder)
    world.fold(world.now + LEARNING)
    first, second = models_made("first", "second")
    trading.demo_setup()
    webhooks.endpoint_create(url="https://8.8.8.8/hook", name="a receiver", kinds=["alerts", "trades"])
    put_to_work(first)
    begin, end = world.now - LEARNING / 4, world.now
    training.test_request(model=first, start=begin, end=end)
    tasks.run_job(0)
    training.compare_request(models=[first, second], start=begin, end=end)
    tasks.run_job(0)
    world.live()
    predictions.outcomes_judge()
    return world
