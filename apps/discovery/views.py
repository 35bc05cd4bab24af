"""Pages of discovery."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.htmx import render_page
from apps.core.tokens import changes_need
from apps.discovery import pages_coin, pages_creator, pages_health, pages_list
from apps.discovery.forms import ConfigForm, FilterForm, PhaseForm
from apps.discovery.models import Coin

COLUMNS_KEPT_SECONDS = 366 * 86_400


def _listing(request: HttpRequest, *, only_active: bool) -> dict[str, Any]:
    form = FilterForm(request.GET, pages_list.phases())
    now = pages_list.feed_time()
    page, table = pages_list.coins_table(request, form.asked, now, only_active=only_active)
    return {
        "page": page,
        "table": table,
        "form": form,
        "choices": pages_list.column_choices(request, only_active=only_active),
        "topics": "coins",
    }


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The live table of coins that trade now."""
    context = _listing(request, only_active=True) | {"figures": pages_list.market_figures(pages_list.feed_time())}
    return render_page(request, "discovery/overview.html", "discovery/_overview.html", context)


@require_safe
def streams(request: HttpRequest) -> HttpResponse:
    """All tracked coins, also the quiet ones, with counts by phase."""
    context = _listing(request, only_active=False) | {"by_phase": pages_list.streams_by_phase()}
    return render_page(request, "discovery/streams.html", "discovery/_coins.html", context)


@require_POST
def columns(request: HttpRequest) -> HttpResponse:
    """Keep which columns this browser wants to see; without any, the usual ones."""
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = reverse("discovery:overview")
    response = redirect(back)
    chosen = [key for key in pages_list.LISTED if key in request.POST.getlist("column")]
    response.set_cookie(
        pages_list.COOKIE,
        ".".join(chosen),
        max_age=COLUMNS_KEPT_SECONDS if chosen else 0,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )
    return response


@require_safe
def coin(request: HttpRequest, mint: str) -> HttpResponse:
    """One coin: candles, trades, windows, what is known of it."""
    found = get_object_or_404(Coin.objects.select_related("stream__phase", "metadata"), pk=mint)
    bucket, windows = _bucket(request), pages_coin.windows_newest(mint)
    context = {
        "coin": pages_coin.coin_facts(found),
        "trades": pages_coin.trades_table(mint),
        "windows": pages_coin.windows_table(windows),
        "progress_line": pages_coin.progress_line(windows),
        "momentum": pages_coin.momentum_table(mint),
        "candles": pages_coin.candles_table(mint, bucket),
        "creator_box": partial(pages_creator.creator_box, found),  # called by the page, not by its live updates
        "bucket": bucket,
        "buckets": [(seconds, pages_coin.span(seconds)) for seconds in pages_coin.BUCKETS],
        "topics": f"coin:{mint},coins",
    }
    return render_page(request, "discovery/coin.html", "discovery/_coin.html", context)


@require_safe
def coin_candles(request: HttpRequest, mint: str) -> JsonResponse:
    """The chart's data: all of it, or only from the candle that starts at `since` (epoch seconds) on."""
    text = request.GET.get("since", "0")
    since = int(text) if text.isdecimal() and len(text) < 11 else 0
    return JsonResponse(pages_coin.chart_data(mint, _bucket(request), since))


@require_safe
def coin_trades(request: HttpRequest, mint: str) -> HttpResponse:
    """Every trade of a coin, newest first, a page at a time."""
    found = get_object_or_404(Coin.objects.select_related("stream__phase", "metadata"), pk=mint)
    before = request.GET.get("before", "")
    table, older = pages_coin.trades_before(mint, before)
    context = {"coin": pages_coin.coin_facts(found), "table": table, "older": older, "is_newest": not before}
    return render(request, "discovery/trades.html", context)


def _bucket(request: HttpRequest) -> int:
    text, known = request.GET.get("bucket", "5"), pages_coin.BUCKETS
    if text not in map(str, known):
        raise Http404(_("There are candles of %(buckets)s seconds.") % {"buckets": ", ".join(map(str, known))})
    return int(text)


@changes_need("admin")
def phases(request: HttpRequest) -> HttpResponse:
    """The phases, each with its form."""
    form = PhaseForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _saved(form):
        messages.success(request, _("Saved. The stream uses it within ten seconds."))
        return redirect("discovery:phases")
    edited = form.data.get("phase_id", "") if form.errors else ""
    forms = [(phase, form if edited == str(phase.id) else PhaseForm.of(phase)) for phase in pages_list.phases()]
    context = {"counts": pages_list.streams_by_phase(), "forms": forms, "form": PhaseForm() if edited else form}
    return render(request, "discovery/phases.html", context)


@require_safe
def feed(request: HttpRequest) -> HttpResponse:
    """How the feed is: rate, lag, gaps, cost, and what was not understood."""
    return render_page(request, "discovery/feed.html", "discovery/_feed.html", pages_health.feed_page(request))


@changes_need("admin")
def settings(request: HttpRequest) -> HttpResponse:
    """What may be changed while the stream runs."""
    form = ConfigForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _saved(form):
        return redirect("discovery:settings")
    return render(request, "discovery/settings.html", {"form": form})


def _saved(form: PhaseForm | ConfigForm) -> bool:
    """Save; an expected failure becomes an error of the form."""
    try:
        form.save()
    except PlatformError as error:
        form.add_error(None, error_text(error.message))
        return False
    return True
