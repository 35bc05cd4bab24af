"""Kills the real trader process again and again while it works, and compares with a run that was left alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from django.conf import settings

from apps.core.prepared import fetch
from apps.trading import engine, rehearsal
from apps.trading.nest import Nest
from apps.trading.rehearsal import Beat, Damage, TraderProcess

LONGEST_STEP_SECONDS = 0.02  # about as long as the trader works on one order


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
    _disturbed(beats, kills, len(expected), random.Random(seed), say)
    return rehearsal.damage(expected)


def _undisturbed(beats: Sequence[Beat]) -> list[tuple[object, ...]]:
    for beat in beats:
        rehearsal.beat_write(beat)
        while engine.round_once():
            pass
    return rehearsal.outcome()


class _Trader(TraderProcess):
    """The trader, forked instead of started from nothing."""

    def nest(self) -> Nest:
        """The process that it is forked from by `start`."""
        self._nest = Nest(self._environment)
        return self._nest

    def start(self) -> None:
        self._process = self._nest.fork()


def _trader() -> _Trader:
    return _Trader(
        MAX_ALERT_LAG_SECONDS="1000000000",
        TRADING_LATENCY_MS=str(settings.TRADING_LATENCY_MS),
        TRADING_LATENCY_MAX_MS=str(settings.TRADING_LATENCY_MAX_MS),
        PAPER_FAILURE_RATE=str(settings.PAPER_FAILURE_RATE),
    )


def _disturbed(beats: Sequence[Beat], kills: int, orders: int, dice: random.Random, say: Callable[[str], None]) -> None:
    """Feed the beats in `kills` portions and kill the trader in its work on each; `orders` will be made in all."""
    process = _trader()
    with process.nest():
        rows_a_kill = max(1, 2 * orders // kills)  # an order and its trade
        for number in range(kills):
            portion = beats[number * len(beats) // kills : (number + 1) * len(beats) // kills]
            _kill(process, portion, dice.randint(1, 2 * rows_a_kill), dice)
            if (number + 1) % 10 == 0:
                say(f"{number + 1} of {kills} kills")
        process.start()
        rehearsal.wait_until(lambda: _is_done(beats[-1]), "the trader to finish", seconds=600)
        process.stop()


def _kill(process: TraderProcess, beats: Sequence[Beat], rows: int, dice: random.Random) -> None:
    """Kill the trader a moment after it has written so many orders and trades, or has nothing more to do."""
    for beat in beats:
        rehearsal.beat_write(beat)
    goal = _written() + rows
    process.start()
    rehearsal.wait_until(lambda: _written() >= goal or _is_done(beats[-1]), "the trader to work", every=0.003)
    time.sleep(dice.uniform(0, LONGEST_STEP_SECONDS))
    process.kill()


WRITTEN = """
SELECT coalesce((SELECT max(id) FROM orders), 0) + coalesce((SELECT max(id) FROM trade_logs), 0)
"""


def _written() -> int:
    """A number that grows with every order and trade."""
    return int(fetch(WRITTEN, {})[0][0])


def _is_done(last: Beat) -> bool:
    processed_at = engine.queries.progress().processed_at
    return processed_at is not None and processed_at >= last.at
