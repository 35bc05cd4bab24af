"""Pages about real money: unlocking and locking, transfers with the address book, the chain, paper against live."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.errors import PlatformError
from apps.core.htmx import page_of, render_page
from apps.core.tokens import scopes_of_user
from apps.trading import address_book, comparison, identity, pages_real, pages_settle, reconciliation, unlocking
from apps.trading.forms_real import AddressForm, TransferForm, UnlockForm
from apps.trading.models import Wallet
from apps.trading.views import saved


def _may_unlock(request: HttpRequest) -> bool:
    return "admin" in scopes_of_user(request.user)


@require_safe
def real(request: HttpRequest) -> HttpResponse:
    """Which wallets trade real money, with which caps; who unlocked what."""
    context = {
        "enabled": settings.REAL_TRADING,
        "wallets": pages_real.real_wallets(timezone.now()),
        "table": pages_real.unlocks_table(),
        "differences": pages_real.differences_rows(),
        "checks": pages_real.checks_table(),
        "doubtful": pages_settle.doubtful_rows(timezone.now()),
        "fee": pages_real.fee_shown(),
        "settlements": pages_settle.settlements_table(),
        "may_unlock": _may_unlock(request),
        "has_factor": identity.has_second_factor(request.user),
        "topics": "trading",
    }
    return render(request, "trading/real.html", context)


def real_unlock(request: HttpRequest, alias: str) -> HttpResponse:
    """The code and the sentence that unlock a wallet."""
    wallet = get_object_or_404(Wallet, alias=alias, wallet_type="REAL")
    form = UnlockForm(request.POST or None, wallet)
    if request.method == "POST" and form.is_valid():
        done = _("Real money is live now on %s.") % alias
        if saved(request, lambda: form.save(request.user), done):
            return redirect("trading:real")
    row = next(row for row in pages_real.real_wallets(timezone.now()) if row["alias"] == alias)
    context = {
        "form": form,
        "wallet": row,
        "enabled": settings.REAL_TRADING,
        "may_unlock": _may_unlock(request),
        "has_factor": identity.has_second_factor(request.user),
        "hours": settings.REAL_UNLOCK_HOURS,
    }
    return render(request, "trading/real_unlock.html", context)


@require_POST
def real_lock(request: HttpRequest) -> HttpResponse:
    """Lock one real wallet, or all, at once."""
    alias = request.POST.get("wallet") or None
    name = request.user.get_username()
    saved(request, lambda: unlocking.wallets_lock(username=name, now=timezone.now(), alias=alias), _("It is locked."))
    return redirect("trading:real")


def transfers(request: HttpRequest) -> HttpResponse:
    """Transfers, a form for a new one, and the address book."""
    name = request.user.get_username()
    sent = request.POST if request.method == "POST" and "transfer-source" in request.POST else None
    added = request.POST if request.method == "POST" and "address-name" in request.POST else None
    form, address_form = TransferForm(sent), AddressForm(added)
    if sent and form.is_valid() and saved(request, lambda: form.save(name), _("The transfer is made or on its way.")):
        return redirect("trading:transfers")
    if added and address_form.is_valid() and saved(request, lambda: _address_save(request, address_form), _("Saved.")):
        return redirect("trading:transfers")
    table, page = pages_real.transfers_table(request)
    context = {
        "form": form,
        "address_form": address_form,
        "addresses": pages_real.addresses_rows(timezone.now()),
        "hours": settings.ADDRESS_WAIT_HOURS,
        "may_add": _may_unlock(request),
        "table": table,
        "page": page,
        "topics": "trading",
    }
    return render_page(request, "trading/transfers.html", "trading/_transfers.html", context)


def _address_save(request: HttpRequest, form: AddressForm) -> None:
    if not _may_unlock(request):
        raise PlatformError("SCOPE_MISSING", "Only staff may add addresses.", status=403)
    form.save(request.user.get_username())


@require_POST
def address_remove(request: HttpRequest, name: str) -> HttpResponse:
    """Take an address out of the book."""
    by = request.user.get_username()
    saved(request, lambda: address_book.address_remove(name=name, removed_by=by, now=timezone.now()), _("Removed."))
    return redirect("trading:transfers")


@require_POST
def difference_adopt(request: HttpRequest, difference_id: int) -> HttpResponse:
    """Take over what the chain says."""
    by, now = request.user.get_username(), timezone.now()
    done = _("The books now say what the chain says.")
    adopt = reconciliation.difference_adopt
    saved(request, lambda: adopt(difference_id=difference_id, username=by, now=now), done)
    return redirect("trading:real")


@require_safe
def paper_against_live(request: HttpRequest) -> HttpResponse:
    """The same intents on both venues."""
    wallet = request.GET.get("wallet", "").replace("\0", "") or None
    rows = comparison.pairs_of(wallet)
    page = page_of(request, rows)
    summary = comparison.summary_of([comparison.pair_of(order) for order in rows[: comparison.SUMMED]])
    context = {
        "sum": pages_real.summary_row(summary),
        "table": pages_real.pairs_table(list(page.items)),
        "page": page,
        "wallets": list(Wallet.objects.filter(wallet_type="REAL").order_by("alias").values_list("alias", flat=True)),
        "chosen": wallet or "",
        "topics": "trading",
    }
    return render_page(request, "trading/against.html", "trading/_against.html", context)
