"""Signing in, theme, language, menus, keyboard."""

from collections.abc import Callable

from tests.browser.conftest import Browsing, Site, sign_in

Browse = Callable[..., Browsing]
THEME = "document.documentElement.dataset.bsTheme"


def test_a_stranger_is_sent_to_the_sign_in_and_then_where_he_wanted(browse: Browse, site: Site) -> None:
    page = browse(signed_in=False).page
    page.goto("/discovery/phases/")
    assert "/accounts/login/" in page.url
    page.fill("[name=login]", "visitor")
    page.fill("[name=password]", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url("**/discovery/phases/")


def test_a_wrong_password_is_answered_in_words(browse: Browse) -> None:
    page = browse(signed_in=False).page
    sign_in(page, "wrong")
    page.get_by_text("not correct").wait_for()


def test_signing_out_ends_the_session(browse: Browse) -> None:
    page = browse().page
    page.click("details.menu:has(form[action$='logout/']) > summary")
    page.click("details.menu form[action$='logout/'] button")
    page.wait_for_url("**/accounts/login/**")
    page.goto("/")
    assert "/accounts/login/" in page.url


def test_the_theme_follows_the_system_until_it_is_chosen(browse: Browse) -> None:
    page = browse(scheme="light").page
    assert page.evaluate(THEME) == "light"
    page.click("[data-action=theme]")
    assert page.evaluate(THEME) == "dark"
    page.goto("/trading/")
    assert page.evaluate(THEME) == "dark"


def test_the_language_is_changed_in_place_and_kept(browse: Browse) -> None:
    page = browse().page
    page.goto("/discovery/settings/")
    page.click("header button[name=language]")
    page.wait_for_load_state()
    assert page.url.endswith("/discovery/settings/")
    assert page.locator("html").get_attribute("lang") == "de"
    page.goto("/")
    assert page.locator("html").get_attribute("lang") == "de"


def test_on_a_phone_the_menu_opens_and_leads_on(browse: Browse) -> None:
    page = browse(width=390).page
    assert not page.locator("#side").is_visible()
    page.click("[data-action=menu]")
    page.locator("#side a[href='/trading/']").click()
    page.wait_for_url("**/trading/")
    assert not page.locator("#side").is_visible()


def test_the_first_tab_leads_past_the_menu(browse: Browse) -> None:
    page = browse().page
    page.goto("/discovery/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#content"
    assert page.locator(".skip").bounding_box()["x"] >= 0
