"""The discovery pages, empty and full, in both languages, and what their forms do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.discovery import pages
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import Coin, CoinStream, CoinTransaction, Phase, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.receiver import OLDER
from apps.discovery.services import config_as_dict, config_read, stream_config_load
from apps.discovery.state import Cursor
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.writer import Status, write

NAMES = ("overview", "streams", "phases", "settings")
MOST_QUERIES = 20
Page = Callable[..., Any]


@pytest.fixture
def page(client: Client, db: None) -> Page:
    """Opens a page as a signed-in user: `page("overview")`, `page("coin", mint)`."""
    client.force_login(get_user_model().objects.create_user("person"))
    return lambda name, *args, **options: client.get(reverse(f"discovery:{name}", args=args), **options)


@pytest.fixture
def market(db: None, tmp_path: Path) -> str:
    """A small market with every oddity in the tables; gives the mint of its busiest coin."""
    Phase.objects.get_or_create(
        id=1, defaults={"name": "Baby Zone", "interval_seconds": 5, "min_age_minutes": 0, "max_age_minutes": 10}
    )
    StreamState.objects.get_or_create(id=1)
    config = stream_config_load()
    pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))
    pipeline.feed(SmallMarket(5).entries(1_500), Cursor("", 0, 1_500))
    write(pipeline.take(), Status("simulator", True, "live", timezone.now()), Owed(tmp_path))
    return CoinStream.objects.order_by("-trades_total", "coin_id").values_list("coin_id", flat=True)[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "de"])
def test_an_empty_page_answers(page: Page, name: str, language: str) -> None:
    assert page(name, headers={"accept-language": language}).status_code == 200


def feed_is(**fields: Any) -> None:
    StreamState.objects.update_or_create(id=1, defaults={"updated_at": timezone.now(), "mode": "live"} | fields)


@pytest.mark.parametrize("name", ["discovery:overview", "discovery:settings", "core:dashboard"])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"connected": False, "detail": "its name cannot be resolved"},
            "No connection to wss://feed.example/api/data (its name cannot be resolved).",
        ),
        ({"connected": False, "detail": "HTTP status 503"}, "(HTTP status 503)."),
        ({"connected": False, "mode": "replay"}, "The replay is over."),
        ({"connected": True, "mode": "replay", "detail": OLDER}, "Replay it into a database of its own"),
        ({"connected": True, "state": "creates_only"}, "put the key into .env as PUMPPORTAL_API_KEY"),
    ],
)
def test_a_page_says_in_plain_words_what_is_wrong_with_the_feed(
    client: Client, db: None, settings: Any, name: str, fields: dict[str, Any], words: str
) -> None:
    settings.WS_URI = "wss://feed.example/api/data?api-key=secret"
    client.force_login(get_user_model().objects.create_user("person"))
    feed_is(**fields)
    text = client.get(reverse(name)).content.decode()
    assert text.count(words) == 2  # the badge of the header, and the note
    assert "secret" not in text


def test_a_feed_that_is_well_needs_no_words(page: Page, db: None) -> None:
    feed_is(connected=True, state="running")
    assert "note-box" not in page("overview").content.decode()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_needs_a_login(client: Client, db: None, name: str) -> None:
    response = client.get(reverse(f"discovery:{name}"))
    assert response.status_code == 302 and "/accounts/login/" in response.url


def test_full_pages_answer_with_few_queries(page: Page, market: str, django_assert_max_num_queries: Any) -> None:
    for address in [*((name,) for name in NAMES), ("coin", market), ("candles", market)]:
        with django_assert_max_num_queries(MOST_QUERIES):
            assert page(*address).status_code == 200


def test_a_page_lists_a_hundred_rows_and_says_how_many_there_are(page: Page, market: str) -> None:
    text = page("streams").content.decode()
    count = CoinStream.objects.count()
    assert count > 100 and text.count('<tr id="coin-') == 100 and f"1–100 of {count}" in text
    assert page("streams", data={"page": 2}).content.decode().count('<tr id="coin-') == min(count - 100, 100)


def test_the_table_is_sorted_by_what_was_clicked(page: Page, market: str) -> None:
    rows = page("streams", data={"sort": "trades"}).context["page"].items
    assert rows[0]["mint"] == market
    counts = [int(row["trades"].replace(",", "")) for row in rows]
    assert counts == sorted(counts, reverse=True)


def test_a_coin_is_found_by_name_and_by_the_start_of_its_mint(page: Page, market: str) -> None:
    Coin.objects.filter(pk=market).update(name="Quite Unique Name")
    for text in ("unique name", market[:10]):
        rows = page("streams", data={"q": text}).context["page"].items
        assert [row["mint"] for row in rows] == [market]
    assert page("streams", data={"q": "no such coin"}).context["page"].count == 0


def test_unreadable_filters_are_no_error(page: Page, market: str) -> None:
    for query in ({"page": "x"}, {"page": "99999"}, {"phase": "x"}, {"sort": "x"}, {"q": "%_'\";--"}):
        assert page("overview", data=query).status_code == 200


def test_an_unknown_coin_and_an_unknown_candle_length_are_not_found(page: Page, market: str) -> None:
    assert page("coin", "nobody").status_code == 404
    assert page("candles", market, data={"bucket": "7"}).status_code == 404


def test_candles_hold_every_trade_once(page: Page, market: str) -> None:
    candles = page("candles", market, data={"bucket": 300}).json()["items"]
    trades = CoinTransaction.objects.filter(mint=market)
    assert sum(one["volume"] for one in candles) == pytest.approx(sum(t.sol_amount for t in trades) / 1e9)
    last = trades.order_by(F("timestamp").desc(), F("seq").desc())[0]
    assert candles[-1]["close"] == pytest.approx(last.price_sol * 1e6)
    assert all(one["low"] <= min(one["open"], one["close"]) <= one["high"] for one in candles)


def test_newer_candles_alone_are_the_end_of_all_candles(page: Page, market: str) -> None:
    everything = page("candles", market, data={"bucket": 5}).json()["items"]
    newer = page("candles", market, data={"bucket": 5, "since": everything[-3]["time"]}).json()["items"]
    assert newer == everything[-3:]


def test_a_setting_is_saved_and_a_wrong_one_is_answered_in_words(page: Page, client: Client) -> None:
    fields = config_as_dict(config_read())
    address = reverse("discovery:settings")
    assert client.post(address, fields | {"whale_threshold_sol": "2.5"}).status_code == 302
    assert config_read().whale_threshold_sol == 2.5
    response = client.post(address, fields | {"bad_names_pattern": "("})
    assert response.status_code == 200 and response.context["form"].errors
    assert config_read().bad_names_pattern == fields["bad_names_pattern"]


def test_without_a_key_the_pages_say_how_to_get_trades(page: Page) -> None:
    StreamState.objects.update_or_create(
        id=1, defaults={"state": "creates_only", "connected": True, "updated_at": timezone.now()}
    )
    text = page("settings").content.decode()
    assert "PUMPPORTAL_API_KEY" in text and "new coins only" in text


def test_a_silent_stream_is_said_in_the_header(page: Page) -> None:
    StreamState.objects.update_or_create(id=1, defaults={"updated_at": None})
    assert "Feed stopped" in page("overview").content.decode()


def test_unknown_progress_is_a_dash_and_not_zero(market: str) -> None:
    stream = CoinStream.objects.select_related("coin", "phase").get(pk=market)
    stream.coin.curve = Coin.Curve.NONSTANDARD
    row = pages.stream_row(stream, timezone.now())
    assert (row["progress"], row["progress_value"]) == ("–", None)
