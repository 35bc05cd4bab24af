"""Dashboard, kill switch, limits and funnel as people and programs see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.predictions.models import ActiveModel
from apps.trading import funnel, limits, services
from apps.trading.models import Blocked, EquityPoint, RiskLimits, TradingState, Wallet
from apps.trading.tests.conftest import SOL, World, at, mint_of
from apps.trading.tests.rounds import run

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(admin_client: Client) -> Client:
    return admin_client


def api(client: Client, method: str, path: str, data: dict[str, Any] | None = None, status: int = 200) -> Any:
    sent = json.dumps(data) if data is not None else None
    answer = getattr(client, method)(f"/api/buy/{path}", sent, content_type="application/json")
    assert answer.status_code == status, answer.content
    return answer.json() if answer.content else None


def traded(world: World) -> str:
    """A strategy that took one alert, was denied one, and let two pass."""
    mint = world.coin()
    world.wallet(max_open_positions=1)
    world.strategy(min_probability=0.5, conditions=[{"fact": "coin.market_cap_sol", "operator": "<", "value": 100}])
    world.coin(2), world.coin(3, sol=100 * SOL)
    world.alert(mint, 5)
    world.alert(mint_of(2), 5)
    world.alert(mint_of(2), 5, probability=0.4, model=2)
    world.alert(mint_of(3), 5)
    run(world, 5)
    run(world, 7)
    return mint


def test_funnel_counts_every_alert_once(started: World) -> None:
    traded(started)
    (found,) = funnel.funnels(hours=1)
    assert (found.alerts, found.passed, found.submitted, found.filled) == (4, 2, 1, 1)
    assert [(one.reason, one.count) for one in found.denied] == [("MAX_OPEN_POSITIONS", 1)]
    assert {one.reason: one.count for one in found.filtered} == {"probability": 1, "coin.market_cap_sol < 100": 1}
    assert found.alerts == found.passed + sum(one.count for one in found.filtered)
    assert funnel.funnels(hours=1, name="nobody") == []


def test_dashboard_shows_curves_risk_and_funnel_also_when_empty(staff: Client, started: World) -> None:
    assert "No strategy yet." in staff.get("/trading/").content.decode()
    traded(started)
    run(started, 700)
    assert EquityPoint.objects.filter(at=at(600), wallet__alias="test").count() == 1
    page = staff.get("/trading/?span=7d").content.decode()
    for text in (
        "MAX_OPEN_POSITIONS",
        "coin.market_cap_sol &lt; 100",
        '<svg class="plot"',
        "Open positions",
        "kill-switch",
    ):
        assert text in page, text


def test_equity_of_the_curve_is_that_of_the_figures(staff: Client, started: World) -> None:
    traded(started)
    run(started, 600)
    stats = api(staff, "get", "dashboard/stats")
    points = api(staff, "get", "dashboard/performance")["equity"]
    assert points[-1][1] == stats["equity_lamports"]
    assert stats["drawdown_ratio"] == pytest.approx(0.0, abs=0.05)


def test_kill_switch_is_on_every_page_and_comes_back_to_it(staff: Client, client: Client) -> None:
    for path in ("/", "/trading/", "/trading/risk/", "/training/"):
        assert 'id="kill-switch"' in staff.get(path).content.decode(), path
    answer = staff.post("/trading/state/", {"state": "HALTED", "next": "/training/"})
    assert (answer.status_code, answer["Location"]) == (302, "/training/")
    assert TradingState.objects.get().state == "HALTED"
    away = staff.post("/trading/state/", {"state": "ACTIVE", "next": "https://elsewhere.example/"})
    assert away["Location"] == "/trading/"


def test_limits_of_all_and_block_list_by_page(staff: Client, started: World) -> None:
    page = staff.get("/trading/risk/").content.decode()
    assert 'name="address"' in page and 'name="reason"' in page
    values = {"trading_enabled": "on", "cooldown_losses": "2"}
    form = {name: "0" for name in staff.get("/trading/risk/").context["form"].fields if "enabled" not in name}
    answer = staff.post("/trading/risk/", form | values | {"max_exposure_lamports": "1.5", "max_drawdown_bps": "12.5"})
    assert answer.status_code == 302
    row = RiskLimits.objects.get(pk="TEST")
    assert (row.max_exposure_lamports, row.max_drawdown_bps, row.cooldown_losses) == (1_500_000_000, 1_250, 2)
    assert (row.trading_enabled, row.transfer_enabled) == (True, False)
    staff.post("/trading/risk/", {"kind": "MINT", "address": mint_of(1), "reason": "a scam"})
    assert "a scam" in staff.get("/trading/risk/").content.decode()
    staff.post(f"/trading/risk/blocked/{Blocked.objects.get().pk}/remove/")
    assert not Blocked.objects.exists()


def test_limits_of_a_wallet_by_page(staff: Client, started: World) -> None:
    started.wallet()
    fields = staff.get("/trading/wallets/test/").context["form"]
    form = {name: str(fields.initial[name]) for name in fields.fields}
    assert staff.post("/trading/wallets/test/", form | {"max_coin_loss_lamports": "0.25"}).status_code == 302
    Wallet.objects.update(consecutive_losses=3, cooldown_until=at(100), peak_equity_lamports=1)
    staff.post("/trading/wallets/test/reset-risk/")
    wallet = Wallet.objects.get()
    assert (wallet.max_coin_loss_lamports, wallet.consecutive_losses, wallet.cooldown_until) == (SOL // 4, 0, None)
    assert wallet.max_position_lamports == SOL // 2


def test_limits_by_api(staff: Client, started: World) -> None:
    started.wallet()
    assert api(staff, "patch", "risk/limits/test", {"max_open_positions": 2})["max_open_positions"] == 2
    assert api(staff, "get", "risk/limits/TEST")["max_open_positions"] == 2
    assert api(staff, "patch", "wallets/test/limits", {"max_day_lamports": 5})["max_day_lamports"] == 5
    risks = api(staff, "get", "risk")
    assert [one["name"] for one in risks] == ["", "test"]
    assert {"limit": "max_open_positions", "unit": "count", "used": 0, "most": 2, "ratio": 0.0} in risks[0]["limits"]
    block = api(staff, "post", "risk/blocked", {"kind": "CREATOR", "address": mint_of(1)}, 201)
    twice = api(staff, "post", "risk/blocked", {"kind": "CREATOR", "address": mint_of(1)}, 409)
    assert twice["code"] == "BLOCKED_ALREADY"
    assert api(staff, "get", "risk/blocked")["count"] == 1
    api(staff, "delete", f"risk/blocked/{block['id']}", None, 204)
    api(staff, "delete", f"risk/blocked/{block['id']}", None, 404)
    assert api(staff, "patch", "risk/limits/other", {}, 404)["code"] == "WALLET_KIND_UNKNOWN"
    assert api(staff, "post", "risk/limits/TEST/reset")["peak_equity_lamports"] is None
    assert api(staff, "post", "wallets/test/reset-risk")["consecutive_losses"] == 0


def test_why_no_trade_by_api_warns(staff: Client, started: World) -> None:
    started.wallet(max_position_lamports=SOL // 100, trading_enabled=False)
    started.strategy()
    (found,) = api(staff, "get", "funnel?hours=2")
    assert {"STAKE_ABOVE_LIMIT", "TRADING_DISABLED", "MODELS_AT_REST"} <= {one["code"] for one in found["warnings"]}
    assert not ActiveModel.objects.exists()


def test_limit_out_of_range_is_refused(started: World) -> None:
    started.wallet()
    for change in ({"max_reserves_bps": 10_001}, {"max_coin_loss_lamports": -1}):
        with pytest.raises(services.PlatformError, match="whole number"):
            services.wallet_update(alias="test", **change)
    with pytest.raises(limits.PlatformError, match="cannot be changed"):
        limits.limits_update(kind="TEST", peak_equity_lamports=1)
