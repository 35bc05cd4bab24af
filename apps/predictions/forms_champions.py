"""Forms of the page of champion and challenger."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.htmx import StyledForm
from apps.predictions import champions, retraining
from apps.predictions.models import ActiveModel
from apps.predictions.retraining import LIMITS
from apps.training import services as training_services

NAMES = ("every_hours", "window_hours", "min_alerts", "shadow_hours", "promote_automatically")


def _whole(name: str, label: Any, hint: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, min_value=LIMITS[name][0], max_value=LIMITS[name][1], help_text=hint)


class PlanForm(StyledForm):
    """How a place renews its model."""

    every_hours = _whole("every_hours", _("Train anew every so many hours"), _("Of feed time. 0: only when asked."))
    window_hours = _whole(
        "window_hours", _("On the data of so many hours"), _("0: as long as the present model's own stretch.")
    )
    min_alerts = _whole(
        "min_alerts", _("Alerts before the first look"), _("Of each model; each further look needs twice as many.")
    )
    shadow_hours = _whole(
        "shadow_hours", _("A challenge ends after so many hours"), _("If it is not decided by then; of feed time.")
    )
    promote_automatically = forms.BooleanField(
        label=_("Promote by itself what passes the gate"), required=False, help_text=_("Else it is only proposed here.")
    )

    def __init__(self, place: ActiveModel, data: Any = None) -> None:
        plan = champions.plan_of(place)
        super().__init__(data, initial={name: getattr(plan, name) for name in NAMES})
        self.place = place

    def save(self) -> Any:
        return retraining.plan_set(place=self.place, fields=self.cleaned_data)


class ChallengeForm(StyledForm):
    """Lets a trained model challenge."""

    model = forms.TypedChoiceField(
        label=_("Model"), coerce=int, help_text=_("Those with the same label as the champion, newest first.")
    )

    def __init__(self, place: ActiveModel, who: str = "", data: Any = None) -> None:
        super().__init__(data)
        self.place, self.who = place, who
        choices = [(model.pk, model.name) for model in champions.candidates(place)]
        self.fields["model"].choices = choices  # type: ignore[attr-defined]

    def save(self) -> ActiveModel:
        model = training_services.model_get(model_id=self.cleaned_data["model"])
        return champions.challenge_start(place=self.place, model=model, by=self.who)
