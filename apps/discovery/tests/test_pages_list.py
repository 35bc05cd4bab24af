"""The table of coins: its order, its filters, its columns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.discovery import pages_list
from apps.discovery.models import Coin, CoinStream, Phase

Page = Callable[..., Any]


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
