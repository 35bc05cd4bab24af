"""Forms of the discovery pages; the rules behind them are in services."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.discovery import services


class ConfigForm(StyledForm):
    """What may be changed while the stream runs."""

    bad_names_pattern = forms.CharField(
        label=_("Bad names"),
        required=False,
        help_text=_("Regular expression; coins whose name matches are not tracked."),
    )
    spam_burst_window = forms.IntegerField(
        label=_("Spam window, seconds"),
        min_value=0,
        help_text=_("Coins of one creator or one name are counted over it. 0: off."),
    )
    spam_burst_coins = forms.IntegerField(
        label=_("Coins in a burst"),
        min_value=1,
        help_text=_("So many of one creator or name are tracked within the window; further ones are spam."),
    )
    coin_cache_seconds = forms.IntegerField(
        label=_("Untraded after, seconds"), min_value=0, help_text=_("A new coin without a trade is dropped after it.")
    )
    stale_seconds = forms.IntegerField(
        label=_("Quiet after, seconds"), min_value=0, help_text=_("A coin without a trade for so long is not tracked.")
    )
    whale_threshold_sol = forms.FloatField(label=_("Whale from, SOL"), min_value=0)
    koth_market_cap_sol = forms.FloatField(label=_("King of the hill from, SOL of market cap"), min_value=0)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, initial=services.config_as_dict(services.config_read()))

    def save(self) -> None:
        services.config_write(changes=self.cleaned_data)


class PhaseForm(StyledForm):
    """A new phase, a changed one, or the deletion of one."""

    phase_id = forms.IntegerField(required=False, widget=forms.HiddenInput)
    action = forms.ChoiceField(
        choices=[("save", "save"), ("delete", "delete")], widget=forms.HiddenInput, initial="save"
    )
    name = forms.CharField(label=_("Name"), max_length=50, required=False)
    interval_seconds = forms.IntegerField(label=_("Window, seconds"), min_value=1, required=False)
    min_age_minutes = forms.IntegerField(label=_("From age, minutes"), min_value=0, required=False)
    max_age_minutes = forms.IntegerField(label=_("To age, minutes"), min_value=1, required=False)

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if values.get("action") == "save":
            for name in ("name", "interval_seconds", "min_age_minutes", "max_age_minutes"):
                if values.get(name) in (None, "") and name not in self.errors:
                    self.add_error(name, _("Please fill this in."))
        return values

    def save(self) -> None:
        values = self.cleaned_data
        if values["action"] == "delete":
            services.phase_delete(phase_id=values["phase_id"])
        else:
            services.phase_save(
                name=values["name"],
                interval_seconds=values["interval_seconds"],
                min_age_minutes=values["min_age_minutes"],
                max_age_minutes=values["max_age_minutes"],
                phase_id=values["phase_id"],
            )
