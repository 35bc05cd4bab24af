"""Frames that no honest feed sends, and orders of frames that it seldom sends: the stream goes on, and what the tables
say does not depend on when it was committed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from django.db import connection

from apps.discovery import services
from apps.discovery.lines import decode_line
from apps.discovery.models import CoinCandle, CoinMetric, CoinStream, StreamGap
from apps.discovery.owed import Owed
from apps.discovery.rollups import rollup_run
from apps.discovery.state import Cursor
from apps.discovery.tests.frames import SECOND, START_US, create
from apps.discovery.tests.test_pipeline import STATUS, commit, entry, feed, run, started
from apps.discovery.writer import moment, pay_owed, write

pytestmark = pytest.mark.usefixtures("feed_tables")

MINT, OTHER, THIRD = "M" * 43, "N" * 43, "P" * 43
SEGMENT = "0000000000000000.jsonl"
Frames = list[tuple[float, str]]


def odd_trade(mint: str, number: int, **changes: object) -> str:
    """A trade that is on no curve: 1 SOL for 1 token by the creator of `create`."""
    fields: dict[str, object] = {
        "txType": "buy",
        "mint": mint,
        "signature": ("A" * (number + 1)).rjust(88, "S"),
        "traderPublicKey": "C" * 40,
        "pool": "bonk",
        "tokenAmount": 1,
        "solAmount": 1,
    }
    return json.dumps(fields | changes)


def migration(mint: str) -> str:
    return json.dumps({"txType": "migrate", "mint": mint, "signature": "S" * 88, "pool": "pump-amm"})


def test_amounts_whose_sum_no_column_holds_do_not_stop_the_stream() -> None:
    absurd = [odd_trade(MINT, number, solAmount=9.2e9) for number in range(3)]
    feed((0, absurd[0]), (1, absurd[1]), (2, absurd[2]), (120, odd_trade(OTHER, 9)))
    assert CoinStream.objects.get(coin_id=MINT).volume_lamports == 2**63 - 1
    assert CoinStream.objects.get(coin_id=MINT).trades_total == 3
    assert rollup_run(now=moment(START_US + 600 * SECOND)) > 0
    assert CoinCandle.objects.get(mint=MINT).volume_lamports == 2**63 - 1


@pytest.mark.parametrize("market_cap", [5e-324, 1e-320, 1e-12])
def test_a_price_too_small_to_divide_by_is_no_price(market_cap: float) -> None:
    feed((0, odd_trade(MINT, 1, marketCapSol=market_cap)), (1, odd_trade(MINT, 2, marketCapSol=9e14)), (99, "{}"))
    window = CoinMetric.objects.get(mint=MINT)
    assert window.price_open == 1.0, "the trade's own price"
    assert math.isfinite(window.volatility_pct)


def test_coins_of_a_phase_deleted_meanwhile_are_written_all_the_same() -> None:
    pipeline = feed((0, create(MINT)))
    services.phase_delete(phase_id=1)
    frames = [odd_trade(MINT, 1), create(OTHER)]
    pipeline.feed([entry(1, 1, frames[0]), entry(2, 2, frames[1])], Cursor(SEGMENT, 3, 3))
    commit(pipeline)
    assert set(CoinStream.objects.values_list("coin_id", "phase_id")) == {(MINT, 2), (OTHER, 2)}
    pipeline.reconfigure(services.stream_config_load())
    pipeline.feed([entry(3, 3, odd_trade(MINT, 2))], Cursor(SEGMENT, 4, 4))
    assert {row[1] for row in commit(pipeline).streams} == {2}


def test_a_gap_with_a_reason_that_no_column_takes_is_stored() -> None:
    line = decode_line('{"t_wall":1760000009,"gap":{"from":1760000000,"to":1760000009,"reason":"a\\u0000b"}}')
    assert line is not None
    pipeline = started()
    pipeline.feed([line], Cursor(SEGMENT, 1, 1))
    commit(pipeline)
    assert StreamGap.objects.get().reason == "a\ufffdb"


LATE_CREATES: dict[str, Frames] = {
    "after a trade in another window": [(0, odd_trade(MINT, 1)), (60, create(MINT)), (90, odd_trade(MINT, 2))],
    "after the creator's sale in the same window": [
        (0, odd_trade(MINT, 1, txType="sell")),
        (1, create(MINT)),
        (2, odd_trade(MINT, 2, txType="sell")),
        (30, odd_trade(MINT, 3)),
    ],
    "after a migration": [(0, migration(MINT)), (1, create(MINT)), (30, odd_trade(MINT, 1, pool="pump-amm"))],
    "twice, and graduated twice": [
        (0, create(MINT)),
        (1, migration(MINT)),
        (2, create(MINT)),
        (3, migration(MINT)),
        (90, odd_trade(MINT, 1)),
    ],
    "of a burst, after trades long before": [
        *((number, odd_trade(letter * 43, number)) for number, letter in enumerate("PQRSTUVW")),
        *((600 + number / 100, create(letter * 43, name="X")) for number, letter in enumerate("PQRSTUVW")),
        *((601 + number / 100, create(letter * 43, name="X")) for number, letter in enumerate("123456")),
    ],
}


@pytest.mark.parametrize("story", LATE_CREATES)
@pytest.mark.parametrize("cut", ["commit", "restart", "kill"])
def test_a_late_create_says_the_same_wherever_it_is_cut(story: str, cut: str) -> None:
    entries = [entry(seq, seconds, raw) for seq, (seconds, raw) in enumerate(LATE_CREATES[story])]
    undisturbed = run(entries, {})
    disturbed = run(entries, dict.fromkeys(range(1, len(entries)), cut))
    for name, rows in undisturbed.items():
        assert disturbed[name] == rows, name


def test_the_creators_sales_before_a_late_create_are_known_as_such() -> None:
    feed((0, odd_trade(MINT, 1, txType="sell")), (1, create(MINT)), (2, odd_trade(MINT, 2, txType="sell")), (30, "{}"))
    assert CoinMetric.objects.get(mint=MINT).dev_sold_amount == 2.0


def test_windows_refused_while_only_time_passes_are_all_kept(tmp_path: Path) -> None:
    owed, pipeline = Owed(tmp_path), started()
    frames = [odd_trade(MINT, 1), odd_trade(OTHER, 2), odd_trade(OTHER, 3)]
    pipeline.feed([entry(number, 3 * number, raw) for number, raw in enumerate(frames)], Cursor(SEGMENT, 3, 3))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE coin_metrics ADD CONSTRAINT refuse CHECK (mint = '') NOT VALID")
    try:
        for _ in range(3):
            batch = pipeline.take()
            write(batch, STATUS, owed)
            write(batch, STATUS, owed)  # as when its commit was not answered
            pipeline.committed()
            pipeline.advance(pipeline.feed_us + 5 * SECOND)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE coin_metrics DROP CONSTRAINT refuse")
    assert pay_owed(owed) == 3
    assert sorted(CoinMetric.objects.values_list("mint", "num_buys")) == [(MINT, 1), (OTHER, 1), (OTHER, 1)]


@pytest.mark.parametrize("before", [create(MINT, name="scam"), migration(MINT)])
def test_a_create_that_is_not_tracked_is_not_asked_for_however_often_it_comes(before: str) -> None:
    services.config_write(changes={"bad_names_pattern": "scam"})
    pipeline = feed((0, before), (1, create(MINT)))
    assert pipeline.take_followed() == {MINT: False}
    pipeline.feed([entry(2, 2, create(MINT))], Cursor(SEGMENT, 3, 3))
    assert pipeline.take_followed() == {MINT: False}
    assert not CoinStream.objects.filter(is_active=True).exists()
