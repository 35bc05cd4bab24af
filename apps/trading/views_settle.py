"""The page that ends a real order or transfer by hand. The password is asked for again."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from apps.core.tokens import scopes_of_user
from apps.trading import pages_settle, settling
from apps.trading.forms_settle import OrderSettleForm, TransferSettleForm
from apps.trading.models import Order, TransferLog
from apps.trading.views import saved


@never_cache
@sensitive_post_parameters("password", "code")
def order_settle(request: HttpRequest, order_id: int) -> HttpResponse:
    """An order whose end the chain cannot tell."""
    row = get_object_or_404(settling.orders_doubtful(timezone.now()), pk=order_id)
    return _settle(request, row, OrderSettleForm(request.POST or None, request.user, order_id))


@never_cache
@sensitive_post_parameters("password", "code")
def transfer_settle(request: HttpRequest, transfer_id: int) -> HttpResponse:
    """A transfer whose end the chain cannot tell."""
    row = get_object_or_404(settling.transfers_doubtful(timezone.now()), pk=transfer_id)
    return _settle(request, row, TransferSettleForm(request.POST or None, request.user, transfer_id))


@sensitive_variables()
def _settle(request: HttpRequest, row: Order | TransferLog, form: Any) -> HttpResponse:
    may = "admin" in scopes_of_user(request.user)
    done = _("It is settled, and noted who settled it.")
    is_sent = request.method == "POST" and may and form.is_valid()
    if is_sent and saved(request, lambda: form.save(request.user), done):
        return redirect("trading:real")
    return render(request, "trading/settle.html", {"form": form, "may": may, **pages_settle.facts_of(row)})
