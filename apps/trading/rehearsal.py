"""A made-up market that drives the real trader process: for tests of crashes and for measurements.

A script is a list of beats; each is what the stream and the scorer would commit at one feed time (trades, alerts, the
new feed time), written in one transaction. The same script gives the same orders whoever plays it, killed or not.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.discovery import curve
from apps.discovery.curve import INITIAL, Fees, Reserves
from apps.discovery.models import Coin, CoinStream, CoinTransaction, StreamState
from apps.predictions.models import AlertEvaluation
from apps.trading import queries, services
from apps.trading.ledger_queries import difference_of
from apps.trading.models import LedgerEntry, Order, Position, Strategy, TradeLog, TraderProgress, TransferLog, Wallet

START = datetime(2026, 7, 4, 12, tzinfo=UTC)
SOL = curve.LAMPORTS_PER_SOL
BEAT = timedelta(seconds=2)
FREE = Fees(0, 0)


@dataclass(frozen=True, slots=True)
class Beat:
    """What becomes known at `at`: trades (mint, reserves left) in order, and mints that are alerted."""

    at: datetime
    trades: list[tuple[str, Reserves]]
    alerts: list[str] = field(default_factory=list)


def mint_of(number: int) -> str:
    """The address of the n-th made-up coin (base58)."""
    return "Rehearsa" + "".join("123456789"[int(digit, 9)] for digit in _base9(number, 32)) + "pump"


def _base9(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 9)
        digits = str(rest) + digits
    return digits.rjust(width, "0")


def reserves_at(virtual_sol: int) -> Reserves:
    """Reserves on the curve at so many virtual lamports."""
    return Reserves(virtual_sol, -(-INITIAL.virtual_sol * INITIAL.virtual_token // virtual_sol))


def script(*, seed: int, beats: int, coins: int, alerts_a_beat: int) -> list[Beat]:
    """A random walk of `coins` coins with alerts on some of them; then quiet beats in which all positions time out."""
    dice = random.Random(seed)
    sol = {mint_of(number): 40 * SOL for number in range(coins)}
    mints = sorted(sol)
    written = []
    for number in range(beats):
        for mint in dice.sample(mints, k=max(1, coins // 3)):
            moved = round(sol[mint] * dice.uniform(0.82, 1.22))
            sol[mint] = min(100 * SOL, max(31 * SOL, moved))
        trades = [(mint, reserves_at(sol[mint])) for mint in mints]
        written.append(Beat(START + BEAT * (number + 1), trades, dice.sample(mints, k=alerts_a_beat)))
    quiet = [Beat(written[-1].at + BEAT * 10 * (number + 1), []) for number in range(4)]
    return written + quiet


def stage(*, coins: int, wallet_sol: int = 10_000, at: datetime = START, mode: str = "replay", **fields: Any) -> None:
    """Coins with a first trade, a wallet without limits, a strategy `rehearsal`, the trader at the beginning."""
    mints = [mint_of(number) for number in range(coins)]
    Coin.objects.bulk_create([Coin(mint=mint, symbol="R", first_seen_at=at, created_at=at) for mint in mints])
    beat_write(Beat(at, [(mint, reserves_at(40 * SOL)) for mint in mints]), mode=mode)
    services.wallet_create(
        alias="rehearsal",
        balance_lamports=wallet_sol * SOL,
        max_open_positions=coins,
        max_position_lamports=SOL,
        max_consecutive_losses=0,
        max_daily_loss_bps=0,
    )
    levels = {"stop_loss_bps": 1500, "take_profit_bps": 1500, "timeout_seconds": 20, "slippage_bps": 1500, **fields}
    services.strategy_create(name="rehearsal", wallet_alias="rehearsal", stake_lamports=SOL // 10, **levels)
    TraderProgress.objects.update_or_create(id=1, defaults={"processed_at": at, "processed_seq": -1})


def unstage() -> None:
    """Remove everything that `stage` and the beats have written."""
    for model in (
        LedgerEntry,
        TradeLog,
        Order,
        Position,
        TransferLog,
        Strategy,
        Wallet,
        TraderProgress,
        AlertEvaluation,
    ):
        model.objects.all().delete()
    for discovered in (CoinTransaction, CoinStream, Coin):
        discovered.objects.all().delete()


@transaction.atomic
def beat_write(beat: Beat, *, mode: str = "replay") -> None:
    """Commit a beat as stream and scorer would, and notify the trader."""
    state, _ = StreamState.objects.select_for_update().get_or_create(id=1)
    CoinTransaction.objects.bulk_create(
        [_trade(mint, after, beat.at, state.next_seq + number) for number, (mint, after) in enumerate(beat.trades)]
    )
    state.next_seq += len(beat.trades)
    state.feed_at, state.mode, state.connected, state.updated_at = beat.at, mode, True, timezone.now()
    state.save()
    first = queries.alert_newest_id() + 1
    AlertEvaluation.objects.bulk_create(
        [_alert(mint, beat.at, first + number) for number, mint in enumerate(beat.alerts)]
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('feed', '{}'), pg_notify('alerts', '{}')")


def _trade(mint: str, after: Reserves, at: datetime, seq: int) -> CoinTransaction:
    return CoinTransaction(
        mint=mint,
        timestamp=at,
        trade_key=seq,
        seq=seq,
        tx_type="buy",
        sol_amount=SOL,
        token_amount=1,
        price_sol=curve.spot_price_sol(after),
        virtual_sol_lamports=after.virtual_sol,
        virtual_token_base_units=after.virtual_token,
        is_whale=False,
        phase_id_at_time=1,
    )


def _alert(mint: str, at: datetime, alert_id: int) -> AlertEvaluation:
    return AlertEvaluation(
        active_model_id=1,
        mint=mint,
        as_of=at,
        alert_id=alert_id,
        fired_at=at,
        probability=0.9,
        price_sol=0.0,
        phase_id=1,
        horizon_at=at + timedelta(minutes=5),
    )


# --- What came of it ----------------------------------------------------------------------------------


def outcome() -> list[tuple[Any, ...]]:
    """Every order with its fill, in terms that do not depend on ids or the wall clock."""
    fields = ("idempotency_key", "status", "deny_code", "decided_at", "due_at", "exit_reason")
    fill = ("trade__token_base_units", "trade__balance_change_lamports", "trade__slippage_bps")
    return list(Order.objects.order_by("idempotency_key").values_list(*fields, *fill))


@dataclass(frozen=True, slots=True)
class Damage:
    """What a crash has done; all zero when it has done nothing."""

    orders: int
    doubled: int
    lost: int
    ledger_difference: int
    different: int


def damage(expected: Sequence[tuple[Any, ...]]) -> Damage:
    """Compare what is in the database with the outcome of an undisturbed run, and add up the books."""
    found = outcome()
    alerted = [row[0] for row in Order.objects.filter(side="buy").values_list("alert_id")]
    missing = {row[0] for row in expected} - {row[0] for row in found}
    unfinished = queries.orders_in_flight().count() + queries.positions_open(blocked_code="").count()
    wallets = sum(difference_of(wallet).total for wallet in Wallet.objects.all())
    return Damage(
        orders=len(found),
        doubled=len(alerted) - len(set(alerted)) + len(set(found) - set(expected)),
        lost=len(missing) + unfinished,
        ledger_difference=wallets + sum(_position_difference(one) for one in Position.objects.all()),
        different=len(set(found) ^ set(expected)),
    )


def _position_difference(position: Position) -> int:
    """Base units and lamports by which a position differs from the sum of its trades."""
    trades = position.trades.values_list("action", "status", "token_base_units", "balance_change_lamports")
    units = sum((1 if action == "buy" else -1) * moved for action, status, moved, _ in trades if status == "SUCCESS")
    money = sum(change for *_, change in trades)
    return abs(units - position.quantity_base_units) + abs(
        money - (position.proceeds_lamports - position.cost_lamports)
    )


# --- The real process ---------------------------------------------------------------------------------


class TraderProcess:
    """`manage.py trader` on the database of this connection, started and killed at will."""

    def __init__(self, **environment: str) -> None:
        address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
        self._environment = {**os.environ, "DATABASE_URL": address, "LOG_LEVEL": "WARNING", **environment}
        self._process: Any = None

    def start(self) -> None:
        """Start it; returns at once."""
        self._process = self.launch([sys.executable, str(settings.BASE_DIR / "manage.py"), "trader"], self._environment)

    @staticmethod
    def launch(command: list[str], environment: dict[str, str]) -> Any:
        """Start a process; a `subprocess.Popen`, or what behaves as one."""
        return subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = self._process.wait(timeout=30)
        self._process = None
        return status


@contextmanager
def trader_running(**environment: str) -> Iterator[TraderProcess]:
    """A trader that is at work, and stopped in the end."""
    process, began = TraderProcess(**environment), timezone.now()
    process.start()
    try:
        wait_until(lambda: is_awake(began), "the trader to start")
        yield process
    finally:
        process.kill()


def is_awake(since: datetime) -> bool:
    """Whether a trader has finished a round since then (wall clock)."""
    return TraderProgress.objects.filter(updated_at__gt=since).exists()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0, every: float = 0.02) -> None:
    """Wait for a condition. Raises TimeoutError."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(every)
