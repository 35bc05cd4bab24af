"""What programs and pages are told of the feed: its health, cost, gaps, odd frames, and windows that touch a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.discovery.models import (
    CoinMetric,
    FeedMeter,
    OddFrame,
    StreamGap,
    StreamGapCoin,
    StreamState,
)

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOSTILE = '{"name":"<script>alert(1)</script>"}'


@pytest.fixture
def signed_in(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_user("person"))
    return client


def state_is(**fields: Any) -> None:
    known = {"mode": "live", "connected": True, "state": "running", "detail": "", "updated_at": timezone.now()}
    StreamState.objects.update_or_create(pk=1, defaults=known | {"feed_at": NOON} | fields)


def get(client: Client, path: str, **query: Any) -> Any:
    response = client.get(f"/api/find/{path}", query)
    assert response.status_code == 200, response.content
    return response.json()


def metric(mint: str, at: datetime) -> None:
    numbers = {field.name: 1 for field in CoinMetric._meta.fields if field.get_internal_type() in ("FloatField",)}
    counts = {field.name: 1 for field in CoinMetric._meta.fields if field.get_internal_type() == "IntegerField"}
    CoinMetric.objects.create(mint=mint, timestamp=at, phase_id_at_time=1, **numbers, **counts)


def test_the_feed_tells_its_rate_its_share_and_its_cost(signed_in: Client) -> None:
    state_is(health={"left_out": 3})
    counts = {"judged": 200, "exact": 190, "compared": 100, "seamless": 99}
    FeedMeter.objects.create(at=NOON - timedelta(minutes=2), frames=600, trades=500, **counts)
    found = get(signed_in, "feed")
    assert (found["frames_last_hour"], found["trades_last_hour"], found["frames_by_minute"][-2]) == (600, 500, 600)
    assert (found["exact_ratio"], found["seamless_ratio"]) == (0.95, 0.99)
    assert found["days"] == [{"day": "2026-11-22", "frames": 600, "trades": 500, "lamports": 500_000}]
    assert found["month_lamports"] == 500_000 < found["month_projected_lamports"]
    assert len(found["warnings"]) == 1 and "3 tracked coins" in found["warnings"][0]


def test_a_ban_is_said_with_its_end(signed_in: Client) -> None:
    end = timezone.now() + timedelta(minutes=50)
    state_is(connected=False, detail=f"banned until {end.isoformat()}")
    assert get(signed_in, "health")["state"] == "banned"
    assert datetime.fromisoformat(get(signed_in, "feed")["banned_until"]) - end < timedelta(seconds=1)
    text = signed_in.get(reverse("discovery:overview")).content.decode()
    assert "has banned this client" in text and "Live: banned" in text
    state_is(connected=False, detail=f"banned until {end.isoformat()}", mode="simulator")
    assert "The built-in simulator bans this client" in signed_in.get(reverse("discovery:overview")).content.decode()


def test_gaps_are_listed_with_what_was_missed(signed_in: Client) -> None:
    state_is()
    one = StreamGap.objects.create(
        started_at=NOON, ended_at=NOON, reason="silent", coins_followed=9, coins_changed=1, coins_unseen=2
    )
    StreamGapCoin.objects.create(gap=one, mint="M" * 40, lamports_before=30, lamports_after=25)
    listed = get(signed_in, "feed/gaps")
    assert (listed["count"], listed["items"][0]["coins_changed"], listed["items"][0]["reason"]) == (1, 1, "silent")
    assert get(signed_in, "feed/gaps?mint=" + "M" * 40)["count"] == 1
    assert get(signed_in, "feed/gaps?mint=" + "N" * 40)["count"] == 0
    coins = get(signed_in, f"feed/gaps/{one.pk}/coins")
    assert coins["items"] == [{"mint": "M" * 40, "lamports_before": 30, "lamports_after": 25, "moved_lamports": -5}]
    missing = signed_in.get("/api/find/feed/gaps/999999/coins")
    assert (missing.status_code, missing.json()["code"]) == (404, "GAP_NOT_FOUND")


def test_odd_frames_are_listed_by_kind(signed_in: Client) -> None:
    state_is()
    for seq, kind in enumerate(["not_json", "bad_mint", "not_json"]):
        OddFrame.objects.create(kind=kind, seen_at=NOON + timedelta(seconds=seq), seq=seq, sample=HOSTILE)
    assert get(signed_in, "feed/odd-frames")["count"] == 3
    assert [row["seq"] for row in get(signed_in, "feed/odd-frames", kind="not_json")["items"]] == [2, 0]


def test_a_window_knows_the_gap_it_touches(signed_in: Client) -> None:
    """The windows of phase 1 are five seconds long."""
    state_is()
    StreamGap.objects.create(started_at=NOON + timedelta(seconds=6), ended_at=NOON + timedelta(seconds=8), reason="x")
    for seconds in (5, 10, 15):
        metric("M" * 40, NOON + timedelta(seconds=seconds))
    items = get(signed_in, "metrics", mint="M" * 40)["items"]
    assert [item["touches_gap"] for item in items] == [False, True, False]


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_page_shows_hostile_samples_as_text(signed_in: Client, language: str) -> None:
    state_is(oddities={"not_json": 1, "bad_mint": 2}, health={"covered": 5, "owner_since": NOON.isoformat()})
    OddFrame.objects.create(kind="not_json", seen_at=timezone.now(), seq=1, sample=HOSTILE)
    StreamGap.objects.create(started_at=NOON, ended_at=NOON, reason="<b>recorded</b>")
    text = signed_in.get(reverse("discovery:feed"), headers={"accept-language": language}).content.decode()
    assert "&lt;script&gt;alert(1)" in text and "<script>alert" not in text
    assert "&lt;b&gt;recorded" in text and 'id="odd-not_json"' in text


def test_a_feed_that_speaks_otherwise_is_said_on_every_page(signed_in: Client) -> None:
    words = "follow from the formulas of the bonding curve"
    state_is(health={"judged": 40, "exact": 0})
    assert words not in signed_in.get(reverse("core:dashboard")).content.decode()  # too few to tell
    state_is(health={"judged": 100, "exact": 79})
    assert "Only 79.0 %" in signed_in.get(reverse("core:dashboard")).content.decode()
    state_is(health={"judged": 100, "exact": 80})
    assert words not in signed_in.get(reverse("discovery:feed")).content.decode()
