"""Candles: the same from trades and from rolled-up minutes, exact, whatever was late, dropped or interrupted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from apps.discovery import rollups
from apps.discovery.candles import Candle, candles
from apps.discovery.models import CandleDue, CoinCandle, CoinStream, CoinTransaction, StreamGap
from apps.discovery.rollups import rollup_run
from apps.discovery.state import TradeRow
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.test_pipeline import run
from apps.discovery.writer import insert_trades

pytestmark = pytest.mark.usefixtures("feed_tables")

BUCKETS = (1, 5, 7, 60, 300, 3_600, 5_400, 86_400)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
EVERYTHING = 100_000


def folded(trades: Iterable[CoinTransaction], seconds: int) -> list[Candle]:
    """Candles from trades in order, one at a time: what the database must say."""
    groups: dict[int, list[CoinTransaction]] = defaultdict(list)
    for trade in trades:
        groups[int(trade.timestamp.timestamp() // seconds) * seconds].append(trade)
    return [
        Candle(
            time=datetime.fromtimestamp(start, UTC),
            open=group[0].price_sol,
            high=max(trade.price_sol for trade in group),
            low=min(trade.price_sol for trade in group),
            close=group[-1].price_sol,
            volume_lamports=sum(trade.sol_amount for trade in group),
            buy_volume_lamports=sum(trade.sol_amount for trade in group if trade.tx_type == "buy"),
            trades=len(group),
            buys=sum(trade.tx_type == "buy" for trade in group),
        )
        for start, group in sorted(groups.items())
    ]


def trades_of(mint: str) -> list[CoinTransaction]:
    return list(CoinTransaction.objects.filter(mint=mint).order_by("timestamp", "seq", "trade_key"))


def busiest(count: int = 4) -> list[str]:
    return list(CoinStream.objects.order_by("-trades_total", "coin_id").values_list("coin_id", flat=True)[:count])


def assert_all_right(buckets: Iterable[int] = BUCKETS) -> None:
    for mint in busiest():
        for seconds in buckets:
            assert candles(mint, bucket_seconds=seconds, limit=EVERYTHING) == folded(trades_of(mint), seconds)


def without_gaps() -> None:
    StreamGap.objects.all().delete()


@pytest.mark.parametrize("seed", range(3))
def test_candles_are_the_same_before_during_and_after_the_rolling_up(seed: int) -> None:
    run(SmallMarket(seed).entries(1_200), {})
    without_gaps()
    assert_all_right()
    middle = CoinTransaction.objects.order_by("timestamp")[600].timestamp
    assert rollup_run(now=middle) > 0
    assert CandleDue.objects.exists()
    assert_all_right()
    rollup_run(now=LATER)
    assert not CandleDue.objects.exists()
    assert_all_right()
    assert sum(CoinCandle.objects.values_list("trades", flat=True)) == CoinTransaction.objects.count()


def test_since_and_before_cut_out_of_all_candles() -> None:
    run(SmallMarket(5).entries(1_000), {})
    without_gaps()
    mint = busiest(1)[0]
    for rolled in (False, True):
        if rolled:
            rollup_run(now=LATER)
        for seconds in (5, 60, 3_600):
            everything = candles(mint, bucket_seconds=seconds, limit=EVERYTHING)
            middle = everything[len(everything) // 2].time
            since = middle + timedelta(microseconds=1)
            assert candles(mint, bucket_seconds=seconds, limit=EVERYTHING, since=since) == [
                one for one in everything if one.time >= middle
            ]
            assert (
                candles(mint, bucket_seconds=seconds, limit=3, before=middle)
                == [one for one in everything if one.time < middle][-3:]
            )


def test_the_bucket_of_since_counts_whole_also_after_the_last_trade() -> None:
    run(SmallMarket(5).entries(1_000), {})
    without_gaps()
    mint = busiest(1)[0]
    last = candles(mint, bucket_seconds=86_400, limit=1)
    late = last[0].time + timedelta(days=1, microseconds=-1)
    assert candles(mint, bucket_seconds=86_400, limit=10, since=late) == last
    assert candles(mint, bucket_seconds=86_400, limit=10, since=late, before=late) == []


@pytest.mark.parametrize("after", [timedelta(), timedelta(microseconds=1), timedelta(seconds=59)])
def test_candles_up_to_any_moment_outlive_their_trades(after: timedelta) -> None:
    run(SmallMarket(4).entries(800), {})
    without_gaps()
    rollup_run(now=LATER)
    mint = busiest(1)[0]
    minutes = candles(mint, bucket_seconds=60, limit=EVERYTHING)
    before = minutes[len(minutes) // 2].time + after
    hours = candles(mint, bucket_seconds=3_600, limit=EVERYTHING, before=before)
    assert hours == folded([one for one in trades_of(mint) if one.timestamp < before], 3_600)
    CoinTransaction.objects.filter(timestamp__lt=minutes[len(minutes) // 2].time).delete()
    assert candles(mint, bucket_seconds=3_600, limit=EVERYTHING, before=before) == hours


def late_trade(mint: str, like: CoinTransaction) -> TradeRow:
    """A trade of the same instant that comes after its minute was rolled up."""
    at_us = int(like.timestamp.timestamp()) * 1_000_000
    return (mint, at_us, 7, 10**12, "late", "late", "buy", 123_456_789, 1_000, 9.9, None, None, False, 1)


def test_a_late_trade_makes_its_minute_due_again() -> None:
    run(SmallMarket(2).entries(600), {})
    without_gaps()
    rollup_run(now=LATER)
    mint = busiest(1)[0]
    with connection.cursor() as cursor:
        insert_trades(cursor, [late_trade(mint, trades_of(mint)[3])])
    assert_all_right()
    assert rollup_run(now=LATER) == 1
    assert_all_right()
    assert CoinCandle.objects.filter(mint=mint, price_high=9.9).count() == 1


def test_a_rolling_up_that_dies_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run(SmallMarket(3).entries(600), {})
    without_gaps()
    due = CandleDue.objects.count()
    with monkeypatch.context() as patch:
        patch.setattr(rollups, "ROLL_UP", rollups.ROLL_UP + "; SELECT 1/0")
        with pytest.raises(Exception, match="division by zero"):
            rollup_run(now=LATER)
    assert CandleDue.objects.count() == due
    rollup_run(now=LATER)
    assert_all_right((60, 3_600))


def test_candles_stay_when_their_trades_are_dropped() -> None:
    run(SmallMarket(4).entries(800), {})
    without_gaps()
    rollup_run(now=LATER)
    mint = busiest(1)[0]
    before = candles(mint, bucket_seconds=60, limit=EVERYTHING)
    kept = trades_of(mint)[0]
    CoinTransaction.objects.exclude(mint=kept.mint, timestamp=kept.timestamp, trade_key=kept.trade_key).delete()
    minute = kept.timestamp.replace(second=0, microsecond=0)
    CandleDue.objects.create(minute=minute)
    rollup_run(now=LATER)
    assert candles(mint, bucket_seconds=60, limit=EVERYTHING) == before


def test_candles_that_touch_a_gap_say_so() -> None:
    run(SmallMarket(6).entries(400), {})
    without_gaps()
    mint = busiest(1)[0]
    first, *_, last = candles(mint, bucket_seconds=60, limit=EVERYTHING)
    StreamGap.objects.create(started_at=last.time, ended_at=last.time + timedelta(seconds=1), reason="test")
    found = candles(mint, bucket_seconds=60, limit=EVERYTHING)
    assert [one.time for one in found if one.touches_gap] == [last.time]
    assert first.time != last.time


@pytest.mark.parametrize("seconds", [0, -5, 86_401])
def test_buckets_outside_a_second_to_a_day_are_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        candles("M", bucket_seconds=seconds, limit=1)


def test_a_coin_without_trades_has_no_candles() -> None:
    assert candles("Z" * 44, bucket_seconds=60, limit=10) == []
