"""Windows and lives of coins as values."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.discovery.lifecycle import MINUTE_US, Phases, Rules, window_bounds
from apps.discovery.windows import METRIC_COLUMNS, Window, metric_row

SECOND = 1_000_000
PHASES = Phases.of([(1, 5, 0, 10), (2, 30, 10, 60), (3, 60, 60, 1440), (99, 0, 1440, 1440), (100, 0, 0, 0)])
RULES = Rules.of(bad_names="scam|rug", spam_seconds=30, spam_coins=3, untraded_seconds=120, stale_seconds=1800)


def row_of(window: Window, *, creator: str | None = "C", standard: bool = True) -> dict[str, object]:
    row = metric_row("M", window, is_standard=standard, creator=creator, koth_market_cap_sol=30.0)
    return dict(zip(METRIC_COLUMNS, row, strict=True))


def folded(*trades: tuple[bool, int, float, str | None]) -> Window:
    """Trades as (is buy, lamports, price, trader); a whale has a SOL."""
    window = Window(1, 0, 5 * SECOND)
    for is_buy, lamports, price, trader in trades:
        window.add(is_buy, lamports, price, 31_000_000_000, trader, "C", 10**9)
    return window


def test_window_has_every_figure_of_its_trades() -> None:
    row = row_of(
        folded(
            (True, 2 * 10**9, 2.0e-8, "A"),
            (True, 5_000_000, 2.5e-8, "B"),
            (False, 10**9, 1.5e-8, "C"),
            (False, 500_000_000, 3.0e-8, "A"),
        )
    )
    assert (row["price_open"], row["price_high"], row["price_low"], row["price_close"]) == (2e-8, 3e-8, 1.5e-8, 3e-8)
    assert row["market_cap_close"] == pytest.approx(30.0)
    assert row["bonding_curve_pct"] == pytest.approx(1 / 85.005359 * 100)
    assert row["virtual_sol_reserves"] == 31.0
    assert (row["volume_sol"], row["buy_volume_sol"], row["sell_volume_sol"]) == (3.505, 2.005, 1.5)
    assert (row["num_buys"], row["num_sells"], row["unique_wallets"], row["num_micro_trades"]) == (2, 2, 3, 1)
    assert (row["dev_sold_amount"], row["max_single_buy_sol"], row["max_single_sell_sol"]) == (1.0, 2.0, 1.0)
    assert (row["net_volume_sol"], row["avg_trade_size_sol"]) == (0.505, 0.87625)
    assert row["volatility_pct"] == pytest.approx(75.0)
    assert (row["whale_buy_volume_sol"], row["whale_sell_volume_sol"]) == (2.0, 1.0)
    assert (row["num_whale_buys"], row["num_whale_sells"], row["unique_signer_ratio"]) == (1, 1, 0.75)
    assert row["buy_pressure_ratio"] == 2005 / 3505
    assert row["timestamp"] == 5 * SECOND


def test_what_is_unknown_stays_null() -> None:
    nobody = row_of(folded((True, 10**9, 2e-8, None), (False, 10**9, 2e-8, "C")))
    assert (nobody["unique_wallets"], nobody["dev_sold_amount"], nobody["unique_signer_ratio"]) == (None, None, None)
    assert row_of(folded((False, 1, 2e-8, "A")), creator=None)["dev_sold_amount"] is None
    assert row_of(folded((False, 1, 2e-8, "A")), standard=False)["bonding_curve_pct"] is None
    assert row_of(folded((True, 0, 2e-8, "A")))["buy_pressure_ratio"] is None


@given(st.integers(0, 10**16), st.integers(0, 1440 * MINUTE_US - 1))
def test_window_holds_its_moment_and_stays_in_its_phase(started_us: int, age_us: int) -> None:
    phase = PHASES.at(age_us)
    assert phase is not None
    start, end = window_bounds(phase, started_us, started_us + age_us)
    assert start <= started_us + age_us < end <= start + phase.interval_us
    assert started_us + phase.begin_us <= start and end <= started_us + phase.end_us


@given(st.integers(0, 10**16), st.lists(st.integers(0, 3 * 3600 * SECOND), min_size=2, max_size=40))
def test_windows_of_a_coin_never_overlap(started_us: int, ages: list[int]) -> None:
    bounds = set()
    for age in ages:
        phase = PHASES.at(age)
        assert phase is not None
        bounds.add(window_bounds(phase, started_us, started_us + age))
    ordered = sorted(bounds)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ordered))


@pytest.mark.parametrize(
    ("age_minutes", "phase_id"), [(0, 1), (9.999, 1), (10, 2), (59.9, 2), (60, 3), (1439.9, 3), (1440, None)]
)
def test_phase_goes_by_age(age_minutes: float, phase_id: int | None) -> None:
    phase = PHASES.at(round(age_minutes * MINUTE_US))
    assert (phase.id if phase else None) == phase_id


def test_hole_between_phases_belongs_to_the_later_one() -> None:
    phases = Phases.of([(1, 5, 0, 10), (3, 60, 60, 1440)])
    phase = phases.at(30 * MINUTE_US)
    assert phase is not None and (phase.id, phase.begin_us) == (3, 10 * MINUTE_US)


def test_coin_is_given_up_by_its_last_trade() -> None:
    assert RULES.given_up_at(0, None) == 120 * SECOND
    assert RULES.given_up_at(0, 50 * SECOND) == 1850 * SECOND
