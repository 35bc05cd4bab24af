"""The simulated market: repeatable, on the curve, shaped like the real one, and learnable but noisy."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from apps.discovery import curve
from apps.discovery.curve import Reserves
from apps.discovery.pumpportal import market_draws as draws
from apps.discovery.pumpportal import market_table
from apps.discovery.pumpportal.market import Market
from apps.discovery.pumpportal.market_frames import USDC
from apps.discovery.pumpportal.market_table import AIMS, LIFE_SECONDS, Observed, Row

START = 1_790_000_000.0
HOUR, LENGTH, SEEN = 3600.0, 4500.0, 7200.0
CREATE_KEYS = [
    "signature",
    "mint",
    "traderPublicKey",
    "txType",
    "initialBuy",
    "solAmount",
    "bondingCurveKey",
    "vTokensInBondingCurve",
    "vSolInBondingCurve",
    "marketCapSol",
    "name",
    "symbol",
    "uri",
    "is_mayhem_mode",
    "pool",
]
TRADE_KEYS = [
    "signature",
    "mint",
    "traderPublicKey",
    "txType",
    "tokenAmount",
    "solAmount",
    "newTokenBalance",
    "bondingCurveKey",
    "vTokensInBondingCurve",
    "vSolInBondingCurve",
    "marketCapSol",
    "pool",
]

Frame = dict[str, Any]


@dataclass
class Day:
    """75 minutes of the market, frames by kind; and its next hours in figures, as `market_table.observe` takes them."""

    creates: list[tuple[float, Frame]] = field(default_factory=list)
    trades: dict[str, list[tuple[float, Frame]]] = field(default_factory=lambda: defaultdict(list))
    migrations: list[tuple[float, Frame]] = field(default_factory=list)
    pending: int = 0
    seen: Observed = field(default_factory=Observed)

    @property
    def all_trades(self) -> Iterator[tuple[float, Frame]]:
        return itertools.chain.from_iterable(self.trades.values())

    def add(self, at: float, frame: Frame) -> None:
        if frame["txType"] == "create":
            self.creates.append((at, frame))
        elif frame["txType"] == "migrate":
            self.migrations.append((at, frame))
        else:
            self.trades[str(frame["mint"])].append((at, frame))


@pytest.fixture(scope="module")
def day() -> Day:
    market, day = Market(8, START), Day()
    for at, frame in market.until(START + LENGTH):
        day.add(at, frame)
        if at >= START + LIFE_SECONDS:
            day.seen.add(at, frame)
    day.pending = market.pending
    for at, frame in market.until(START + LIFE_SECONDS + SEEN):
        day.seen.add(at, frame)
    return day


@pytest.fixture(scope="module")
def by_rate() -> dict[int, list[Frame]]:
    """Two minutes of a market ten times as busy, and 100 seconds of one that is so a hundred times."""
    return {
        rate: [frame for _, frame in Market(2, START, rate).until(START + seconds)]
        for rate, seconds in ((10, 120), (100, 100))
    }


def _text(seed: int, seconds: float) -> str:
    return json.dumps(list(Market(seed, START).until(START + seconds)))


def _units(value: float, per: int) -> int:
    return int((Decimal(repr(value)) * per).to_integral_value())


def _reserves(frame: Frame) -> Reserves:
    return Reserves(_units(frame["vSolInBondingCurve"], 10**9), _units(frame["vTokensInBondingCurve"], 10**6))


def test_same_seed_gives_the_same_frames_byte_for_byte() -> None:
    first = _text(1, 300)
    assert first == _text(1, 300)
    assert first != _text(2, 300)


def test_frames_are_the_same_however_the_time_is_cut() -> None:
    whole, cut = Market(1, START), Market(1, START)
    pieces = [frame for step in range(1, 301) for frame in cut.until(START + step)]
    assert pieces == list(whole.until(START + 300))


def test_frames_come_in_order_of_time() -> None:
    times = [at for at, _ in Market(3, START).until(START + 600)]
    assert times == sorted(times)
    assert times[0] >= START


def test_frames_have_the_keys_of_the_real_ones_in_their_order(day: Day) -> None:
    forms = {tuple(frame) for _, frame in day.creates if frame["pool"] == "pump"}
    nameless = tuple(key for key in CREATE_KEYS if key not in ("name", "symbol", "uri"))
    assert forms == {tuple(CREATE_KEYS), nameless}
    assert {tuple(frame) for _, frame in day.all_trades} == {tuple(TRADE_KEYS)}
    assert {tuple(frame) for _, frame in day.migrations} == {("signature", "mint", "txType", "pool")}


def test_every_trade_lies_exactly_on_the_curve_and_continues_the_one_before(day: Day) -> None:
    reserves = {frame["mint"]: _reserves(frame) for _, frame in day.creates if frame["pool"] == "pump"}
    for mint, trades in day.trades.items():
        before = reserves[mint]
        for _, frame in trades:
            net, tokens = _units(frame["solAmount"], 10**9), _units(frame["tokenAmount"], 10**6)
            after = _reserves(frame)
            assert curve.reproduces(frame["txType"], net, tokens, after)
            assert curve.reserves_before(frame["txType"], net, tokens, after) == before
            before = after


def test_wallets_never_sell_what_they_do_not_have(day: Day) -> None:
    held: Counter[tuple[str, str]] = Counter()
    for _, frame in day.creates:
        held[frame["mint"], frame["traderPublicKey"]] += _units(frame["initialBuy"], 10**6)
    for _, frame in day.all_trades:
        wallet = frame["mint"], frame["traderPublicKey"]
        tokens = _units(frame["tokenAmount"], 10**6)
        held[wallet] += tokens if frame["txType"] == "buy" else -tokens
        assert held[wallet] == _units(frame["newTokenBalance"], 10**6) >= 0


def test_oddities_of_the_real_feed_occur(day: Day) -> None:
    pump = [frame for _, frame in day.creates if frame["pool"] == "pump"]
    keys = Counter(frame["bondingCurveKey"] for frame in pump if frame["is_mayhem_mode"])
    names = Counter(frame["name"] for frame in pump if "name" in frame)
    signatures = Counter(frame["signature"] for _, frame in day.all_trades)
    created = {frame["mint"]: at for at, frame in day.creates}
    assert 0.1 < np.mean([frame["is_mayhem_mode"] for frame in pump]) < 0.27
    assert keys.most_common(1)[0][1] > 10
    assert any(frame["mint"] == USDC for frame in pump)
    assert any(frame["pool"] == "bonk" for _, frame in day.creates)
    assert any("name" not in frame for frame in pump)
    assert any(not name.strip() for name in names)
    assert any(not name.isascii() for name in names)
    assert names.most_common(1)[0][1] > 10
    assert max(signatures.values()) == 2
    assert any(len(repr(frame["tokenAmount"]).partition(".")[2]) > 6 for _, frame in day.all_trades)
    assert any(0.03 <= at - created[frame["mint"]] <= 0.24 for at, frame in day.migrations)
    assert 0.02 < np.mean([not frame["mint"].endswith("pump") for frame in pump]) < 0.2


def test_addresses_and_signatures_have_the_lengths_of_real_ones(day: Day) -> None:
    for _, frame in itertools.chain(day.creates, day.all_trades, day.migrations):
        assert len(frame["signature"]) in (87, 88)
        assert len(frame["mint"]) in (43, 44)
        assert set(frame["mint"] + frame["signature"]) <= set(draws._ALPHABET.decode())


def test_complete_curve_is_not_traded_and_migrates(day: Day) -> None:
    complete = {
        mint: trades[-1][0]
        for mint, trades in day.trades.items()
        if curve.is_complete(_reserves(trades[-1][1])) and trades[-1][0] < START + LENGTH - 10
    }
    migrated = {frame["mint"] for _, frame in day.migrations}
    assert complete
    assert set(complete) <= migrated


def test_early_flow_tells_something_about_the_rise_but_not_all(day: Day) -> None:
    from sklearn.metrics import roc_auc_score  # two seconds of imports, which no other worker need pay

    wallets, rises = [], []
    for at, create in day.creates:
        trades = day.trades.get(create["mint"], [])
        early = [frame for when, frame in trades if when < at + 30]
        later = [frame["marketCapSol"] for when, frame in trades if at + 32 <= when < at + 332]
        if len(early) >= 5 and at < START + HOUR:
            wallets.append(len({frame["traderPublicKey"] for frame in early}))
            rises.append(max(later, default=0.0) > 1.2 * early[-1]["marketCapSol"])
    assert 0.05 < np.mean(rises) < 0.5
    assert 0.6 < roc_auc_score(rises, wallets) < 0.95


def test_dead_coins_are_forgotten(day: Day) -> None:
    assert day.pending < len(day.creates)


def test_rate_multiplies_the_creates(day: Day, by_rate: dict[int, list[Frame]]) -> None:
    creates = {rate: sum(frame["txType"] == "create" for frame in frames) for rate, frames in by_rate.items()}
    assert len(day.creates) / LENGTH * 60 == pytest.approx(24.5, rel=0.2)
    assert creates[10] / 2 == pytest.approx(245, rel=0.2)
    assert creates[100] * 60 / 100 == pytest.approx(2450, rel=0.15)


def test_rate_multiplies_the_trades_and_leaves_the_coins_alone(by_rate: dict[int, list[Frame]]) -> None:
    slow, fast = ([frame for frame in by_rate[rate] if "tokenAmount" in frame] for rate in (10, 100))
    assert (len(fast) / 100) / (len(slow) / 120) == pytest.approx(10.0, rel=0.15)
    assert np.median([frame["solAmount"] for frame in fast]) == pytest.approx(0.16, abs=0.03)


@pytest.fixture(scope="module")
def rows(day: Day) -> list[Row]:
    return market_table.table(day.seen, rate=1.0, seconds=SEEN)


@pytest.mark.parametrize("number", range(len(AIMS)), ids=[aim.name for aim in AIMS])
def test_market_is_shaped_like_the_real_one(rows: list[Row], number: int) -> None:
    row = rows[number]
    assert row.aim is AIMS[number]
    assert row.fits, f"{row.aim.name}: aim {row.aim.low:g}, simulated {row.simulated:g}"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantile_inverts_its_table(share: float) -> None:
    table = ((0.0, 1.0), (0.5, 10.0), (1.0, 100.0))
    assert draws.quantile(table, share) == pytest.approx(100.0**share)
