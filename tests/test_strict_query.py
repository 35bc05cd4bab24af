"""A mistyped parameter is named, not passed over."""

import re
from typing import Any

import pytest
from django.test import Client

from apps.discovery.models import Phase
from tests.test_api import operations, refused


@pytest.fixture
def signed_in(client: Client, staff: Any) -> Client:
    client.force_login(staff)
    return client


def test_every_route_looks_at_its_parameters(signed_in: Client):
    for method, path, _operation in operations():
        answer = getattr(signed_in, method.lower())(f"{example(path)}?sicne=1")
        assert "sicne: not a parameter" in refused(answer, 422, "VALIDATION_FAILED")["message"], (method, path)


def example(path: str) -> str:
    """The address with values for what it names."""
    found = re.sub(r"{(\w+:)?(\w+)}", lambda name: "1" if name[1] or name[2].endswith("id") else "coins", path)
    return found.rstrip("/")


def test_a_mistyped_parameter_is_named_with_those_there_are(signed_in: Client):
    body = refused(signed_in.get("/api/find/export/trades?sicne=2026-01-01T00:00:00Z"), 422, "VALIDATION_FAILED")
    assert body["message"] == (
        "sicne: not a parameter of this address; there are bucket_seconds, format, mint, since, until."
    )
    assert body["details"]["errors"] == [
        {"in": "query", "field": "sicne", "problem": "not a parameter of this address"}
    ]


@pytest.mark.parametrize("address", ["/api/find/health", "/api/auth/status"])
def test_an_address_without_parameters_says_so(signed_in: Client, address: str):
    body = refused(signed_in.get(f"{address}?verbose=1&all=1"), 422, "VALIDATION_FAILED")
    assert body["message"] == "all, verbose: not a parameter of this address; this address takes none."


def test_who_is_not_signed_in_hears_that_first(client: Client, db: None):
    refused(client.get("/api/find/streams?sicne=1"), 401, "AUTHENTICATION_REQUIRED")


def test_the_export_page_names_a_mistyped_field_too(signed_in: Client):
    answer = signed_in.get("/discovery/export/?kind=trades&format=csv&sicne=2026-01-01&bucket_seconds=5")
    assert answer.status_code == 400
    text = "There is no field bucket_seconds, sicne; there are kind, format, mint, since, until, bucket."
    assert text in answer.content.decode()


def test_nothing_is_changed_by_a_request_that_is_refused(signed_in: Client):
    phase = Phase.objects.get(pk=1)
    values = {"name": "Renamed", "interval_seconds": 5, "min_age_minutes": 0, "max_age_minutes": 10}
    answer = signed_in.put("/api/find/phases/1?dry_run=true", values, content_type="application/json")
    refused(answer, 422, "VALIDATION_FAILED")
    assert Phase.objects.get(pk=1).name == phase.name


@pytest.mark.parametrize(
    "query", ["limit=1&offset=0", "since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z&currency=USD", ""]
)
def test_what_is_known_goes_through(signed_in: Client, query: str):
    answer: Any = signed_in.get(f"/api/find/rates?{query}")
    assert answer.status_code == 200, answer.json()
