import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.errors import PlatformError
from apps.training import features
from apps.training.columns import RECORD, coin_starts, concat, load_columns
from apps.training.market import REACH_SECONDS, Market, nowhere

STEP = 5_000_000
HISTORY = features.HISTORY_SECONDS * 1_000_000
FIRST = 1_780_000_000_000_000
BUCKETS = 330_000


def whole_market() -> Market:
    """Trades, creations and rates for longer than any rows below last; silent one minute in fifty."""
    rng = np.random.default_rng(5)
    start_us = FIRST - REACH_SECONDS * 1_000_000
    silent = np.repeat(rng.random(BUCKETS // 12) < 0.02, 12)
    trades, creates = (np.where(silent, 0, rng.integers(0, most, BUCKETS)) for most in (300, 4))
    lamports = trades * rng.integers(1, 10**9, BUCKETS)
    rate_at_us = start_us + np.arange(0, 800) * 1_800_000_000
    rate = 150 + rng.normal(size=800)
    return Market(start_us, trades, lamports, lamports // 3, creates, rate_at_us, rate)


MARKET = whole_market()


def records(seed: int, coins: int, most_rows: int) -> np.ndarray:
    """Random rows: integer lamports, some columns unknown, gaps from one window to half an hour."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, most_rows + 1, coins)
    coin = np.repeat(np.arange(coins), lengths)
    rows = np.zeros(len(coin), RECORD)
    rows["coin"] = coin
    gaps = rng.choice([1, 1, 1, 2, 6, 40, 400], len(coin)) * STEP
    rows["as_of_us"] = FIRST + np.cumsum(gaps)
    rows["started_us"] = rows["as_of_us"][coin_starts(coin)] - rng.integers(0, 900, coins)[coin] * 1_000_000
    for name in features.METRICS:
        whole = rng.integers(0, 5, len(coin))
        rows[name] = whole if name.startswith("num_") else np.rint(rng.exponential(0.5, len(coin)) * 1e9) / 1e9
    for name in ("price_open", "price_high", "price_low", "price_close"):
        rows[name] = rng.choice([1.0, 2.0, 3.0], len(coin)) * 2.8e-8 * np.exp(rng.normal(size=len(coin)))
    for name in ("dev_sold_amount", "unique_wallets", "buy_pressure_ratio"):
        rows[name][rng.random(len(coin)) < 0.2] = np.nan
    return rows


def bits(matrix: np.ndarray) -> bytes:
    """Equal bytes are equal bits, NaN and signed zeros included."""
    return np.ascontiguousarray(matrix).tobytes()


markets = st.tuples(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 120))


@settings(max_examples=25, deadline=None)
@given(markets, st.floats(0, 1))
def test_rows_before_any_cut_are_the_same_bit_by_bit(market, share):
    rows = records(*market)
    cut = int(rows["as_of_us"].min() + share * (np.ptp(rows["as_of_us"]) + 1))
    before = rows["as_of_us"] <= cut
    whole = features.compute(load_columns(rows), MARKET)
    assert bits(features.compute(load_columns(rows[before]), MARKET.until(cut))) == bits(whole[before])


@settings(max_examples=25, deadline=None)
@given(markets)
def test_half_an_hour_of_history_gives_the_bits_of_the_whole_history(market):
    rows = records(*market)
    whole = load_columns(rows)
    expected = features.compute(whole, MARKET)
    for target in np.linspace(0, len(rows) - 1, 8).astype(int):
        coin, moment = rows["coin"][target], rows["as_of_us"][target]
        mine = (rows["coin"] == coin) & (rows["as_of_us"] <= moment)
        recent = mine & (rows["as_of_us"] > moment - HISTORY)
        older = whole.take(mine & ~recent)
        highs = {int(coin): (float(older.ath_price[-1]), int(older.ath_us[-1]))} if len(older) else None
        columns = load_columns(rows[recent], highs=highs)
        scored = features.compute(columns, MARKET, rows=np.array([len(columns) - 1]))
        assert bits(scored[0]) == bits(expected[target])


@settings(max_examples=15, deadline=None)
@given(markets, st.integers(0, 2**31))
def test_chosen_rows_and_names_are_those_of_the_whole_matrix(market, seed):
    rng, columns = np.random.default_rng(seed), load_columns(records(*market))
    chosen = np.flatnonzero(rng.random(len(columns)) < 0.1)
    names = rng.permutation(features.NAMES)[:7].tolist()
    whole = features.compute(columns, MARKET)
    part = features.compute(columns, MARKET, rows=chosen, names=names)
    assert bits(part) == bits(whole[chosen][:, features.positions(names)])


@settings(max_examples=15, deadline=None)
@given(markets)
def test_history_and_new_rows_join_into_the_whole(market):
    rows = records(*market)
    late = rows["as_of_us"] > np.median(rows["as_of_us"])
    whole = load_columns(rows)
    highs = {}
    for coin in np.unique(rows["coin"][~late]).tolist():
        last = np.flatnonzero((rows["coin"] == coin) & ~late)[-1]
        highs[coin] = (float(whole.ath_price[last]), int(whole.ath_us[last]))
    joined = concat([load_columns(rows[~late]), load_columns(rows[late], highs=highs)])
    assert bits(features.compute(joined, MARKET)) == bits(features.compute(whole, MARKET))


def _coin(*rows: dict) -> np.ndarray:
    """One coin, a row each five seconds unless `at` says otherwise (seconds after its start)."""
    made = np.zeros(len(rows), RECORD)
    for place, row in enumerate(rows):
        made[place]["as_of_us"] = int(row.pop("at", 5 * (place + 1)) * 1e6)
        for name, value in row.items():
            made[place][name] = value
    for name in ("price_open", "price_high", "price_low"):
        made[name] = np.where(made[name] == 0, made["price_close"], made[name])
    return made


def value(rows: np.ndarray, name: str, row: int = -1) -> float:
    return float(features.compute(load_columns(rows), nowhere(), names=[name])[row, 0])


def test_a_window_is_seconds_and_not_rows():
    rows = _coin(
        {"at": 5, "price_close": 1, "volume_sol": 1.5},
        {"at": 100, "price_close": 2, "volume_sol": 2.5},
        {"at": 130, "price_close": 3, "volume_sol": 4.0},
    )
    assert value(rows, "volume_sol_30s") == 4.0
    assert value(rows, "volume_sol_60s") == 6.5
    assert value(rows, "volume_sol_180s") == 8.0


def test_the_price_some_seconds_ago_is_the_last_one_known_then():
    rows = _coin({"at": 5, "price_close": 2}, {"at": 100, "price_close": 3}, {"at": 130, "price_close": 6})
    assert value(rows, "price_change_30s") == 1.0
    assert value(rows, "price_change_60s") == 2.0
    assert np.isnan(value(rows, "price_change_180s"))


def test_what_is_unknown_in_a_window_makes_its_sum_unknown():
    rows = _coin(
        {"at": 5, "price_close": 1, "dev_sold_amount": np.nan}, {"at": 60, "price_close": 1, "dev_sold_amount": 2.0}
    )
    assert value(rows, "dev_sold_sol_30s") == 2.0
    assert np.isnan(value(rows, "dev_sold_sol_60s"))


def test_the_high_is_that_of_the_whole_life_and_its_first_moment():
    rows = _coin(
        {"at": 5, "price_close": 4, "price_high": 8},
        {"at": 4000, "price_close": 4, "price_high": 8},
        {"at": 4010, "price_close": 2},
    )
    assert value(rows, "from_ath") == -0.75
    assert value(rows, "since_ath_seconds") == 4005.0


def test_coins_do_not_run_into_each_other():
    rows = np.concatenate([_coin({"at": 5, "price_close": 1, "num_buys": 7}), _coin({"at": 6, "price_close": 1})])
    rows["coin"] = [0, 1]
    assert value(rows, "trades_1800s") == 0.0


def test_rows_out_of_order_are_refused():
    rows = _coin({"at": 10, "price_close": 1}, {"at": 5, "price_close": 1})
    with pytest.raises(ValueError, match="sorted"):
        load_columns(rows)


def test_an_unknown_feature_is_named():
    with pytest.raises(PlatformError) as caught:
        features.positions(["price_close", "price_tomorrow"])
    assert caught.value.code == "FEATURE_UNKNOWN"
    assert "price_tomorrow" in caught.value.message


def test_the_registry_documents_every_column_once():
    rows = features.describe()
    assert [row["name"] for row in rows] == list(features.NAMES)
    assert len(set(features.NAMES)) == len(features.NAMES) >= 80
    assert all(row["formula"] and row["unit"] and row["inputs"] for row in rows)


def test_no_rows_give_an_empty_matrix():
    assert features.compute(load_columns(np.zeros(0, RECORD)), nowhere()).shape == (0, len(features.NAMES))


def test_windows_agree_with_pandas():
    import pandas as pd

    rows = records(3, 4, 80)
    frame = pd.DataFrame({"coin": rows["coin"], "at": pd.to_datetime(rows["as_of_us"], unit="us")})
    frame["volume_sol"], frame["price_high"] = rows["volume_sol"], rows["price_high"]
    for seconds in (30, 300):
        rolling = frame.groupby("coin").rolling(f"{seconds}s", on="at")
        mine = features.compute(
            load_columns(rows), nowhere(), names=[f"volume_sol_{seconds}s", f"from_high_{seconds}s"]
        )
        np.testing.assert_allclose(mine[:, 0], rolling["volume_sol"].sum().to_numpy(), rtol=1e-9)
        highest = rolling["price_high"].max().to_numpy()
        np.testing.assert_allclose(mine[:, 1], rows["price_close"] / highest - 1, rtol=1e-12)
