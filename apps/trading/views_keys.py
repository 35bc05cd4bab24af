"""Pages about keys: a new real wallet, and the one that shows a key once."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from apps.core.errors import PlatformError
from apps.core.tokens import scopes_of_user
from apps.trading import pages_keys, wording
from apps.trading.forms_keys import CreateForm, ImportForm, ShowForm
from apps.trading.models import Wallet
from apps.trading.views import saved


def _may(request: HttpRequest) -> bool:
    return "admin" in scopes_of_user(request.user)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
def new(request: HttpRequest) -> HttpResponse:
    """A new real wallet: its key made here, or imported."""
    sent = request.POST if request.method == "POST" else None
    forms = {
        "create": CreateForm(sent if sent and "create-alias" in sent else None),
        "import": ImportForm(sent if sent and "import-alias" in sent else None),
    }
    for form in forms.values():
        if form.is_valid() and saved(request, lambda form=form: form.save(request.user), _("The wallet is made.")):  # type: ignore[misc]
            return redirect("trading:wallet", form.cleaned_data["alias"])
    context = {"create_form": forms["create"], "import_form": forms["import"], "may": _may(request)}
    return render(request, "trading/real_wallet_new.html", context)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
def key(request: HttpRequest, alias: str) -> HttpResponse:
    """Show a wallet's key on the answer to this one request, after password and second factor."""
    wallet = get_object_or_404(Wallet, alias=alias, wallet_type=Wallet.Type.REAL)
    form, shown = ShowForm(request.POST or None, request.user), ""
    if request.method == "POST" and form.is_valid():
        try:
            shown = form.key_of(alias, request.user)
        except PlatformError as error:
            messages.error(request, wording.refusal(error))
    context = {"wallet": wallet, "form": form, "shown": shown, "may": _may(request)}
    return render(request, "trading/wallet_key.html", {**context, "table": pages_keys.events_table(wallet)})
