"""The form of a wallet's caps: how much its buys and transfers may move."""

from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.core.units import sol_to_lamports
from apps.trading import services, unlocking
from apps.trading.forms import sol_field
from apps.trading.models import Wallet

NONE = _("0: no cap")
NOTHING = _("0: a real wallet sends nothing")


class CapsForm(StyledForm):
    """Caps in SOL. Raising one of an unlocked wallet locks it."""

    max_trade = sol_field(_("Most of one buy, SOL"), help_text=NONE)
    max_day = sol_field(_("Most of a day's buys, SOL"), help_text=NONE)
    max_total = sol_field(_("Most of all buys ever, SOL"), help_text=NONE)
    max_transfer = sol_field(_("Most of one transfer, SOL"), help_text=NOTHING)
    max_transfer_day = sol_field(_("Most transfers in 24 hours, SOL"), help_text=NOTHING)

    def __init__(self, data: Any, wallet: Wallet) -> None:
        self.wallet = wallet
        caps = unlocking.caps_of(wallet)
        initial = {name.removesuffix("_lamports"): Decimal(cap) / 10**9 for name, cap in caps.items()}
        super().__init__(data, initial=initial)

    def save(self) -> None:
        caps = {f"{name}_lamports": sol_to_lamports(value) for name, value in self.cleaned_data.items()}
        services.wallet_update(alias=self.wallet.alias, **caps)
