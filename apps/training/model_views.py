"""What pages do with models besides showing them: aliases, retraining, restoring, files, a study's best."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.tokens import changes_need
from apps.training import services
from apps.training.forms import ImportForm, saved
from apps.training.models import Job, Model


@changes_need("admin")
@require_POST
def alias(request: HttpRequest, model_id: int) -> HttpResponse:
    """Give a model an alias, or take it away."""
    model = get_object_or_404(Model, pk=model_id, is_deleted=False)
    try:
        services.alias_set(model=model, alias=request.POST.get("alias", ""))
        messages.success(request, _("Saved."))
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    return redirect("training:model", model_id)


@changes_need("admin")
@require_POST
def retrain(request: HttpRequest, model_id: int) -> HttpResponse:
    """Queue the model's recipe on all the data there is."""
    model = get_object_or_404(Model, pk=model_id, is_deleted=False)
    try:
        return redirect("training:job", services.retrain_request(model=model).pk)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("training:model", model_id)


@changes_need("admin")
@require_POST
def restore(request: HttpRequest, model_id: int) -> HttpResponse:
    """Bring a deleted model back under its own name."""
    try:
        services.model_restore(model=get_object_or_404(Model, pk=model_id, is_deleted=True))
        messages.success(request, _("The model is back."))
        return redirect("training:model", model_id)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("training:overview")


@changes_need("admin")
def import_file(request: HttpRequest) -> HttpResponse:
    """Store a model from its file."""
    form = ImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and (model := saved(form)):
        messages.success(request, _("%(name)s is imported.") % {"name": model.name})
        return redirect("training:model", model.pk)
    return render(request, "training/import.html", {"form": form})


@changes_need("admin")
@require_POST
def train_best(request: HttpRequest, job_id: int) -> HttpResponse:
    """Queue the training of a study's best recipe."""
    study = get_object_or_404(Job, pk=job_id)
    try:
        return redirect("training:job", services.best_train(study=study).pk)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("training:job", job_id)
