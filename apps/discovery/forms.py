"""Forms of the discovery pages; the rules behind them are in services."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.discovery import services
from apps.discovery.models import Phase
from apps.discovery.pages_list import FLAGS

MOST_MINUTES, MOST_SOL = 5_256_000, 1_000_000_000


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


class FilterForm(StyledForm):
    """What the table of coins may be asked for; what cannot be read is said at its field and asks nothing."""

    q = forms.CharField(label=_("Search"), required=False, max_length=100)
    phase = forms.TypedChoiceField(label=_("Phase"), required=False, coerce=int, empty_value=None)
    flag = forms.ChoiceField(
        label=_("Mark"), required=False, choices=[("", _("any")), *((name, flag.title) for name, flag in FLAGS.items())]
    )
    min_age = forms.FloatField(label=_("Age from, minutes"), required=False, min_value=0, max_value=MOST_MINUTES)
    max_age = forms.FloatField(label=_("Age to, minutes"), required=False, min_value=0, max_value=MOST_MINUTES)
    min_cap = forms.FloatField(label=_("Market cap from, SOL"), required=False, min_value=0, max_value=MOST_SOL)
    max_cap = forms.FloatField(label=_("Market cap to, SOL"), required=False, min_value=0, max_value=MOST_SOL)
    min_volume = forms.FloatField(label=_("Volume from, SOL"), required=False, min_value=0, max_value=MOST_SOL)

    FURTHER = ("min_age", "max_age", "min_cap", "max_cap", "min_volume")

    def __init__(self, data: Any, phases: list[Phase]) -> None:
        super().__init__(data)
        phase = cast(forms.TypedChoiceField, self.fields["phase"])
        phase.choices = [("", _("all")), *((str(one.id), one.name) for one in phases)]
        self.fields["q"].widget.input_type = "search"
        self.fields["q"].widget.attrs["placeholder"] = _("name, symbol, mint or creator")
        for name in ("phase", "flag"):
            self.fields[name].widget.attrs["data-autosubmit"] = ""
        for name in self.FURTHER:
            self.fields[name].widget.attrs |= {"step": "any", "inputmode": "decimal"}

    @property
    def asked(self) -> dict[str, Any]:
        """The readable filters."""
        self.is_valid()
        return self.cleaned_data

    @property
    def is_asking(self) -> bool:
        return bool(self.errors) or any(value not in (None, "") for value in self.asked.values())

    @property
    def further(self) -> list[forms.BoundField]:
        return [self[name] for name in self.FURTHER]

    @property
    def is_further(self) -> bool:
        """Whether one of the further filters is in use, or wrong."""
        return any(name in self.errors or self.asked.get(name) is not None for name in self.FURTHER)


class PhaseForm(StyledForm):
    """A new phase, a changed one, or the deletion of one."""

    phase_id = forms.IntegerField(required=False, max_value=Phase.GRADUATED, widget=forms.HiddenInput)
    action = forms.ChoiceField(
        choices=[("save", "save"), ("delete", "delete")], widget=forms.HiddenInput, initial="save"
    )
    name = forms.CharField(label=_("Name"), max_length=50, required=False)
    interval_seconds = forms.IntegerField(
        label=_("Window, seconds"), min_value=1, max_value=services.MOST_INTERVAL_SECONDS, required=False
    )
    min_age_minutes = forms.IntegerField(
        label=_("From age, minutes"), min_value=0, max_value=services.MOST_AGE_MINUTES, required=False
    )
    max_age_minutes = forms.IntegerField(
        label=_("To age, minutes"), min_value=1, max_value=services.MOST_AGE_MINUTES, required=False
    )

    @classmethod
    def of(cls, phase: Phase) -> PhaseForm:
        """The form of a phase before anything is changed."""
        names = ("name", "interval_seconds", "min_age_minutes", "max_age_minutes")
        return cls(initial={name: getattr(phase, name) for name in names}, auto_id=f"phase-{phase.id}-%s")

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
