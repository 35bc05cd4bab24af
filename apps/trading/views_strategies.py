"""Pages of strategies: list, one, new, change, versions, files."""

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
from apps.trading import pages_strategies, strategies, wording
from apps.trading.conditions import OPERATORS
from apps.trading.definitions import definition_parse
from apps.trading.forms_strategies import FileForm, NewStrategyForm, StrategyForm
from apps.trading.models import Strategy
from apps.trading.strategy_files import StrategyFile


def _found(name: str) -> Strategy:
    try:
        return strategies.strategy_get(name)
    except NotFoundError as error:
        raise Http404(error_text(error.message)) from None


def _done(request: HttpRequest, act: Callable[[], Any], text: str) -> Any:
    """Do it and say so; an expected failure becomes a message and None."""
    try:
        result = act()
    except PlatformError as error:
        messages.error(request, wording.refusal(error))
        return None
    messages.success(request, text)
    return result if result is not None else True


def strategy_list(request: HttpRequest) -> HttpResponse:
    """All strategies; one from a file."""
    form = FileForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = _done(request, form.save, _("The file is taken. A new strategy rests until you switch it on."))
        if made:
            return redirect("trading:strategy", made.name)
    context = {"table": pages_strategies.strategies_table(), "form": form, "topics": "trading"}
    return render_page(request, "trading/strategies.html", "trading/_strategies.html", context)


@require_safe
def strategy(request: HttpRequest, name: str) -> HttpResponse:
    """One strategy and its versions."""
    found = _found(name)
    page = pages_strategies.versions_page(request, found)
    context = {
        "strategy": pages_strategies.strategy_page(found),
        "table": pages_strategies.versions_table(page, found),
        "page": page,
        "topics": "trading",
    }
    return render_page(request, "trading/strategy.html", "trading/_strategy.html", context)


def new(request: HttpRequest) -> HttpResponse:
    """A new strategy; it begins with the exits of the demo."""
    form = NewStrategyForm(request.POST or None, definition=strategies.demo_definition())
    if request.method == "POST" and form.is_valid():
        made = _done(request, form.save, _("The strategy is made: it trades on alerts from now on."))
        if made:
            return redirect("trading:strategy", made.name)
    return render(request, "trading/strategy_form.html", pages_strategies.form_page(form))


def change(request: HttpRequest, name: str) -> HttpResponse:
    """A new version of a strategy."""
    found = _found(name)
    form = StrategyForm(request.POST or None, definition=strategies.definition_of(found))
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        made = _done(
            request,
            lambda: strategies.strategy_change(name=name, definition=values["definition"], note=values["note"]),
            _("Saved. What is held keeps its exits."),
        )
        if made:
            return redirect("trading:strategy", name)
    return render(request, "trading/strategy_form.html", {**pages_strategies.form_page(form), "strategy": found})


@require_safe
def row(request: HttpRequest, kind: str) -> HttpResponse:
    """An empty row of the form."""
    if kind not in ("condition", "rung"):
        raise Http404
    empty = {"fact": "", "operator": ">=", "value": "", "gain": "", "share": ""}
    return render(request, f"trading/_strategy_{kind}.html", {"row": empty, "operators": OPERATORS})


@require_POST
def action(request: HttpRequest, name: str, action: str) -> HttpResponse:
    """Pause, go on, give what is held the newest exits, delete."""
    found = _found(name)
    actions: dict[str, tuple[Callable[[], Any], str]] = {
        "pause": (lambda: strategies.strategy_switch(name=name, is_active=False), _("Paused: exits go on.")),
        "resume": (lambda: strategies.strategy_switch(name=name, is_active=True), _("It enters again.")),
        "apply": (lambda: strategies.strategy_apply(name=name) or True, _("What is held has the newest exits.")),
        "delete": (lambda: strategies.strategy_delete(name=name), _("Removed.")),
    }
    if action not in actions:
        raise Http404
    if _done(request, *actions[action]) and action == "delete":
        return redirect("trading:strategies")
    return redirect("trading:strategy", found.name)


def version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """One version as a file; a POST makes it the newest again."""
    found = _found(name)
    try:
        shown = strategies.version_get(name, number)
    except NotFoundError as error:
        raise Http404(error_text(error.message)) from None
    if request.method == "POST":
        restored = _done(request, lambda: strategies.strategy_restore(name=name, number=number), _("It holds again."))
        if restored:
            return redirect("trading:strategy", name)
    text = strategies.strategy_text(
        StrategyFile(definition_parse(shown.definition), name, found.wallet.alias, shown.note)
    )
    context = {"strategy": found, "version": shown, "text": text}
    return render(request, "trading/strategy_version.html", context)


@require_safe
def export(request: HttpRequest, name: str) -> HttpResponse:
    """The strategy as a TOML file."""
    text = strategies.strategy_export(_found(name))
    disposition = {"Content-Disposition": f'attachment; filename="{name}.toml"'}
    return HttpResponse(text, content_type="application/toml; charset=utf-8", headers=disposition)
