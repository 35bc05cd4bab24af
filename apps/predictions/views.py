"""Pages of predictions."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.htmx import render_page
from apps.core.tokens import changes_need
from apps.predictions import champions, coin_page, pages, pages_alerts, services
from apps.predictions.forms import ActiveForm, FileForm, ImportForm
from apps.predictions.models import ActiveModel
from apps.training import pages as training_pages
from apps.training.forms import saved
from apps.training.models import Model


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The models at work, a card each."""
    context = {"cards": pages.cards(), "note": pages.scorer_note(), "empty": pages.empty_text()}
    context["topics"] = "predictions"
    return render_page(request, "predictions/overview.html", "predictions/_overview.html", context)


@changes_need("admin")
def model(request: HttpRequest, active_id: int) -> HttpResponse:
    """One model at work: how it does, and its settings."""
    active = get_object_or_404(_active_models(), pk=active_id)
    form = ActiveForm(active, request.POST or None)
    if request.method == "POST" and saved(form):
        messages.success(request, _("Saved. The scorer uses it from the next window on."))
        return redirect("predictions:model", active_id)
    active = get_object_or_404(_active_models(), pk=active_id)
    context = {"model": pages.model_page(active), "form": form, "topics": "predictions"}
    return render_page(request, "predictions/model.html", "predictions/_model.html", context)


@changes_need("admin")
@require_POST
def model_switch(request: HttpRequest, active_id: int) -> HttpResponse:
    """On becomes off, off becomes on."""
    active = get_object_or_404(_active_models(), pk=active_id)
    try:
        (services.model_deactivate if active.is_active else services.model_activate)(active=active)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    return redirect("predictions:overview")


@changes_need("admin")
@require_POST
def model_delete(request: HttpRequest, active_id: int) -> HttpResponse:
    """Take a stopped model out of the list."""
    try:
        champions.place_delete(place=get_object_or_404(_active_models(), pk=active_id), by=request.user.get_username())
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("predictions:model", active_id)
    messages.success(request, _("It is out of the list; its scores and alerts stay."))
    return redirect("predictions:overview")


@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """Alerts and what became of them."""
    context = {
        "page": pages_alerts.alerts_page(request),
        "statuses": [(status, title) for status, (_tone, title) in pages_alerts.STATUS.items()],
        "models": pages_alerts.work_names().items(),
        "topics": "predictions",
    }
    return render_page(request, "predictions/alerts.html", "predictions/_alerts.html", context)


@require_safe
def alert(request: HttpRequest, active_id: int, mint: str, as_of_us: int) -> HttpResponse:
    """One alert: why it fired, and what became of it."""
    found = pages_alerts.alert_found(active_id, mint, as_of_us)
    context = {"alert": pages_alerts.alert_facts(found), "topics": "predictions"}
    return render_page(request, "predictions/alert.html", "predictions/_alert.html", context)


@require_safe
def log(request: HttpRequest) -> HttpResponse:
    """Every score, newest first."""
    context = {
        "page": pages_alerts.log_page(request),
        "tags": [(tag, title) for tag, (_tone, title) in pages_alerts.TAGS.items()],
        "models": pages_alerts.work_names().items(),
        "topics": "predictions",
    }
    return render_page(request, "predictions/log.html", "predictions/_log.html", context)


@require_safe
def statistics(request: HttpRequest) -> HttpResponse:
    """What each model promised and what it keeps."""
    hours = pages.hours_asked(request)
    context = {"rows": pages.statistics(hours), "hours": hours, "spans": pages.SPANS, "topics": "predictions"}
    return render_page(request, "predictions/statistics.html", "predictions/_statistics.html", context)


@require_safe
def coin(request: HttpRequest, mint: str) -> HttpResponse:
    """The scores of a coin, as a part of its page."""
    return render(request, "predictions/_coin.html", coin_page.coin_scores(mint))


@require_safe
def coin_marks(request: HttpRequest, mint: str) -> JsonResponse:
    """The alerts of a coin, for its chart."""
    return JsonResponse({"items": coin_page.marks(mint)})


@changes_need("admin")
def put_to_work(request: HttpRequest) -> HttpResponse:
    """The trained models, and the form that puts one to work."""
    chosen = pages.model_asked(request)
    form = ImportForm(training_pages.model_choices(), request.POST or None, chosen)
    if request.method == "POST" and (active := saved(form)):
        messages.success(request, _("%(name)s is at work.") % {"name": active.custom_name})
        return redirect("predictions:overview")
    return _put_to_work_page(request, form, chosen, FileForm())


@changes_need("admin")
@require_POST
def import_file(request: HttpRequest) -> HttpResponse:
    """Store a model from a file; it is then chosen in the form that puts one to work."""
    form = FileForm(request.POST, files=request.FILES)
    if model := saved(form):
        messages.success(request, _("%(name)s is stored; now say how it shall work.") % {"name": model.name})
        return redirect(f"{reverse('predictions:import')}?model={model.pk}#work")
    return _put_to_work_page(request, ImportForm(training_pages.model_choices()), None, form)


def _put_to_work_page(
    request: HttpRequest, form: ImportForm, chosen: Model | None, file_form: FileForm
) -> HttpResponse:
    context = {"form": form, "page": pages.available_page(request), "chosen": chosen, "file_form": file_form}
    return render(request, "predictions/import.html", context)


def _active_models() -> QuerySet[ActiveModel]:
    return ActiveModel.objects.select_related("model").defer("model__artifact")
