"""Forms of the training pages; the rules behind them are in recipes and services."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.htmx import StyledForm
from apps.training import containers, queries, services
from apps.training.models import Job, Model

MINUTE = "%Y-%m-%dT%H:%M"


def moment_field(label: Any, **options: Any) -> forms.DateTimeField:
    """A moment in the site's time zone."""
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MINUTE)
    return forms.DateTimeField(label=label, widget=widget, **options)


class RangeForm(StyledForm):
    """A stretch of time to judge on."""

    time_from = moment_field(_("From"))
    time_to = moment_field(_("To"))

    def clean(self) -> dict[str, Any]:
        start, end = self.cleaned_data.get("time_from"), self.cleaned_data.get("time_to")
        if start and end and start >= end:
            self.add_error("time_to", _("The end must lie after the beginning."))
        return self.cleaned_data


class ModelTestForm(RangeForm):
    """Where to judge a model; the proposal begins where its training data ended."""

    def __init__(self, model: Model, data: Any = None) -> None:
        super().__init__(data, initial={"time_from": model.train_to, "time_to": queries.data_end()})
        self.model = model

    def save(self) -> Job:
        values = self.cleaned_data
        return services.test_request(model=self.model, start=values["time_from"], end=values["time_to"])


class ModelForm(StyledForm):
    """Name and notes of a model."""

    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(
        label=_("Notes"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(self, model: Model, data: Any = None) -> None:
        super().__init__(data, initial={"name": model.name, "description": model.description})
        self.model = model

    def save(self) -> Model:
        return services.model_update(model=self.model, **self.cleaned_data)


class ImportForm(StyledForm):
    """A model's file, and another name where its own is taken."""

    file = forms.FileField(label=_("File"), max_length=200)
    name = forms.CharField(label=_("Name"), required=False, max_length=100, help_text=_("Empty: its own."))

    def save(self) -> Model:
        values = self.cleaned_data
        return services.model_import(
            data=values["file"].read(containers.MOST_FILE_BYTES + 1), name=values["name"].strip() or None
        )


class CompareForm(RangeForm):
    """Two to four models and where to judge them."""

    models = forms.TypedMultipleChoiceField(
        label=_("Models"),
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Two to four with the same question and phases."),
    )
    field_order = ["models", "time_from", "time_to"]

    def __init__(self, choices: list[tuple[int, str]], newest: Any, data: Any = None) -> None:
        super().__init__(data, initial={"time_from": newest, "time_to": queries.data_end()})
        self.fields["models"].choices = choices  # type: ignore[attr-defined]

    def save(self) -> Job:
        values = self.cleaned_data
        chosen = list(Model.objects.filter(pk__in=values["models"], is_deleted=False).order_by("pk"))
        return services.compare_request(models=chosen, start=values["time_from"], end=values["time_to"])


def saved(form: Any) -> Any:
    """What `save` of a valid form gives; None where it is not valid: an expected failure becomes its error."""
    if not form.is_valid():
        return None
    try:
        return form.save()
    except PlatformError as error:
        form.add_error(None, error_text(error.message))
        return None
