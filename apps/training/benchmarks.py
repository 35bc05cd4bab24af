"""Measurements of training (`make bench NAME=...`). They work on made-up rows in memory, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training import artifacts, features, fitting, judging
from apps.training.columns import METRICS, RECORD, MetricColumns, coin_starts, load_columns
from apps.training.dataset import Counts, Dataset
from apps.training.market import BUCKET_US, RATE_REACH_SECONDS, REACH_SECONDS, Market, nowhere
from apps.training.recipes import Recipe, recipe_parse

ROWS, PANDAS_ROWS, FIT_ROWS = 1_000_000, 100_000, 100_000
WINDOW_US = 5_000_000
SUMMED = ("volume_sol", "buy_volume_sol", "sell_volume_sol", "net_volume_sol", "whale_buy_volume_sol", "num_buys")
START_US = 1_780_000_000_000_000


def market(rows: int, seed: int = 1) -> MetricColumns:
    """Coins of 1 to 500 rows, 60 on average, with gaps of one to three windows."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(1 / 60, size=rows), 500)
    records = np.zeros(rows, RECORD)
    records["coin"] = np.repeat(np.arange(rows), lengths)[:rows]
    records["as_of_us"] = START_US + np.cumsum(rng.integers(1, 4, rows)) * WINDOW_US
    records["started_us"] = records["as_of_us"][coin_starts(records["coin"])] - WINDOW_US
    for name in METRICS:
        records[name] = rng.integers(0, 9, rows) if name.startswith("num_") else rng.random(rows)
    return load_columns(records)


def market_around(columns: MetricColumns) -> Market:
    """The market of these rows."""
    return whole_market(int(columns.as_of_us.min()), int(columns.as_of_us.max()))


def whole_market(first_us: int, last_us: int, seed: int = 3) -> Market:
    """The market of all coins that rows between two moments need: 35 trades a second, a rate a minute."""
    rng = np.random.default_rng(seed)
    start_us = first_us // BUCKET_US * BUCKET_US - REACH_SECONDS * 1_000_000
    length = (last_us - start_us) // BUCKET_US
    trades, creates = rng.poisson(175, length), rng.poisson(2, length)
    lamports = trades * rng.integers(1, 10**9, length)
    rate_at_us = np.arange(start_us - RATE_REACH_SECONDS * 1_000_000, last_us, 60_000_000)
    rates = 150 + rng.normal(size=len(rate_at_us)).cumsum() / 100
    return Market(start_us, trades, lamports, lamports // 2, creates, rate_at_us, rates)


def features_million_rows_seconds() -> dict[str, Any]:
    """The whole registry over one million rows, into the matrix that a fit takes. Limit: none."""
    columns = market(ROWS)
    everywhere, matrix = market_around(columns), np.empty((ROWS, len(features.NAMES)), np.float32)
    before = time.process_time()
    seconds = _best(lambda: features.compute(columns, everywhere, into=matrix), 3)
    cpu = (time.process_time() - before) / 3
    detail = {
        "rows": ROWS, "features": len(features.NAMES), "rows_per_second": round(ROWS / seconds),
        "cpu_seconds": round(cpu, 2),
    }  # fmt: skip
    return {"value": round(seconds, 3), "unit": "s", "detail": detail}


def features_ratio_to_pandas() -> dict[str, Any]:
    """Sums and highs of the same columns over the same windows. Limit: pandas groupby.rolling. Above one: faster."""
    import pandas as pd

    columns = market(PANDAS_ROWS)
    frame = pd.DataFrame({name: getattr(columns, name) for name in (*SUMMED, "price_high")})
    frame["coin"], frame["at"] = columns.coin, pd.to_datetime(columns.as_of_us, unit="us")
    names = [f"{name}_{w}s" for w in features.WINDOWS_SECONDS for name in ("volume_sol", "net_volume_sol", "from_high")]

    def by_pandas() -> None:
        for seconds in features.WINDOWS_SECONDS:
            rolling = frame.groupby("coin").rolling(f"{seconds}s", on="at")
            rolling[["volume_sol", "net_volume_sol"]].sum()
            rolling["price_high"].max()

    mine = _best(lambda: features.compute(columns, nowhere(), names=names), 3)
    theirs = _best(by_pandas, 1)
    return _ratio(theirs / mine, theirs, {"rows": PANDAS_ROWS, "columns": len(names), "seconds": round(mine, 4)})


def features_ratio_to_numpy() -> dict[str, Any]:
    """Window sums of six columns. Limit: their bare cumulative sums, differenced at given bounds. Least is one."""
    from apps.training.windowing import History

    columns = market(ROWS)
    every = np.arange(len(columns))
    bounds = [History(columns, every).first(seconds) for seconds in features.WINDOWS_SECONDS]

    def bare() -> None:
        for name in SUMMED:
            sums = np.concatenate(([0.0], np.cumsum(getattr(columns, name))))
            for low in bounds:
                _ = sums[every + 1] - sums[low]

    def mine() -> None:
        history = History(columns, every)
        for name in SUMMED:
            for seconds in features.WINDOWS_SECONDS:
                history.total(name, seconds)

    limit, value = _best(bare, 3), _best(mine, 3)
    return _ratio(value / limit, limit, {"rows": ROWS, "sums": len(SUMMED) * len(bounds), "seconds": round(value, 4)})


def training_ratio_to_bare() -> dict[str, Any]:
    """Fit, threshold, judging (intervals, baselines, shuffled features) and artifact of a job.

    Limit: bare xgb.train on the same matrix and parameters."""
    data, recipe = _dataset(FIT_ROWS), _recipe()
    cut = FIT_ROWS * 4 // 5
    train, validation = np.arange(cut), np.arange(cut, FIT_ROWS)
    _bare(data, train, validation, recipe, rounds=5)  # the first use of the library is slow
    limit = _best(lambda: _bare(data, train, validation, recipe, rounds=recipe.xgboost.n_estimators), 2)
    value = _best(lambda: _job(data, train, validation, recipe), 2)
    detail = {"rows": FIT_ROWS, "features": len(data.names), "rounds": recipe.xgboost.n_estimators}
    return _ratio(value / limit, limit, {**detail, "seconds": round(value, 3)})


def _job(data: Dataset, train: NDArray[np.int64], validation: NDArray[np.int64], recipe: Recipe) -> None:
    value = judging.values(data, recipe)
    fitted = fitting.fit(data, train, validation, recipe, value=value, threads=1)
    learned, judged = judging.sample_of(data, value, train), judging.sample_of(data, value, validation)
    kept, x = judging.keep(learned, judged, recipe), data.x[validation]
    judging.permutation(fitted.booster, x, data.label[validation], fitted.importances, seed=recipe.seed)
    probability = fitting.predict(fitted.booster, x)
    judging.judge(judged, probability, threshold=fitted.threshold.value, recipe=recipe, kept=kept)
    artifacts.dump(fitted.booster)


def _bare(
    data: Dataset, train: NDArray[np.int64], validation: NDArray[np.int64], recipe: Recipe, *, rounds: int
) -> None:
    import xgboost

    matrix = xgboost.QuantileDMatrix(data.x[train], data.label[train], nthread=1)
    watched = xgboost.QuantileDMatrix(data.x[validation], data.label[validation], ref=matrix, nthread=1)
    parameters = fitting.parameters(recipe, data.label[train], 1)
    xgboost.train(parameters, matrix, rounds, evals=[(watched, "validation")], verbose_eval=False)


def _recipe() -> Recipe:
    booster = {"n_estimators": 60, "early_stopping_rounds": 1000, "max_depth": 5}
    return recipe_parse({"name": "bench", "xgboost": booster})


def _dataset(rows: int) -> Dataset:
    columns = market(rows)
    x = features.compute(columns, market_around(columns)).astype(np.float32)
    noise = np.random.default_rng(2).random(rows)
    label = (columns.volume_sol + columns.price_close + noise > 2.0).astype(np.float64)
    empty = np.zeros(rows, np.int64)
    entry = np.full(rows, 4e-8)
    leave = entry * (label * 0.3 + 0.9)
    phase, at_us, coin = np.ones(rows, np.int16), columns.as_of_us, columns.coin
    values = (x, label, entry, entry, leave, at_us, coin, empty, phase)
    return Dataset(features.NAMES, *values, (), Counts(), content_hash="")


def _best(action: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of several runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _ratio(ratio: float, limit: float, detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "value": round(ratio, 3), "unit": "ratio", "limit": round(limit, 4), "ratio": round(ratio, 3), "detail": detail,
    }  # fmt: skip


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "features_million_rows_seconds": features_million_rows_seconds,
    "features_ratio_to_pandas": features_ratio_to_pandas,
    "features_ratio_to_numpy": features_ratio_to_numpy,
    "training_ratio_to_bare": training_ratio_to_bare,
}
