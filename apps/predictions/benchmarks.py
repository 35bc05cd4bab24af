"""Measurements of predictions (`make bench NAME=...`). Those that need tables make a scratch database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from django.conf import settings
from django.db import connection, transaction
from numpy.typing import NDArray

from apps.core.scratch import database_url, scratch_database
from apps.discovery.windows import METRIC_COLUMNS
from apps.predictions import inference, services
from apps.predictions.memory import Memory
from apps.predictions.models import ActiveModel, AlertEvaluation, ModelPrediction, Prediction
from apps.training import artifacts, features, fitting
from apps.training.benchmarks import whole_market
from apps.training.columns import METRICS, RECORD
from apps.training.market import nowhere
from apps.training.models import Model
from apps.training.queries import to_us

START = datetime(2026, 7, 4, 12, tzinfo=UTC)
COINS, HISTORY_ROWS, MODELS, TREES, DEPTH = 1_000, 120, 4, 300, 5
WINDOW = timedelta(seconds=5)
ROUNDS, ALERT_ROUNDS = 30, 100
LABEL = {"kind": "path", "change_pct": 20.0, "horizon_seconds": 300, "stop_pct": None, "latency_seconds": 2.0}
WAIT_SECONDS = 120.0
FEED_SET = "UPDATE stream_state SET feed_at = %s, mode = 'replay' WHERE id = 1"  # the wall's clock says nothing here


def score_1000x4_ms() -> dict[str, Any]:
    """All coins close a window at once: rows into memory, features, four models. Limit: the four bare predictions."""
    workers = _workers()
    taken, bare = _score(workers, COINS)
    larger, _ = _score(workers, 10 * COINS, rounds=5)
    detail = {
        "coins": COINS, "models": MODELS, "trees": TREES, "features": len(features.NAMES),
        "history_rows": COINS * HISTORY_ROWS, "p95_ms": round(float(np.quantile(taken, 0.95)), 1),
        "ms_10000_coins": round(float(np.median(larger)), 1),
    }  # fmt: skip
    value, limit = float(np.median(taken)), float(np.median(bare))
    return {
        "value": round(value, 1), "unit": "ms", "limit": round(limit, 1), "ratio": round(value / limit, 2),
        "detail": detail,
    }  # fmt: skip


def _score(workers: list[inference.Worker], coins: int, rounds: int = ROUNDS) -> tuple[list[float], list[float]]:
    """Milliseconds of each round, whole and of the bare predictions."""
    rng = np.random.default_rng(1)
    mints = [_mint(number) for number in range(coins)]
    memory = Memory()
    memory.replace(mints, _records(rng, coins, 0, HISTORY_ROWS), {})
    matrix = rng.exponential(1.0, (coins, len(features.NAMES))).astype(np.float32)
    taken, bare = [], []
    for window in range(HISTORY_ROWS, HISTORY_ROWS + rounds):
        records = _records(rng, coins, window, window + 1)
        taken.append(_milliseconds(partial(_score_once, workers, memory, mints, records)))
        bare.append(_milliseconds(lambda: [fitting.predict(worker.booster, matrix) for worker in workers]))
    return taken, bare


def _score_once(
    workers: list[inference.Worker], memory: Memory, mints: list[str], records: NDArray[np.void]
) -> inference.Scores:
    if memory.strangers(mints, records):
        raise RuntimeError("the benchmark's rows are out of order")
    memory.extend(mints, records)
    market = whole_market(int(records["as_of_us"].min()), int(records["as_of_us"].max()))
    return inference.score(workers, memory.history(np.sort(memory.find(mints, records)), market))


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def alert_p99_ms() -> dict[str, Any]:
    """From the commit of 1,000 closed windows to the commit of their alerts, by the real scorer process."""
    with scratch_database():
        rng = np.random.default_rng(2)
        _write_coins(COINS)
        for number in range(MODELS):
            services.model_import(model=_model(number), threshold=_threshold(number))
        _write_windows(_records(rng, COINS, 0, HISTORY_ROWS), HISTORY_ROWS)
        _mark_scored(HISTORY_ROWS)
        with _scorer():
            _round(rng, HISTORY_ROWS + 1)
            taken = [_round(rng, window) for window in range(HISTORY_ROWS + 2, HISTORY_ROWS + 2 + ALERT_ROUNDS)]
        alerts, scores = AlertEvaluation.objects.count(), Prediction.objects.count()
    detail = {"p50_ms": round(float(np.median(taken)), 1), "max_ms": round(max(taken), 1), "rounds": len(taken),
              "coins": COINS, "models": MODELS, "alerts": alerts, "predictions": scores}  # fmt: skip
    return {"value": round(float(np.quantile(taken, 0.99)), 1), "unit": "ms", "detail": detail}


def _mark_scored(windows: int) -> None:
    """The history is behind the cursor: the scorer warms up from it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scorer_state SET last_row_id = (SELECT max(row_id) FROM coin_metrics), scored_to = %s",
            (START + windows * WINDOW,),
        )


def _round(rng: np.random.Generator, window: int) -> float:
    records = _records(rng, COINS, window - 1, window)
    _write_windows(records, window)
    started = time.perf_counter()
    _wait_scored()
    return (time.perf_counter() - started) * 1000


def _wait_scored() -> None:
    """Until no metric row lies behind the scorer's cursor, which moves with its alerts."""
    end = time.monotonic() + WAIT_SECONDS
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(row_id) FROM coin_metrics")
        (last,) = cursor.fetchone()
        while True:
            cursor.execute("SELECT last_row_id >= %s FROM scorer_state", (last,))
            if cursor.fetchone()[0]:
                return
            if time.monotonic() > end:
                raise TimeoutError("the scorer did not come to the newest window")
            time.sleep(0.001)


@contextmanager
def _scorer() -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "scorer"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": database_url(), "LOG_LEVEL": "WARNING"},
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def outcomes_million_seconds() -> dict[str, Any]:
    """One pass over a million predictions: 2,084 coins, a trade each 3 s, a score each 5 s by four models with two
    labels between them."""
    with scratch_database():
        _write_million()
        judged, seconds = services.Judged(), 0.0
        started = time.perf_counter()
        judged = services.outcomes_judge(limit=2_000_000)
        seconds = time.perf_counter() - started
        statuses = {one: ModelPrediction.objects.filter(status=one).count() for one in ("success", "failed")}
    return {"value": round(seconds, 1), "unit": "s", "detail": {"predictions": judged.predictions, **statuses}}


_MILLION_TRADES = """
    INSERT INTO coin_transactions (mint, timestamp, trade_key, seq, tx_type, sol_amount, token_amount, price_sol,
        is_whale, phase_id_at_time)
    SELECT 'Coin' || c, %s::timestamptz + n * interval '3 seconds' + c %% 3000 * interval '1 millisecond', n, n, 'buy',
           1000000, 1, 3e-8 * exp(0.3 * sin(n / 9.0 + c) + 0.1 * sin(n * 7.1 + c)), false, 1
    FROM generate_series(1, 2084) c, generate_series(0, 330) n"""
_MILLION_PREDICTIONS = """
    INSERT INTO predictions (active_model_id, mint, as_of, scored_at, probability, tag, price_sol, phase_id, is_late,
        duration_ms)
    SELECT m.id, 'Coin' || c, %s::timestamptz + n * interval '5 seconds', now(), 0.5, 'positive', 3e-8, 1, false, 1
    FROM active_models m, generate_series(1, 2084) c, generate_series(1, 120) n"""


def _write_million() -> None:
    for number in range(MODELS):
        label = LABEL if number % 2 else {**LABEL, "change_pct": 50.0, "stop_pct": 40.0}
        services.model_import(model=_model(number, label, trees=1))
    with connection.cursor() as cursor:
        cursor.execute(_MILLION_TRADES, (START,))
        cursor.execute(_MILLION_PREDICTIONS, (START,))
        cursor.execute(FEED_SET, (START + timedelta(seconds=985),))
        cursor.execute("ANALYZE coin_transactions, predictions")


# --- What is measured ----------------------------------------------------------------------------------
def _mint(number: int) -> str:
    return f"Bench{number:035d}pump"


def _records(rng: np.random.Generator, coins: int, first: int, last: int) -> NDArray[np.void]:
    """Rows of all coins for the windows first..last-1, sorted by (coin, time)."""
    count = last - first
    records = np.zeros(coins * count, RECORD)
    records["coin"] = np.repeat(np.arange(coins), count)
    step = WINDOW // timedelta(microseconds=1)
    records["as_of_us"] = to_us(START) + np.tile(np.arange(first + 1, last + 1) * step, coins)
    records["started_us"] = to_us(START)
    records["phase_id"] = 1
    for name in METRICS:
        records[name] = rng.integers(1, 1000, len(records)) / 100
    return records


def _write_coins(coins: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO discovered_coins (mint, name, symbol, pool, curve, is_mayhem, quote_mint, uri, description,"
            " image_url, twitter, telegram, website, first_seen_at, filtered_reason, graduated, final_outcome)"
            " SELECT mint, '', '', 'pump', 'standard', false, '', '', '', '', '', '', '', %s, '', false, ''"
            " FROM unnest(%s::text[]) mint",
            (START, [_mint(number) for number in range(coins)]),
        )
        cursor.execute(
            "INSERT INTO coin_streams (mint, phase_id, is_active, is_graduated, started_at, trades_total,"
            " volume_lamports) SELECT mint, 1, true, false, first_seen_at, 0, 0 FROM discovered_coins"
        )


_WHOLE = ("num_buys", "num_sells", "unique_wallets", "num_micro_trades", "num_whale_buys", "num_whale_sells")


def _write_windows(records: NDArray[np.void], windows: int) -> None:
    """One transaction as the stream commits it: rows, feed time, NOTIFY."""
    columns: list[list[Any]] = [[_mint(number) for number in records["coin"].tolist()]]
    columns.append([START + timedelta(microseconds=us - to_us(START)) for us in records["as_of_us"].tolist()])
    for name in METRIC_COLUMNS[2:]:
        values = records["phase_id" if name == "phase_id_at_time" else name]
        whole = name in _WHOLE or name == "phase_id_at_time"
        columns.append((values > 5).tolist() if name == "is_koth" else values.astype(int if whole else float).tolist())
    with transaction.atomic(), connection.cursor() as cursor:
        with cursor.copy(f"COPY coin_metrics ({', '.join(METRIC_COLUMNS)}) FROM STDIN") as copy:
            for row in zip(*columns, strict=True):
                copy.write_row(row)
        cursor.execute(FEED_SET, (START + windows * WINDOW,))
        cursor.execute("NOTIFY feed")


def _booster(number: int, trees: int = TREES) -> Any:
    """Trees over all features, fitted to noise."""
    import xgboost

    rng = np.random.default_rng(number)
    x = rng.exponential(1.0, (4000, len(features.NAMES))).astype(np.float32)
    matrix = xgboost.DMatrix(x, rng.random(4000) < 0.5, feature_names=list(features.NAMES))
    parameters = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.05, "seed": number}
    booster = xgboost.train(parameters, matrix, trees)
    booster.set_param({"nthread": inference.THREADS})
    return booster


def _model(number: int, label: dict[str, Any] = LABEL, trees: int = TREES) -> Model:
    import xgboost

    artifact, digest = artifacts.dump(_booster(number, trees))
    return Model.objects.create(
        name=f"bench {number}", recipe={"label": label}, feature_names=list(features.NAMES), label_name="bench",
        horizon_seconds=300, train_from=START, train_to=START, data_hash="", rows_train=1, rows_validation=1,
        rows_test=1, scores={}, threshold=0.5, artifact=artifact, artifact_sha256=digest,
        xgboost_version=xgboost.__version__,
    )  # fmt: skip


def _threshold(number: int) -> float:
    """About one score in a hundred is at or above it."""
    rng = np.random.default_rng(3)
    columns = features.load_columns(_records(rng, 200, 0, 20))
    matrix = features.compute(columns, nowhere()).astype(np.float32)
    return float(np.quantile(fitting.predict(_booster(number), matrix), 0.99))


def _workers() -> list[inference.Worker]:
    """Models at work without a database."""
    found = []
    for number in range(MODELS):
        model = Model(pk=number + 1, name=str(number), recipe={"label": LABEL}, feature_names=list(features.NAMES))
        active = ActiveModel(pk=number + 1, model=model, custom_name=str(number), threshold=0.5)
        found.append(inference.worker_of(active, _booster(number)))
    return found


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "score_1000x4_ms": score_1000x4_ms,
    "alert_p99_ms": alert_p99_ms,
    "outcomes_million_seconds": outcomes_million_seconds,
}
