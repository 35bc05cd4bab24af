"""`/api/find/` over the real tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from apps.core.tokens import token_create
from apps.discovery.models import CoinMetric, CoinStream, Phase, StreamState
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.test_pipeline import run

pytestmark = pytest.mark.django_db

MINT_NOBODY_KNOWS = "Z" * 44


class Api:
    """Calls with tokens of one user: `call("get", "/streams", scope="read")`."""

    def __init__(self) -> None:
        self.client = Client()
        user = get_user_model().objects.create_superuser("staff", email="", password="correct horse battery")
        self.tokens = {
            scope: token_create(user=user, name="test", scopes=[scope], days=1, now=timezone.now())[0]
            for scope in ("read", "admin")
        }

    def call(self, method: str, path: str, body: Any = None, *, scope: str = "read", status: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[scope]}"}
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = getattr(self.client, method)(f"/api/find{path}", headers=headers, **data)
        assert answer.status_code == status, answer.content
        return answer.json()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture(scope="module")
def busy_mint(module_db: DjangoDbBlocker) -> str:
    """A market that has run; the mint of its busiest coin."""
    with module_db.unblock():
        run(SmallMarket(12).entries(800), {})
        return str(CoinStream.objects.order_by("-trades_total").values_list("coin_id", flat=True)[0])


def test_nobody_gets_in_without_a_token() -> None:
    answer = Client().get("/api/find/streams")
    assert answer.status_code == 401
    assert answer.json()["code"] == "AUTHENTICATION_REQUIRED"


def test_lists_are_paged_and_say_how_many_there_are(api: Api, busy_mint: str) -> None:
    for path in ("/streams", "/metrics", "/phases", f"/metrics?mint={busy_mint}"):
        page = api.call("get", f"{path}{'&' if '?' in path else '?'}limit=2")
        assert len(page["items"]) == min(2, page["count"])
        assert page["limit"] == 2
    assert api.call("get", "/metrics")["count"] == CoinMetric.objects.count()


def test_streams_can_be_searched_and_counted(api: Api, busy_mint: str) -> None:
    found = api.call("get", f"/streams?search={busy_mint[:12]}")
    assert [stream["mint"] for stream in found["items"]] == [busy_mint]
    stats = api.call("get", "/streams/stats")
    assert stats["total"] == CoinStream.objects.count()
    assert sum(phase["total"] for phase in stats["phases"]) == stats["total"]


def test_coin_has_master_data_stream_metrics_and_candles(api: Api, busy_mint: str) -> None:
    detail = api.call("get", f"/coins/{busy_mint}")
    assert detail["coin"]["mint"] == detail["stream"]["mint"] == busy_mint
    assert isinstance(detail["stream"]["volume_lamports"], int)
    assert detail["metrics"][0]["timestamp"].endswith("Z")
    candles = api.call("get", f"/coins/{busy_mint}/candles?bucket=1h&limit=2000")
    assert sum(candle["trades"] for candle in candles["items"]) == detail["stream"]["trades_total"]
    assert all(candle["low"] <= candle["open"] <= candle["high"] for candle in candles["items"])


def test_live_window_holds_the_trades_since_it_opened(api: Api, busy_mint: str) -> None:
    traded = CoinStream.objects.filter(last_trade_at__isnull=False).order_by("-last_trade_at")
    mints = traded.values_list("coin_id", flat=True)[:5]
    windows = [api.call("get", f"/coins/{mint}")["live_window"] for mint in mints]
    open_now = [window for window in windows if window]
    assert open_now and all(window["num_buys"] + window["num_sells"] > 0 for window in open_now)
    feed_at = StreamState.objects.get().feed_at
    assert feed_at is not None
    for window in open_now:
        assert window["started_at"] <= feed_at.isoformat().replace("+00:00", "Z") < window["timestamp"]


def test_analytics_of_a_long_window_counts_every_trade(api: Api, busy_mint: str) -> None:
    found = api.call("get", f"/analytics/{busy_mint}?windows=30s,5m,7d")
    assert [window["window"] for window in found["windows"]] == ["30s", "5m", "7d"]
    assert found["windows"][0]["trades"] <= found["windows"][2]["trades"]
    assert len(api.call("get", f"/analytics/{busy_mint}")["windows"]) == 7


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"/coins/{MINT_NOBODY_KNOWS}", 404, "COIN_NOT_FOUND"),
        (f"/analytics/{MINT_NOBODY_KNOWS}", 404, "COIN_NOT_FOUND"),
        ("/metrics?limit=0", 422, "VALIDATION_FAILED"),
        ("/streams?phase_id=99999999", 422, "VALIDATION_FAILED"),
    ],
)
def test_wrong_requests_get_one_shape_of_error(api: Api, path: str, status: int, code: str) -> None:
    error = api.call("get", path, status=status)
    assert error["code"] == code and error["message"].endswith(".")


@pytest.mark.parametrize("window", ["5", "0s", "9999d", "x", "1h2", ",", ",".join(["5s"] * 21)])
def test_window_that_is_none_is_explained(api: Api, busy_mint: str, window: str) -> None:
    assert api.call("get", f"/analytics/{busy_mint}?windows={window}", status=400)["code"] == "WINDOW_INVALID"


def test_config_is_changed_by_admins_only_and_checked(api: Api) -> None:
    assert api.call("put", "/config", {"stale_seconds": 60}, status=403)["code"] == "SCOPE_MISSING"
    assert api.call("put", "/config", {"stale_seconds": 60}, scope="admin")["stale_seconds"] == 60
    assert api.call("get", "/config")["stale_seconds"] == 60
    wrong = api.call("put", "/config", {"bad_names_pattern": "("}, scope="admin", status=400)
    assert wrong["code"] == "PATTERN_INVALID"
    api.call("put", "/config", {"whale_treshold_sol": 2}, scope="admin", status=422)
    assert api.call("put", "/config", {"whale_threshold_sol": 0}, scope="admin", status=400)
    assert api.call("post", "/reload-config", scope="admin", status=202) == {"told": True}


def test_phases_are_made_changed_and_deleted_with_their_streams_moving_on(api: Api, busy_mint: str) -> None:
    overlap = {"name": "Other", "interval_seconds": 5, "min_age_minutes": 5, "max_age_minutes": 15}
    assert api.call("post", "/phases", overlap, scope="admin", status=409)["code"] == "PHASE_OVERLAP"
    api.call("post", "/phases", overlap | {"name": "  ", "min_age_minutes": 9_000}, scope="admin", status=422)
    CoinStream.objects.filter(coin_id=busy_mint).update(phase_id=1)
    moved = api.call("delete", "/phases/1", scope="admin")["streams_moved"]
    assert moved >= 1 and CoinStream.objects.get(coin_id=busy_mint).phase_id == 2
    first = {"name": "First", "interval_seconds": 10, "min_age_minutes": 0, "max_age_minutes": 10}
    made = api.call("post", "/phases", first, scope="admin", status=201)
    assert made["id"] == 1
    first["interval_seconds"] = 15
    assert api.call("put", "/phases/1", first, scope="admin")["interval_seconds"] == 15
    assert Phase.objects.get(id=1).interval_seconds == 15
    for phase_id in (99, 100):
        assert api.call("delete", f"/phases/{phase_id}", scope="admin", status=409)["code"] == "PHASE_FIXED"
    api.call("delete", "/phases/1", scope="admin")
    api.call("delete", "/phases/2", scope="admin")
    assert api.call("delete", "/phases/3", scope="admin", status=409)["code"] == "PHASE_LAST"


def test_health_tells_of_the_stream(api: Api, busy_mint: str) -> None:
    health = api.call("get", "/health")
    assert health["frames_total"] > 0 and health["oddities"]
    assert health["status"] == "degraded"  # no stream runs here
