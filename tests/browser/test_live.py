"""What changes in the tables changes on the open page, without a reload."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps.core import live
from apps.discovery.models import CoinStream
from tests.browser.conftest import Browsing, Site, until
from tests.browser.world import World

Browse = Callable[..., Browsing]
ANOTHER_TEXT = "([where, text]) => document.querySelector(where).innerText !== text"
CANDLES_DRAWN = "Number(document.getElementById('chart').dataset.candles) > 5"


@pytest.fixture
def go_on(site: Site) -> Callable[[str], None]:
    """Lets the market go on and publishes the topic, as stream, scorer and trader do."""

    def step(topic: str) -> None:
        site.world.step()
        live.publish(topic)

    return step


def connected(browsing: Browsing) -> None:
    browsing.page.wait_for_selector("#live-state.good")


@contextmanager
def changing(page: Any, selector: str) -> Iterator[None]:
    """What happens inside changes the text of the element without a new load of the page."""
    page.evaluate("window.sameLoad = true")
    before = page.inner_text(selector)
    yield
    until(page, ANOTHER_TEXT, [selector, before])
    assert page.evaluate("window.sameLoad")


def test_the_dashboard_shows_what_was_just_committed(browse: Browse, go_on) -> None:
    browsing = browse()
    connected(browsing)
    with changing(browsing.page, "#dashboard"):
        go_on("dashboard")
    assert browsing.mistakes == []


def test_the_dashboard_is_updated_in_the_language_of_the_viewer(browse: Browse, go_on) -> None:
    browsing = browse(language="de")
    connected(browsing)
    heading = browsing.page.inner_text("#dashboard h2")
    with changing(browsing.page, "#dashboard"):
        go_on("dashboard")
    assert browsing.page.inner_text("#dashboard h2") == heading != "Open positions"


def test_the_coin_table_keeps_its_filter_while_it_is_updated(browse: Browse, go_on) -> None:
    browsing = browse()
    page = browsing.page
    page.goto("/discovery/?sort=age&phase=1")
    connected(browsing)
    with changing(page, "#overview"):
        go_on("coins")
    phases = page.locator("#overview tbody tr td:nth-child(2)").all_inner_texts()
    assert phases and set(phases) == {"Baby Zone"}


def test_the_coin_page_draws_candles_and_goes_on_with_them(browse: Browse, site: Site, go_on) -> None:
    browsing = browse()
    mint = site.world.busiest_mint
    browsing.page.goto(f"/discovery/coins/{mint}/")
    until(browsing.page, CANDLES_DRAWN)
    assert browsing.page.locator("#chart canvas").count() > 0
    connected(browsing)
    with browsing.page.expect_response("**/candles/**") as answer:
        go_on(f"coin:{mint}")
    assert answer.value.ok
    assert browsing.mistakes == []


def test_a_lost_connection_is_said_and_taken_up_again(browse: Browse) -> None:
    browsing, sockets = browse(), []

    def pass_through(socket: Any) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    browsing.page.route_web_socket("**/ws/live/**", pass_through)
    browsing.page.goto("/")
    connected(browsing)
    sockets[0].close()
    browsing.page.wait_for_selector("#live-state.wait")
    connected(browsing)
    assert len(sockets) == 2


def test_names_of_coins_are_text_and_never_markup(browse: Browse, site: Site, world: World) -> None:
    mint = CoinStream.objects.order_by("-started_at").values_list("coin_id", flat=True)[0]
    coin = CoinStream.objects.get(pk=mint).coin
    coin.name, coin.symbol = "<img src=x onerror=alert(1)>", "</script><b>"
    coin.description = "<script>alert(1)</script>"
    coin.save()
    browsing = browse()
    browsing.page.goto(f"/discovery/coins/{mint}/")
    assert "<img src=x" in browsing.page.inner_text("h1")
    assert browsing.page.locator("main img, main b, h1 img").count() == 0
    assert browsing.mistakes == []


def test_a_page_that_is_held_still_changes_when_it_is_let_go(browse: Browse, site: Site, go_on) -> None:
    browsing = browse()
    page = browsing.page
    page.goto("/discovery/")
    connected(browsing)
    page.focus("#live-state")
    page.keyboard.press("Enter")
    page.wait_for_selector("#live-state[aria-pressed=true]")
    before = page.inner_text("#overview")
    go_on("coins")
    assert page.inner_text("#overview") == before
    page.keyboard.press("Enter")
    until(page, ANOTHER_TEXT, ["#overview", before])
    assert browsing.mistakes == []
