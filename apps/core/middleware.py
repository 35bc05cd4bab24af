"""Middleware: pages need a session, the API answers for itself, and its plain refusals get the one error shape."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth import middleware
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django_structlog.middlewares import RequestMiddleware

from apps.core.errors import PlatformError

API = "/api/"
GetResponse = Callable[[HttpRequest], HttpResponse]


class LoginRequiredMiddleware(middleware.LoginRequiredMiddleware):
    """Django's, except for `/api/`: every operation there names its own authentication (by default `read`).

    Open pages are let through before the session is looked at: `/health` answers without the database.
    """

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if request.path_info.startswith(API) or not getattr(view_func, "login_required", True):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)


class RequestLogMiddleware(RequestMiddleware):
    """django-structlog's; a line names the user where the page has asked for him already.

    Asking for a line's sake would make every address need the database, `/health` and the page that says that the
    database is away among them, and each would wait for it.
    """

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        if hasattr(request, "_cached_user"):
            RequestMiddleware.bind_user_id(request)


def error_response(error: PlatformError) -> JsonResponse:
    """An error in its one shape."""
    return JsonResponse(error.as_dict(), status=error.status)


def api_errors(get_response: GetResponse) -> GetResponse:
    """Give refusals that ninja makes as plain text (405) the error shape."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code != 405 or not request.path_info.startswith(API):
            return response
        allowed = response.headers.get("Allow", "")
        error = PlatformError(
            "METHOD_NOT_ALLOWED", f"This address takes {allowed}, not {request.method}.", status=405, allowed=allowed
        )
        shaped = error_response(error)
        shaped.headers["Allow"] = allowed
        return shaped

    return middleware
