"""ASGI entry point: pages, API and MCP over HTTP, live updates over websockets."""
# ruff: noqa: E402 - Django has to be set up before anything of it is imported

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pumpsite.settings")
os.environ.setdefault("DATABASE_POOL_SIZE", "10")
os.environ.setdefault("FASTMCP_LOG_ENABLED", "false")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

pages = get_asgi_application()

from apps.core.checks import require_settings
from pumpsite.listening import require_port
from pumpsite.torn import break_off_torn_answers

require_settings()
if Path(sys.argv[0]).name == "daphne":
    require_port(sys.argv[1:])
    break_off_torn_answers()

from django.urls import path

from apps.core.live import LiveConsumer
from pumpsite import dashboard  # noqa: F401 - registers its live renderer
from pumpsite.api import api
from pumpsite.mcp import SelfStarting, TokenRequired, mcp_build

MCP_PATH = "/mcp"
mcp_lifespan = SelfStarting(
    mcp_build(api, pages).http_app(path=MCP_PATH, stateless_http=True, json_response=True, host_origin_protection=False)
)
mcp = TokenRequired(mcp_lifespan)


async def http(scope: Any, receive: Any, send: Any) -> None:
    """`/mcp` to the MCP server, everything else to Django."""
    if scope["path"].rstrip("/") == MCP_PATH:
        await mcp({**scope, "path": MCP_PATH, "raw_path": MCP_PATH.encode()}, receive, send)
    else:
        await pages(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/live/", LiveConsumer.as_asgi())]))
        ),
    }
)
