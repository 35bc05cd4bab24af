"""The HTTP routes that other people's scripts rely on."""

import re
from functools import cache

import pytest

from pumpsite.api import api

ROUTES = """
find GET health | GET,PUT config | POST reload-config | GET,POST phases | PUT,DELETE phases/{} | GET streams
find GET streams/stats | GET metrics | GET coins/{} | GET analytics/{}
training POST models/create/advanced | GET models | GET,PATCH,DELETE models/{} | GET models/{}/download
training POST models/{}/test | POST models/compare | GET queue | GET queue/{} | POST queue/{}/cancel | GET features
training GET phases | GET config | GET health | GET comparisons | GET,DELETE comparisons/{} | GET test-results
training GET,DELETE test-results/{} | GET data-availability
server GET models/available | GET models/available/{} | POST models/import | GET models | GET models/active
server GET models/{} | POST models/{}/activate | POST models/{}/deactivate | PATCH models/{}/rename
server PATCH models/{}/alert-config | GET,PATCH models/{}/ignore-settings | GET,PATCH models/{}/max-log-entries
server GET models/{}/n8n-status | DELETE models/{} | POST predict | GET predictions | GET predictions/latest/{}
server GET alerts | GET alerts/statistics | GET stats | GET health | POST system/preload-models
buy GET health | POST execute-buy | POST execute-sell | POST sell-all | POST transfer | GET,POST wallets
buy GET,PATCH,DELETE wallets/{} | PATCH wallets/{}/toggle-trading | PATCH wallets/{}/toggle-transfer
buy PATCH wallets/{}/add-balance | GET positions | GET positions/{}/{} | GET trades | GET transfers
buy GET dashboard/stats | GET dashboard/performance
auth POST login | GET status | GET tokens
"""


def contracted() -> list[tuple[str, str]]:
    """(method, path) of every route of the list above."""
    found = []
    for line in ROUTES.strip().splitlines():
        router, _, rest = line.partition(" ")
        for entry in rest.split(" | "):
            methods, path = entry.split()
            found += [(method, f"/api/{router}/{path}") for method in methods.split(",")]
    return found


@cache
def served() -> set[tuple[str, str]]:
    """(method, path) of every operation, parameters without their names."""
    paths = api.get_openapi_schema()["paths"]
    return {(method.upper(), re.sub(r"\{[^}]*\}", "{}", path)) for path, methods in paths.items() for method in methods}


@pytest.mark.parametrize(("method", "path"), contracted())
def test_contracted_route_is_served(method: str, path: str):
    assert (method, path) in served()
