"""The form that ends a real order or transfer by hand: what became of it, who says so, and why."""

from contextlib import closing
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from apps.core.units import sol_to_lamports, tokens_to_base_units
from apps.trading import identity, settling
from apps.trading.chain import rpc_open
from apps.trading.forms_keys import IdentityForm
from apps.trading.models import Settlement
from apps.trading.settling import Verdict
from apps.trading.venues.hand_fill import Told

Outcome = Settlement.Outcome
OUTCOMES = [
    (Outcome.NEVER, _("It never happened")),
    (Outcome.FAILED, _("It failed on the chain: only its fee is gone")),
    (Outcome.DONE, _("It happened")),
]


def _sol(label: Any, **kwargs: Any) -> forms.DecimalField:
    return forms.DecimalField(label=label, max_digits=18, decimal_places=9, required=False, **kwargs)


class TransferSettleForm(IdentityForm):
    """What became of a transfer."""

    kind = "transfer"
    outcome = forms.ChoiceField(label=_("What became of it"), choices=OUTCOMES)
    reason = forms.CharField(
        label=_("How you know"), min_length=10, max_length=500, help_text=_("10 to 500 characters, kept for ever.")
    )
    phrase = forms.CharField(label=_("Type the sentence"), max_length=100)
    field_order = ("outcome", "change", "tokens", "network_fee", "reason", "phrase", "password", "code")

    def __init__(self, data: Any, user: Any, pk: int) -> None:
        super().__init__(data, user)
        self.pk = pk
        sentences = [settling.phrase_of(self.kind, pk, outcome) for outcome, _name in OUTCOMES]
        self.fields["phrase"].help_text = " · ".join(sentences)
        self.fields["phrase"].widget.attrs["autocomplete"] = "off"

    def told(self) -> Told | None:
        """The amounts of an order."""
        return None

    @sensitive_variables()
    def save(self, user: Any) -> Settlement:
        """Raises what settling raises, and PASSWORD_WRONG, SECOND_FACTOR_WRONG, TOO_MANY_ATTEMPTS."""
        values, now = self.cleaned_data, timezone.now()
        identity.identity_require(user, values["password"], values.get("code", ""), now)
        verdict = Verdict(outcome=values["outcome"], reason=values["reason"], typed=values["phrase"], told=self.told())
        with closing(rpc_open()) as rpc:
            if self.kind == "order":
                return settling.order_settle_by_hand(order_id=self.pk, verdict=verdict, user=user, now=now, rpc=rpc)
            return settling.transfer_settle_by_hand(transfer_id=self.pk, verdict=verdict, user=user, now=now, rpc=rpc)


class OrderSettleForm(TransferSettleForm):
    """What became of an order, with its amounts."""

    kind = "order"
    change = _sol(_("Change of the wallet, SOL"), help_text=_("If it happened: everything in it; negative for a buy."))
    tokens = forms.DecimalField(
        label=_("Tokens bought or sold"), min_value=0, max_digits=16, decimal_places=6, required=False
    )
    network_fee = _sol(_("Network fee, SOL"), min_value=0, help_text=_("If it happened or failed."))

    def clean(self) -> dict[str, Any]:
        wanted = {"done": ("change", "tokens", "network_fee"), "failed": ("network_fee",)}
        for name in wanted.get(self.cleaned_data.get("outcome", ""), ()):
            if self.cleaned_data.get(name) is None and name not in self.errors:
                self.add_error(name, _("This is needed."))
        return self.cleaned_data

    def told(self) -> Told | None:
        values = self.cleaned_data
        if values["outcome"] == Outcome.NEVER:
            return None
        change, tokens = values["change"] or 0, values["tokens"] or 0
        return Told(sol_to_lamports(change), tokens_to_base_units(tokens), sol_to_lamports(values["network_fee"]))
