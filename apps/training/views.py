"""Pages of training."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.htmx import page_of, render_page
from apps.core.tokens import changes_need
from apps.training import data_pages, judged_pages, lineage_pages, outlook, pages, services, study_pages
from apps.training.forms import CompareForm, ModelForm, ModelTestForm, saved
from apps.training.models import Comparison, Job, Model, TestResult
from apps.training.recipe_form import PreviewForm, RecipeForm


# --- Models --------------------------------------------------------------------------------------------
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The models, what is being trained now, and what there is to learn from."""
    deleted = bool(request.GET.get("deleted"))
    page, figures = page_of(request, pages.models_found(deleted=deleted), pages.model_row), data_pages.figures()
    context = {
        "page": page,
        "deleted": deleted,
        "figures": figures,
        "jobs": pages.jobs_open(),
        "waiting": data_pages.waiting_text(bool(page.count), figures["has_data"]),
        "topics": "training",
    }
    return render_page(request, "training/overview.html", "training/_overview.html", context)


@changes_need("admin")
def new(request: HttpRequest) -> HttpResponse:
    """The form of a recipe."""
    form = RecipeForm(request.POST or None)
    if request.method == "POST" and (job := saved(form)):
        messages.success(request, _("The training of %(name)s is queued.") % {"name": pages.job_subject(job)})
        return redirect("training:job", job.pk)
    return render(request, "training/new.html", {"form": form, "groups": form.groups()})


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """How many rows, coins and positives the form's choice gives; asked for by the form as it is changed."""
    form, context = PreviewForm(request.POST), {}
    try:
        if form.is_valid():
            context = data_pages.preview_facts(outlook.outlook_of(form.recipe()))
    except PlatformError as error:
        context = {"error": error_text(error.message)}
    return render(request, "training/_preview.html", {"found": context})


@require_safe
def data(request: HttpRequest) -> HttpResponse:
    """What there is to train on, by day and phase."""
    return render(request, "training/data.html", {"data": data_pages.data_facts()})


@changes_need("admin")
def model(request: HttpRequest, model_id: int) -> HttpResponse:
    """One model: scores, plots, importances, recipe; tests it, renames it."""
    found = get_object_or_404(pages.model_detail_rows(), pk=model_id)
    action = request.POST.get("action", "")
    test = ModelTestForm(found, request.POST if action == "test" else None)
    change = ModelForm(found, request.POST if action == "change" else None)
    if job := saved(test):
        return redirect("training:job", job.pk)
    if saved(change):
        messages.success(request, _("Saved."))
        return redirect("training:model", model_id)
    context = {"model": pages.model_facts(found), "test": test, "change": change, "tests": judged_pages.tests_of(found)}
    context["lineage"] = lineage_pages.lineage_facts(found)
    return render(request, "training/model.html", context)


@changes_need("admin")
@require_POST
def model_delete(request: HttpRequest, model_id: int) -> HttpResponse:
    """Take a model out of sight."""
    services.model_delete(model=get_object_or_404(Model, pk=model_id, is_deleted=False))
    messages.success(request, _("The model is deleted; its results stay."))
    return redirect("training:overview")


# --- Jobs ----------------------------------------------------------------------------------------------
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """The queue and what it has done."""
    context = {
        "page": page_of(request, pages.jobs_found(request), pages.job_row),
        "statuses": [(status, title) for status, (_tone, title) in pages.STATUS.items()],
        "topics": "training",
    }
    return render_page(request, "training/jobs.html", "training/_jobs.html", context)


@require_safe
def job(request: HttpRequest, job_id: int) -> HttpResponse:
    """One job with its log."""
    found = get_object_or_404(Job.objects.select_related("model").defer("model__artifact"), pk=job_id)
    context = {"job": pages.job_facts(found), "topics": "training"}
    if found.job_type == Job.Type.TUNE:
        context["study"] = study_pages.study_facts(found)
    return render_page(request, "training/job.html", "training/_job.html", context)


@changes_need("admin")
@require_POST
def job_cancel(request: HttpRequest, job_id: int) -> HttpResponse:
    """Cancel a waiting job, ask a running one to stop."""
    try:
        services.job_cancel(job=get_object_or_404(Job, pk=job_id), now=timezone.now())
        messages.success(request, _("The job will stop."))
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    return redirect("training:job", job_id)


# --- Tests and comparisons -----------------------------------------------------------------------------
@require_safe
def tests(request: HttpRequest) -> HttpResponse:
    """Models judged on other stretches of data."""
    page = page_of(request, judged_pages.tests_found(request), judged_pages.test_row)
    table = judged_pages.tests_table(page.items)
    context = {"page": page, "table": table, "models": pages.model_choices(), "topics": "training"}
    return render_page(request, "training/tests.html", "training/_tests.html", context)


@require_safe
def test(request: HttpRequest, result_id: int) -> HttpResponse:
    """One test with its plots."""
    rows = TestResult.objects.select_related("model").defer("model__artifact")
    facts = judged_pages.test_facts(get_object_or_404(rows, pk=result_id))
    return render(request, "training/test.html", {"test": facts})


@changes_need("admin")
@require_POST
def test_delete(request: HttpRequest, result_id: int) -> HttpResponse:
    """Remove a test."""
    services.test_result_delete(result_id=get_object_or_404(TestResult, pk=result_id).pk)
    messages.success(request, _("The test is deleted."))
    return redirect("training:tests")


@changes_need("admin")
def comparisons(request: HttpRequest) -> HttpResponse:
    """Models judged on the same rows, and the form for another comparison."""
    form = CompareForm(pages.model_choices(), pages.newest_training_end(), request.POST or None)
    if request.method == "POST" and (job := saved(form)):
        messages.success(request, _("The comparison is queued."))
        return redirect("training:job", job.pk)
    page = page_of(request, judged_pages.comparisons_found(), judged_pages.comparison_row)
    context = {"form": form, "page": page, "topics": "training"}
    return render_page(request, "training/comparisons.html", "training/_comparisons.html", context)


@require_safe
def comparison(request: HttpRequest, comparison_id: int) -> HttpResponse:
    """One comparison, the winner first."""
    found = get_object_or_404(judged_pages.comparisons_found(), pk=comparison_id)
    return render(request, "training/comparison.html", {"comparison": judged_pages.comparison_facts(found)})


@changes_need("admin")
@require_POST
def comparison_delete(request: HttpRequest, comparison_id: int) -> HttpResponse:
    """Remove a comparison."""
    services.comparison_delete(comparison_id=get_object_or_404(Comparison, pk=comparison_id).pk)
    messages.success(request, _("The comparison is deleted."))
    return redirect("training:comparisons")


@require_safe
def leakcheck(request: HttpRequest) -> HttpResponse:
    """How to look for a leak, and which figures ask for it."""
    return render(request, "training/leakcheck.html", {"found": judged_pages.suspicious()})


@require_safe
def features(request: HttpRequest) -> HttpResponse:
    """Every feature: its formula, window, inputs and unit."""
    context = {"page": data_pages.features_page(request), "windows": data_pages.feature_windows()}
    return render(request, "training/features.html", context)
