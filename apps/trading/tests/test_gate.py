"""The gate on the tables: what is read, kept and obeyed; a hundred buys at once; paper and backtest alike."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from apps.discovery.models import Coin, StreamState
from apps.trading import gate_queries, limits, queries, services, transfers
from apps.trading.models import EquityPoint, Order, Position, RiskLimits, Wallet
from apps.trading.orders import BuyIntent, order_buy
from apps.trading.tests.conftest import SOL, World, at, mint_of
from apps.trading.tests.rounds import books_balance, held, run

STAKE = SOL // 10


def buy(alias: str, mint: str, key: str, seconds: float = 5, lamports: int = STAKE) -> Order:
    wallet = Wallet.objects.get(alias=alias)
    intent = BuyIntent(
        key=key, wallet_id=wallet.pk, mint=mint, lamports=lamports, slippage_bps=500, decided_at=at(seconds)
    )
    return order_buy(intent=intent)


def closed(alias: str, mint: str, pnl: int, seconds: float) -> None:
    """A position that was left with this result."""
    Position.objects.create(
        wallet=Wallet.objects.get(alias=alias), mint=mint, status="CLOSED", realized_pnl_lamports=pnl,
        opened_at=at(0), closed_at=at(seconds), bought_base_units=1,
    )  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("of_wallet", "of_all", "code"),
    [
        ({}, {}, ""),
        ({"max_exposure_lamports": STAKE - 1}, {}, "MAX_EXPOSURE"),
        ({"max_exposure_lamports": STAKE}, {}, ""),
        ({}, {"max_exposure_lamports": 2 * STAKE - 1}, "GLOBAL_MAX_EXPOSURE"),
        ({}, {"max_exposure_lamports": 2 * STAKE}, ""),
        ({"max_reserves_bps": 99}, {}, "MAX_RESERVES"),  # 0.1 SOL of the 10 on the curve is 1 %
        ({"max_reserves_bps": 100}, {}, ""),
        ({}, {"max_reserves_bps": 199}, "GLOBAL_MAX_RESERVES"),
        ({}, {"max_position_lamports": 2 * STAKE - 1}, "GLOBAL_MAX_POSITION"),
        ({}, {"max_open_positions": 1}, "GLOBAL_MAX_OPEN_POSITIONS"),
        ({}, {"trading_enabled": False}, "GLOBAL_TRADING_DISABLED"),
        ({"max_coin_loss_lamports": 700}, {}, "COIN_LOSS"),
        ({"max_coin_loss_lamports": 701}, {}, ""),
        ({"max_creator_loss_lamports": 1_000}, {}, "CREATOR_LOSS"),
        ({"max_creator_loss_lamports": 1_001}, {}, ""),
        ({}, {"max_coin_loss_lamports": 700}, "GLOBAL_COIN_LOSS"),
        ({}, {"max_creator_loss_lamports": 1_000}, "GLOBAL_CREATOR_LOSS"),
        ({}, {"max_consecutive_losses": 2}, "GLOBAL_CONSECUTIVE_LOSSES"),
        ({}, {"max_consecutive_losses": 3}, ""),
        ({}, {"cooldown_losses": 2, "cooldown_seconds": 3}, "GLOBAL_COOLDOWN"),
        ({}, {"cooldown_losses": 2, "cooldown_seconds": 2}, ""),
        ({}, {"cooldown_losses": 3, "cooldown_seconds": 9}, ""),
        ({}, {"max_daily_loss_bps": 5_000}, ""),
        ({"max_trade_lamports": STAKE}, {}, "CAP_TRADE"),
        ({"max_day_lamports": STAKE}, {}, "CAP_DAY"),
        ({"max_total_lamports": STAKE}, {}, "CAP_TOTAL"),
        ({"max_trade_lamports": SOL, "max_day_lamports": SOL, "max_total_lamports": SOL}, {}, ""),
    ],
)
def test_limits_are_read_from_the_tables(
    started: World, of_wallet: dict[str, Any], of_all: dict[str, Any], code: str
) -> None:
    mint, other = started.coin(creator="maker"), started.coin(2, creator="maker")
    started.wallet("a", **of_wallet), started.wallet("b")
    closed("a", mint, -700, 2)
    closed("a", other, -300, 3)
    assert buy("b", mint, "first").status == "SUBMITTED"
    limits.limits_update(kind="TEST", **of_all)
    order = buy("a", mint, "second")
    assert (order.status, order.deny_code) == ("DENIED" if code else "SUBMITTED", code)
    assert Order.objects.get(pk=order.pk).deny_code == code


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "code"), [("MINT", "COIN_BLOCKED"), ("CREATOR", "CREATOR_BLOCKED")])
def test_blocked_is_never_bought_but_left(started: World, kind: str, code: str) -> None:
    mint, _ = held(started)
    Coin.objects.update(creator="maker")
    row = limits.blocked_add(kind=kind, address=mint if kind == "MINT" else "maker")
    started.wallet("other")
    assert buy("other", mint, "one", 7).deny_code == code
    assert services.sell_manual(alias="test", mint=mint).status == "SUBMITTED"
    limits.blocked_remove(blocked_id=row.pk)
    assert buy("other", mint, "two", 7).status == "SUBMITTED"


@pytest.mark.django_db
def test_drawdown_counts_from_the_peak_that_deposits_move(started: World) -> None:
    mint = started.coin()
    started.wallet(max_drawdown_bps=1_000, max_daily_loss_bps=0)
    Wallet.objects.update(peak_equity_lamports=11 * SOL)
    limits.limits_update(kind="TEST", max_drawdown_bps=1_000)
    RiskLimits.objects.update(peak_equity_lamports=11 * SOL)
    assert buy("test", mint, "fine").status == "SUBMITTED"
    services.wallet_add_balance(alias="test", lamports=SOL)
    assert Wallet.objects.get().peak_equity_lamports == 12 * SOL
    assert RiskLimits.objects.get().peak_equity_lamports == 12 * SOL
    Wallet.objects.update(peak_equity_lamports=13 * SOL)
    assert buy("test", mint_of(1), "deep", 6).deny_code == "POSITION_OPEN"
    started.coin(2)
    assert buy("test", mint_of(2), "deeper", 6).deny_code == "DRAWDOWN"
    limits.wallet_reset(alias="test")
    RiskLimits.objects.update(peak_equity_lamports=13 * SOL)
    assert buy("test", mint_of(2), "all", 6).deny_code == "GLOBAL_DRAWDOWN"
    limits.limits_reset(kind="TEST")
    assert buy("test", mint_of(2), "again", 6).status == "SUBMITTED"


@pytest.mark.django_db
def test_loss_begins_a_cool_down_that_ends_by_feed_time(started: World) -> None:
    mint, _ = held(started, stop_loss_bps=100)
    Wallet.objects.update(cooldown_seconds=60)
    started.trade(mint, -5 * SOL, 8)
    run(started, 8)
    run(started, 10)
    wallet = Wallet.objects.get()
    assert (wallet.consecutive_losses, wallet.cooldown_until) == (1, at(9 + 60))
    started.coin(2, seconds=9)
    assert buy("test", mint_of(2), "early", 68.9).deny_code == "COOLDOWN"
    assert buy("test", mint_of(2), "late", 69).status == "SUBMITTED"


@pytest.mark.django_db
def test_partly_sold_position_counts_by_what_is_left(started: World) -> None:
    mint, _ = held(started)
    before, _ = queries.invested_lamports(Wallet.objects.get())
    services.sell_manual(alias="test", mint=mint, percent=50)
    run(started, 8)
    after, count = queries.invested_lamports(Wallet.objects.get())
    assert after[mint] == pytest.approx(before[mint] / 2, abs=1)
    assert gate_queries.invested_by_all("TEST", mint) == (after[mint], after[mint], count)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("behind", "mode", "connected", "age"),
    [(5, "live", True, 5), (3600, "live", True, 3600), (3600, "replay", True, 0), (1, "live", False, float("inf"))],
)
def test_feed_is_as_old_as_what_is_known(started: World, behind: float, mode: str, connected: bool, age: float) -> None:
    now = timezone.now()
    values = {"feed_at": now - timedelta(seconds=behind), "updated_at": now, "mode": mode, "connected": connected}
    StreamState.objects.update(**values)
    assert queries.feed_age_seconds() == pytest.approx(age, abs=3)


@pytest.mark.django_db
def test_manual_buy_is_denied_while_the_journal_is_caught_up_with(started: World) -> None:
    mint = started.coin()
    started.wallet()
    StreamState.objects.update(mode="live", updated_at=timezone.now(), feed_at=at(5))
    with pytest.raises(services.ConflictError) as refused:
        services.buy_manual(alias="test", mint=mint, lamports=STAKE)
    assert refused.value.code == "FEED_STALE"
    assert Order.objects.get().deny_code == "FEED_STALE"


@pytest.mark.django_db
def test_equity_is_noted_on_the_marks_wherever_rounds_end(started: World) -> None:
    held(started, timeout_seconds=3_000, stop_loss_bps=None, take_profit_bps=None)
    for second in (599.5, 601, 1_795, 1_810):
        run(started, second)
    assert list(EquityPoint.objects.values_list("at", flat=True)) == [at(600), at(1_200), at(1_800)]
    point = EquityPoint.objects.last()
    assert point is not None
    assert 9 * SOL < point.cash_lamports + point.positions_lamports < 10 * SOL
    assert point.positions_lamports > 0


@pytest.mark.django_db(transaction=True)
def test_hundred_buys_at_once_pass_no_limit(started: World) -> None:
    """Ten wallets, ten coins, real threads on real connections: limits of wallets and of all hold."""
    for number in range(1, 11):
        started.coin(number)
        started.wallet(f"w{number}", max_open_positions=3, max_exposure_lamports=3 * STAKE)
    limits.limits_update(kind="TEST", max_exposure_lamports=17 * STAKE, max_position_lamports=4 * STAKE)

    def buy_many(first: int) -> list[str]:
        try:
            made = [buy(f"w{n % 10 + 1}", mint_of(n // 10 + 1), f"buy-{n}") for n in range(first, 100, 8)]
            return [order.deny_code or order.status for order in made]
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(8) as pool:
        ended = Counter(code for codes in pool.map(buy_many, range(8)) for code in codes)
    assert ended.total() == 100
    assert ended["SUBMITTED"] == 17
    assert set(ended) <= {
        "SUBMITTED", "MAX_OPEN_POSITIONS", "MAX_EXPOSURE", "GLOBAL_MAX_EXPOSURE", "GLOBAL_MAX_POSITION"
    }  # fmt: skip
    sent = Order.objects.filter(status="SUBMITTED")
    assert max(Counter(sent.values_list("wallet_id", flat=True)).values()) <= 3
    assert max(Counter(sent.values_list("mint", flat=True)).values()) <= 4
    assert Order.objects.count() == 100
    books_balance()
    assert connection.is_usable()


@pytest.mark.django_db(transaction=True)
def test_parallel_requests_with_one_key_send_once_and_get_the_same_transfer(started: World) -> None:
    for alias in ("giver", "taker"):
        services.wallet_create(alias=alias, balance_lamports=SOL, transfer_enabled=True)
    ready = Barrier(4)

    def send(_: int) -> int:
        try:
            ready.wait()
            return transfers.transfer(from_alias="giver", to_alias="taker", lamports=1_000, idempotency_key="once").pk
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(send, range(4)))) == 1
    assert Wallet.objects.get(alias="taker").virtual_balance_lamports == SOL + 1_000
