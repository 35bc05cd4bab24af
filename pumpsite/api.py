"""The one JSON API at `/api/`: routers of the apps, default authentication, one shape for every error."""

import json
import logging
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.operation import Operation

from apps.core.api import router as auth
from apps.core.errors import NotFoundError, PlatformError, problem_of
from apps.core.middleware import error_response
from apps.core.tokens import AuthenticationRequiredError, read
from apps.discovery.api import router as find
from apps.predictions.api import router as server
from apps.trading.api import router as buy
from apps.training.api import router as training
from pumpsite import unstorable
from pumpsite.errors import database_away, surprise
from pumpsite.strict_query import refuses_unknown

logger = logging.getLogger(__name__)

ROUTER_OF_APP = {"core": "auth", "discovery": "find", "training": "training", "predictions": "server", "trading": "buy"}


class PlatformApi(NinjaAPI):
    """Ninja with short operation ids (`find_streams`): they are also the names of the MCP tools."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        app = operation.view_func.__module__.split(".")[1]
        return f"{ROUTER_OF_APP[app]}_{operation.view_func.__name__}"


def docs_for_callers(view: Any) -> Any:
    """The documentation is for signed-in people and holders of a token."""

    @login_not_required
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            read(request)
        except PlatformError as error:
            if request.path_info.endswith(".json"):
                return error_response(error)
            return redirect_to_login(request.get_full_path(), reverse("account_login"))
        response: HttpResponse = view(request, *args, **kwargs)
        return response

    return wrapped


api = PlatformApi(
    title="Pump Platform",
    version="1",
    description="Find coins, train models, score them, trade on them. Amounts name their unit; times are UTC.",
    auth=read,
    docs_decorator=docs_for_callers,
)
api.add_decorator(refuses_unknown, mode="view")
api.add_router("/auth/", auth)
api.add_router("/find/", find)
api.add_router("/server/", server)
api.add_router("/training/", training)
api.add_router("/buy/", buy)


@csrf_exempt
def not_found(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Any other address below `/api/`."""
    return error_response(NotFoundError("ROUTE_NOT_FOUND", "There is no such address: see /api/docs.", path=rest))


def _where(error: dict[str, Any]) -> tuple[str, str]:
    """(place, field) of a validation error: `("query", "limit")`."""
    place, *names = [str(part) for part in error["loc"]]
    skip_wrapper = place in {"body", "query", "path"} and len(names) > 1
    return place, ".".join(names[1:] if skip_wrapper else names)


@api.exception_handler(PlatformError)
def on_platform_error(request: HttpRequest, error: PlatformError) -> HttpResponse:
    response = error_response(error)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@api.exception_handler(ValidationError)
def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    problems = []
    for one in error.errors:
        place, field = _where(one)
        problems.append({"in": place, "field": field, "problem": problem_of(one)})
    sentence = "; ".join(f"{one['field'] or one['in']}: {one['problem']}" for one in problems) + "."
    return error_response(PlatformError("VALIDATION_FAILED", sentence, status=422, errors=problems))


@api.exception_handler(AuthenticationError)
def on_authentication_error(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    message = "Sign in, or send a token as: Authorization: Bearer <token>."
    return on_platform_error(request, AuthenticationRequiredError(message))


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    code = {400: "BODY_NOT_READABLE", 429: "TOO_MANY_REQUESTS"}.get(error.status_code, "REQUEST_REFUSED")
    return error_response(PlatformError(code, f"{error}.".replace("..", "."), status=error.status_code))


@api.exception_handler(Http404)
def on_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return error_response(NotFoundError("NOT_FOUND", "What was asked for does not exist."))


@api.exception_handler(RequestDataTooBig)
def on_too_much(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return error_response(PlatformError("BODY_TOO_LARGE", f"Send at most {most:,} bytes.", status=413, most=most))


@api.exception_handler(UnicodeEncodeError)
@api.exception_handler(DataError)
def on_data_error(request: HttpRequest, error: Exception) -> HttpResponse:
    found = [
        {"in": place, "field": field, "problem": problem}
        for place, document in _sent(request).items()
        for field, problem in unstorable.fields(document)
    ]
    sentence = "; ".join(f"{one['field'] or one['in']}: {one['problem']}" for one in found)
    known = PlatformError("VALUE_NOT_STORABLE", f"{sentence}.", errors=found)
    unknown = PlatformError("VALUE_NOT_STORABLE", "A value is too large or holds characters not allowed.")
    return error_response(known if found else unknown)


def _sent(request: HttpRequest) -> dict[str, Any]:
    """What the caller sent, by place; every route takes its body as JSON or as a form."""
    query, form = request.GET.dict(), request.POST.dict()
    try:
        return {"query": query, "body": form or json.loads(request.body or b"null")}
    except (ValueError, RawPostDataException):
        return {"query": query, "body": form}


@api.exception_handler(OperationalError)
@api.exception_handler(InterfaceError)
def on_database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.warning("the database did not answer a request: %s", type(error).__name__)
    response = error_response(database_away())
    response.headers["Retry-After"] = "5"
    return response


@api.exception_handler(Exception)
def on_surprise(request: HttpRequest, error: Exception) -> HttpResponse:
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    logger.error("request failed", exc_info=error)
    return error_response(surprise(request_id))
