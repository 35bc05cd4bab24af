"""The discovery pages, empty and full, in both languages, and what their forms do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.models import F
from django.db.models.functions import TruncHour
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.discovery import pages_coin, pages_list
from apps.discovery.models import Coin, CoinStream, CoinTransaction, Phase, StreamGap, StreamState
from apps.discovery.receiver import OLDER
from apps.discovery.services import config_as_dict, config_read

NAMES = ("overview", "streams", "phases", "feed", "settings")
MOST_QUERIES = 23
Page = Callable[..., Any]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "de"])
def test_an_empty_page_answers(page: Page, name: str, language: str) -> None:
    assert page(name, headers={"accept-language": language}).status_code == 200


def feed_is(**fields: Any) -> None:
    StreamState.objects.update_or_create(id=1, defaults={"updated_at": timezone.now(), "mode": "live"} | fields)


@pytest.mark.parametrize("name", ["discovery:overview", "discovery:feed", "core:dashboard"])
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
    for address in [*((name,) for name in NAMES), ("coin", market), ("trades", market), ("candles", market)]:
        with django_assert_max_num_queries(MOST_QUERIES):
            assert page(*address).status_code == 200


@pytest.mark.parametrize("change", [{"interval_seconds": 2**40}, {"max_age_minutes": 2**40}, {"phase_id": 2**70}])
def test_a_phase_beyond_all_bounds_is_an_error_of_the_form(page: Page, client: Client, change: dict[str, int]) -> None:
    phase = {"action": "save", "name": "n", "interval_seconds": 5, "min_age_minutes": 9_000, "max_age_minutes": 9_100}
    answer = client.post(reverse("discovery:phases"), phase | change)
    assert answer.status_code == 200
    assert not Phase.objects.filter(name="n").exists()


@pytest.mark.parametrize("rest", ["", "candles/", "trades/", "thumb.webp"])
def test_a_mint_that_no_table_can_hold_is_not_found(client: Client, page: Page, rest: str) -> None:
    page("overview")  # signs in
    assert client.get(f"/discovery/coins/a%00b/{rest}").status_code == 404


def test_an_unknown_coin_and_an_unknown_candle_length_are_not_found(page: Page, market: str) -> None:
    assert page("coin", "nobody").status_code == 404
    for bucket in ("7", "9" * 5_000, "\u0665"):
        assert page("candles", market, data={"bucket": bucket}).status_code == 404


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


def test_a_phase_is_changed_and_what_is_wrong_is_said_beside_it(page: Page, client: Client) -> None:
    address, fields = reverse("discovery:phases"), {"interval_seconds": 7, "min_age_minutes": 0, "action": "save"}
    good = fields | {"phase_id": 1, "name": "First Minutes", "max_age_minutes": 10}
    assert client.post(address, good).status_code == 302
    assert Phase.objects.get(id=1).name == "First Minutes"
    answer = client.post(address, good | {"max_age_minutes": 30, "name": "Too Long"})
    wrong = {phase.id for phase, form in answer.context["forms"] if form.errors}
    assert (answer.status_code, wrong) == (200, {1}) and not answer.context["form"].errors
    assert 'value="Too Long"' in answer.content.decode() and Phase.objects.get(id=1).max_age_minutes == 10
    answer = client.post(address, fields | {"name": "Another", "max_age_minutes": 5})
    assert answer.context["form"].errors and not any(form.errors for _, form in answer.context["forms"])


def test_streams_of_a_deleted_phase_move_to_the_next(page: Page, client: Client, market: str) -> None:
    CoinStream.objects.filter(pk=market).update(phase_id=1)
    assert client.post(reverse("discovery:phases"), {"phase_id": 1, "action": "delete"}).status_code == 302
    assert CoinStream.objects.get(pk=market).phase_id == 2 and not Phase.objects.filter(id=1).exists()


def test_without_a_key_the_pages_say_how_to_get_trades(page: Page) -> None:
    StreamState.objects.update_or_create(
        id=1, defaults={"state": "creates_only", "connected": True, "updated_at": timezone.now()}
    )
    text = page("feed").content.decode()
    assert "PUMPPORTAL_API_KEY" in text and "new coins only" in text


def test_a_silent_stream_is_said_in_the_header(page: Page) -> None:
    StreamState.objects.update_or_create(id=1, defaults={"updated_at": None})
    assert "Feed stopped" in page("overview").content.decode()


def test_unknown_progress_is_a_dash_and_not_zero(market: str) -> None:
    coin = Coin.objects.select_related("stream__phase").get(pk=market)
    coin.curve = Coin.Curve.NONSTANDARD
    row = pages_list.coin_row(coin, timezone.now())
    assert (row["progress"], row["progress_value"]) == ("–", None)


def test_every_trade_is_on_exactly_one_page_of_trades(page: Page, market: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(pages_coin, "TRADES_A_PAGE", 7)
    trades = CoinTransaction.objects.filter(mint=market)
    trades.update(timestamp=TruncHour("timestamp"))  # seq and key alone tell them apart
    seen, before = [], ""
    while True:
        answer = page("trades", market, data={"before": before} if before else {})
        seen += [row.id for row in answer.context["table"].rows]
        before = answer.context["older"]
        if not before:
            break
    assert len(seen) == len(set(seen)) == trades.count() > 14
    assert page("trades", market, data={"before": "1.x.9"}).status_code == 200


def test_a_coin_that_is_only_known_has_a_page(page: Page, market: str) -> None:
    Coin.objects.create(mint="K" * 43, name="Only Known", first_seen_at=timezone.now(), filtered_reason="spam_burst")
    text = page("coin", "K" * 43).content.decode()
    assert "known, but not tracked" in text and "No trade yet." in text


def test_a_window_that_touches_a_gap_says_so(page: Page, market: str) -> None:
    end = pages_coin.windows_newest(market)[0].timestamp
    StreamGap.objects.all().delete()
    assert not any(cell.pills for row in page("coin", market).context["windows"].rows for cell in row.cells)
    StreamGap.objects.create(started_at=end - timedelta(seconds=1), ended_at=end, reason="killed")
    marked = [row.cells[0].pills for row in page("coin", market).context["windows"].rows]
    assert marked[0] == [("wait", "gap")] and not any(marked[1:])


def test_the_chart_is_told_the_gaps_beside_its_candles(page: Page, market: str) -> None:
    StreamGap.objects.all().delete()
    last = CoinTransaction.objects.filter(mint=market).latest("timestamp").timestamp
    StreamGap.objects.create(started_at=last - timedelta(seconds=2), ended_at=last, reason="connection lost")
    old = last - timedelta(days=3)
    StreamGap.objects.create(started_at=old, ended_at=old + timedelta(seconds=9), reason="connection lost")
    answer = page("candles", market, data={"bucket": 5}).json()
    assert answer["gaps"] == [
        {"from": (last - timedelta(seconds=2)).timestamp(), "to": last.timestamp(), "reason": "connection lost"}
    ]
    rows = page("coin", market).context["candles"].rows
    assert any(row.cells[0].pills for row in rows) and not all(row.cells[0].pills for row in rows)


def test_only_staff_changes_phases_and_settings(client: Client, db: None) -> None:
    client.force_login(get_user_model().objects.create_user("reader"))
    for name in ("phases", "settings"):
        address = reverse(f"discovery:{name}")
        assert (client.post(address).status_code, client.get(address).status_code) == (403, 200)
