"""Forms of the prediction pages; the rules behind them are in services."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.discovery.models import Phase
from apps.predictions import services
from apps.predictions.models import ActiveModel
from apps.training import services as training_services
from apps.training.models import Model

FILTERS = [(ActiveModel.CoinFilter.ALL, _("all coins")), (ActiveModel.CoinFilter.WHITELIST, _("only these"))]
MODES = [
    (ActiveModel.SendMode.ALERTS, _("alerts")),
    (ActiveModel.SendMode.POSITIVE, _("positive scores and alerts")),
    (ActiveModel.SendMode.NEGATIVE, _("negative scores")),
    (ActiveModel.SendMode.ALL, _("every score")),
]
PLAIN = (
    "threshold", "phases", "coin_filter", "whitelist", "ignore_bad_seconds", "ignore_positive_seconds",
    "ignore_alert_seconds", "min_scan_interval_seconds", "webhook_enabled", "webhook_url", "send_mode",
)  # fmt: skip


def _seconds(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, min_value=0, max_value=86_400, initial=0)


def _limit(label: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, required=False, min_value=0, max_value=services.MOST_LOGGED, initial=0,
        help_text=_("0: no limit. What is not kept does not alert."),
    )  # fmt: skip


class WorkForm(StyledForm):
    """When a model alerts, which coins it looks at, and whom it tells."""

    custom_name = forms.CharField(label=_("Name"), max_length=100)
    threshold = forms.FloatField(
        label=_("Threshold"), min_value=0, max_value=1, help_text=_("A score at or above it is an alert; 0 to 1.")
    )
    phases = forms.TypedMultipleChoiceField(
        label=_("Phases"),
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )
    coin_filter = forms.ChoiceField(label=_("Coins"), choices=FILTERS)
    whitelist = forms.CharField(
        label=_("Only these coins"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Their mints, one a line."),
    )
    ignore_bad_seconds = _seconds(_("Leave alone after a negative score, seconds"))
    ignore_positive_seconds = _seconds(_("Leave alone after a positive score, seconds"))
    ignore_alert_seconds = _seconds(_("Leave alone after an alert, seconds"))
    min_scan_interval_seconds = _seconds(_("Between two scores at least, seconds"))
    log_negative = _limit(_("Negative scores kept of a coin a day, at most"))
    log_positive = _limit(_("Positive scores kept of a coin a day, at most"))
    log_alert = _limit(_("Alerts kept of a coin a day, at most"))
    webhook_enabled = forms.BooleanField(label=_("Send to a webhook (n8n)"), required=False)
    webhook_url = forms.URLField(
        label=_("Address"),
        required=False,
        max_length=200,
        assume_scheme="https",
        help_text=_("Empty: the one of N8N_SERVER_WEBHOOK_URL."),
    )
    send_mode = forms.ChoiceField(label=_("What it is told"), choices=MODES)

    # The page shows them in these groups.
    QUIET = ("ignore_bad_seconds", "ignore_positive_seconds", "ignore_alert_seconds", "min_scan_interval_seconds")
    LIMITS = {"negative": "log_negative", "positive": "log_positive", "alert": "log_alert"}
    HOOK = ("webhook_enabled", "webhook_url", "send_mode")

    def __init__(
        self, data: Any = None, initial: dict[str, Any] | None = None, active: ActiveModel | None = None
    ) -> None:
        super().__init__(data, initial=initial)
        phases = Phase.objects.filter(interval_seconds__gt=0).order_by("id")
        choices: list[tuple[int, Any]] = list(phases.values_list("id", "name"))
        gone = set(active.phases if active else ()) - {pk for pk, _name in choices}
        # Else who saves the rest would choose none of them, which means all.
        choices += [(pk, _("No. %(id)s, which is gone") % {"id": pk}) for pk in sorted(gone)]
        self.fields["phases"].choices = choices  # type: ignore[attr-defined]

    @property
    def quiet_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in (*self.QUIET, *self.LIMITS.values())]

    @property
    def hook_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.HOOK]

    def clean_whitelist(self) -> list[str]:
        return list(dict.fromkeys(self.cleaned_data["whitelist"].split()))

    def settings(self) -> dict[str, Any]:
        """The fields of ActiveModel but its name."""
        limits = {tag: self.cleaned_data[name] or 0 for tag, name in self.LIMITS.items()}
        return {**{name: self.cleaned_data[name] for name in PLAIN}, "max_log_entries": limits}


class ActiveForm(WorkForm):
    """The settings of a model at work."""

    def __init__(self, active: ActiveModel, data: Any = None) -> None:
        initial = {name: getattr(active, name) for name in (*PLAIN, "custom_name")}
        initial |= {name: active.max_log_entries.get(tag, 0) for tag, name in self.LIMITS.items()}
        shown = {"threshold": round(active.threshold, 4), "whitelist": "\n".join(active.whitelist)}
        super().__init__(data, {**initial, **shown}, active)
        self.active = active

    def save(self) -> ActiveModel:
        fields = {"custom_name": self.cleaned_data["custom_name"].strip(), **self.settings()}
        if "threshold" not in self.changed_data:  # it is shown rounded: leave it as exact as it is
            del fields["threshold"]
        return services.model_configure(active=self.active, fields=fields)


class ImportForm(WorkForm):
    """Puts a trained model to work; the threshold is the model's own unless given."""

    model = forms.TypedChoiceField(label=_("Model"), coerce=int)
    field_order = ["model", "custom_name", "threshold"]

    def __init__(self, choices: list[tuple[int, str]], data: Any = None, chosen: Model | None = None) -> None:
        initial: dict[str, Any] = {"send_mode": ActiveModel.SendMode.ALERTS}
        if chosen:
            phases = chosen.recipe.get("data", {}).get("phases", [])
            initial |= {"model": chosen.pk, "phases": phases}
        super().__init__(data, initial)
        self.fields["model"].choices = choices  # type: ignore[attr-defined]
        self.fields["custom_name"].required = self.fields["threshold"].required = False
        self.fields["custom_name"].help_text = _("Empty: the model's own name.")
        if chosen:
            self.fields["threshold"].widget.attrs["placeholder"] = f"{chosen.threshold:.4f}"
        self.fields["threshold"].help_text = _("Empty: the model's own. A score at or above it is an alert.")

    def save(self) -> ActiveModel:
        values, fields = self.cleaned_data, self.settings()
        threshold = fields.pop("threshold")
        model = Model.objects.get(pk=values["model"])
        return services.model_import(model=model, custom_name=values["custom_name"], threshold=threshold, fields=fields)


class FileForm(StyledForm):
    """A model file (`training.containers`) to store."""

    file = forms.FileField(label=_("Model file"), widget=forms.FileInput(attrs={"accept": ".zip"}))
    name = forms.CharField(label=_("Name"), required=False, max_length=100, help_text=_("Empty: the one in the file."))

    def save(self) -> Model:
        name = self.cleaned_data["name"].strip() or None
        return training_services.model_import(data=self.cleaned_data["file"].read(), name=name)
