"""Exports over HTTP: the page that asks for one, and the streamed file for page and API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django import forms
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from apps.core import display
from apps.core.htmx import StyledForm
from apps.core.tables import NUMBER, Cell, Column, Row, Table
from apps.discovery import exports, formats, storage
from apps.discovery.candles import LONGEST_SECONDS
from apps.discovery.exports import Wanted


class ExportForm(StyledForm):
    """What to export; an empty field means everything."""

    kind = forms.ChoiceField(
        label=_("What"), choices=[("trades", _("Trades")), ("candles", _("Candles")), ("coins", _("Coins"))]
    )
    format = forms.ChoiceField(label=_("Format"), choices=[("csv", "CSV"), ("parquet", "Parquet")])
    mint = forms.CharField(label=_("Coin (mint)"), required=False, max_length=64, help_text=_("Empty: all coins."))
    since = forms.DateTimeField(
        label=_("From"), required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    until = forms.DateTimeField(
        label=_("Until"), required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    bucket = forms.IntegerField(
        label=_("Candles of, seconds"), required=False, min_value=1, max_value=LONGEST_SECONDS, initial=60
    )

    def clean(self) -> None:
        """A mistyped name would export everything there is: raises ValidationError."""
        if unknown := sorted(self.data.keys() - self.fields.keys()):
            names = {"unknown": ", ".join(unknown), "known": ", ".join(self.fields)}
            raise forms.ValidationError(_("There is no field %(unknown)s; there are %(known)s."), params=names)

    def wanted(self) -> Wanted:
        """The export that valid input asks for; times without a zone are in that of the site."""
        asked = self.cleaned_data
        since, until = (asked[name] and asked[name].astimezone(UTC) for name in ("since", "until"))
        return Wanted(asked["kind"], asked["mint"].strip(), since, until, asked["bucket"] or 60)


@require_safe
def export(request: HttpRequest) -> HttpResponseBase:
    """The form; with `format` in the address the file itself, so a link can name an export."""
    asks = "format" in request.GET
    form = ExportForm(request.GET if asks else None, initial=request.GET.dict())
    if asks and form.is_valid():
        return file_response(request, form.wanted(), form.cleaned_data["format"])
    context: dict[str, Any] = {"form": form, "table": _stored()}
    response: HttpResponse = render(request, "discovery/export.html", context, status=400 if asks else 200)
    return response


def _stored() -> Table:
    """Every table of rows in time: which days it spans, and how large it is."""
    columns = [
        Column(_("Table")),
        Column(_("From"), "nowrap"),
        Column(_("Until"), "nowrap"),
        Column("MiB", NUMBER),
    ]
    rows = [Row(_stored_row(size)) for size in storage.sizes()]
    return Table(columns, rows, title=_("What is stored"), empty=_("Nothing is stored yet."))


def _stored_row(size: storage.TableSize) -> list[Cell]:
    until = min(size.end, timezone.now()) if size.end else None
    return [
        Cell(size.table),
        _day(size.start),
        _day(until),
        Cell(display.number(size.size_bytes / 2**20, 1)),
    ]


def _day(at: datetime | None) -> Cell:
    return Cell(at.date().isoformat() if at else display.NONE)


def file_response(request: HttpRequest, wanted: Wanted, form: str) -> StreamingHttpResponse:
    """The export as a download that is made while it is read."""
    parts = formats.pieces(form, exports.COLUMNS[wanted.kind], exports.chunks(wanted))
    body = _in_turns(parts) if isinstance(request, ASGIRequest) else parts
    response = StreamingHttpResponse(body, content_type=formats.CONTENT_TYPES[form])
    response["Content-Disposition"] = f'attachment; filename="{file_name(wanted, form)}"'
    return response


def file_name(wanted: Wanted, form: str) -> str:
    """Such as `trades_7pQKFvd1_20260301.csv`: only letters, digits and underscores from outside."""
    mint = "".join(letter for letter in wanted.mint[:8] if letter.isalnum() and letter.isascii())
    days = [at.strftime("%Y%m%d") for at in (wanted.since, wanted.until) if at]
    return "_".join(part for part in (wanted.kind, mint, *days) if part) + f".{form}"


async def _in_turns(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, each made in the request's thread: an iterator handed to ASGI as it is would be read to its end."""
    step = sync_to_async(lambda: next(parts, None))
    while (part := await step()) is not None:
        yield part
