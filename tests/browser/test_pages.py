"""Every page in a real browser: nothing on the console, no policy violation, nothing wider than the window."""

from collections.abc import Callable

import pytest

from tests.browser.conftest import Browsing, Site

WIDER_THAN_THE_WINDOW = "document.documentElement.scrollWidth > window.innerWidth"


@pytest.mark.parametrize(
    ("language", "width", "scheme"),
    [("en", 1440, "dark"), ("de", 1440, "light"), ("en", 390, "light"), ("de", 390, "dark")],
)
def test_every_page_fits_and_breaks_no_rule(
    browse: Callable[..., Browsing], site: Site, language: str, width: int, scheme: str
) -> None:
    browsing = browse(language=language, width=width, scheme=scheme)
    page, wide, wrong = browsing.page, [], []
    for name, path in site.pages.items():
        page.goto(path, wait_until="load")
        if page.evaluate(WIDER_THAN_THE_WINDOW):
            wide.append(name)
        if page.locator("html").get_attribute("lang") != language or page.locator("h1").count() != 1:
            wrong.append(name)
    assert (browsing.mistakes, wide, wrong) == ([], [], [])


def test_every_page_of_the_world_has_something_to_show(browse: Callable[..., Browsing], site: Site) -> None:
    assert {"training-comparison", "predictions-model", "trading-wallet", "discovery-coin"} <= set(site.pages)
    page = browse().page
    for name in ("discovery-overview", "training-overview", "predictions-alerts", "trading-positions"):
        page.goto(site.pages[name])
        assert page.locator("main tbody tr").count() > 1, name


def test_pages_work_without_javascript(chromium, site: Site) -> None:
    from tests.browser.conftest import sign_in

    context = chromium.new_context(java_script_enabled=False, base_url=site.address)
    page = context.new_page()
    sign_in(page)
    page.goto(site.pages["discovery-overview"])
    page.fill("[name=q]", "no coin has this name")
    page.click("form[role=search] button")
    assert "No coins here." in page.inner_text("main")
    context.close()
