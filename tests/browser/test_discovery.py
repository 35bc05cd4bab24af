"""What a person does on the pages of discovery: filters, columns, the chart of a coin, all of it by keyboard too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from apps.core import live
from apps.discovery.models import Coin, CoinTransaction, StreamGap
from apps.predictions.models import Prediction, Tag
from tests.browser.conftest import Browsing, Site
from tests.browser.test_pages import WIDER_THAN_THE_WINDOW

Browse = Callable[..., Browsing]
NUMBERS = "cells => cells.map(cell => Number(cell.innerText.replaceAll(',', '')))"


def next_update(page, site: Site) -> None:
    """Let the market go on, and wait until the table was fetched again."""
    with page.expect_response(lambda answer: "/discovery/" in answer.url and "hx-request" in answer.request.headers):
        site.world.step()
        live.publish("coins")


def test_filter_order_and_search_are_kept_while_the_table_lives(browse: Browse, site: Site) -> None:
    browsing = browse()
    page = browsing.page
    page.goto("/discovery/")
    page.select_option("[name=phase]", label="Baby Zone")
    page.wait_for_url("**phase=1**")
    page.click("th a:has-text('Trades')")
    page.click("th[aria-sort=descending] a:has-text('Trades')")
    page.wait_for_selector("th[aria-sort=ascending]")
    page.click("details.more summary")
    page.fill("[name=min_cap]", "28")
    page.fill("[name=q]", "a")
    page.keyboard.press("Enter")
    page.wait_for_url("**min_cap=28**")
    page.wait_for_selector("#live-state.good")
    next_update(page, site)
    assert set(page.locator("#overview tbody td:nth-child(2)").all_inner_texts()) == {"Baby Zone"}
    assert min(page.locator("#overview tbody td:nth-child(4)").evaluate_all(NUMBERS)) >= 28
    counts = page.locator("#overview tbody td:nth-child(7)").evaluate_all(NUMBERS)
    assert len(counts) > 1 and counts == sorted(counts)
    assert (page.input_value("[name=q]"), page.input_value("[name=min_cap]")) == ("a", "28")
    assert browsing.mistakes == []


def test_the_place_and_the_focus_are_kept_while_the_table_lives(browse: Browse, site: Site) -> None:
    page = browse().page
    page.goto("/discovery/?sort=coin")
    page.wait_for_selector("#live-state.good")
    link = page.locator("#overview tbody tr:nth-child(40) a")
    link.focus()
    page.evaluate("window.scrollTo(0, 900)")
    before = page.evaluate("[scrollY, document.activeElement.href]")
    next_update(page, site)
    page.wait_for_selector(".htmx-request, .htmx-swapping, .htmx-settling", state="detached")
    assert page.evaluate("[scrollY, document.activeElement.href]") == before


def test_chosen_columns_stay_chosen(browse: Browse) -> None:
    browsing = browse(width=390)
    page = browsing.page
    page.goto("/discovery/?sort=age")
    page.click("summary:has-text('Columns')")
    for box in page.locator("[name=column]").all():
        box.set_checked(box.get_attribute("value") in ("price", "creator"))
    page.click("button:has-text('Show these')")
    page.wait_for_load_state()
    assert page.url.endswith("?sort=age")
    page.goto("/discovery/streams/")
    assert page.locator("thead th").all_inner_texts() == ["Coin", "Price", "Creator"]
    assert not page.evaluate(WIDER_THAN_THE_WINDOW)
    assert browsing.mistakes == []


def was_traded(alert: Prediction) -> bool:
    """Whether the coin traded so long before the alert that a gap in between lies on its chart."""
    return CoinTransaction.objects.filter(mint=alert.mint, timestamp__lt=alert.as_of - timedelta(seconds=30)).exists()


@pytest.mark.parametrize("width", [390, 1440])
def test_the_chart_shades_gaps_and_pins_alerts(browse: Browse, site: Site, width: int) -> None:
    alert = next(one for one in Prediction.objects.filter(tag=Tag.ALERT).order_by("-as_of", "mint") if was_traded(one))
    gap, _ = StreamGap.objects.get_or_create(
        started_at=alert.as_of - timedelta(seconds=20), ended_at=alert.as_of - timedelta(seconds=10), reason="test"
    )
    browsing = browse(width=width)
    page = browsing.page
    page.goto(f"/discovery/coins/{alert.mint}/?bucket=1")
    page.wait_for_selector("#chart[data-pinned]:not([data-pinned='0'])")
    assert int(page.locator("#chart").get_attribute("data-shaded")) >= 10
    page.wait_for_selector("#coin-scores tbody tr td .pill")
    page.wait_for_selector("#coin-orders table")
    assert not page.evaluate(WIDER_THAN_THE_WINDOW)
    assert browsing.mistakes == []
    gap.delete()


def test_a_coin_is_found_and_read_with_the_keyboard_alone(browse: Browse, site: Site) -> None:
    coin = Coin.objects.get(pk=site.world.busiest_mint)
    browsing = browse()
    page = browsing.page
    page.goto("/discovery/streams/")
    tab_to(page, "document.activeElement.name === 'q'")
    page.keyboard.type(coin.mint)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**q={coin.mint}**")
    tab_to(page, "document.activeElement.closest('tbody') !== null")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/coins/{coin.mint}/")
    tab_to(page, "document.activeElement.closest('#candles-table summary') !== null")
    page.keyboard.press("Enter")
    page.wait_for_selector("#candles-table[open] tbody tr >> nth=2")
    assert page.locator("#candles-table thead th").all_inner_texts()[1:5] == ["Open", "High", "Low", "Close"]
    assert browsing.mistakes == []


def tab_to(page, condition: str) -> None:
    """Press the tabulator until the focus is where it should be."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(condition):
            return
    raise AssertionError(f"no tabulator leads to {condition}")


def test_all_trades_of_a_coin_are_a_link_away_without_javascript(chromium, site: Site) -> None:
    from tests.browser.conftest import sign_in

    context = chromium.new_context(java_script_enabled=False, base_url=site.address)
    page = context.new_page()
    sign_in(page)
    page.goto(f"/discovery/coins/{site.world.busiest_mint}/")
    page.click("a:has-text('all trades')")
    first = page.locator("tbody tr").first.get_attribute("id")
    page.click("a[rel=next]")
    assert page.locator("tbody tr").count() > 1 and page.locator(f"#{first}").count() == 0
    context.close()
