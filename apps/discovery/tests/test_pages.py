"""The discovery pages, empty and full, in both languages, and what their forms do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.db.models import F
from django.db.models.functions import TruncHour
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from apps.discovery import pages_coin, pages_list
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import Coin, CoinStream, CoinTransaction, Phase, StreamGap, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.receiver import OLDER
from apps.discovery.services import config_as_dict, config_read, stream_config_load
from apps.discovery.state import Cursor
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.writer import Status, write

NAMES = ("overview", "streams", "phases", "feed", "settings")
MOST_QUERIES = 23
Page = Callable[..., Any]


@pytest.fixture
def page(client: Client, db: None) -> Page:
    """Opens a page as a signed-in user: `page("overview")`, `page("coin", mint)`."""
    client.force_login(get_user_model().objects.create_user("person", is_staff=True))
    return lambda name, *args, **options: client.get(reverse(f"discovery:{name}", args=args), **options)


@pytest.fixture(scope="module")
def market_of_module(module_db: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small market with every oddity in the tables; gives the mint of its busiest coin."""
    with module_db.unblock():
        return filled(tmp_path_factory.mktemp("owed"))


def filled(folder: Path) -> str:
    Phase.objects.get_or_create(
        id=1, defaults={"name": "Baby Zone", "interval_seconds": 5, "min_age_minutes": 0, "max_age_minutes": 10}
    )
    StreamState.objects.get_or_create(id=1)
    config = stream_config_load()
    pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config))
    pipeline.feed(SmallMarket(5).entries(1_500), Cursor("", 0, 1_500))
    write(pipeline.take(), Status("simulator", True, "live", timezone.now()), Owed(folder))
    return CoinStream.objects.order_by("-trades_total", "coin_id").values_list("coin_id", flat=True)[0]


@pytest.fixture
def market(market_of_module: str, db: None) -> str:
    """The market of the module; what a test changes in it is undone."""
    caches["local"].clear()  # figures are kept for seconds
    return market_of_module


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


def test_a_page_lists_a_hundred_rows_and_says_how_many_there_are(page: Page, market: str) -> None:
    text = page("streams").content.decode()
    count = CoinStream.objects.count()
    assert count > 100 and text.count('<tr id="coin-') == 100 and f"1–100 of {count}" in text
    assert page("streams", data={"page": 2}).content.decode().count('<tr id="coin-') == min(count - 100, 100)


def mints(site: Page, name: str = "streams", /, **query: Any) -> list[str]:
    """What the table of coins lists for a query, in order."""
    return [row["mint"] for row in site(name, data=query).context["page"].items]


def test_the_table_is_sorted_by_every_column_both_ways(page: Page, market: str) -> None:
    for key, way in itertools.product(("coin", *pages_list.LISTED), ("up", "down")):
        listed = pages_list.COIN if key == "coin" else pages_list.LISTED[key]
        answer = page("streams", data={"sort": key, "way": way})
        heads = [column.sorted for column in answer.context["table"].columns if column.sorted]
        wanted = ["ascending" if way == "up" else "descending"] if key in ("coin", *shown()) else []
        assert heads == wanted, (key, way)
        values = dict(CoinStream.objects.values_list("coin_id", listed.order))
        found = [values[row["mint"]] for row in answer.context["page"].items]
        known = [value for value in found if value is not None]
        unknown = [None] * (len(found) - len(known))  # comes last
        assert len(known) > 1 and found == known + unknown, (key, way)
        downwards = (way == "down") != (key == "age")  # the youngest began last
        pairs = itertools.pairwise(known)
        assert key in ("coin", "creator") or all(a >= b if downwards else a <= b for a, b in pairs), (key, way)


def shown() -> tuple[str, ...]:
    return pages_list.STREAM_COLUMNS


def test_streams_begin_with_the_newest_and_the_overview_with_the_last_traded(page: Page, market: str) -> None:
    newest = list(CoinStream.objects.order_by("-started_at", "coin_id").values_list("coin_id", flat=True)[:100])
    assert mints(page) == newest
    busy = CoinStream.objects.filter(is_active=True).order_by(F("last_trade_at").desc(nulls_last=True), "coin_id")
    assert mints(page, "overview") == list(busy.values_list("coin_id", flat=True)[:100]) != newest


@pytest.mark.parametrize(
    ("is_active", "is_graduated", "outcome", "said"),
    [
        (True, False, "", "–"),
        (False, False, "finished", "finished"),
        (False, False, "abandoned", "abandoned"),
        (False, False, "of a later version", "ended"),
        (False, True, "graduated", "graduated"),
    ],
)
def test_streams_tell_how_a_coin_ended(
    page: Page, market: str, is_active: bool, is_graduated: bool, outcome: str, said: str
) -> None:
    CoinStream.objects.filter(pk=market).update(is_active=is_active, is_graduated=is_graduated)
    Coin.objects.filter(pk=market).update(final_outcome=outcome)
    table = page("streams", data={"q": market}).context["table"]
    assert [str(column.title) for column in table.columns][-1] == "Outcome"
    assert [str(row.cells[-1].text) for row in table.rows] == [said]


def test_each_phase_says_how_many_coins_it_has(page: Page, market: str) -> None:
    Phase.objects.create(id=50, name="Late", interval_seconds=60, min_age_minutes=2_000, max_age_minutes=3_000)
    CoinStream.objects.filter(pk=market).update(phase=50, is_active=False)
    shown = page("streams").context["by_phase"]
    late = next(one for one in shown if one["id"] == 50)
    assert (late["active"], late["total"]) == ("0", "1")
    assert sum(int(one["total"]) for one in shown) == CoinStream.objects.count()


def test_a_second_click_on_a_column_turns_the_order_round(page: Page, market: str) -> None:
    first = page("streams", data={"sort": "trades", "q": "a", "page": 1}).context["table"]
    href = next(column.href for column in first.columns if column.sorted)
    assert "way=up" in href and "q=a" in href and "page" not in href
    turned = page("streams", data={"sort": "trades", "way": "up"}).context["table"]
    assert "way" not in next(column.href for column in turned.columns if column.sorted)


def test_a_coin_is_found_by_name_mint_and_creator(page: Page, market: str) -> None:
    Coin.objects.filter(pk=market).update(name="Quite Unique Name", creator="Creator" + "1" * 37)
    for text in ("unique name", market[:10], market, "Creator111", "Creator" + "1" * 37):
        assert mints(page, q=text) == [market], text
    assert page("streams", data={"q": "no such coin"}).context["page"].count == 0
    Coin.objects.filter(pk=market).update(name="Pneumonoultramicroscopicsilicovolcanoconiosis", symbol="火" * 40)
    for text in ("pneumonoultramicroscopicsilicovolcano", "火" * 32):
        assert mints(page, q=text) == [market], "a word may be as long as an address"


def test_filters_choose_by_phase_age_market_cap_and_volume(page: Page, market: str) -> None:
    streams = CoinStream.objects.filter(pk=market)
    now = pages_list.feed_time()
    streams.update(
        started_at=now - timedelta(minutes=500), last_market_cap_sol=77_777.5, volume_lamports=88_888 * 10**9, phase=3
    )
    assert mints(page, min_age=499, max_age=501) == [market]
    assert mints(page, min_cap="77777.5", max_cap="77777.6") == [market]
    assert mints(page, min_volume=88_888) == [market]
    assert market in mints(page, phase=3) and market not in mints(page, phase=1)
    assert mints(page, min_age=499, max_age=501, phase=1) == []


def test_every_mark_chooses_the_coins_that_carry_it(page: Page, market: str) -> None:
    two = list(CoinStream.objects.exclude(pk=market).order_by("coin_id").values_list("coin_id", flat=True)[:4])
    CoinStream.objects.update(is_active=True, is_graduated=False, virtual_sol_lamports=31 * 10**9)
    Coin.objects.update(curve="standard", is_mayhem=False, filtered_reason="")
    CoinStream.objects.filter(pk=market).update(virtual_sol_lamports=100 * 10**9)
    CoinStream.objects.filter(pk=two[0]).update(is_graduated=True, is_active=False)
    CoinStream.objects.filter(pk=two[1]).update(is_active=False)
    Coin.objects.filter(pk=two[2]).update(is_mayhem=True, curve="nonstandard")
    Coin.objects.filter(pk=two[3]).update(curve="nonstandard")
    known = Coin.objects.create(mint="K" * 43, name="Only Known", first_seen_at=timezone.now(), filtered_reason="spam")
    wanted = {
        "near": [market], "graduated": [two[0]], "quiet": [two[1]], "mayhem": [two[2]], "other": [two[3]],
        "filtered": [known.mint],
    }  # fmt: skip
    assert {flag: mints(page, "overview", flag=flag) for flag in pages_list.FLAGS} == wanted
    assert mints(page, "overview", flag="filtered", q="only known", sort="trades") == [known.mint]
    assert mints(page, "overview", flag="filtered", q="something else") == []
    assert two[1] in mints(page, "streams", q=two[1]) and two[1] not in mints(page, "overview", q=two[1])


def test_a_name_without_end_and_one_that_shows_nothing_spoil_no_page(page: Page, market: str) -> None:
    Coin.objects.filter(pk=market).update(symbol="S" * 10_000, name="\u202e" + "L" * 10_000)
    for name in ("coin", "trades"):
        text = page(name, market).content.decode()
        assert "S" * 23 + "…" in text and "S" * 25 not in text and "\u202e" not in text
    Coin.objects.filter(pk=market).update(symbol="\u200b", name="\u200b")
    assert f'/coins/{market}/">?</a>' in page("streams", data={"q": market}).content.decode()


def test_filters_and_order_hold_for_coins_that_are_only_known(page: Page, market: str) -> None:
    now = pages_list.feed_time()
    for mint, minutes, cap in (("O" * 43, 30, 40.0), ("Y" * 43, 5, 28.0)):
        seen = now - timedelta(minutes=minutes)
        Coin.objects.create(mint=mint, first_seen_at=seen, market_cap_sol=cap, filtered_reason="spam_burst")
    old, young = "O" * 43, "Y" * 43
    known = partial(mints, page, flag="filtered")
    assert known(min_age=10) == [old] and known(max_age=10) == [young]
    assert known(min_cap=30) == [old] and known(max_cap=30) == [young]
    assert known(phase=1) == [] and known(min_volume=1) == [] and set(known(min_volume=0)) == {old, young}
    assert known(sort="age", way="up") == [young, old] and known(sort="age", way="down") == [old, young]


def test_unreadable_filters_ask_nothing_and_are_said(page: Page, market: str) -> None:
    usual = mints(page, "overview")
    for query in ({"page": "x"}, {"phase": "x"}, {"sort": "x", "way": "y"}, {"min_age": "old"}, {"max_cap": "-1"}):
        assert mints(page, "overview", **query) == usual, query
    for query in ({"page": "99999"}, {"q": "%_'\";--"}, {"q": "a\0b"}, {"min_volume": "1e400"}, {"max_age": "nan"}):
        assert page("overview", data=query).status_code == 200, query
    answer = page("overview", data={"min_age": "old"})
    assert 'role="alert"' in answer.content.decode() and answer.context["form"].is_further


def test_the_columns_that_were_chosen_are_kept(page: Page, client: Client, market: str) -> None:
    here = reverse("discovery:streams") + "?sort=age"
    answer = client.post(reverse("discovery:columns"), {"column": ["creator", "price", "nonsense"], "next": here})
    assert (answer.status_code, answer.url) == (302, here)
    titles = [str(column.title) for column in page("overview").context["table"].columns]
    assert titles == ["Coin", "Price", "Creator"]
    client.post(reverse("discovery:columns"), {"next": "https://elsewhere.example/"})
    assert len(page("overview").context["table"].columns) == 1 + len(pages_list.DEFAULT_COLUMNS)


def test_choosing_columns_leads_nowhere_else(client: Client, page: Page) -> None:
    answer = client.post(reverse("discovery:columns"), {"next": "https://elsewhere.example/"})
    assert answer.url == reverse("discovery:overview")


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
