"""Pages of discovery."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.core.errors import PlatformError
from apps.core.htmx import page_of, render_page
from apps.discovery import pages, pages_feed
from apps.discovery.forms import ConfigForm, PhaseForm
from apps.discovery.models import Coin, CoinStream

BUCKETS = (1, 5, 15, 60, 300)


def _listing(request: HttpRequest, *, only_active: bool) -> dict[str, Any]:
    now = pages.feed_time()
    rows = pages.streams_found(request, only_active=only_active)
    return {
        "page": page_of(request, rows, lambda stream: pages.stream_row(stream, now)),
        "columns": pages.COLUMNS,
        "phases": pages.phases(),
        "sort": request.GET.get("sort", "trade"),
        "topics": "coins",
    }


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The live table of coins that trade now."""
    context = _listing(request, only_active=True) | {"figures": pages.market_figures()}
    return render_page(request, "discovery/overview.html", "discovery/_overview.html", context)


@require_safe
def streams(request: HttpRequest) -> HttpResponse:
    """All tracked coins, also the quiet ones, with counts by phase."""
    context = _listing(request, only_active=False) | {"by_phase": pages.streams_by_phase()}
    return render_page(request, "discovery/streams.html", "discovery/_coins.html", context)


@require_safe
def coin(request: HttpRequest, mint: str) -> HttpResponse:
    """One coin: candles, trades, windows, what is known of it."""
    found = get_object_or_404(Coin, pk=mint)
    stream = CoinStream.objects.select_related("coin", "phase").filter(pk=mint).first()
    bucket = _bucket(request)
    context = {
        "coin": pages.coin_facts(found, stream),
        "trades": pages.coin_trades(mint),
        "windows": pages.coin_windows(mint),
        "bucket": bucket,
        "buckets": BUCKETS,
        "topics": f"coin:{mint},coins",
    }
    return render_page(request, "discovery/coin.html", "discovery/_coin.html", context)


@require_safe
def coin_candles(request: HttpRequest, mint: str) -> JsonResponse:
    """The chart's data: all of it, or only from the candle that starts at `since` (epoch seconds) on."""
    text = request.GET.get("since", "0")
    since = int(text) if text.isdecimal() and len(text) < 11 else 0
    return JsonResponse({"items": pages.candles(mint, _bucket(request), since)})


def _bucket(request: HttpRequest) -> int:
    text = request.GET.get("bucket", "5")
    if not text.isdecimal() or int(text) not in BUCKETS:
        raise Http404(_("There are candles of %(buckets)s seconds.") % {"buckets": ", ".join(map(str, BUCKETS))})
    return int(text)


def phases(request: HttpRequest) -> HttpResponse:
    """The phases, each with its form."""
    form = PhaseForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _saved(form):
        return redirect("discovery:phases")
    context = {"rows": pages.streams_by_phase(), "phases": pages.phases(), "form": form}
    return render(request, "discovery/phases.html", context)


def settings(request: HttpRequest) -> HttpResponse:
    """State of the feed and what may be changed while it runs."""
    form = ConfigForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _saved(form):
        return redirect("discovery:settings")
    context = {"feed": pages_feed.feed_facts(), "form": form, "topics": "coins"}
    return render_page(request, "discovery/settings.html", "discovery/_feed.html", context)


def _saved(form: PhaseForm | ConfigForm) -> bool:
    """Save; an expected failure becomes an error of the form."""
    try:
        form.save()
    except PlatformError as error:
        form.add_error(None, error.message)
        return False
    return True
