"""The form of a recipe; what may stand in it is in recipes. Fields carry the kinds of label that have them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.discovery.models import Phase
from apps.training import features, services
from apps.training.columns import METRICS
from apps.training.forms import moment_field
from apps.training.models import Job
from apps.training.recipes import Booster, Data, Label, Recipe, Split, TradeCosts, Tune, recipe_parse

LABEL, DATA, SPLIT, BOOSTER, COSTS, TUNE = Label(), Data(), Split(), Booster(), TradeCosts(), Tune()
KINDS = [
    ("path", _("touches it")),
    ("close", _("ends there")),
    ("rule", _("meets a rule")),
    ("graduates", _("graduates")),
]
METRIC_CHOICES = [(LABEL.metric, _("price")), *((name, name) for name in METRICS)]
OPERATORS = [(sign, sign) for sign in (">=", ">", "<=", "<")]
WHENS = [("within", _("at any moment until then")), ("after", _("at the end"))]
CREATORS = [
    ("all", _("all")),
    ("known", _("whose creation was seen")),
    ("new", _("the creator's first coin")),
    ("veteran", _("the creator had coins before")),
]
MEASURES = [("pr_auc", "PR-AUC"), ("log_loss", _("log loss")), ("expected_value", _("value per alert"))]


class RecipeForm(StyledForm):
    """A recipe: what is asked, of which rows, with which features, how it is fitted, and whether a study varies it."""

    name = forms.CharField(label=_("Name"), max_length=100, help_text=_("Letters, digits, spaces and . : + - _"))
    description = forms.CharField(label=_("Notes"), required=False, max_length=2000)
    kind = forms.ChoiceField(
        label=_("The coin …"), choices=KINDS, initial=LABEL.kind, help_text=_("At any moment, or at the end.")
    )
    metric = forms.ChoiceField(label=_("Of"), choices=METRIC_CHOICES, initial=LABEL.metric, required=False)
    change_pct = forms.FloatField(
        label=_("Change, %"),
        initial=round(LABEL.change_pct or 0),
        required=False,
        help_text=_("From the entry; a fall is negative."),
    )
    operator = forms.ChoiceField(label=_("Is"), choices=OPERATORS, initial=LABEL.operator, required=False)
    value = forms.FloatField(label=_("Value"), required=False, help_text=_("In the unit of the metric."))
    when = forms.ChoiceField(label=_("When"), choices=WHENS, initial=LABEL.when, required=False)
    horizon_seconds = forms.IntegerField(label=_("Within, seconds"), initial=LABEL.horizon_seconds, min_value=1)
    stop_pct = forms.FloatField(
        label=_("Unless it goes the other way by, %"), required=False, help_text=_("Empty: however it gets there.")
    )
    label_costs_pct = forms.FloatField(
        label=_("Change net of costs, %"), initial=0, required=False, help_text=_("Taken off before it is compared.")
    )
    latency_seconds = forms.FloatField(
        label=_("Entry after, seconds"),
        initial=round(LABEL.latency_seconds),
        help_text=_("From the score to the earliest possible buy."),
    )
    phases = forms.TypedMultipleChoiceField(label=_("Phases"), coerce=int, widget=forms.CheckboxSelectMultiple)
    time_from = moment_field(_("From"), required=False, help_text=_("Empty: all there is."))
    time_to = moment_field(_("To"), required=False, help_text=_("Empty: all there is."))
    creators = forms.ChoiceField(label=_("Coins"), choices=CREATORS, initial=DATA.creators, required=False)
    min_trades = forms.IntegerField(
        label=_("Trades at least"),
        initial=DATA.min_trades,
        required=False,
        min_value=0,
        help_text=_("In the half hour until the row."),
    )
    max_rows_per_coin = forms.IntegerField(
        label=_("Rows a coin, at most"), required=False, min_value=1, help_text=_("In training only. Empty: all.")
    )
    every_seconds = forms.IntegerField(
        label=_("One row every, seconds"), required=False, min_value=1, help_text=_("In training only. Empty: all.")
    )
    mints = forms.CharField(
        label=_("Only these coins"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Addresses, apart by spaces or lines. Empty: all."),
    )
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
    folds = forms.IntegerField(
        label=_("Folds of a walk forward"),
        initial=SPLIT.folds,
        required=False,
        min_value=0,
        max_value=10,
        help_text=_("Each is fitted anew on what was before. 0: none."),
    )
    n_estimators = forms.IntegerField(label=_("Rounds, at most"), initial=BOOSTER.n_estimators, min_value=1)
    early_stopping_rounds = forms.IntegerField(
        label=_("Stop after rounds without gain"), initial=BOOSTER.early_stopping_rounds, min_value=1
    )
    max_depth = forms.IntegerField(label=_("Depth of a tree"), initial=BOOSTER.max_depth, min_value=1)
    learning_rate = forms.FloatField(label=_("Learning rate"), initial=BOOSTER.learning_rate)
    min_child_weight = forms.FloatField(label=_("Least weight of a leaf"), initial=round(BOOSTER.min_child_weight))
    subsample = forms.FloatField(label=_("Share of rows a tree"), initial=BOOSTER.subsample)
    colsample_bytree = forms.FloatField(
        label=_("Share of features a tree"), initial=BOOSTER.colsample_bytree, required=False
    )
    reg_lambda = forms.FloatField(label=_("Penalty of large leaves"), initial=round(BOOSTER.reg_lambda), required=False)
    gamma = forms.FloatField(label=_("Least gain of a split"), initial=round(BOOSTER.gamma), required=False)
    positive_weight = forms.FloatField(
        label=_("Weight of a positive row"), initial=1, required=False, help_text=_("Above 1 the score is no share.")
    )
    balanced = forms.BooleanField(label=_("Weigh positives up to balance"), required=False)
    seed = forms.IntegerField(label=_("Seed"), initial=7, min_value=0)
    stake_sol = forms.FloatField(
        label=_("Stake of a trade, SOL"),
        initial=COSTS.stake_sol,
        help_text=_("Moves the price and bears the fees; the threshold must earn both."),
    )
    venue_fee_bps = forms.IntegerField(
        label=_("Fee of the venue, bps"), initial=COSTS.venue_fee_bps, required=False, min_value=0
    )
    tip_sol = forms.FloatField(label=_("Tip of a trade, SOL"), initial=COSTS.tip_sol, required=False, min_value=0)
    failure_rate = forms.FloatField(
        label=_("Share of trades that fail"),
        initial=COSTS.failure_rate,
        required=False,
        help_text=_("They still cost the network fee."),
    )
    max_slippage_bps = forms.IntegerField(
        label=_("Slippage at most, bps"), initial=COSTS.max_slippage_bps, required=False, min_value=0
    )
    min_alerts = forms.IntegerField(
        label=_("Alerts at least"), initial=30, min_value=1, help_text=_("In the validation part, at the threshold.")
    )
    tune = forms.BooleanField(label=_("Study first: vary the fit and keep the best"), required=False)
    trials = forms.IntegerField(label=_("Trials"), initial=TUNE.trials, min_value=1, max_value=500, required=False)
    measure = forms.ChoiceField(label=_("Best by"), choices=MEASURES, initial=TUNE.measure, required=False)
    tune_seconds = forms.IntegerField(
        label=_("Begin no trial after, seconds"), required=False, min_value=1, help_text=_("Empty: all trials.")
    )
    priority = forms.IntegerField(
        label=_("Priority"), initial=5, min_value=1, max_value=9, help_text=_("1 first, 9 last.")
    )

    # The page shows them in these groups.
    GROUPS = {
        "rows": ("time_from", "time_to", "validation", "test"),
        "more_rows": ("creators", "min_trades", "max_rows_per_coin", "every_seconds", "folds"),
        "fit": ("n_estimators", "max_depth", "learning_rate", "seed"),
        "more": (
            "early_stopping_rounds", "min_child_weight", "subsample", "colsample_bytree", "reg_lambda", "gamma",
            "positive_weight", "priority",
        ),
        "costs": ("stake_sol", "venue_fee_bps", "tip_sol", "failure_rate", "max_slippage_bps", "min_alerts"),
        "study": ("trials", "measure", "tune_seconds"),
    }  # fmt: skip
    # The kinds of label that have a field; the page hides it for the others.
    OF_KINDS = {
        "kind": (),
        "metric": ("path", "close", "rule"),
        "change_pct": ("path", "close"),
        "operator": ("rule",),
        "value": ("rule",),
        "when": ("rule",),
        "horizon_seconds": (),
        "stop_pct": ("path",),
        "label_costs_pct": ("path", "close"),
        "latency_seconds": (),
    }

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        phases: Any = self.fields["phases"]
        phases.choices = [
            (phase.pk, phase.name) for phase in Phase.objects.filter(interval_seconds__gt=0).order_by("id")
        ]
        phases.initial = [number for number, _name in phases.choices]

    def question_fields(self) -> list[tuple[forms.BoundField, str]]:
        """Fields of the label, each with the classes of the kinds that have it; none: all kinds."""
        return [
            (self[name], " ".join(["only", *(f"for-{kind}" for kind in kinds)]) if kinds else "")
            for name, kinds in self.OF_KINDS.items()
        ]

    def groups(self) -> dict[str, list[forms.BoundField]]:
        """The other fields in their groups."""
        return {group: [self[name] for name in names] for group, names in self.GROUPS.items()}

    def recipe(self) -> Recipe:
        """The checked recipe; without a name (the preview needs none) it gets one. Raises RECIPE_INVALID."""
        values = self.cleaned_data
        return recipe_parse(
            {
                "name": values.get("name") or "preview",
                "description": values.get("description", ""),
                "features": values["features"] or "all",
                "label": self._label(),
                "data": self._data(),
                "split": _given(values, Split),
                "xgboost": {**_given(values, Booster), "scale_pos_weight": self._weight()},
                "costs": _given(values, TradeCosts),
                "tune": self._tune(),
                **{name: values[name] for name in ("seed", "min_alerts")},
            }
        )

    def save(self) -> Job:
        return services.recipe_request(recipe=self.recipe(), priority=self.cleaned_data["priority"])

    def _label(self) -> dict[str, Any]:
        """The fields that the chosen kind has."""
        values, kind = self.cleaned_data, self.cleaned_data["kind"]
        label = {name: values[name] for name, kinds in self.OF_KINDS.items() if not kinds or kind in kinds}
        costs = label.pop("label_costs_pct", None)
        if costs and (label.get("metric") or LABEL.metric) == LABEL.metric:
            label["costs_pct"] = costs
        return {name: value for name, value in label.items() if value not in (None, "")}

    def _data(self) -> dict[str, Any]:
        values = self.cleaned_data
        span = {"from": values["time_from"], "to": values["time_to"]}
        return {**_given(values, Data), **span, "mints": values["mints"].split()}

    def _weight(self) -> float | str:
        return "balanced" if self.cleaned_data["balanced"] else self.cleaned_data["positive_weight"] or 1.0

    def _tune(self) -> dict[str, Any] | None:
        values = self.cleaned_data
        if not values["tune"]:
            return None
        return _given(values, Tune) | ({"seconds": values["tune_seconds"]} if values["tune_seconds"] else {})


def _given(values: dict[str, Any], part: type) -> dict[str, Any]:
    """The fields of a part of the recipe that are filled in."""
    return {name: values[name] for name in part.model_fields if values.get(name) not in (None, "")}  # type: ignore[attr-defined]


class PreviewForm(RecipeForm):
    """The same for counting rows: the name may still be missing."""

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["name"].required = False
