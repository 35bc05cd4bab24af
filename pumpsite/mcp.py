"""`/mcp`: every operation of the API as an MCP tool, in the same process, with the caller's own token.

The tools are made from the OpenAPI schema and call the Django application directly, so scopes, checks and errors
are those of the API. Daphne knows no ASGI lifespan, so the MCP application is started with its first request.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

import httpx2
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import JsonResponse
from django.utils import timezone
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_http_headers
from fastmcp.server.middleware import Middleware
from fastmcp.server.providers.openapi import MCPType, RouteMap
from mcp.types import ToolAnnotations
from ninja import NinjaAPI
from ninja.responses import NinjaJSONEncoder

from apps.core.errors import PlatformError
from apps.core.tokens import AuthenticationRequiredError, authenticate, bearer_of
from pumpsite.errors import database_away

logger = logging.getLogger(__name__)

CALL_SECONDS = 60.0
MOST_BYTES = 16 * 2**20  # of an answer: it is held in memory several times, and no model reads so much
READING = frozenset({"GET", "HEAD", "OPTIONS"})
HANDED_ON = frozenset({"authorization", "accept-language"})


class CallersToken(httpx2.Auth):
    """Puts the token of the MCP request, and nothing else of it, on the inner request."""

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        outer = get_http_headers(include={"authorization"})
        for name in set(outer) - HANDED_ON:
            if name not in {"content-type", "content-length"}:
                request.headers.pop(name, None)
        request.headers["host"] = urlsplit(_inner_address()).netloc
        request.headers["accept"] = "application/json"
        if "authorization" in outer:
            request.headers["authorization"] = outer["authorization"]
        yield request


class TooLargeError(PlatformError):
    """An answer that no tool gives."""

    def __init__(self) -> None:
        most = MOST_BYTES // 2**20
        message = f"The answer has over {most} MiB: ask for one coin or a shorter time, or call the API over HTTP."
        super().__init__("ANSWER_TOO_LARGE", message, status=413)


class Bounded:
    """An ASGI application whose answers end with TooLargeError beyond MOST_BYTES; the rest is never made."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size = 0

        async def send_bounded(message: Any) -> None:
            nonlocal size
            size += len(message.get("body", b""))
            if size > MOST_BYTES:
                raise TooLargeError
            await send(message)

        await self._application(scope, receive, send_bounded)


class InProcess(httpx2.ASGITransport):
    """Calls the Django application; files come back as JSON, since a tool's result is text."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await super().handle_async_request(request)
        except TooLargeError as error:
            return httpx2.Response(error.status, json=error.as_dict(), request=request)
        kind = response.headers.get("content-type", "application/json").partition(";")[0]
        if kind.startswith("text/") or kind.endswith("json"):
            return response
        body = await response.aread()
        file = {"content_type": kind, "bytes": len(body), "base64": base64.b64encode(body).decode()}
        return httpx2.Response(response.status_code, json=file, request=request)


def _inner_address() -> str:
    """This process itself; https where the site demands it."""
    return f"{'https' if settings.HTTPS else 'http'}://localhost"


def annotations_of(method: str, path: str, own: dict[str, Any]) -> dict[str, bool]:
    """What a tool may do. Reading is told by the method; what changes things is destructive below `/api/buy/` and where
    it deletes, unless the operation itself says otherwise (`openapi_extra={"x-mcp": {"destructive": False, …}}`)."""
    reads = method in READING
    return {
        "read_only_hint": reads,
        "destructive_hint": not reads and own.get("destructive", method == "DELETE" or path.startswith("/api/buy/")),
        "idempotent_hint": reads or own.get("idempotent", method in {"PUT", "DELETE"}),
        "open_world_hint": own.get("open_world", False),
    }


def _annotate(route: Any, component: Any) -> None:
    """Tell clients which tools only read, which may destroy, which reach the chain, and that they take nothing more."""
    hints = annotations_of(route.method.upper(), route.path, route.extensions.get("x-mcp", {}))
    component.parameters = {**component.parameters, "additionalProperties": False}
    if (component.output_schema or {}).get("x-fastmcp-wrap-result"):  # a list comes as {"result": [...]}
        component.output_schema = {**component.output_schema, "properties": {"result": {}}}
    component.annotations = ToolAnnotations(title=component.name.replace("_", " "), **hints)


class KnownArguments(Middleware):
    """Refuses arguments that a tool does not take, as the API refuses unknown fields of a body.

    Else a `dry_run` given to a tool that knows none would be dropped on the way, and the thing be done.
    """

    async def on_call_tool(self, context: Any, call_next: Any) -> Any:
        tool = await context.fastmcp_context.fastmcp.get_tool(context.message.name)
        known = tool.parameters.get("properties", {}) if tool is not None else {}
        unknown = sorted(set(context.message.arguments or {}) - set(known))
        if tool is not None and unknown:
            takes = ", ".join(sorted(known)) or "no arguments"
            message = f"{', '.join(unknown)}: {tool.name} takes no such argument, it takes {takes}. Nothing was done."
            raise ToolError(json.dumps(PlatformError("VALIDATION_FAILED", message, status=422).as_dict()))
        return await call_next(context)


def mcp_build(api: NinjaAPI, django_application: Any) -> FastMCP:
    """The MCP server over the operations of `api`."""
    client = httpx2.AsyncClient(
        transport=InProcess(app=Bounded(django_application)),
        base_url=_inner_address(),
        auth=CallersToken(),
        timeout=CALL_SECONDS,
    )
    schema = json.loads(json.dumps(api.get_openapi_schema(), cls=NinjaJSONEncoder))
    _only_json(schema)
    tools_only = [RouteMap(mcp_type=MCPType.TOOL)]
    return FastMCP.from_openapi(
        schema,
        client=client,
        name="Pump Platform",
        route_maps=tools_only,
        mcp_component_fn=_annotate,
        validate_output=False,
        middleware=[KnownArguments()],
    )


def _only_json(schema: dict[str, Any]) -> None:
    """Where an operation takes its body as a form or as JSON, leave the JSON: a tool's arguments are that."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                operation["requestBody"]["content"] = {"application/json": content["application/json"]}


class SelfStarting:
    """Runs the lifespan of an ASGI application itself, from the first request until `stop`."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lifespan: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None]
        self._end: asyncio.Event

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._lifespan is None or self._lifespan.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._end = asyncio.Event()
            self._lifespan = asyncio.create_task(self._live())
        await asyncio.shield(self._ready)
        await self._application(scope, receive, send)

    async def _live(self) -> None:
        try:
            async with self._application.router.lifespan_context(self._application):
                self._ready.set_result(None)
                await self._end.wait()
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def stop(self) -> None:
        """End the lifespan and wait for it."""
        if self._lifespan is not None:
            self._end.set()
            await self._lifespan


class TokenRequired:
    """Lets only requests with a valid token through; what a token may do is decided by each operation."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin1")
        try:
            await database_sync_to_async(_token_check)(header)
        except AuthenticationRequiredError as error:
            await _refuse(error, send)
            return
        except (OperationalError, InterfaceError):
            await _refuse(database_away(), send)
            return
        await self._application(scope, receive, send)


def _token_check(header: str) -> None:
    token = bearer_of(header)
    if token is None:
        raise AuthenticationRequiredError("Send a token as: Authorization: Bearer <token>.")
    authenticate(token, now=timezone.now())


async def _refuse(error: PlatformError, send: Any) -> None:
    extra = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {"Retry-After": "5"}
    response = JsonResponse(error.as_dict(), status=error.status, headers=extra)
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})
