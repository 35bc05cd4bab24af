"""Forms of the training pages; the rules behind them are in recipes and services."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.errors import PlatformError
from apps.core.htmx import StyledForm
from apps.discovery.models import Phase
from apps.training import features, queries, services
from apps.training.models import Job, Model
from apps.training.recipes import Booster, Label, Recipe, Split, TradeCosts, recipe_parse

KINDS = [("path", _("touches it")), ("close", _("ends there"))]
MINUTE = "%Y-%m-%dT%H:%M"
LABEL, SPLIT, BOOSTER, COSTS = Label(), Split(), Booster(), TradeCosts()


def _moment(label: Any, **options: Any) -> forms.DateTimeField:
    """A moment in the site's time zone."""
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MINUTE)
    return forms.DateTimeField(label=label, widget=widget, **options)


def _phases() -> list[tuple[int, str]]:
    return [(phase.pk, phase.name) for phase in Phase.objects.filter(interval_seconds__gt=0).order_by("id")]


class RecipeForm(StyledForm):
    """A recipe: what is asked, of which rows, with which features, and how it is fitted."""

    name = forms.CharField(label=_("Name"), max_length=100, help_text=_("Letters, digits, spaces and . : + - _"))
    description = forms.CharField(label=_("Notes"), required=False, max_length=2000)
    kind = forms.ChoiceField(
        label=_("The price …"), choices=KINDS, initial=LABEL.kind, help_text=_("At any moment, or at the end.")
    )
    change_pct = forms.FloatField(
        label=_("Change, %"), initial=round(LABEL.change_pct), help_text=_("From the entry; a fall is negative.")
    )
    horizon_seconds = forms.IntegerField(label=_("Within, seconds"), initial=LABEL.horizon_seconds, min_value=1)
    stop_pct = forms.FloatField(
        label=_("Unless it goes the other way by, %"), required=False, help_text=_("Empty: however it gets there.")
    )
    latency_seconds = forms.FloatField(
        label=_("Entry after, seconds"),
        initial=round(LABEL.latency_seconds),
        help_text=_("From the score to the earliest possible buy."),
    )
    phases = forms.TypedMultipleChoiceField(label=_("Phases"), coerce=int, widget=forms.CheckboxSelectMultiple)
    time_from = _moment(_("From"), required=False, help_text=_("Empty: all there is."))
    time_to = _moment(_("To"), required=False, help_text=_("Empty: all there is."))
    features = forms.MultipleChoiceField(
        label=_("Features"),
        required=False,
        choices=[(name, name) for name in features.NAMES],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )
    validation = forms.FloatField(
        label=_("Share for validation"), initial=SPLIT.validation, help_text=_("Chooses rounds and threshold.")
    )
    test = forms.FloatField(label=_("Share for the test"), initial=SPLIT.test, help_text=_("The newest; never seen."))
    n_estimators = forms.IntegerField(label=_("Rounds, at most"), initial=BOOSTER.n_estimators, min_value=1)
    early_stopping_rounds = forms.IntegerField(
        label=_("Stop after rounds without gain"), initial=BOOSTER.early_stopping_rounds, min_value=1
    )
    max_depth = forms.IntegerField(label=_("Depth of a tree"), initial=BOOSTER.max_depth, min_value=1)
    learning_rate = forms.FloatField(label=_("Learning rate"), initial=BOOSTER.learning_rate)
    min_child_weight = forms.FloatField(label=_("Least weight of a leaf"), initial=round(BOOSTER.min_child_weight))
    subsample = forms.FloatField(label=_("Share of rows a tree"), initial=BOOSTER.subsample)
    balanced = forms.BooleanField(label=_("Weigh positives up to balance"), required=False)
    seed = forms.IntegerField(label=_("Seed"), initial=7, min_value=0)
    stake_sol = forms.FloatField(
        label=_("Stake of a trade, SOL"),
        initial=COSTS.stake_sol,
        help_text=_("Moves the price and bears the fees; the threshold must earn both."),
    )
    min_alerts = forms.IntegerField(
        label=_("Alerts at least"), initial=30, min_value=1, help_text=_("In the validation part, at the threshold.")
    )
    priority = forms.IntegerField(
        label=_("Priority"), initial=5, min_value=1, max_value=9, help_text=_("1 first, 9 last.")
    )

    # The page shows them in these groups.
    GROUPS = {
        "question": ("kind", "change_pct", "horizon_seconds", "stop_pct", "latency_seconds"),
        "rows": ("time_from", "time_to", "validation", "test"),
        "fit": ("n_estimators", "max_depth", "learning_rate", "seed"),
        "more": ("early_stopping_rounds", "min_child_weight", "subsample", "stake_sol", "min_alerts", "priority"),
    }

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        phases: Any = self.fields["phases"]
        phases.choices = _phases()
        phases.initial = [number for number, _name in phases.choices]

    def group(self, name: str) -> list[forms.BoundField]:
        return [self[field] for field in self.GROUPS[name]]

    @property
    def question_fields(self) -> list[forms.BoundField]:
        return self.group("question")

    @property
    def rows_fields(self) -> list[forms.BoundField]:
        return self.group("rows")

    @property
    def fit_fields(self) -> list[forms.BoundField]:
        return self.group("fit")

    @property
    def more_fields(self) -> list[forms.BoundField]:
        return self.group("more")

    def recipe(self) -> Recipe:
        """The checked recipe; without a name (the preview needs none) it gets one. Raises RECIPE_INVALID."""
        values = self.cleaned_data
        booster = {name: values[name] for name in Booster.model_fields if name in values}
        return recipe_parse(
            {
                "name": values.get("name") or "preview",
                "description": values.get("description", ""),
                "features": values["features"] or "all",
                "label": {name: values[name] for name in self.GROUPS["question"]},
                "data": {"from": values["time_from"], "to": values["time_to"], "phases": values["phases"]},
                "split": {"validation": values["validation"], "test": values["test"]},
                "xgboost": {**booster, "scale_pos_weight": "balanced" if values["balanced"] else 1.0},
                **{name: values[name] for name in ("seed", "min_alerts")},
                "costs": {"stake_sol": values["stake_sol"]},
            }
        )

    def save(self) -> Job:
        return services.train_request(recipe=self.recipe(), priority=self.cleaned_data["priority"])


class PreviewForm(RecipeForm):
    """The same for counting rows: the name may still be missing."""

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["name"].required = False


class RangeForm(StyledForm):
    """A stretch of time to judge on."""

    time_from = _moment(_("From"))
    time_to = _moment(_("To"))

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
        form.add_error(None, error.message)
        return None
