"""What is counted by the minute, and what the canary says of a changed protocol."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from apps.discovery import curve
from apps.discovery.feed_health import Observer
from apps.discovery.meter import CANARY_EVERY, MINUTE_US, Meter, Reading
from apps.discovery.metrics import CANARY
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal.messages import Create
from apps.discovery.pumpportal.parse import parse
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor, Entry, Snapshot, TrackedCoin
from apps.discovery.tests.frames import START_US, SmallMarket

MINT = "M" * 40


def test_a_minute_is_noted_when_something_came_and_written_again_when_more_came() -> None:
    meter = Meter()
    meter.turn(10 * MINUTE_US + 5)
    meter.frames += 3
    assert meter.take() == [Reading(10 * MINUTE_US, frames=3)]
    assert meter.take() == []
    meter.frames += 1
    meter.turn(11 * MINUTE_US)
    meter.turn(13 * MINUTE_US)
    meter.frames += 1
    assert meter.take() == [Reading(10 * MINUTE_US, frames=4), Reading(13 * MINUTE_US, frames=5)]


def test_a_meter_counts_on_from_what_was_committed() -> None:
    last = Reading(10 * MINUTE_US, 4, 3, 2, 2, 1, 1)
    meter = Meter(last)
    meter.turn(10 * MINUTE_US + 7)
    assert meter.take() == []
    meter.frames += 1
    assert meter.take() == [Reading(10 * MINUTE_US, 5, *astuple(last)[2:])]


def trade_text(quote: curve.Quote, side: str, **changes: Any) -> str:
    return json.dumps(
        {
            "mint": MINT,
            "txType": side,
            "tokenAmount": quote.token_base_units / 1e6,
            "solAmount": quote.net_lamports / 1e9,
            "vTokensInBondingCurve": quote.after.virtual_token / 1e6,
            "vSolInBondingCurve": quote.after.virtual_sol / 1e9,
            "marketCapSol": curve.market_cap_sol(quote.after),
            "pool": "pump",
        }
        | changes
    )


BUY = curve.buy_exact_in(curve.INITIAL, 10**9, curve.Fees(95, 30))


@pytest.mark.parametrize(
    ("changes", "before", "counts"),
    [
        ({}, curve.INITIAL, (1, 1, 1, 1)),
        ({}, curve.Reserves(31 * 10**9, 1_038_387_096_774_193), (1, 1, 1, 0)),
        ({}, None, (1, 1, 0, 0)),
        ({"tokenAmount": 5}, curve.INITIAL, (1, 0, 1, 0)),
        ({"marketCapSol": 1}, curve.INITIAL, (1, 0, 0, 0)),
        ({"vSolInBondingCurve": None}, curve.INITIAL, (1, 0, 0, 0)),
        ({"pool": "pump-amm"}, curve.INITIAL, (0, 0, 0, 0)),
    ],
    ids=["exact", "one was missed", "nothing before", "other amount", "other market cap", "no reserves", "other pool"],
)
def test_a_trade_is_held_against_the_curve(
    changes: dict[str, Any], before: curve.Reserves | None, counts: tuple[int, ...]
) -> None:
    meter = Meter()
    message: Any = parse(trade_text(BUY, "buy", **changes)).message
    meter.judge_trade(message, before)
    assert (meter.judged, meter.exact, meter.compared, meter.seamless) == counts


class NoStore:
    """Every coin is new."""

    def load_coins(self, mints: Any) -> list[TrackedCoin]:
        return []


def fold(entries: list[Entry]) -> Pipeline:
    pipeline = Pipeline(stream_config_load(), NoStore(), Snapshot())
    pipeline.feed(entries, Cursor("", 0, len(entries)))
    return pipeline


@pytest.mark.django_db
def test_the_counts_are_those_of_the_frames() -> None:
    entries = SmallMarket(3).entries(2_000)
    pipeline = fold(entries)
    reading = pipeline.take().readings[-1]
    frames = [entry.raw for entry in entries if entry.raw is not None]
    assert reading.frames == len(frames)
    assert reading.trades == sum('"tokenAmount":' in raw for raw in frames)
    garbage = sum(
        entry.raw is not None and parse(entry.raw).message is None and not entry.seq % CANARY_EVERY for entry in entries
    )
    assert reading.judged > 100 and reading.exact == reading.judged - garbage
    assert reading.seamless > 0.9 * reading.compared > 0


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["vSolInBondingCurve", "marketCapSol"])
def test_a_protocol_that_changes_is_seen_within_the_hour(name: str) -> None:
    """From frame 3,000 on a field is renamed (reserves), or means something else (market cap)."""
    entries = []
    for seq, entry in enumerate(SmallMarket(4).entries(6_000)):
        raw = entry.raw
        if raw is not None and seq >= 3_000:
            raw = raw.replace(f'"{name}":', '"vSol":' if name != "marketCapSol" else f'"{name}":1')
        entries.append(Entry(entry.seq, START_US + seq * 500_000, raw, entry.gap))
    observer = Observer({}, None)
    pipeline = fold(entries[:3_000])
    observer.committed(pipeline.take(), is_live=False)
    assert CANARY._value.get() > 0.95  # the rest is garbage
    pipeline.feed(entries[3_000:], Cursor("", 0, 6_000))
    observer.committed(pipeline.take(), is_live=False)
    assert CANARY._value.get() < 0.8


def test_real_creates_keep_the_identities_but_for_a_few(recordings: Path) -> None:
    """The few are quoted in something else than SOL; FEED_EXACT_SHARE must be below this share."""
    meter = Meter()
    for line in (recordings / "frames_2026-07-03.jsonl").open():
        message = parse(json.loads(line).get("raw") or "").message
        if isinstance(message, Create):
            meter.judge_create(message)
    assert meter.judged > 100 and meter.exact / meter.judged > 0.9


@pytest.mark.django_db
def test_frames_that_mean_nothing_any_more_let_the_share_fall() -> None:
    renamed = trade_text(BUY, "buy").replace("solAmount", "sol_amount")
    meter = fold([Entry(seq, START_US + seq, renamed) for seq in range(80)]).meter
    assert (meter.judged, meter.exact, meter.trades) == (10, 0, 0)
