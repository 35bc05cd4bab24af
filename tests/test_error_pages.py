"""Pages for what goes wrong need neither session nor database."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client


@pytest.fixture
def visitor(settings: Any) -> Client:
    """A browser whose errors become pages, as for users."""
    settings.DEBUG = False
    return Client(raise_request_exception=False)


def failing(error: Exception) -> Any:
    def wrapper(*_: Any) -> Any:
        raise error

    return connection.execute_wrapper(wrapper)


def test_unknown_page_says_so_in_the_visitors_language(visitor: Client, db: None):
    answer = visitor.get("/no/such/page", headers={"Accept-Language": "de"})
    assert answer.status_code == 404
    assert '<html lang="de"' in answer.content.decode()


def test_absent_database_is_a_503_page(visitor: Client, staff: Any):
    visitor.force_login(staff)
    with failing(OperationalError("connection refused by 10.0.0.7")):
        answer = visitor.get("/")
    assert answer.status_code == 503
    assert "10.0.0.7" not in answer.content.decode()


def test_surprise_is_a_500_page_without_details(visitor: Client, staff: Any):
    visitor.force_login(staff)
    with failing(ValueError("a secret detail")):
        answer = visitor.get("/")
    assert answer.status_code == 500
    assert "secret" not in answer.content.decode()


def test_refusals_below_api_keep_the_one_shape(visitor: Client, db: None):
    answer = visitor.get("/api/auth/status", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert set(answer.json()) == {"status", "code", "message", "details"}
