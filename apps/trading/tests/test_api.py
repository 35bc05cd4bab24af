"""`/api/buy/`: every route, as a program with a token sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from apps.core.tokens import token_create
from apps.trading import engine
from apps.trading.models import Order, Wallet
from apps.trading.tests.conftest import SOL, World

pytestmark = pytest.mark.django_db


class Caller:
    """Calls `/api/buy/…` with a bearer token."""

    def __init__(self, scope: str) -> None:
        user = get_user_model().objects.create_user(scope, password="x", is_staff=scope == "admin")
        token, _ = token_create(user=user, name=scope, scopes=[scope], days=1, now=timezone.now())
        self.client = Client(headers={"Authorization": f"Bearer {token}"})

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
        call = getattr(self.client, method)
        arguments = {} if method == "get" else {"data": body, "content_type": "application/json"}
        response = call(f"/api/buy/{path}", **arguments)
        assert response.status_code == status, response.content
        return response.json() if response.content else None


@pytest.fixture
def api(started: World) -> Caller:
    return Caller("trade")


def test_wallet_lives_from_creation_to_removal(api: Caller) -> None:
    made = api("post", "wallets", {"alias": "w1", "balance_sol": "2.5", "max_open_positions": 3}, 201)
    assert (made["virtual_balance_lamports"], made["max_open_positions"]) == (2_500_000_000, 3)
    assert api("patch", "wallets/w1", {"status": "PAUSED", "virtual_loss_percent": "1.5"})["status"] == "PAUSED"
    assert api("patch", "wallets/w1/toggle-trading")["trading_enabled"] is False
    assert api("patch", "wallets/w1/toggle-transfer")["transfer_enabled"] is True
    added = api("patch", "wallets/w1/add-balance", {"amount_sol": "0.5"})
    assert (added["virtual_balance_lamports"], added["deposited_lamports"]) == (3 * SOL, 3 * SOL)
    assert [one["alias"] for one in api("get", "wallets")["items"]] == ["w1"]
    assert api("get", "wallets/w1")["alias"] == "w1"
    assert api("delete", "wallets/w1", status=403)["code"] == "SCOPE_MISSING"
    Caller("admin")("delete", "wallets/w1", status=204)
    assert api("get", "wallets/w1", status=404)["code"] == "WALLET_NOT_FOUND"


def test_real_wallet_is_refused(api: Caller) -> None:
    answer = api("post", "wallets", {"alias": "real", "wallet_type": "REAL"}, 409)
    assert answer["code"] == "REAL_TRADING_LOCKED"
    assert not Wallet.objects.exists()


def test_key_of_an_order_names_no_other_one(api: Caller, started: World) -> None:
    mint, other = started.coin(1), started.coin(2)
    started.wallet("w1")
    started.feed(10)
    body = {"wallet": "w1", "mint": mint, "amount_sol": "0.2", "idempotency_key": "once"}
    api("post", "execute-buy", body, 202)
    for change in ({"amount_sol": "0.3"}, {"mint": other}):
        assert api("post", "execute-buy", {**body, **change}, 409)["code"] == "IDEMPOTENCY_KEY_USED"
    sale = {"wallet": "w1", "mint": mint, "idempotency_key": "once"}
    assert api("post", "execute-sell", sale, 409)["code"] == "IDEMPOTENCY_KEY_USED"
    assert Order.objects.count() == 1


def test_repeated_sale_is_answered_after_everything_is_sold(api: Caller, started: World) -> None:
    mint = started.coin()
    started.wallet("w1")
    started.feed(10)
    api("post", "execute-buy", {"wallet": "w1", "mint": mint, "amount_sol": "0.2"}, 202)
    started.feed(11)
    engine.round_once()
    sale = {"wallet": "w1", "mint": mint, "idempotency_key": "out"}
    first = api("post", "execute-sell", sale, 202)
    started.feed(13)
    engine.round_once()
    assert api("get", f"positions/w1/{mint}")["status"] == "CLOSED"
    again = api("post", "execute-sell", sale, 202)
    assert (again["id"], again["status"]) == (first["id"], "FILLED")
    for change in ({"percent": 50}, {"slippage_bps": 77}):
        assert api("post", "execute-sell", {**sale, **change}, 409)["code"] == "IDEMPOTENCY_KEY_USED"


def test_sweep_of_an_empty_wallet_says_so(api: Caller, started: World) -> None:
    for alias in ("w1", "w2"):
        api("post", "wallets", {"alias": alias, "transfer_enabled": True}, 201)
    body = {"from_wallet": "w1", "to_wallet": "w2", "sweep": True}
    assert api("post", "transfer", body, 409)["code"] == "INSUFFICIENT_BALANCE"


def test_manual_trade_goes_through_order_fill_and_sale(api: Caller, started: World) -> None:
    mint = started.coin()
    started.wallet("w1")
    started.feed(10)
    body = {"wallet": "w1", "mint": mint, "amount_sol": "0.2", "idempotency_key": "once"}
    order = api("post", "execute-buy", body, 202)
    assert (order["status"], order["lamports"], order["wallet"]) == ("SUBMITTED", 200_000_000, "w1")
    assert api("post", "execute-buy", body, 202)["id"] == order["id"]
    started.feed(11)
    engine.round_once()
    assert api("get", f"orders/{order['id']}")["status"] == "FILLED"
    held = api("get", f"positions/w1/{mint}")
    assert held["status"] == "OPEN"
    assert held["value_lamports"] - held["cost_lamports"] == held["unrealized_pnl_lamports"] < 0
    sale = api("post", "execute-sell", {"wallet": "w1", "mint": mint, "percent": 50}, 202)
    assert sale["base_units"] == held["quantity_base_units"] // 2
    started.feed(13)
    engine.round_once()
    [rest] = api("post", "sell-all", {"wallet": "w1"}, 202)
    assert (rest["status"], rest["exit_reason"]) == ("SUBMITTED", "MANUAL")
    started.feed(15)
    engine.round_once()
    assert api("get", "positions?status=OPEN")["count"] == 0
    trades = api("get", "trades?wallet=w1")
    assert [(trade["action"], trade["status"]) for trade in trades["items"]] == [
        ("sell", "SUCCESS"),
        ("sell", "SUCCESS"),
        ("buy", "SUCCESS"),
    ]
    assert api("get", "orders")["count"] == 3
    stats = api("get", "dashboard/stats")
    assert stats["equity_lamports"] == stats["cash_lamports"] == 10 * SOL + stats["realized_pnl_lamports"]
    performance = api("get", "dashboard/performance")
    assert performance["wallets"][0]["closed_positions"] == 1
    assert performance["costs_lamports"]["rent"] == 0
    assert performance["exits"][0]["exit_reason"] == "MANUAL"


def test_denied_order_is_an_error_with_its_code_and_is_kept(api: Caller, started: World) -> None:
    mint = started.coin()
    started.wallet("w1", sol=1)
    answer = api("post", "execute-buy", {"wallet": "w1", "mint": mint, "amount_sol": "5"}, 409)
    assert answer["code"] == "MAX_POSITION"
    assert Order.objects.get(pk=answer["details"]["order_id"]).status == "DENIED"


def test_kill_switch_stops_orders(api: Caller, started: World) -> None:
    mint = started.coin()
    started.wallet("w1")
    assert api("put", "state", {"state": "HALTED", "reason": "stop"})["state"] == "HALTED"
    assert api("get", "state")["reason"] == "stop"
    answer = api("post", "execute-buy", {"wallet": "w1", "mint": mint, "amount_sol": "0.1"}, 409)
    assert answer["code"] == "TRADING_HALTED"


def test_transfer_moves_money_between_test_wallets(api: Caller, started: World) -> None:
    started.wallet("a", transfer_enabled=True)
    started.wallet("b", sol=1)
    body = {"from_wallet": "a", "to_wallet": "b"}
    assert api("post", "transfer", {**body, "amount_sol": "1"})["lamports"] == SOL
    swept = api("post", "transfer", {**body, "sweep": True})
    assert swept["lamports"] == 9 * SOL - 2 * 5_000
    assert api("get", "wallets/a")["virtual_balance_lamports"] == 0
    assert api("get", "wallets/b")["virtual_balance_lamports"] == 11 * SOL - 2 * 5_000
    assert api("get", "transfers?wallet=a")["count"] == 2
    back = {"from_wallet": "b", "to_wallet": "a", "amount_sol": "1"}
    assert api("post", "transfer", back, 409)["code"] == "TRANSFER_DISABLED"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "execute-buy", {"wallet": "w1", "mint": "x", "amount_sol": "1"}, 422),
        ("post", "execute-buy", {"wallet": "w1", "mint": "C" * 44, "amount_sol": "-1"}, 422),
        ("post", "execute-buy", {"wallet": "w1", "mint": "C" * 44, "amount_sol": "1e30"}, 422),
        ("post", "execute-buy", {"wallet": "w1", "mint": "C" * 44}, 422),
        ("post", "execute-buy", {"wallet": "w1", "mint": "C" * 44, "amount_sol": "1", "amount_lamports": 1}, 422),
        ("post", "execute-buy", {"wallet": "nobody", "mint": "C" * 44, "amount_sol": "1"}, 404),
        ("post", "execute-sell", {"wallet": "nobody", "mint": "C" * 44}, 404),
        ("post", "transfer", {"from_wallet": "a", "to_wallet": "b", "sweep": True, "amount_sol": "1"}, 422),
        ("post", "wallets", {"alias": "a b"}, 422),
        ("get", "orders/999999", None, 404),
        ("get", "positions/nobody/" + "C" * 44, None, 404),
    ],
)
def test_bad_request_is_refused_with_a_code(
    api: Caller, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    assert api(method, path, body, status)["code"].isupper()


def test_reading_scope_moves_no_money(api: Caller, started: World) -> None:
    started.wallet("w1")
    reader = Caller("read")
    assert reader("get", "wallets")["count"] == 1
    for path in ("execute-buy", "execute-sell", "sell-all", "transfer", "wallets"):
        assert reader("post", path, {}, 403)["code"] == "SCOPE_MISSING"
    assert reader("put", "state", {"state": "HALTED"}, 403)["code"] == "SCOPE_MISSING"


def test_health_says_whether_the_trader_lives(api: Caller) -> None:
    answer = api("get", "health")
    assert (answer["ok"], answer["trader_alive"], answer["trading_state"]) == (False, False, "ACTIVE")
    assert answer["feed_at"] is not None


def test_token_that_has_expired_is_refused(api: Caller, started: World) -> None:
    user = get_user_model().objects.get(username="trade")
    token, _ = token_create(user=user, name="old", scopes=["trade"], days=1, now=timezone.now() - timedelta(days=2))
    answer = Client(headers={"Authorization": f"Bearer {token}"}).get("/api/buy/wallets")
    assert answer.status_code == 401
