"""Forms of limits: of a wallet, of all wallets of a kind, and the block-list. Amounts are typed in SOL, shares in
percent; the rules are in services and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.core.units import LAMPORTS_PER_SOL, sol_to_lamports
from apps.trading import limits, services
from apps.trading.models import Blocked, RiskLimits, Wallet

OFF = _("0: no limit")
TITLES = {
    "max_position_lamports": _("Largest position, SOL"),
    "max_open_positions": _("Most open positions"),
    "max_exposure_lamports": _("Most in all positions, SOL"),
    "max_reserves_bps": _("Largest share of the real SOL on a coin's curve, percent"),
    "max_consecutive_losses": _("Most losses in a row"),
    "cooldown_losses": _("Losses in a row that begin a cool-down"),
    "cooldown_seconds": _("Cool-down, seconds of feed time"),
    "max_daily_loss_bps": _("Most daily loss, percent of the equity at day start"),
    "max_drawdown_bps": _("Most drawdown, percent of the highest equity"),
    "max_coin_loss_lamports": _("Most loss with one coin, SOL"),
    "max_creator_loss_lamports": _("Most loss with one creator's coins, SOL"),
}
ALWAYS_ON = ("max_position_lamports", "max_open_positions")


def limit_field(name: str, *, always_on: bool) -> forms.Field:
    """The field of one limit, in the unit that people type."""
    help_text = "" if always_on else OFF
    if name.endswith("_lamports"):
        return forms.DecimalField(
            label=TITLES[name], min_value=Decimal(0), max_digits=18, decimal_places=9, help_text=help_text
        )
    if name.endswith("_bps"):
        return forms.DecimalField(
            label=TITLES[name], min_value=Decimal(0), max_value=Decimal(100), decimal_places=2, help_text=help_text
        )
    return forms.IntegerField(label=TITLES[name], min_value=0, max_value=10**9, help_text=help_text)


def typed(name: str, value: int) -> Decimal | int:
    """A limit as people type it."""
    if name.endswith("_lamports"):
        return Decimal(value) / LAMPORTS_PER_SOL
    return Decimal(value) / 100 if name.endswith("_bps") else value


def stored(name: str, value: Any) -> int:
    """What people typed as it is stored."""
    if name.endswith("_lamports"):
        return sol_to_lamports(value)
    return round(value * 100) if name.endswith("_bps") else int(value)


class LimitsForm(StyledForm):
    """The limits of a wallet but its caps, its status and its extra loss."""

    status = forms.ChoiceField(label=_("Status"), choices=Wallet.Status.choices)

    def __init__(self, data: Any, wallet: Wallet) -> None:
        self.wallet = wallet
        first = {"status": wallet.status, "virtual_loss_percent": wallet.virtual_loss_percent}
        super().__init__(data, initial=first | {name: typed(name, getattr(wallet, name)) for name in TITLES})
        for name in TITLES:
            self.fields[name] = limit_field(name, always_on=name in ALWAYS_ON)
        self.fields["virtual_loss_percent"] = forms.DecimalField(
            label=_("Extra loss on every test fill, percent"),
            min_value=Decimal(0), max_value=Decimal(50), decimal_places=2,
        )  # fmt: skip
        self.style()

    def save(self) -> None:
        values = self.cleaned_data
        services.wallet_update(
            alias=self.wallet.alias,
            status=values["status"],
            virtual_loss_percent=values["virtual_loss_percent"],
            **{name: stored(name, values[name]) for name in TITLES},
        )


class LimitsOfAllForm(StyledForm):
    """All limits of the wallets of a kind together, and their switches."""

    trading_enabled = forms.BooleanField(label=_("Trading is on for all of them"), required=False)
    transfer_enabled = forms.BooleanField(label=_("Transfers are on for all of them"), required=False)

    def __init__(self, data: Any, row: RiskLimits) -> None:
        self.row = row
        names = ["trading_enabled", "transfer_enabled"]
        first = {name: getattr(row, name) for name in names}
        super().__init__(data, initial=first | {name: typed(name, getattr(row, name)) for name in TITLES})
        for name in TITLES:
            self.fields[name] = limit_field(name, always_on=False)
        self.style()

    def save(self) -> None:
        values = self.cleaned_data
        switches = {name: values[name] for name in ("trading_enabled", "transfer_enabled")}
        limits.limits_update(kind=self.row.scope, **switches, **{name: stored(name, values[name]) for name in TITLES})


class BlockForm(StyledForm):
    """Something that is never bought."""

    kind = forms.ChoiceField(
        label=_("What"), choices=[(Blocked.Kind.MINT, _("A coin")), (Blocked.Kind.CREATOR, _("A creator's coins"))]
    )
    address = forms.RegexField(r"^[1-9A-HJ-NP-Za-km-z]{32,64}$", label=_("Address"), max_length=64)
    reason = forms.CharField(label=_("Why"), max_length=200, required=False)

    def save(self) -> None:
        limits.blocked_add(**self.cleaned_data)
