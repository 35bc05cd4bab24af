"""Pages for what goes wrong. They ask neither the session nor the database: those may be what is away."""

import sys

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _


def _page(status: int, title: str, message: str) -> HttpResponse:
    text = render_to_string("error.html", {"status": status, "title": title, "message": message})
    return HttpResponse(text, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    return _page(400, _("Bad request"), _("The request was not understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return _page(403, _("Not allowed"), _("Your account may not do this."))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return _page(404, _("Not found"), _("There is no page at this address."))


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the database is away."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _page(503, _("The database does not answer"), _("Try again in a moment; nothing is lost."))
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    message = _("Something unexpected went wrong. The log tells more under %(id)s.") % {"id": request_id}
    return _page(500, _("Server error"), message)
