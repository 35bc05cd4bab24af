"""What is backtested is what paper trading does: the same market, once through the tables and once in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from apps.discovery.models import Coin, CoinTransaction, StreamGap
from apps.predictions.models import AlertEvaluation
from apps.trading import backtest, engine, limits, rehearsal
from apps.trading.backtest import Run, Task
from apps.trading.backtest_equity import equity_path
from apps.trading.backtest_figures import drawdown_ratio
from apps.trading.backtest_queries import history_load, signals_stored
from apps.trading.memory import to_us
from apps.trading.models import Order, Position, Strategy, TradeLog, Wallet
from apps.trading.rehearsal import BEAT, START, Beat, beat_write, mint_of

pytestmark = pytest.mark.django_db

TRADE = [
    "mint",
    "action",
    "status",
    "code",
    "at",
    "token_base_units",
    "curve_lamports",
    "protocol_fee_lamports",
    "creator_fee_lamports",
    "venue_fee_lamports",
    "network_fee_lamports",
    "tip_lamports",
    "rent_lamports",
    "virtual_loss_lamports",
    "balance_change_lamports",
    "price_sol",
    "price_impact_bps",
    "slippage_bps",
]
ORDER = [
    "idempotency_key",
    "side",
    "status",
    "deny_code",
    "lamports",
    "base_units",
    "quoted_base_units",
    "quoted_lamports",
    "decided_at",
    "due_at",
    "finished_at",
    "exit_reason",
    "alert_id",
]
POSITION = [
    "mint",
    "status",
    "quantity_base_units",
    "bought_base_units",
    "cost_lamports",
    "proceeds_lamports",
    "realized_pnl_lamports",
    "entry_price_sol",
    "peak_price_sol",
    "exit_price_sol",
    "opened_at",
    "closed_at",
    "exit_reason",
    "blocked_code",
]
COINS = 6


def told(rows: Any, names: list[str]) -> list[tuple[Any, ...]]:
    return sorted((tuple(getattr(row, name) for name in names) for row in rows), key=repr)


def play(beats: list[Beat], every: int = 1) -> None:
    """The market through the tables into the trader, which comes round after every so many beats."""
    for number, beat in enumerate(beats, 1):
        beat_write(beat)
        if number % every == 0 or number == len(beats):
            while engine.round_once():
                pass


def task_over(beats: list[Beat]) -> Task:
    strategy = backtest.strategy_get("rehearsal")
    return backtest.task_of(strategy=strategy, since=START, until=beats[-1].at)


def same_as_paper(run: Run) -> None:
    assert told(run.book.orders.values(), ORDER) == told(Order.objects.all(), ORDER)
    assert told(run.book.trades, TRADE) == told(TradeLog.objects.all(), TRADE)
    assert told(run.book.positions, POSITION) == told(Position.objects.all(), POSITION)
    wallet = Wallet.objects.get()
    after = run.book.wallet(wallet.pk)
    assert after.virtual_balance_lamports == wallet.virtual_balance_lamports
    assert after.consecutive_losses == wallet.consecutive_losses
    assert after.day_start_equity_lamports == wallet.day_start_equity_lamports


@pytest.fixture
def terms(settings: Any) -> Any:
    settings.TRADING_LATENCY_MS, settings.TRADING_LATENCY_MAX_MS = 400, 2000
    settings.PAPER_FAILURE_RATE, settings.MAX_ALERT_LAG_SECONDS = 0.1, 3600.0
    return settings


@pytest.mark.parametrize(
    ("seed", "every", "fields"),
    [
        (1, 1, {}),
        (2, 3, {"slippage_bps": 300}),
        (3, 1, {"timeout_seconds": None, "take_profit_bps": 600}),
        (4, 2, {"stop_loss_bps": None, "timeout_seconds": 5}),
    ],
)
def test_backtest_does_to_the_lamport_what_paper_trading_did(
    terms: Any, seed: int, every: int, fields: dict[str, Any]
) -> None:
    rehearsal.stage(coins=COINS, **fields)
    beats = rehearsal.script(seed=seed, beats=10, coins=COINS, alerts_a_beat=2)
    play(beats, every)
    assert TradeLog.objects.filter(action="sell", status="SUCCESS").count() > 2
    same_as_paper(backtest.backtest(task_over(beats)))


def test_backtest_knows_gaps_limits_midnight_and_little_money(terms: Any) -> None:
    start = START.replace(hour=23, minute=59, second=45)
    rehearsal.stage(coins=COINS, at=start, wallet_sol=1)
    Wallet.objects.update(max_consecutive_losses=2, max_daily_loss_bps=300, max_open_positions=3)
    moved = [
        replace(beat, at=beat.at + (start - START))
        for beat in rehearsal.script(seed=5, beats=20, coins=COINS, alerts_a_beat=3)
    ]
    StreamGap.objects.create(started_at=start + BEAT * 4, ended_at=start + BEAT * 6, reason="closed")
    play(moved)
    codes = set(Order.objects.values_list("deny_code", flat=True))
    assert {"POSITION_OPEN", "COIN_IN_GAP"} < codes
    assert codes & {"CONSECUTIVE_LOSSES", "DAILY_LOSS", "MAX_OPEN_POSITIONS"}
    assert Wallet.objects.get().day_start_on == (start + timedelta(days=1)).date()
    strategy = backtest.strategy_get("rehearsal")
    same_as_paper(backtest.backtest(backtest.task_of(strategy=strategy, since=start, until=moved[-1].at)))


CREATOR = "creator-of-some-coins"


@pytest.mark.parametrize(
    ("of_wallet", "of_all", "codes"),
    [
        (
            {"max_exposure_lamports": 350_000_000, "cooldown_seconds": 6},
            {"max_drawdown_bps": 40},
            {"MAX_EXPOSURE", "COOLDOWN", "GLOBAL_DRAWDOWN"},
        ),
        (
            {"max_drawdown_bps": 70, "max_daily_loss_bps": 0, "max_total_lamports": 10**9},
            {},
            {"DRAWDOWN", "CAP_TOTAL"},
        ),
        ({"max_coin_loss_lamports": 1, "max_day_lamports": 900_000_000}, {}, {"COIN_LOSS", "CAP_DAY"}),
        ({"max_reserves_bps": 60, "max_creator_loss_lamports": 1}, {}, {"MAX_RESERVES", "CREATOR_LOSS"}),
        (
            {},
            {"max_exposure_lamports": 350_000_000, "cooldown_seconds": 6, "max_consecutive_losses": 2},
            {"GLOBAL_MAX_EXPOSURE", "GLOBAL_COOLDOWN", "GLOBAL_CONSECUTIVE_LOSSES"},
        ),
        (
            {"max_daily_loss_bps": 0},
            {"max_daily_loss_bps": 30, "max_reserves_bps": 60, "max_open_positions": 3},
            {"GLOBAL_DAILY_LOSS", "GLOBAL_MAX_RESERVES", "GLOBAL_MAX_OPEN_POSITIONS"},
        ),
        (
            {},
            {"max_coin_loss_lamports": 3 * 10**7, "max_creator_loss_lamports": 1},
            {"GLOBAL_COIN_LOSS", "GLOBAL_CREATOR_LOSS"},
        ),
    ],
)
def test_backtest_keeps_each_limit_as_paper_does(
    terms: Any, of_wallet: dict[str, int], of_all: dict[str, int], codes: set[str]
) -> None:
    rehearsal.stage(coins=COINS, wallet_sol=3)
    Coin.objects.filter(mint__in=map(mint_of, (3, 4, 5))).update(creator=CREATOR)
    Wallet.objects.update(max_open_positions=10, **of_wallet)
    limits.limits_update(kind="TEST", **of_all)
    beats = rehearsal.script(seed=5, beats=14, coins=COINS, alerts_a_beat=3)
    play(beats)
    assert codes <= set(Order.objects.values_list("deny_code", flat=True))
    same_as_paper(backtest.backtest(task_over(beats)))


def test_backtest_keeps_to_the_block_list_as_paper_does(terms: Any) -> None:
    rehearsal.stage(coins=COINS)
    Coin.objects.filter(mint=mint_of(1)).update(creator=CREATOR)
    limits.blocked_add(kind="CREATOR", address=CREATOR)
    limits.blocked_add(kind="MINT", address=mint_of(2))
    limits.limits_update(kind="TEST", max_position_lamports=1)
    beats = rehearsal.script(seed=5, beats=4, coins=COINS, alerts_a_beat=3)
    play(beats)
    codes = dict(Order.objects.filter(deny_code__contains="BLOCKED").values_list("mint", "deny_code"))
    assert codes == {mint_of(1): "CREATOR_BLOCKED", mint_of(2): "COIN_BLOCKED"}
    assert Order.objects.filter(deny_code="GLOBAL_MAX_POSITION").exists()
    same_as_paper(backtest.backtest(task_over(beats)))


@pytest.fixture(scope="module")
def recorded_of_module(module_db: DjangoDbBlocker) -> list[Beat]:
    """A market with alerts in the tables, from here on; the tests above have their own."""
    beats = rehearsal.script(seed=7, beats=20, coins=COINS, alerts_a_beat=2)
    with module_db.unblock():
        rehearsal.stage(coins=COINS)
        for beat in beats:
            beat_write(beat)
    return beats


@pytest.fixture
def recorded(recorded_of_module: list[Beat], terms: Any) -> list[Beat]:
    """The market of the module; nobody has traded on it, and what a test does is undone."""
    return list(recorded_of_module)


@pytest.mark.parametrize("cut", [5, 11, 17])
def test_what_comes_after_a_cut_changes_nothing_before_it(recorded: list[Beat], cut: int) -> None:
    whole = backtest.backtest(task_over(recorded))
    until = recorded[cut].at
    with transaction.atomic():
        CoinTransaction.objects.filter(timestamp__gt=until).delete()
        AlertEvaluation.objects.filter(fired_at__gt=until).delete()
    part = backtest.backtest(replace(task_over(recorded), until=until))
    before = [one for one in whole.book.trades if one.at <= until]
    assert len(before) > 1
    assert told(part.book.trades, TRADE) == told(before, TRADE)
    decided = [one for one in whole.book.orders.values() if one.decided_at <= until]
    assert [one.idempotency_key for one in decided] == list(part.book.orders)


def test_backtest_writes_nothing(recorded: list[Beat]) -> None:
    backtest.backtest(task_over(recorded))
    assert (Order.objects.count(), Position.objects.count(), TradeLog.objects.count()) == (0, 0, 0)
    assert Wallet.objects.get().virtual_balance_lamports == 10_000 * rehearsal.SOL


def test_money_of_a_backtest_adds_up(recorded: list[Beat]) -> None:
    run = backtest.backtest(task_over(recorded))
    figures = backtest.summary(run)
    changes = sum(one.balance_change_lamports for one in run.book.trades)
    cash = run.book.wallet(0).virtual_balance_lamports
    assert cash == figures["start_lamports"] + changes
    assert (figures["ledger"]["cash"], sum(figures["ledger"].values())) == (cash, 0)
    lost = sum(one.balance_change_lamports for one in run.book.trades if one.action == "buy" and one.status == "FAILED")
    made = sum(row["pnl_lamports"] for row in figures["exits"])
    held = sum(one.realized_pnl_lamports for one in run.book.positions if one.status == "OPEN")
    assert lost < 0
    assert figures["pnl_lamports"] == made + held + figures["unrealized_pnl_lamports"] + lost


def test_fall_between_two_points_of_the_curve_is_not_overlooked(recorded: list[Beat]) -> None:
    near = backtest.summary(backtest.backtest(task_over(recorded)))
    far = backtest.summary(backtest.backtest(replace(task_over(recorded), until=recorded[-1].at + timedelta(days=1))))
    assert drawdown_ratio(lamports for _, lamports in far["equity"]) < near["drawdown_ratio"] == far["drawdown_ratio"]


def test_equity_at_every_event_goes_through_the_points_of_the_curve(recorded: list[Beat]) -> None:
    run = backtest.backtest(task_over(recorded))
    at_us, equity = equity_path(run.book, run.task.balance_lamports, to_us(run.task.until))
    assert len(equity) > len(run.book.trades)
    for at, lamports in run.equity:
        before = [value for when, value in zip(at_us, equity, strict=True) if when <= to_us(at)]
        assert lamports == (before[-1] if before else run.task.balance_lamports)


def test_order_under_way_at_the_end_expires_and_gives_its_money_back(recorded: list[Beat]) -> None:
    task = replace(task_over(recorded), until=recorded[0].at)
    run = backtest.backtest(task)
    assert {order.status for order in run.book.orders.values()} == {Order.Status.EXPIRED}
    assert run.book.wallet(0).virtual_balance_lamports == task.balance_lamports


def test_sensitivity_compares_the_same_stretch(recorded: list[Beat]) -> None:
    rows = backtest.sensitivity(task_over(recorded))
    figures = backtest.summary(backtest.backtest(task_over(recorded)))
    assert [row["pnl_lamports"] for row in rows if (row["latency_ms"], row["slippage_bps"]) == (400, 1500)] == [
        figures["pnl_lamports"]
    ]
    assert len({row["pnl_lamports"] for row in rows}) > 1


def test_command_prints_the_figures(recorded: list[Beat]) -> None:
    out = StringIO()
    window = {"start": START.isoformat(), "end": recorded[-1].at.isoformat()}
    call_command("backtest", "rehearsal", "--from", window["start"], "--to", window["end"], "--json", "--trades",
                 stdout=out)  # fmt: skip
    result = json.loads(out.getvalue())
    run = backtest.backtest(task_over(recorded))
    assert result["pnl_lamports"] == backtest.summary(run)["pnl_lamports"]
    assert len(result["trades"]) == len(run.book.trades)
    assert len(result["equity"]) == backtest.POINTS + 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["none", "--from", "2026-07-04", "--to", "2026-07-05"], "STRATEGY_NOT_FOUND"),
        (["rehearsal", "--from", "2026-07-04", "--to", "2026-07-05", "--balance", "x"], "AMOUNT_OUT_OF_RANGE"),
        (["rehearsal", "--from", "2026-07-04", "--to", "2026-07-05", "--balance", "0"], "BALANCE_MISSING"),
        (["rehearsal", "--from", "2026-07-04", "--to", "2026-07-05", "--latency-ms", "9", "5"], "LATENCY_OUT_OF_RANGE"),
        (["rehearsal", "--from", "2026-07-04", "--to", "2026-07-05", "--slippage-bps", "-1"], "SLIPPAGE_OUT_OF_RANGE"),
    ],
)
def test_command_refuses_with_a_code(recorded: list[Beat], arguments: list[str], code: str) -> None:
    with pytest.raises(CommandError, match=code) as refused:
        call_command("backtest", *arguments)
    assert refused.value.returncode == 2


def test_history_ends_where_it_is_told_to(recorded: list[Beat]) -> None:
    until: datetime = recorded[3].at
    strategy: Strategy = backtest.strategy_get("rehearsal")
    signals = signals_stored(strategy, START, until)
    history = history_load([signal.mint for signal in signals], START, until)
    assert signals[-1].fired_at == until
    assert max(coin.ticks(START, recorded[-1].at)[-1].at for coin in history.coins.values()) == until
