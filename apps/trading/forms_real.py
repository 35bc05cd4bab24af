"""Forms about real money: unlocking, the address book, transfers."""

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.core.units import sol_to_lamports
from apps.trading import address_book, transfers, unlocking
from apps.trading.forms import sol_field
from apps.trading.models import SavedAddress, Wallet

SAVED = "saved:"


class UnlockForm(StyledForm):
    """A fresh code of the second factor, and the sentence typed out."""

    phrase = forms.CharField(label=_("Type the sentence"), max_length=100)
    code = forms.CharField(label=_("Code of your authenticator app, a fresh one"), max_length=20)

    def __init__(self, data: Any, wallet: Wallet) -> None:
        super().__init__(data)
        self.wallet, self.caps = wallet, data.get("caps", "") if data else ""
        self.fields["phrase"].help_text = unlocking.phrase_of(wallet.alias)
        for name in ("phrase", "code"):
            self.fields[name].widget.attrs["autocomplete"] = "off"
        self.fields["code"].widget.attrs["inputmode"] = "numeric"

    def save(self, user: Any) -> None:
        unlocking.wallet_unlock(
            alias=self.wallet.alias,
            user=user,
            code=self.cleaned_data["code"],
            phrase=self.cleaned_data["phrase"],
            caps=self.caps,
            now=timezone.now(),
        )


class AddressForm(StyledForm):
    """A new address of the address book."""

    prefix = "address"
    name = forms.SlugField(label=_("Name"), max_length=50)
    address = forms.CharField(label=_("Address"), max_length=64)
    confirm = forms.CharField(label=_("Its last six characters, typed"), max_length=10)
    note = forms.CharField(label=_("Note"), max_length=200, required=False)

    def save(self, username: str) -> None:
        values = self.cleaned_data
        address_book.address_add(
            name=values["name"],
            address=values["address"].strip(),
            typed=values["confirm"],
            note=values["note"],
            added_by=username,
            now=timezone.now(),
        )


class TransferForm(StyledForm):
    """SOL from a wallet to one of the same kind, or to a saved address; real money asks for a tick."""

    prefix = "transfer"
    source = forms.ChoiceField(label=_("From"))
    target = forms.ChoiceField(label=_("To wallet or address"))
    amount = sol_field(_("SOL"), required=False, help_text=_("Empty: all of it"))
    sure = forms.BooleanField(
        label=_("This moves real money, and nobody can undo it"), required=False, help_text=_("only for real wallets")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wallets = [
            (wallet.alias, f"{wallet.alias} ({wallet.wallet_type})") for wallet in Wallet.objects.order_by("alias")
        ]
        rows = SavedAddress.objects.filter(removed_at=None).order_by("name", "id")
        saved = [(f"{SAVED}{row.name}", f"{row.name} · {row.address}") for row in rows]
        self.fields["source"].choices = wallets  # type: ignore[attr-defined]
        self.fields["target"].choices = [("", _("choose …")), *wallets, *saved]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        is_real = Wallet.objects.filter(alias=values.get("source", ""), wallet_type="REAL").exists()
        if is_real and not values.get("sure"):
            self.add_error("sure", _("Please confirm."))
        return values

    def save(self, username: str) -> None:
        values = self.cleaned_data
        amount, target = values["amount"], values["target"]
        is_saved = target.startswith(SAVED)
        transfers.transfer(
            from_alias=values["source"],
            to_alias=None if is_saved else target,
            to_saved=target.removeprefix(SAVED) if is_saved else None,
            lamports=None if amount is None else sol_to_lamports(amount),
            requested_by=username,
        )
