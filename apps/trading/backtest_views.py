"""Pages of backtests."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.htmx import page_of, render_page
from apps.trading import backtest_compare, backtest_pages, backtest_runs
from apps.trading.backtest_forms import BacktestForm
from apps.trading.models import Backtest, Strategy
from apps.training.forms import saved


def _runs() -> QuerySet[Backtest]:
    return Backtest.objects.select_related("job")


@require_safe
def backtests(request: HttpRequest) -> HttpResponse:
    """All runs, newest first; some of them can be chosen to be compared."""
    rows = _runs().defer("equity", "definition")
    if name := request.GET.get("strategy", "").replace("\0", ""):
        rows = rows.filter(strategy_name=name)
    context = {"page": page_of(request, rows, backtest_pages.run_row), "topics": "training"}
    return render_page(request, "trading/backtests.html", "trading/_backtests.html", context)


def new(request: HttpRequest) -> HttpResponse:
    """The form of a backtest."""
    wanted = Strategy.objects.filter(name=request.GET.get("strategy", "").replace("\0", "")).first()
    form = BacktestForm(request.POST or None, strategy=wanted or Strategy.objects.first())
    if request.method == "POST" and (run := saved(form)):
        messages.success(request, _("The backtest is queued."))
        return redirect("trading:backtest", run.pk)
    context = {"form": form, "groups": form.groups(), "has_strategies": Strategy.objects.exists()}
    return render(request, "trading/backtest_new.html", context)


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """What the form's choice would have to go by; asked for by the form as it is changed."""
    form = BacktestForm(request.POST)
    found: dict[str, Any] = {}
    try:
        if form.is_valid():
            found = backtest_pages.preview_facts(backtest_runs.preview(form.wish()))
    except PlatformError as error:
        found = {"error": error_text(error.message)}
    return render(request, "trading/_backtest_preview.html", {"found": found})


@require_safe
def backtest(request: HttpRequest, backtest_id: int) -> HttpResponse:
    """One run: how far it is, then what came of it."""
    run = get_object_or_404(_runs(), pk=backtest_id)
    context: dict[str, Any] = {"run": backtest_pages.run_facts(run)}
    if run.job.status in backtest_runs.OPEN:
        context["topics"] = "training"
    return render_page(request, "trading/backtest.html", "trading/_backtest.html", context)


@require_safe
def trades(request: HttpRequest, backtest_id: int) -> HttpResponse:
    """The fills and failures of a run."""
    run = get_object_or_404(_runs(), pk=backtest_id)
    page = page_of(request, run.trades.order_by("number"))
    context = {"run": backtest_pages.run_row(run), "page": page, "table": backtest_pages.trades_table(page.items)}
    return render(request, "trading/backtest_trades.html", context)


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Two to four runs of the same range beside each other."""
    ids = [int(text) for text in request.GET.getlist("ids") if text.isdecimal() and len(text) < 10]
    try:
        runs = backtest_compare.runs_chosen(ids)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("trading:backtests")
    return render(request, "trading/backtest_compare.html", {"found": backtest_pages.comparison_facts(runs)})


@require_POST
def cancel(request: HttpRequest, backtest_id: int) -> HttpResponse:
    """Cancel a waiting run, ask a running one to stop."""
    try:
        backtest_runs.run_cancel(backtest_id=get_object_or_404(Backtest, pk=backtest_id).pk)
        messages.success(request, _("The backtest will stop."))
    except PlatformError as error:
        messages.error(request, error_text(error.message))
    return redirect("trading:backtest", backtest_id)


@require_POST
def delete(request: HttpRequest, backtest_id: int) -> HttpResponse:
    """Remove a run that has ended."""
    try:
        backtest_runs.run_delete(backtest_id=get_object_or_404(Backtest, pk=backtest_id).pk)
    except PlatformError as error:
        messages.error(request, error_text(error.message))
        return redirect("trading:backtest", backtest_id)
    messages.success(request, _("The backtest is deleted."))
    return redirect("trading:backtests")
