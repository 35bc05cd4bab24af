"""The manual order: a form, and beside it what the order would do at this moment."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.core.errors import PlatformError
from apps.trading import wording
from apps.trading.forms import OrderForm
from apps.trading.pages_order import preview_shown
from apps.trading.views import saved


def order(request: HttpRequest) -> HttpResponse:
    """A manual order with a live quote."""
    form = OrderForm(request.POST or None, initial={"mint": request.GET.get("mint", "")})
    if request.method == "POST" and form.is_valid():
        done = _("The order is on its way: it is executed after the latency.")
        if saved(request, form.save, done):
            return redirect("trading:trades")
    return render(request, "trading/order.html", {"form": form, "topics": "trading"})


@require_safe
def quote(request: HttpRequest) -> HttpResponse:
    """What the order of the form would do now; nothing is written."""
    return render(request, "trading/_quote.html", {"quote": _quote(OrderForm(request.GET))})


def _quote(form: OrderForm) -> dict[str, Any]:
    if not form.is_valid():
        return {"hint": _("Fill in the form to see what the order would do.")}
    try:
        return preview_shown(form.preview())
    except PlatformError as error:
        return {"hint": wording.refusal(error)}
