"""What a person does on the trading pages."""

from collections.abc import Callable

from apps.core.units import LAMPORTS_PER_SOL
from apps.trading import services
from apps.trading.models import Order, TradingState
from tests.browser.conftest import Browsing, Site
from tests.servers import await_true

Browse = Callable[..., Browsing]


def test_an_order_begins_on_the_coin_page_and_is_listed(browse: Browse, site: Site) -> None:
    services.wallet_create(alias="by-hand", balance_lamports=5 * LAMPORTS_PER_SOL)
    browsing = browse()
    page = browsing.page
    site.world.live()
    mint = site.world.busiest_mint
    page.goto(f"/discovery/coins/{mint}/")
    page.click("#coin a[href*='/trading/order/']")
    assert page.input_value("[name=mint]") == mint
    page.select_option("[name=wallet]", "by-hand")
    page.fill("[name=amount]", "0.05")
    page.click("main form button:not([type=button])")
    page.wait_for_url("**/trading/trades/**")
    assert page.locator("[role=status]").count() == 1
    assert Order.objects.get(wallet__alias="by-hand").mint == mint
    assert browsing.mistakes == []


def test_the_kill_switch_is_one_click_away_and_shown_on_the_dashboard(browse: Browse) -> None:
    page = browse().page
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    for path, state in (("/trading/", "REDUCING"), ("/", "ACTIVE")):
        page.goto(path)
        page.click("details:has(button[name=state]) > summary")
        page.click(f"button[name=state][value={state}]")
        await_true(lambda wanted=state: page.evaluate("true") and TradingState.objects.get(pk=1).state == wanted)
        page.goto("/")
        assert state in page.inner_text(".top")
    assert len(asked) == 2


def test_selling_everything_asks_first(browse: Browse, site: Site) -> None:
    browsing, asked = browse(), []
    page = browsing.page
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.goto(site.pages["trading-wallet"])
    orders = Order.objects.count()
    page.click("form[action$='/sell-all/'] button")
    await_true(lambda: page.evaluate("true") and asked)
    assert len(asked) == 1 and Order.objects.count() == orders
