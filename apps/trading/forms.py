"""Forms of the trading pages. Amounts are typed in SOL and become lamports here; the rules are in services."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.core.units import sol_to_lamports
from apps.trading import services
from apps.trading.models import Order, Wallet
from apps.trading.preview import Preview, preview_buy, preview_sell


def sol_field(label: Any, **kwargs: Any) -> forms.DecimalField:
    """An amount of SOL, to the lamport."""
    return forms.DecimalField(label=label, min_value=Decimal(0), max_digits=18, decimal_places=9, **kwargs)


def wallet_choices() -> list[tuple[str, str]]:
    """Test wallets first: nobody orders with real money because it stood at the top."""
    wallets = Wallet.objects.order_by("-wallet_type", "alias")
    return [(wallet.alias, wallet.alias if wallet.is_test else f"{wallet.alias} (REAL)") for wallet in wallets]


class WalletForm(StyledForm):
    """A new test wallet."""

    alias = forms.SlugField(label=_("Name"), max_length=50, help_text=_("Letters, digits, hyphens."))
    balance = sol_field(_("Virtual SOL"), initial=10)

    def save(self) -> None:
        services.wallet_create(
            alias=self.cleaned_data["alias"], balance_lamports=sol_to_lamports(self.cleaned_data["balance"])
        )


class OrderForm(StyledForm):
    """A manual order: buy for an amount, or sell a part of what is held."""

    wallet = forms.ChoiceField(label=_("Wallet"))
    mint = forms.CharField(label=_("Mint"), max_length=64)
    side = forms.ChoiceField(label=_("Side"), choices=[("buy", _("buy")), ("sell", _("sell"))])
    amount = sol_field(_("For a buy: SOL to spend"), required=False)
    percent = forms.FloatField(label=_("For a sale: percent of the holding"), initial=100, required=False)
    slippage_percent = forms.FloatField(label=_("Most slippage, percent"), initial=5, min_value=0, max_value=100)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["wallet"].choices = wallet_choices()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        wanted = "amount" if values.get("side") == "buy" else "percent"
        if not values.get(wanted):
            self.add_error(wanted, _("Please fill this in."))
        return values

    def wish(self) -> dict[str, Any]:
        """What `services.buy_manual` or `sell_manual`, or their previews, take."""
        values = self.cleaned_data
        common = {
            "alias": values["wallet"],
            "mint": values["mint"].strip(),
            "slippage_bps": round(values["slippage_percent"] * 100),
        }
        if values["side"] == "buy":
            return {**common, "lamports": sol_to_lamports(values["amount"])}
        return {**common, "percent": values["percent"]}

    def save(self) -> Order:
        return (services.buy_manual if self.cleaned_data["side"] == "buy" else services.sell_manual)(**self.wish())

    def preview(self) -> Preview:
        """What the order would do now."""
        return (preview_buy if self.cleaned_data["side"] == "buy" else preview_sell)(**self.wish())
