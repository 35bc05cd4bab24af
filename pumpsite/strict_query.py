"""A query parameter that an address does not know is refused and named: it is a mistyped one more often than not, and
a mistyped `since` would answer with everything there is."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja.operation import Operation
from ninja.params.models import QueryModel

from apps.core.errors import PlatformError

Run = Callable[..., HttpResponse]


def refuses_unknown(run: Run) -> Run:
    """`run` of a ninja operation, for `add_decorator(…, mode="view")`. Who is not signed in hears that first."""
    operation: Operation = run.__self__  # type: ignore[attr-defined] # ninja decorates the bound method
    known = frozenset().union(*(names_of(model) for model in operation.models if issubclass(model, QueryModel)))

    @functools.wraps(run)
    def checked(request: HttpRequest, **path: Any) -> HttpResponse:
        unknown = sorted(request.GET.keys() - known)
        if unknown:
            return operation._run_checks(request) or operation.api.on_exception(request, _refusal(unknown, known))
        return run(request, **path)

    return checked


def names_of(model: type[QueryModel]) -> frozenset[str]:
    """The parameters as they are written in an address."""
    return frozenset(getattr(model, "__ninja_flatten_map__", None) or model.model_fields)


def _refusal(unknown: list[str], known: frozenset[str]) -> PlatformError:
    there_are = f"there are {', '.join(sorted(known))}" if known else "this address takes none"
    problems = [{"in": "query", "field": name, "problem": "not a parameter of this address"} for name in unknown]
    sentence = f"{', '.join(unknown)}: not a parameter of this address; {there_are}."
    return PlatformError("VALIDATION_FAILED", sentence, status=422, errors=problems)
