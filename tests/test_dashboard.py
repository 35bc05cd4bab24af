"""The dashboard without a browser: what it says, how much it asks the database, what the live part is."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from apps.core import live
from apps.discovery.models import Coin, CoinStream, Phase, StreamState
from apps.training.models import Job
from pumpsite import dashboard

MOST_QUERIES = 40
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def coin(db: None) -> Coin:
    """One tracked coin with a hostile name."""
    now = timezone.now()
    StreamState.objects.update_or_create(id=1, defaults={"feed_at": now, "updated_at": now, "connected": True})
    phase, _ = Phase.objects.get_or_create(
        id=1, defaults={"name": "Baby Zone", "interval_seconds": 5, "min_age_minutes": 0, "max_age_minutes": 10}
    )
    coin = Coin.objects.create(mint="M" * 40 + "pump", symbol=HOSTILE, name=HOSTILE, first_seen_at=now, created_at=now)
    CoinStream.objects.create(coin=coin, phase=phase, started_at=now)
    return coin


def test_it_answers_on_an_empty_database_in_both_languages(client: Client, person: Any) -> None:
    client.force_login(person)
    for language, word in (("en", "Open positions"), ("de", "Offene Positionen")):
        response = client.get("/", headers={"accept-language": language})
        assert response.status_code == 200 and word in response.content.decode()


def test_it_asks_the_database_little(
    client: Client, person: Any, coin: Coin, django_assert_max_num_queries: Any
) -> None:
    client.force_login(person)
    with django_assert_max_num_queries(MOST_QUERIES):
        assert client.get("/").status_code == 200


def test_names_of_coins_are_escaped(client: Client, person: Any, coin: Coin) -> None:
    client.force_login(person)
    text = client.get("/").content.decode()
    assert HOSTILE not in text and "&lt;script&gt;" in text


def test_the_live_part_replaces_the_part_of_the_page(coin: Coin) -> None:
    render = live.renderer_of("dashboard")
    assert render is not None
    with translation.override("de"):
        text = render("dashboard")
    assert re.search(r'<div id="dashboard"\s+hx-swap-oob="true">', text)
    assert "Neueste Coins" in text and "csrf" not in text


def test_every_step_of_the_pipeline_is_counted(coin: Coin) -> None:
    steps = {step["label"]: step for step in dashboard.context()["pipe"]}
    assert [*steps] == ["Feed", "Coins", "Windows", "Scores", "Alerts", "Orders", "Positions"]
    assert steps["Coins"]["value"] == "1" and steps["Coins"]["note"] == "1 tracked, 1 new"


def test_a_demo_says_what_it_waits_for(coin: Coin, settings: Any) -> None:
    settings.DEMO = True
    assert "0 windows so far" in dashboard.notice()
    Job.objects.create(job_type="TRAIN")
    assert "is being trained" in dashboard.notice()
    settings.DEMO = False
    assert dashboard.notice() == ""


def test_what_is_missing_is_named(coin: Coin) -> None:
    rows = {row["name"]: row for row in dashboard.health_rows()}
    assert rows["Database"]["tone"] == rows["Valkey"]["tone"] == rows["Stream"]["tone"] == "good"
    assert rows["Workers"]["tone"] == "bad" and "trader" in rows["Workers"]["word"]
