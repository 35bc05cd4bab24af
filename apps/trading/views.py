"""Pages of trading."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.errors import PlatformError
from apps.core.htmx import page_of, render_page
from apps.core.units import sol_to_lamports
from apps.trading import coin_page, dashboard, ledger_queries, pages, services, wording
from apps.trading.forms import WalletForm
from apps.trading.forms_caps import CapsForm
from apps.trading.forms_risk import LimitsForm
from apps.trading.models import Order, Wallet
from apps.trading.pages_ledger import ledger_table

Save = Callable[[], Any]


def saved(request: HttpRequest, save: Save, done: str) -> bool:
    """Do it and say so; an expected failure becomes a message."""
    try:
        save()
    except PlatformError as error:
        messages.error(request, wording.refusal(error))
        return False
    messages.success(request, done)
    return True


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Money, open positions, equity, risk, why no trade, results, costs, how orders ended."""
    now, found = pages.feed_time(), pages.summary()
    context = {
        "sum": found,
        "positions": pages.open_rows(),
        "curves": dashboard.curves(request.GET.get("span", ""), now, found["equity_lamports"]),
        "funnels": dashboard.funnel_rows(24),
        "risks": dashboard.risk_rows(),
        "topics": "trading",
    }
    return render_page(request, "trading/overview.html", "trading/_overview.html", context)


@require_POST
def state(request: HttpRequest) -> HttpResponse:
    """The kill switch."""
    wanted = request.POST.get("state", "")
    saved(request, lambda: services.trading_state_set(state=wanted, reason=_("by hand")), _("Trading is %s.") % wanted)
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if is_ours else "trading:overview")


def wallets(request: HttpRequest) -> HttpResponse:
    """All wallets, and a form for a new one."""
    form = WalletForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and saved(request, form.save, _("The wallet is made.")):
        return redirect("trading:wallets")
    context = {"table": pages.wallets_table(), "form": form, "topics": "trading"}
    return render_page(request, "trading/wallets.html", "trading/_wallets.html", context)


def wallet(request: HttpRequest, alias: str) -> HttpResponse:
    """One wallet: limits and caps, switches, what it holds, how it did, its ledger."""
    found = get_object_or_404(Wallet, alias=alias)
    form = LimitsForm(request.POST or None, found)
    if request.method == "POST" and form.is_valid() and saved(request, form.save, _("Saved.")):
        return redirect("trading:wallet", alias)
    page = page_of(request, ledger_queries.entries_of(alias))
    context = {
        "wallet": pages.wallet_shown(found),
        "form": form,
        "caps_form": CapsForm(None, found),
        "positions": pages.open_rows(found),
        "exits": pages.exits_table(found),
        "ledger": ledger_table(page.items),
        "page": page,
        "topics": "trading",
    }
    return render_page(request, "trading/wallet.html", "trading/_wallet.html", context)


@require_POST
def wallet_caps(request: HttpRequest, alias: str) -> HttpResponse:
    """The caps of a wallet's buys and transfers."""
    form = CapsForm(request.POST, get_object_or_404(Wallet, alias=alias))
    if form.is_valid():
        saved(request, form.save, _("Saved."))
    else:
        messages.error(request, _("A cap is an amount of SOL, 0 for none."))
    return redirect("trading:wallet", alias)


@require_POST
def wallet_action(request: HttpRequest, alias: str, action: str) -> HttpResponse:
    """A switch of a wallet, more virtual SOL, selling everything."""
    actions: dict[str, tuple[Save, str]] = {
        "trading": (lambda: services.wallet_toggle_trading(alias=alias), _("Trading is switched.")),
        "transfer": (lambda: services.wallet_toggle_transfer(alias=alias), _("Transfers are switched.")),
        "sell-all": (lambda: services.sell_all(alias=alias), _("Everything is being sold.")),
        "add": (lambda: services.wallet_add_balance(alias=alias, lamports=sol_to_lamports(1)), _("1 SOL was added.")),
    }
    get_object_or_404(Wallet, alias=alias)
    if action in actions:
        saved(request, *actions[action])
    return redirect("trading:wallet", alias)


@require_safe
def positions(request: HttpRequest) -> HttpResponse:
    """Open positions with their exits, and the closed ones."""
    context = {"positions": pages.open_rows(), "page": pages.closed_page(request), "topics": "trading"}
    return render_page(request, "trading/positions.html", "trading/_positions.html", context)


@require_POST
def position_sell(request: HttpRequest, alias: str, mint: str) -> HttpResponse:
    """Sell all of a position."""
    saved(request, lambda: services.sell_manual(alias=alias, mint=mint), _("The position is being sold."))
    return redirect("trading:positions")


@require_safe
def trades(request: HttpRequest) -> HttpResponse:
    """Every order and what became of it."""
    context = {"page": pages.orders_page(request), "statuses": Order.Status.values, "topics": "trading"}
    return render_page(request, "trading/trades.html", "trading/_trades.html", context)


@require_safe
def coin(request: HttpRequest, mint: str) -> HttpResponse:
    """Our orders for a coin, as a part of its page."""
    return render(request, "trading/_coin.html", {"table": coin_page.orders_table(mint)})


@require_safe
def coin_marks(request: HttpRequest, mint: str) -> JsonResponse:
    """Our fills in a coin, for its chart."""
    return JsonResponse({"items": coin_page.marks(mint)})
