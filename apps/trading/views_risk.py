"""Pages of risk: limits of all wallets of a kind, the block-list; beginning anew after losses."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.core import display
from apps.core.htmx import page_of
from apps.trading import gate_queries, limits
from apps.trading.forms_risk import BlockForm, LimitsOfAllForm
from apps.trading.models import Blocked, Wallet
from apps.trading.views import saved


def risk(request: HttpRequest, kind: str = "TEST") -> HttpResponse:
    """The limits of all wallets of a kind together, and the block-list."""
    chosen = "REAL" if kind.upper() == "REAL" else "TEST"
    is_block = "address" in request.POST
    form = LimitsOfAllForm(None if is_block else request.POST or None, gate_queries.limits_of(chosen))
    block = BlockForm(request.POST if is_block else None)
    sent = block if is_block else form
    if request.method == "POST" and sent.is_valid() and saved(request, sent.save, _("Saved.")):
        return redirect("trading:risk_of", chosen)
    context = {
        "kind": chosen,
        "kinds": Wallet.Type.values,
        "form": form,
        "block_form": block,  # `block` is the template's own word
        "page": page_of(request, Blocked.objects.order_by("-id"), _blocked_row),
    }
    return render(request, "trading/risk.html", context)


def _blocked_row(row: Blocked) -> dict[str, object]:
    return {
        "id": row.pk,
        "kind": row.kind,
        "address": row.address,
        "href": reverse("discovery:coin", args=[row.address]) if row.kind == Blocked.Kind.MINT else "",
        "reason": row.reason,
        "since": display.moment(row.created_at),
    }


@require_POST
def risk_reset(request: HttpRequest, kind: str) -> HttpResponse:
    """Forget losing streak, cool-down and peak of all wallets of a kind together."""
    saved(request, lambda: limits.limits_reset(kind=kind), _("The counters begin anew."))
    return redirect("trading:risk_of", kind)


@require_POST
def wallet_reset(request: HttpRequest, alias: str) -> HttpResponse:
    """Forget losing streak, cool-down and peak of a wallet."""
    get_object_or_404(Wallet, alias=alias)
    saved(request, lambda: limits.wallet_reset(alias=alias), _("The counters begin anew."))
    return redirect("trading:wallet", alias)


@require_POST
def unblock(request: HttpRequest, blocked_id: int) -> HttpResponse:
    """Take something off the block-list."""
    saved(request, lambda: limits.blocked_remove(blocked_id=blocked_id), _("It may be bought again."))
    return redirect("trading:risk")
