"""Forms about keys. What is typed as a secret is never put back into the page."""

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from apps.core.htmx import StyledForm
from apps.trading import identity, wallet_keys
from apps.trading.models import Wallet


def secret_field(label: Any, most: int, **kwargs: Any) -> forms.CharField:
    """Something typed that is shown nowhere."""
    widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(label=label, max_length=most, widget=widget, **kwargs)


class CreateForm(StyledForm):
    """A real wallet whose key is made here."""

    prefix = "create"
    alias = forms.SlugField(label=_("Name"), max_length=50, help_text=_("Letters, digits, hyphens."))

    def save(self, user: Any) -> Wallet:
        return wallet_keys.wallet_create_real(alias=self.cleaned_data["alias"], user=user, now=timezone.now())


class ImportForm(StyledForm):
    """A real wallet with a key that exists."""

    prefix = "import"
    alias = forms.SlugField(label=_("Name"), max_length=50, help_text=_("Letters, digits, hyphens."))
    address = forms.CharField(label=_("Address"), max_length=64, help_text=_("The key must belong to it."))
    secret = secret_field(_("Secret key"), 1_000, help_text=_("Base58, or a JSON array of 64 numbers."))

    @sensitive_variables()
    def save(self, user: Any) -> Wallet:
        values = self.cleaned_data
        return wallet_keys.wallet_import(
            alias=values["alias"], text=values["secret"], address=values["address"], user=user, now=timezone.now()
        )


class IdentityForm(StyledForm):
    """Password, and second factor where one is set."""

    password = secret_field(_("Your password"), 200)
    code = forms.CharField(label=_("Code of your authenticator app, a fresh one"), max_length=20)

    def __init__(self, data: Any, user: Any) -> None:
        super().__init__(data)
        self.fields["code"].widget.attrs |= {"autocomplete": "off", "inputmode": "numeric"}
        if not identity.has_second_factor(user):
            del self.fields["code"]


class ShowForm(IdentityForm):
    """Who wants to see a key."""

    @sensitive_variables()
    def key_of(self, alias: str, user: Any) -> str:
        """The key as base58. Raises PlatformError."""
        values = self.cleaned_data
        return wallet_keys.key_show(
            alias=alias,
            user=user,
            password=values["password"],
            code=values.get("code", ""),
            now=timezone.now(),
        )
