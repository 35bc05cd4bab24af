"""What services and the admin do with wallets and strategies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client

from apps.core.errors import PlatformError
from apps.trading import services, strategies, transfers
from apps.trading.models import Order, Wallet
from apps.trading.orders import BuyIntent, order_buy
from apps.trading.rehearsal import wait_until
from apps.trading.tests.conftest import SOL, World, at
from apps.trading.tests.rounds import held, run

pytestmark = pytest.mark.django_db


def test_demo_has_its_wallet_and_strategy_once(started: World) -> None:
    first, second = services.demo_setup(), services.demo_setup()
    assert (first.pk, first.name, first.stake_lamports) == (second.pk, "demo", SOL // 10)
    assert Wallet.objects.get(alias="demo").virtual_balance_lamports == 10 * SOL


def test_strategy_change_leaves_open_positions_alone(started: World) -> None:
    _, position = held(started)
    definition = strategies.flat(strategies.strategy_get("s"), {"stop_loss_bps": 1, "timeout_seconds": 1})
    strategies.strategy_change(name="s", definition=definition)
    position.refresh_from_db()
    assert (position.stop_loss_bps, position.timeout_at) == (2000, at(96))


def test_strategy_switched_on_again_skips_the_alerts_of_the_meantime(started: World) -> None:
    mint = started.coin()
    started.wallet()
    started.strategy()
    strategies.strategy_switch(name="s", is_active=False)
    started.alert(mint, 5)
    strategies.strategy_switch(name="s", is_active=True)
    run(started, 6)
    assert not Order.objects.exists()


def test_wallet_with_a_history_is_kept(started: World) -> None:
    held(started)
    with pytest.raises(PlatformError) as error:
        services.wallet_delete(alias="test")
    assert error.value.code == "WALLET_IN_USE"


def test_locked_real_wallet_is_refused_by_every_service(started: World) -> None:
    mint = started.coin()
    for alias in ("real", "other"):
        Wallet.objects.create(alias=alias, wallet_type="REAL", transfer_enabled=True, real_balance_lamports=SOL)
    for act in (
        lambda: services.buy_manual(alias="real", mint=mint, lamports=SOL // 10),
        lambda: services.wallet_add_balance(alias="real", lamports=SOL),
        lambda: transfers.transfer(from_alias="real", to_alias="other", lamports=1),
    ):
        with pytest.raises(PlatformError) as error:
            act()
        assert error.value.code == "REAL_TRADING_LOCKED"


@pytest.mark.parametrize(("giver", "taker"), [("real", "test"), ("test", "real")])
def test_virtual_and_real_money_do_not_mix(started: World, giver: str, taker: str) -> None:
    Wallet.objects.create(alias="real", wallet_type="REAL", transfer_enabled=True, real_balance_lamports=SOL)
    started.wallet("test", transfer_enabled=True)
    with pytest.raises(PlatformError) as error:
        transfers.transfer(from_alias=giver, to_alias=taker, lamports=1)
    assert error.value.code == "WALLETS_OF_TWO_KINDS"


def test_admin_form_does_not_write_back_a_balance_that_moved(started: World, admin_client: Any) -> None:
    wallet = started.wallet()
    page = admin_client.get(f"/admin/trading/wallet/{wallet.pk}/change/")
    form = page.context["adminform"].form
    data = {name: form.initial.get(name, "") for name in form.fields}
    Wallet.objects.update(virtual_balance_lamports=5)
    answer = admin_client.post(f"/admin/trading/wallet/{wallet.pk}/change/", {**data, "tag": "new"})
    assert answer.status_code == 302
    wallet.refresh_from_db()
    assert (wallet.tag, wallet.virtual_balance_lamports) == ("new", 5)


@pytest.mark.django_db(transaction=True)
def test_wallet_is_not_removed_under_an_order_that_is_being_made(started: World) -> None:
    mint = started.coin()
    started.wallet()
    started.feed(5)

    def remove() -> str:
        try:
            services.wallet_delete(alias="test")
        except PlatformError as error:
            return error.code
        finally:
            connections["default"].close()
        return "removed"

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            services.buy_manual(alias="test", mint=mint, lamports=SOL // 10)
            removing = pool.submit(remove)
            wait_until(_somebody_waits, "the removal to come to the lock")
        assert removing.result(timeout=30) == "WALLET_IN_USE"
    assert Order.objects.get().wallet.alias == "test"


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_order_of_a_wallet_that_was_removed_just_now_is_refused_by_code(started: World) -> None:
    wallet = started.wallet()
    intent = BuyIntent(
        key="late", wallet_id=wallet.pk, mint=started.coin(), lamports=SOL, slippage_bps=500, decided_at=at(5)
    )
    services.wallet_delete(alias=wallet.alias)
    with pytest.raises(PlatformError) as error:
        order_buy(intent=intent)
    assert error.value.code == "WALLET_NOT_FOUND"


def test_key_of_a_transfer_is_refused_for_a_sweep_and_the_other_way_round(started: World) -> None:
    for alias, balance in (("giver", 3 * SOL), ("taker", 0)):
        services.wallet_create(alias=alias, balance_lamports=balance, transfer_enabled=True)
    ends = {"from_alias": "giver", "to_alias": "taker"}
    first = transfers.transfer(**ends, lamports=SOL, idempotency_key="a")
    assert transfers.transfer(**ends, lamports=SOL, idempotency_key="a").pk == first.pk
    swept = transfers.transfer(**ends, idempotency_key="b")
    assert transfers.transfer(**ends, idempotency_key="b").pk == swept.pk
    for lamports, key in ((None, "a"), (swept.lamports, "b"), (SOL + 1, "a")):
        with pytest.raises(PlatformError) as error:
            transfers.transfer(**ends, lamports=lamports, idempotency_key=key)
        assert error.value.code == "IDEMPOTENCY_KEY_USED"


@pytest.mark.parametrize("value", ["\0", "NOTHING", "%00"])
def test_list_of_orders_takes_any_filter(started: World, admin_client: Client, value: str) -> None:
    for name in ("status", "mint", "page"):
        assert admin_client.get("/trading/trades/", {name: value}).status_code == 200
