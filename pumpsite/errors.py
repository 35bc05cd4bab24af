"""Pages for what goes wrong, and below `/api/` the one error shape.

They ask neither the session nor the database: those may be what is away.
"""

import sys

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.core.errors import NotFoundError, PlatformError
from apps.core.middleware import API, error_response


def _answer(request: HttpRequest, error: PlatformError, title: str, message: str) -> HttpResponse:
    """`error` for programs, a page for people."""
    return error_response(error) if request.path_info.startswith(API) else _page(error.status, title, message)


def _page(status: int, title: str, message: str) -> HttpResponse:
    text = render_to_string("error.html", {"status": status, "title": title, "message": message})
    return HttpResponse(text, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    error = PlatformError("BAD_REQUEST", "The request was not understood: check its host, address and body.")
    return _answer(request, error, _("Bad request"), _("The request was not understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    error = PlatformError("NOT_ALLOWED", "Your account may not do this.", status=403)
    return _answer(request, error, _("Not allowed"), _("Your account may not do this."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 where a form's token is missing or old: two tabs at the sign-in, or a browser without cookies."""
    error = PlatformError("CSRF_FAILED", "Send the CSRF token of the session as X-CSRFToken.", status=403)
    message = _("This page had become too old, or the browser keeps no cookies. Load it again and repeat the step.")
    return _answer(request, error, _("Not allowed"), message)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    error = NotFoundError("ROUTE_NOT_FOUND", "There is no such address: see /api/docs.")
    return _answer(request, error, _("Not found"), _("There is no page at this address."))


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the database is away."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _answer(
            request, database_away(), _("The database does not answer"), _("Try again in a moment; nothing is lost.")
        )
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    message = _("Something unexpected went wrong. The log tells more under %(id)s.") % {"id": request_id}
    return _answer(request, surprise(request_id), _("Server error"), message)


def database_away() -> PlatformError:
    """The error for programs while the database does not answer."""
    return PlatformError("DATABASE_UNAVAILABLE", "The database does not answer: try again in a moment.", status=503)


def surprise(request_id: str) -> PlatformError:
    """The error for programs where the fault is ours."""
    message = "Something unexpected went wrong; the log tells more under this request id."
    return PlatformError("INTERNAL_ERROR", message, status=500, request_id=request_id)
