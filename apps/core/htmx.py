"""Page helpers: numbered pages, templates that answer htmx with one fragment, forms in the house's classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.html import format_html

from apps.core import display

ROWS_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: at most `ROWS_A_PAGE` items, and where it stands among `count`."""

    items: Sequence[Any]
    count: int
    number: int

    @property
    def first(self) -> int:
        return (self.number - 1) * ROWS_A_PAGE + 1 if self.items else 0

    @property
    def last(self) -> int:
        return (self.number - 1) * ROWS_A_PAGE + len(self.items)

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.last < self.count else None

    @property
    def count_text(self) -> str:
        return display.count(self.count)


def page_number(request: HttpRequest) -> int:
    """`?page=`, at least 1; anything unreadable is 1."""
    text = request.GET.get("page", "1")
    return max(int(text), 1) if text.isdecimal() and len(text) < 8 else 1


def page_of(
    request: HttpRequest,
    rows: QuerySet[Any],
    shape: Callable[[Any], Any] | None = None,
    *,
    count: int | None = None,
) -> Page:
    """The asked page of a queryset; `shape` turns each row into what the template shows. They are counted unless their
    `count` of a moment ago is given."""
    count = rows.count() if count is None else count
    number = min(page_number(request), max(-(-count // ROWS_A_PAGE), 1))
    items = list(rows[(number - 1) * ROWS_A_PAGE : number * ROWS_A_PAGE])
    count = max(count, (number - 1) * ROWS_A_PAGE + len(items))
    return Page([shape(row) for row in items] if shape else items, count, number)


def render_page(request: HttpRequest, template: str, fragment: str, context: dict[str, Any]) -> HttpResponse:
    """The whole page, or only `fragment` (a template of its own) when htmx asks for a part."""
    htmx: Any = getattr(request, "htmx", None)
    part = htmx and not htmx.boosted and not htmx.history_restore_request
    return render(request, fragment if part else template, context)


def oob(template: str, context: dict[str, Any]) -> str:
    """A partial for a live update: its root element carries an id and, with `oob` set, `hx-swap-oob`."""
    return render_to_string(template, {**context, "oob": True})


class StyledForm(forms.Form):
    """A form whose fields carry the house's classes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.style()

    def style(self) -> None:
        """Give the classes to every field there is now."""
        for field in self.fields.values():
            kind = field.widget.__class__.__name__
            name = {"CheckboxInput": "form-check-input", "Select": "form-select", "SelectMultiple": "form-select"}
            if kind not in ("CheckboxSelectMultiple", "RadioSelect", "HiddenInput"):
                field.widget.attrs["class"] = name.get(kind, "form-control")


def tick(topic: str) -> str:
    """A live update without content: tells a page to fetch its fragment again, with its own filters."""
    return format_html('<span id="live-tick" hx-swap-oob="true" hidden>{}</span>', topic)
