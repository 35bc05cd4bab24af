"""The features of a metric row: an ordered registry and the one function that computes them. Pure.

Windows are seconds, never rows: the window of w seconds at a row that ends at t holds the rows of the same coin that
end in (t - w, t]. What is undefined is NaN. A feature knows nothing after t, and nothing before t - HISTORY_SECONDS but
the all-time high and what was known of the creator at the coin's creation, which come as columns, and the market of all
coins (market.py): so the newest 30 minutes of a coin give the same bits as its whole history.
That holds because sums are taken over integers (lamports, counts), extremes are exact, and what remains is elementwise
arithmetic that IEEE 754 rounds correctly; logarithms and the like, which differ with the alignment, are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.core.errors import PlatformError
from apps.training.columns import METRICS, RECORD, Floats, High, Integers, MetricColumns, concat, load_columns
from apps.training.market import Figure, Market
from apps.training.windowing import History

__all__ = [
    "HISTORY_SECONDS",
    "METRICS",
    "NAMES",
    "RECORD",
    "REGISTRY",
    "WINDOWS_SECONDS",
    "Feature",
    "High",
    "MetricColumns",
    "compute",
    "concat",
    "describe",
    "load_columns",
    "positions",
]

WINDOWS_SECONDS: tuple[int, ...] = (30, 60, 180, 300, 900, 1800)
MARKET_SECONDS: tuple[int, ...] = (60, 300, 1800)
HISTORY_SECONDS = max(WINDOWS_SECONDS)
_DAY_MINUTES = 1440
_CLOCK = 2 * np.pi * np.arange(_DAY_MINUTES) / _DAY_MINUTES
_SINE, _COSINE = np.sin(_CLOCK), np.cos(_CLOCK)

Calculation = Callable[[History], Floats]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the matrix. `phase` is the first coin phase in which it is defined."""

    name: str
    formula: str
    window_seconds: int | None
    inputs: tuple[str, ...]
    unit: str
    phase: int
    calculate: Calculation


def compute(
    columns: MetricColumns,
    market: Market,
    *,
    rows: Integers | None = None,
    names: Iterable[str] | None = None,
    into: NDArray[np.float32] | None = None,
) -> NDArray[Any]:
    """float64 (n, k): the features of `rows` (ascending indices into `columns`, default all) in registry order.

    `columns` must hold, for every chosen row, its coin's rows of the last HISTORY_SECONDS, `market` that of the last
    market.REACH_SECONDS. `names` picks features (and their order) instead of the whole registry; unknown ones raise
    FEATURE_UNKNOWN. `into` (n, k) is filled and returned instead of a new matrix, each value rounded to its type.
    """
    return of(History(columns, np.arange(len(columns)) if rows is None else rows, market), names=names, into=into)


def of(
    history: History, *, names: Iterable[str] | None = None, into: NDArray[np.float32] | None = None
) -> NDArray[Any]:
    """The same of the rows that a history was made for."""
    chosen = REGISTRY if names is None else tuple(REGISTRY[place] for place in positions(names))
    matrix: NDArray[Any] = np.empty((len(history.rows), len(chosen)), order="F") if into is None else into
    with np.errstate(divide="ignore", invalid="ignore"):
        for place, feature in enumerate(chosen):
            matrix[:, place] = feature.calculate(history)
    return matrix


def positions(names: Iterable[str]) -> list[int]:
    """The registry's column numbers of the named features. Raises PlatformError FEATURE_UNKNOWN."""
    wanted = list(names)
    if unknown := [name for name in wanted if name not in _PLACES]:
        raise PlatformError(
            "FEATURE_UNKNOWN", f"This release has no feature named {unknown[0]!r}; see GET features.", unknown=unknown
        )
    return [_PLACES[name] for name in wanted]


def describe() -> list[dict[str, Any]]:
    """The registry for people and programs, in order."""
    return [
        {
            "position": place,
            "name": feature.name,
            "formula": feature.formula,
            "window_seconds": feature.window_seconds,
            "inputs": list(feature.inputs),
            "unit": feature.unit,
            "phase": feature.phase,
        }
        for place, feature in enumerate(REGISTRY)
    ]


# --- Calculations: History in, one float64 per chosen row out ------------------------------------------
def _metric(history: History, name: str) -> Floats:
    return history.now(name)


def _sum(history: History, name: str, seconds: int) -> Floats:
    return history.total(name, seconds)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where there is no whole."""
    return np.where(whole > 0, part / whole, np.nan)


def _price_change(history: History, seconds: int) -> Floats:
    return history.now("price_close") / history.price_before(seconds) - 1


def _price_range(history: History, seconds: int) -> Floats:
    low = history.lowest("price_low", seconds)
    return (history.highest("price_high", seconds) - low) / low


def _below_high(history: History, seconds: int) -> Floats:
    return history.now("price_close") / history.highest("price_high", seconds) - 1


def _trades(history: History, seconds: int) -> Floats:
    return history.total("num_buys", seconds) + history.total("num_sells", seconds)


def _buy_pressure(history: History, seconds: int) -> Floats:
    return _ratio(history.total("buy_volume_sol", seconds), history.total("volume_sol", seconds))


def _whale_flow(history: History, seconds: int) -> Floats:
    return history.total("whale_buy_volume_sol", seconds) - history.total("whale_sell_volume_sol", seconds)


def _volume_change(history: History, seconds: int) -> Floats:
    return _ratio(history.total("volume_sol", seconds), history.earlier("volume_sol", seconds)) - 1


def _trades_change(history: History, seconds: int) -> Floats:
    before = history.earlier("num_buys", seconds) + history.earlier("num_sells", seconds)
    return _ratio(_trades(history, seconds), before) - 1


def _buy_pressure_change(history: History, seconds: int) -> Floats:
    before = _ratio(history.earlier("buy_volume_sol", seconds), history.earlier("volume_sol", seconds))
    return _buy_pressure(history, seconds) - before


def _price_acceleration(history: History, seconds: int) -> Floats:
    middle = history.price_before(seconds)
    return _price_change(history, seconds) - (middle / history.price_before(2 * seconds) - 1)


def _per_trade(history: History, seconds: int) -> Floats:
    return _ratio(history.total("unique_wallets", seconds), _trades(history, seconds))


def _volatility(history: History, seconds: int) -> Floats:
    values: Floats = np.sqrt(history.swings(seconds))
    return values


def _curve_change(history: History, seconds: int) -> Floats:
    values: Floats = history.now("bonding_curve_pct") - history.curve_before(seconds)
    return values


def _market(history: History, figure: Figure, seconds: int) -> Floats:
    return history.of_market(figure, seconds)


def _market_buy_pressure(history: History, seconds: int) -> Floats:
    return _ratio(history.of_market("buy_lamports", seconds), history.of_market("lamports", seconds))


def _market_change(history: History, figure: Figure, seconds: int) -> Floats:
    return _ratio(history.of_market(figure, seconds), history.of_market(figure, seconds, ago=seconds)) - 1


def _market_share(history: History, seconds: int) -> Floats:
    return _ratio(history.total("volume_sol", seconds), history.of_market("lamports", seconds))


def _sol_usd(history: History) -> Floats:
    return history.market.sol_usd(history.now("as_of_us"))


def _sol_usd_change(history: History, seconds: int) -> Floats:
    return _ratio(_sol_usd(history), history.market.sol_usd(history.now("as_of_us"), ago=seconds)) - 1


def _from_ath(history: History) -> Floats:
    values: Floats = history.now("price_close") / history.now("ath_price") - 1
    return values


def _since_ath(history: History) -> Floats:
    values: Floats = (history.now("as_of_us") - history.now("ath_us")) / 1e6
    return values


def _age(history: History) -> Floats:
    values: Floats = (history.now("as_of_us") - history.now("started_us")) / 1e6
    return values


def _clock(history: History, table: Floats) -> Floats:
    values: Floats = table[history.now("as_of_us") // 60_000_000 % _DAY_MINUTES]
    return values


# --- The registry --------------------------------------------------------------------------------------
_UNITS = {"_sol": "SOL", "_pct": "percent", "_ratio": "ratio", "num_": "count", "unique_wallets": "count"}
_COUNTS = ("num_buys", "num_sells")
_VOLUMES = ("buy_volume_sol", "volume_sol")
_CLOSE = ("price_close",)


def _unit(name: str) -> str:
    if name.startswith("price_"):
        return "SOL per token"
    return next((unit for part, unit in _UNITS.items() if part in name), "SOL" if name != "is_koth" else "flag")


def _metric_features() -> list[Feature]:
    return [
        Feature(name, f"{name} of the window", None, (name,), _unit(name), 1, partial(_metric, name=name))
        for name in METRICS
    ]


def _window_features(w: int) -> list[Feature]:
    def feature(name: str, formula: str, inputs: tuple[str, ...], unit: str, calculate: Any) -> Feature:
        phase = 1 if w <= 600 else 2  # a coin of phase 1 is at most ten minutes old
        return Feature(f"{name}_{w}s", formula, w, inputs, unit, phase, partial(calculate, seconds=w))

    def total(name: str) -> Any:
        return partial(_sum, name=name)

    prices, whales = ("price_close", "price_open"), ("whale_buy_volume_sol", "whale_sell_volume_sol")
    return [
        feature("price_change", f"price_close / price {w} s ago - 1; NaN if younger", prices, "ratio", _price_change),
        feature("price_range", "(highest - lowest) / lowest", ("price_high", "price_low"), "ratio", _price_range),
        feature("from_high", "price_close / highest - 1", ("price_close", "price_high"), "ratio", _below_high),
        feature("volume_sol", "sum of volume_sol", ("volume_sol",), "SOL", total("volume_sol")),
        feature("net_volume_sol", "sum of buys minus sells", ("net_volume_sol",), "SOL", total("net_volume_sol")),
        feature("trades", "sum of num_buys + num_sells", _COUNTS, "count", _trades),
        feature("buy_pressure", "buy volume / volume; NaN without volume", _VOLUMES, "ratio", _buy_pressure),
        feature("whale_flow_sol", "whale buys minus whale sells", whales, "SOL", _whale_flow),
        feature("dev_sold_sol", "sum of dev_sold_amount", ("dev_sold_amount",), "SOL", total("dev_sold_amount")),
        feature("wallets", "sum of unique_wallets of its rows", ("unique_wallets",), "count", total("unique_wallets")),
        feature("wallets_per_trade", "wallets / trades", ("unique_wallets", *_COUNTS), "ratio", _per_trade),
        feature("volatility", "root of the summed squared changes of price_close", _CLOSE, "ratio", _volatility),
        feature(
            "curve_change", f"bonding_curve_pct - that of {w} s ago", ("bonding_curve_pct",), "percent", _curve_change
        ),
    ]


def _change_features(w: int) -> list[Feature]:
    """Against the window of the same length before it: up to half of the history."""

    def feature(name: str, inputs: tuple[str, ...], calculate: Any) -> Feature:
        formula = f"{name.removesuffix('_change')} of the last {w} s against the {w} s before"
        return Feature(f"{name}_{w}s", formula, 2 * w, inputs, "ratio", 1, partial(calculate, seconds=w))

    return [
        feature("volume_change", ("volume_sol",), _volume_change),
        feature("trades_change", _COUNTS, _trades_change),
        feature("buy_pressure_change", _VOLUMES, _buy_pressure_change),
        feature("price_acceleration", ("price_close", "price_open"), _price_acceleration),
    ]


def _single_features() -> list[Feature]:
    quiet = "seconds since the row before; NaN without one in 30 minutes"
    return [
        Feature("from_ath", "price_close / ath_price - 1", None, ("price_close", "ath_price"), "ratio", 1, _from_ath),
        Feature("since_ath_seconds", "as_of - time of the all-time high", None, ("ath_us",), "seconds", 1, _since_ath),
        Feature("age_seconds", "as_of - start of the coin", None, ("started_us",), "seconds", 1, _age),
        Feature("quiet_seconds", quiet, HISTORY_SECONDS, ("as_of_us",), "seconds", 1, History.since_previous),
        Feature("phase_id", "phase of the coin", None, ("phase_id",), "id", 1, partial(_metric, name="phase_id")),
        Feature("day_sine", "sine of the UTC time", None, ("as_of_us",), "ratio", 1, partial(_clock, table=_SINE)),
        Feature(
            "day_cosine", "cosine of the UTC time", None, ("as_of_us",), "ratio", 1, partial(_clock, table=_COSINE)
        ),
    ]


def _market_features(w: int) -> list[Feature]:
    """Of all coins together, by the whole stretches of five seconds that had ended at the row."""

    def feature(name: str, formula: str, inputs: tuple[str, ...], unit: str, calculate: Any) -> Feature:
        return Feature(f"market_{name}_{w}s", formula, w, inputs, unit, 1, partial(calculate, seconds=w))

    def total(figure: Figure) -> Any:
        return partial(_market, figure=figure)

    created, traded, moved = ("creations of all coins",), ("trades of all coins",), ("volume of all coins",)
    own = ("volume_sol", *moved)
    return [
        feature("creates", "coins created; NaN where none was seen in 30 minutes", created, "count", total("creates")),
        feature("trades", "trades of all coins", traded, "count", total("trades")),
        feature("volume_sol", "volume of all coins", moved, "SOL", total("lamports")),
        feature("buy_pressure", "buy volume / volume of all coins", moved, "ratio", _market_buy_pressure),
        feature("share", "volume_sol / volume of all coins", own, "ratio", _market_share),
    ]


def _market_change_features(w: int) -> list[Feature]:
    def feature(name: str, inputs: str, figure: Figure) -> Feature:
        formula, calculate = (
            f"{name} of the last {w} s against the {w} s before",
            partial(_market_change, figure=figure),
        )
        return Feature(
            f"market_{name}_change_{w}s", formula, 2 * w, (inputs,), "ratio", 1, partial(calculate, seconds=w)
        )

    return [
        feature("creates", "creations of all coins", "creates"),
        feature("volume", "volume of all coins", "lamports"),
    ]


def _rate_features() -> list[Feature]:
    """What a SOL costs, as it was known a minute ago."""
    inputs, formula = ("exchange_rates",), "USD a SOL, known a minute before"
    return [
        Feature("sol_usd", f"{formula}; NaN if two days old", None, inputs, "USD", 1, _sol_usd),
        *(
            Feature(f"sol_usd_change_{w}s", f"sol_usd / that of {w} s ago - 1", w, inputs, "ratio", 1,
                    partial(_sol_usd_change, seconds=w))
            for w in (3600, 86_400)
        ),
    ]  # fmt: skip


_CREATOR_FORMULAS: dict[str, tuple[str, str]] = {
    "creator_coins": ("coins that the creator made before this one", "count"),
    "creator_graduated": ("of the last 200 of them, those that had graduated when this one was created", "count"),
    "creator_died": ("of the last 200 of them, those that had been traded and then silent for 30 minutes", "count"),
    "creator_sold80_seconds": ("median age at which the creator had sold 80 % (20 coins before)", "seconds"),
    "creator_top_market_cap_sol": ("median of the highest market cap until then (20 coins before)", "SOL"),
    "creator_since_last_seconds": ("from the creator's coin before to this one", "seconds"),
}


def _creator_features() -> list[Feature]:
    """What was known of the creator when the coin was created: the same in all rows of a coin, so never of later."""
    return [
        Feature(name, formula, None, (name,), unit, 1, partial(_metric, name=name))
        for name, (formula, unit) in _CREATOR_FORMULAS.items()
    ]


REGISTRY: tuple[Feature, ...] = (
    *_metric_features(),
    *(feature for w in WINDOWS_SECONDS for feature in _window_features(w)),
    *(feature for w in WINDOWS_SECONDS if 2 * w <= HISTORY_SECONDS for feature in _change_features(w)),
    *_single_features(),
    *_creator_features(),
    *(feature for w in MARKET_SECONDS for feature in _market_features(w)),
    *(feature for w in MARKET_SECONDS if 2 * w <= HISTORY_SECONDS for feature in _market_change_features(w)),
    *_rate_features(),
)
NAMES: tuple[str, ...] = tuple(feature.name for feature in REGISTRY)
_PLACES = {name: place for place, name in enumerate(NAMES)}
