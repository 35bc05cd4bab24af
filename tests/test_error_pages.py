"""Pages for what goes wrong need neither session nor database."""

from typing import Any

import pytest
import structlog
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


def test_form_of_an_old_page_is_told_in_a_page_of_ours_and_to_programs_in_the_error_shape(settings: Any, db: None):
    settings.DEBUG = False
    browser = Client(enforce_csrf_checks=True)
    page = browser.post("/accounts/login/", {"login": "a"}, headers={"Accept-Language": "de"})
    assert page.status_code == 403
    assert '<html lang="de"' in page.content.decode()
    assert "<style" not in page.content.decode()  # the policy allows no inline styles
    program = browser.post("/api/docs")
    assert (program.status_code, program.json()["code"]) == (403, "CSRF_FAILED")


def test_absent_database_is_a_503_page(visitor: Client, staff: Any):
    visitor.force_login(staff)
    with failing(OperationalError("connection refused by 10.0.0.7")):
        answer = visitor.get("/")
    assert answer.status_code == 503
    assert "10.0.0.7" not in answer.content.decode()


def test_health_answers_a_signed_in_browser_too_while_the_database_is_away(visitor: Client, staff: Any):
    visitor.force_login(staff)
    asked: list[str] = []

    def away(_: Any, sql: str, *__: Any) -> Any:
        asked.append(sql)
        raise OperationalError("away")

    with connection.execute_wrapper(away):
        answer = visitor.get("/health")
        assert (answer.status_code, answer.json()["database"]) == (503, {"ok": False})
        asked.clear()
        assert visitor.get("/").status_code == 503
    assert len(asked) == 1  # each further question would wait for the database again


def test_lines_of_a_signed_in_request_name_the_user(staff: Any, client: Client):
    client.force_login(staff)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        client.get("/discovery/")
    assert [line["user_id"] for line in lines if line["event"] == "request_finished"] == [staff.pk]


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
