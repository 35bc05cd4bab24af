"""Kills the real trader process again and again while it works, and compares with a run that was left alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from django.conf import settings

from apps.trading import engine, rehearsal
from apps.trading.models import Order, TradeLog
from apps.trading.rehearsal import Beat, Damage, TraderProcess

LONGEST_WORK_SECONDS = 0.4


def crash_run(
    *, kills: int, orders: int, seed: int = 1, coins: int = 30, say: Callable[[str], None] = lambda line: None
) -> Damage:
    """Play a script undisturbed, then again with `kills` kills at random points, and say what differs.

    About `orders` orders are made in all (entries and exits). The tables of trading must be empty.
    """
    alerts_a_beat = max(1, coins // 3)
    beats = rehearsal.script(seed=seed, beats=max(kills, orders // (2 * alerts_a_beat)), coins=coins,
                             alerts_a_beat=alerts_a_beat)  # fmt: skip
    rehearsal.stage(coins=coins)
    expected = _undisturbed(beats)
    say(f"undisturbed: {len(expected)} orders")
    rehearsal.unstage()
    rehearsal.stage(coins=coins)
    _disturbed(beats, kills, random.Random(seed), say)
    return rehearsal.damage(expected)


def _undisturbed(beats: Sequence[Beat]) -> list[tuple[object, ...]]:
    for beat in beats:
        rehearsal.beat_write(beat)
        while engine.round_once():
            pass
    return rehearsal.outcome()


def _process() -> TraderProcess:
    return TraderProcess(
        MAX_ALERT_LAG_SECONDS="1000000000",
        TRADING_LATENCY_MS=str(settings.TRADING_LATENCY_MS),
        TRADING_LATENCY_MAX_MS=str(settings.TRADING_LATENCY_MAX_MS),
        PAPER_FAILURE_RATE=str(settings.PAPER_FAILURE_RATE),
    )


def _disturbed(beats: Sequence[Beat], kills: int, dice: random.Random, say: Callable[[str], None]) -> None:
    """Feed the beats in `kills` portions; kill the trader somewhere in its work on each."""
    process = _process()
    for number in range(kills):
        for beat in beats[number * len(beats) // kills : (number + 1) * len(beats) // kills]:
            rehearsal.beat_write(beat)
        before = _trace()
        process.start()
        rehearsal.wait_until(lambda before=before: _trace() != before, "the trader to work", every=0.005)  # type: ignore[misc]
        time.sleep(dice.uniform(0, LONGEST_WORK_SECONDS))
        process.kill()
        if (number + 1) % 10 == 0:
            say(f"{number + 1} of {kills} kills")
    process.start()
    rehearsal.wait_until(lambda: _is_done(beats[-1]), "the trader to finish", seconds=600)
    process.stop()


def _trace() -> tuple[int, int, int]:
    return Order.objects.count(), TradeLog.objects.count(), Order.objects.filter(status="SUBMITTED").count()


def _is_done(last: Beat) -> bool:
    processed_at = engine.queries.progress().processed_at
    return processed_at is not None and processed_at >= last.at
