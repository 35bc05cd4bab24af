"""Pages of a model at work: live beside promised, drift, champion and challenger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.display import error_text
from apps.core.errors import NotFoundError, PlatformError
from apps.core.htmx import render_page
from apps.core.tokens import changes_need
from apps.predictions import champions, pages_champions, pages_life, retraining
from apps.predictions.forms_champions import ChallengeForm, PlanForm
from apps.predictions.models import ActiveModel
from apps.training.forms import saved


@require_safe
def life(request: HttpRequest, active_id: int) -> HttpResponse:
    """What the model keeps of its promise."""
    context = {"life": pages_life.life_page(_active(active_id)), "topics": "predictions"}
    return render_page(request, "predictions/life.html", "predictions/_life.html", context)


@require_safe
def drift(request: HttpRequest, active_id: int) -> HttpResponse:
    """How far features and scores have drifted from the training."""
    return render(request, "predictions/drift.html", {"drift": pages_life.drift_page(_active(active_id))})


@changes_need("admin")
def champion(request: HttpRequest, active_id: int) -> HttpResponse:
    """Champion and challenger, the gate, the history and the plan of a place."""
    place = _active(active_id)
    if place.shadow_of_id:
        return redirect("predictions:champion", place.shadow_of_id)
    plan = PlanForm(place, _posted(request, "plan"))
    challenge = ChallengeForm(place, request.user.get_username(), _posted(request, "challenge"))
    for form, text in ((plan, _("Saved.")), (challenge, _("The challenger scores in the shadow from now on."))):
        if form.is_bound and saved(form):
            messages.success(request, text)
            return redirect("predictions:champion", active_id)
    table, page = pages_champions.history_page(request, _active(active_id))
    context = {
        "place": pages_champions.champion_page(_active(active_id)),
        "plan": plan, "challenge": challenge, "history": table, "page": page, "topics": "predictions",
    }  # fmt: skip
    return render_page(request, "predictions/champion.html", "predictions/_champion.html", context)


def _posted(request: HttpRequest, action: str) -> Any:
    return request.POST if request.method == "POST" and request.POST.get("action") == action else None


@changes_need("admin")
@require_POST
def retrain(request: HttpRequest, active_id: int) -> HttpResponse:
    """Train the champion's recipe on the newest data."""
    return _do(request, active_id, lambda place, who: retraining.retrain(place=place), _("The training is queued."))


@changes_need("admin")
@require_POST
def promote(request: HttpRequest, active_id: int) -> HttpResponse:
    """Let the challenger take the place."""
    text = _("The challenger has taken the place; the former champion goes on in its shadow.")
    return _do(request, active_id, lambda place, who: champions.promote(place=place, by=who), text)


@changes_need("admin")
@require_POST
def roll_back(request: HttpRequest, active_id: int) -> HttpResponse:
    """Give the place back to its former model."""
    text = _("The former champion has its place back.")
    return _do(request, active_id, lambda place, who: champions.roll_back(place=place, by=who), text)


@changes_need("admin")
@require_POST
def challenge_end(request: HttpRequest, active_id: int) -> HttpResponse:
    """Send the challenger away."""

    def end(place: ActiveModel, who: str) -> None:
        champions.challenge_end(place=place, note="dismissed", by=who)

    return _do(request, active_id, end, _("The challenge has ended; the champion stays."))


def _do(request: HttpRequest, active_id: int, act: Callable[[ActiveModel, str], Any], done: str) -> HttpResponse:
    try:
        act(champions.place_get(active_id=active_id), request.user.get_username())
        messages.success(request, done)
    except NotFoundError as error:
        if error.code == "ACTIVE_MODEL_NOT_FOUND":
            raise Http404(error_text(error.message)) from None
        messages.error(request, error_text(error.message))
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    return redirect("predictions:champion", active_id)


def _active(active_id: int) -> ActiveModel:
    try:
        return champions.active_get(active_id=active_id)
    except NotFoundError as error:
        raise Http404(error_text(error.message)) from None
