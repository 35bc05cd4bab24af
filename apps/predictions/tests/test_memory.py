"""The scorer's memory of coins, without a database."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.predictions.memory import Memory
from apps.training import features
from apps.training.columns import METRICS, RECORD, load_columns
from apps.training.market import nowhere

COINS = 4
MINTS = [f"mint{number}" for number in range(COINS)]
HALF_HOUR_US = 1_800_000_000
HISTORY_US = HALF_HOUR_US + 600_000_000


def records_of(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Rows of all coins over two hours, as the table would hold them, sorted by (coin, time)."""
    records = np.zeros(rows, RECORD)
    records["coin"] = rng.integers(0, COINS, rows)
    records["as_of_us"] = rng.choice(7200, rows, replace=False) * 1_000_000 + 10**15
    records["started_us"] = 10**15
    records["phase_id"] = 1
    for name in METRICS:
        records[name] = rng.integers(1, 50, rows) / 10
    records["unique_wallets"][rng.random(rows) < 0.3] = np.nan
    return records[np.lexsort((records["as_of_us"], records["coin"]))]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_remembered_gives_the_features_of_the_whole_history(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = records_of(rng, 200)
    columns = load_columns(table)
    wanted = features.compute(columns, nowhere())
    memory = Memory()
    cuts = np.sort(rng.choice(np.unique(table["as_of_us"]), 12))
    for low, high in zip(np.r_[0, cuts], np.r_[cuts, np.iinfo(np.int64).max], strict=True):
        batch = table[(table["as_of_us"] > low) & (table["as_of_us"] <= high)]
        if not len(batch):
            continue
        strangers = set(memory.strangers(MINTS, batch))
        _load(memory, table, strangers, batch)
        known = np.array([MINTS[number] not in strangers for number in batch["coin"]])
        if known.any():
            memory.extend(MINTS, batch[known])
        rows = np.sort(memory.find(MINTS, batch))
        found = features.of(memory.history(rows, nowhere()))
        mints = memory.mints_of(memory.columns.coin[rows])
        for mint, us, values in zip(mints, memory.columns.as_of_us[rows].tolist(), found, strict=True):
            at = np.flatnonzero((columns.coin == MINTS.index(mint)) & (columns.as_of_us == us))[0]
            assert values.tobytes() == wanted[at].tobytes()
        memory.trim(int(batch["as_of_us"].max()) - HISTORY_US)


def _load(memory: Memory, table: np.ndarray, strangers: set[str], batch: np.ndarray) -> None:
    """What the scorer reads of coins it does not hold."""
    if not strangers:
        return
    numbers = sorted(MINTS.index(mint) for mint in strangers)
    mine = batch[np.isin(batch["coin"], numbers)]
    after, until = mine["as_of_us"].min() - HALF_HOUR_US, mine["as_of_us"].max()
    history = table[np.isin(table["coin"], numbers) & (table["as_of_us"] > after) & (table["as_of_us"] <= until)].copy()
    highs = {}
    for place, number in enumerate(numbers):
        older = table[(table["coin"] == number) & (table["as_of_us"] <= after)]
        if len(older):
            top = int(np.argmax(older["price_high"]))
            highs[place] = (float(older["price_high"][top]), int(older["as_of_us"][top]))
        history["coin"][history["coin"] == number] = place
    memory.replace([MINTS[number] for number in numbers], history, highs)


def test_silent_coins_are_forgotten_and_their_slots_used_again() -> None:
    memory = Memory()
    table = records_of(np.random.default_rng(1), 40)
    memory.replace(MINTS, table, {})
    memory.trim(int(table["as_of_us"].max()))
    assert (len(memory), memory.rows, memory.size) == (0, 0, COINS)
    memory.replace(["other"], table[:0], {})
    assert memory.size == COINS


def test_a_row_that_is_not_newer_makes_its_coin_a_stranger() -> None:
    memory = Memory()
    table = records_of(np.random.default_rng(2), 40)
    memory.replace(MINTS, table, {})
    assert set(memory.strangers(MINTS, table)) == set(MINTS)
    later = table[:1].copy()
    later["as_of_us"] = table["as_of_us"].max() + 1
    assert memory.strangers(MINTS, later) == []
    assert memory.strangers(["unheard"], later) == ["unheard"]
