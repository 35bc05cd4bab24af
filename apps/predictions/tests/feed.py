"""What the stream and the trainer would have written, for the tests of predictions. All in the real tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from django.db import connection, transaction

from apps.discovery.models import Coin, CoinStream, Phase
from apps.discovery.windows import METRIC_COLUMNS
from apps.predictions import services
from apps.predictions.models import ActiveModel, ScorerState
from apps.training import artifacts, features
from apps.training.models import Model
from apps.training.queries import EPOCH, to_us
from apps.training.recipes import Label
from apps.training.tests.market import FakeTrade, metric_rows, trades_of

START = datetime(2026, 3, 1, tzinfo=UTC)
LABEL = {"kind": "path", "change_pct": 20.0, "horizon_seconds": 60, "stop_pct": None, "latency_seconds": 2.0}


def at(seconds: float) -> datetime:
    """Feed time so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def mint_of(number: int) -> str:
    return f"Coin{number:036d}pump"


@dataclass
class Feed:
    """Coins whose trades are known beforehand; `run_to` writes what the stream would have written by then."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    trades: list[tuple[str, FakeTrade, int]] = field(default_factory=list)
    written_us: int = 0

    def __post_init__(self) -> None:
        Phase.objects.get_or_create(
            id=1, defaults={"name": "Baby Zone", "interval_seconds": 5, "min_age_minutes": 0, "max_age_minutes": 10}
        )
        ScorerState.objects.get_or_create(id=1)

    def coin(
        self,
        number: int,
        *,
        born: float = 0.0,
        seconds: float = 600.0,
        curve: str = "standard",
        trades: list[FakeTrade] | None = None,
        **fields: Any,
    ) -> str:
        """A coin that trades for so long; its trades are those of training's small market unless given; `fields` are
        further columns of the coin."""
        mint = mint_of(number)
        coin = Coin.objects.create(mint=mint, curve=curve, first_seen_at=at(born), created_at=at(born), **fields)
        CoinStream.objects.create(coin=coin, phase_id=1, started_at=at(born))
        if trades is None:
            trades = trades_of(np.random.default_rng(number), to_us(at(born)), seconds)
        self.trades += [(mint, trade, seq) for seq, trade in enumerate(trades)]
        self.rows += metric_rows(mint, trades)
        return mint

    def run_to(self, seconds: float) -> datetime:
        """One transaction of the stream: trades, closed windows, feed time, NOTIFY."""
        until = to_us(at(seconds))
        trades = [item for item in self.trades if self.written_us < item[1].at_us <= until]
        rows = sorted((row for row in self.rows if self.written_us < row[1] <= until), key=lambda row: (row[1], row[0]))
        with transaction.atomic(), connection.cursor() as cursor:
            _write_trades(cursor, trades)
            write_rows(cursor, rows)
            set_feed(cursor, at(seconds))
        self.written_us = until
        return at(seconds)


def write_rows(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    with cursor.copy(f"COPY coin_metrics ({', '.join(METRIC_COLUMNS)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row((row[0], _moment(row[1]), *row[2:]))


def _write_trades(cursor: Any, trades: list[tuple[str, FakeTrade, int]]) -> None:
    columns = (
        "mint, timestamp, trade_key, seq, tx_type, sol_amount, token_amount, price_sol, is_whale, phase_id_at_time"
    )
    with cursor.copy(f"COPY coin_transactions ({columns}) FROM STDIN") as copy:
        for mint, trade, seq in trades:
            side = "buy" if trade.is_buy else "sell"
            copy.write_row((mint, _moment(trade.at_us), seq, seq, side, trade.lamports, 1, trade.price, False, 1))


def set_feed(cursor: Any, moment: datetime) -> None:
    cursor.execute(
        'INSERT INTO stream_state (id, segment, "offset", next_seq, feed_at, mode, connected, state, detail,'
        " frames_total, oddities, journal_id) VALUES (1, '', 0, 0, %s, 'replay', true, 'live', '', 0, '{}', '')"
        " ON CONFLICT (id) DO UPDATE SET feed_at = excluded.feed_at, mode = excluded.mode",
        (moment,),
    )
    cursor.execute("SELECT pg_notify('feed', %s)", (json.dumps({"feed_at": moment.isoformat()}),))


def _moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(us))


@cache
def _fitted(seed: int) -> tuple[bytes, str]:
    """The booster's file and its hash. Fitted once in a process."""
    import xgboost

    rng = np.random.default_rng(seed)
    x = rng.exponential(1.0, (600, len(features.NAMES))).astype(np.float32)
    matrix = xgboost.DMatrix(x, rng.random(600) < 0.5, feature_names=list(features.NAMES))
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "seed": seed}, matrix, 20)
    return artifacts.dump(booster)


def trained(
    name: str = "model", *, threshold: float = 0.5, label: dict[str, Any] | None = None, seed: int = 1
) -> Model:
    """A model with a real booster over all features, fitted to noise: its scores spread around one half."""
    import xgboost

    artifact, digest = _fitted(seed)
    return Model.objects.create(
        name=name, recipe={"name": name, "label": label or LABEL}, feature_names=list(features.NAMES),
        label_name=Label.model_validate(label or LABEL).rule().name, horizon_seconds=60,
        train_from=START - timedelta(hours=1),
        train_to=START, data_hash="0" * 64, rows_train=1,
        rows_validation=1, rows_test=1, scores={}, threshold=threshold, artifact=artifact, artifact_sha256=digest,
        xgboost_version=xgboost.__version__,
    )  # fmt: skip


def at_work(name: str = "model", *, threshold: float = 0.5, seed: int = 1, **fields: Any) -> ActiveModel:
    """A trained model put to work."""
    return services.model_import(model=trained(name, threshold=threshold, seed=seed), fields=fields)
