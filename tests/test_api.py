"""The JSON API as a whole: authentication, scopes, errors, documentation, the routes of `auth`."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.account.adapter import get_adapter
from allauth.mfa.totp.internal import auth as totp
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, connections
from django.test import Client
from django.utils import timezone

from apps.core.models import ApiToken, SharedEntry
from apps.core.tokens import admin, read, trade
from pumpsite import unstorable
from pumpsite.api import api as platform_api
from tests.conftest import PASSWORD

ERROR_KEYS = {"status", "code", "message", "details"}
# They make or end only what is the caller's own, or compute and change nothing.
WRITES_FOR_READERS = {
    ("POST", "/api/server/predict"),
    ("POST", "/api/buy/backtests/preview"),
    ("POST", "/api/training/models/preview"),
    ("POST", "/api/auth/login"),
    ("POST", "/api/auth/tokens"),
    ("DELETE", "/api/auth/tokens/{token_id}"),
}


def operations() -> list[tuple[str, str, Any]]:
    """(method, path, operation) of every route."""
    found = []
    platform_api._get_bound_routers()  # until then it knows the outermost routers only
    for prefix, router in platform_api._routers:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                full = re.sub("/+", "/", f"/api/{prefix}/{path}")
                found += [(method, full, operation) for method in operation.methods]
    return found


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """The body of an error, which has the one shape."""
    body = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert set(body) == ERROR_KEYS
    assert body["message"].strip().endswith(".")
    return body


def test_every_operation_that_changes_something_needs_more_than_read():
    weak = {
        (method, path)
        for method, path, operation in operations()
        if method != "GET" and not set(operation.auth_callbacks) & {trade, admin}
    }
    assert weak <= WRITES_FOR_READERS


def test_trading_needs_trade_and_admin_where_a_wallet_or_its_ways_out_are_made():
    """Keys have no operation at all: they are made, shown and unlocked on pages, by people who prove who they are."""
    asking = {
        f"{method} {path.removeprefix('/api/buy/')}": operation.auth_callbacks[0]
        for method, path, operation in operations()
        if path.startswith("/api/buy/") and method != "GET"
    }
    assert {name for name, scope in asking.items() if scope is admin} == {
        "POST addresses",
        "DELETE wallets/{alias}",
        "POST orders/{order_id}/settle",
        "POST transfers/{transfer_id}/settle",
    }
    for name in (
        "execute-buy",
        "execute-sell",
        "sell-all",
        "transfer",
        "differences/{difference_id}/adopt",
        "real/lock",
    ):
        assert asking[f"POST {name}"] is trade, name
    assert not any("key" in name or "unlock" in name for name in asking)


def test_only_login_and_status_are_open_to_strangers():
    open_to_all = {path for _, path, operation in operations() if not operation.auth_callbacks}
    assert open_to_all == {"/api/auth/login", "/api/auth/status"}


def test_operation_ids_are_short_and_unique():
    ids = [platform_api.get_openapi_operation_id(operation) for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert max(map(len, ids)) <= 60


def test_stranger_is_asked_to_sign_in(client: Client, db: None):
    response = client.get("/api/auth/tokens")
    refused(response, 401, "AUTHENTICATION_REQUIRED")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer pp_wrong", "Bearer", "Basic cGVyc29u", "nonsense"])
def test_wrong_token_is_refused_even_with_a_session(client: Client, person: Any, header: str):
    client.force_login(person)
    refused(client.get("/api/auth/tokens", headers={"Authorization": header}), 401, "AUTHENTICATION_REQUIRED")


def test_token_without_the_scope_is_refused(api: Any, person: Any, token_for: Any, rf: Any):
    request = rf.get("/", headers={"Authorization": f"Bearer {token_for(person, 'read')}"})
    assert read(request).user == person
    for needs_more in (trade, admin):
        with pytest.raises(Exception, match="which you do not hold"):
            needs_more(request)


def test_session_needs_the_csrf_token_to_change_something(person: Any):
    client = Client(enforce_csrf_checks=True)
    client.force_login(person)
    body = json.dumps({"name": "n", "scopes": ["read"]})
    refused(client.post("/api/auth/tokens", body, content_type="application/json"), 403, "CSRF_FAILED")
    client.get("/accounts/password/change/")
    csrf = client.cookies["csrftoken"].value
    made = client.post("/api/auth/tokens", body, content_type="application/json", headers={"X-CSRFToken": csrf})
    assert made.status_code == 200


def test_token_needs_no_csrf_token(staff: Any, token_for: Any):
    client = Client(enforce_csrf_checks=True)
    headers = {"Authorization": f"Bearer {token_for(staff, 'admin')}"}
    body = json.dumps({"name": "n", "scopes": ["read"]})
    assert client.post("/api/auth/tokens", body, content_type="application/json", headers=headers).status_code == 200


def login(api: Any, **body: Any) -> Any:
    return api("post", "/api/auth/login", data=json.dumps(body))


def test_login_gives_a_token_that_works(api: Any, person: Any):
    made = login(api, username="person", password=PASSWORD, scopes=["trade"])
    status = api("get", "/api/auth/status", made.json()["token"]).json()
    assert (status["authenticated"], status["username"], status["scopes"]) == (True, "person", ["read", "trade"])


def test_login_cannot_give_more_than_the_user_may(api: Any, person: Any):
    refused(login(api, username="person", password=PASSWORD, scopes=["admin"]), 403, "SCOPE_MISSING")


def test_login_with_a_wrong_password_is_refused(api: Any, person: Any):
    refused(login(api, username="person", password="wrong"), 401, "LOGIN_FAILED")
    refused(login(api, username="nobody", password="wrong"), 401, "LOGIN_FAILED")


def test_guessing_passwords_is_slowed_down(api: Any, person: Any):
    codes = [login(api, username="person", password=f"wrong {number}").json()["code"] for number in range(12)]
    assert codes[0] == "LOGIN_FAILED" and codes[-1] == "TOO_MANY_ATTEMPTS"


def test_failed_logins_of_all_doors_and_processes_count_together(api: Any, client: Client, person: Any):
    """They are counted in the database: what one process has seen holds for the others, and after a restart."""
    for number in range(3):
        refused(login(api, username="person", password=f"wrong {number}"), 401, "LOGIN_FAILED")
    form = {"login": "person", "password": "wrong"}
    said = [client.post("/accounts/login/", form).text for _ in range(3)]
    assert ["Too many failed login attempts" in text for text in said] == [False, False, True]
    refused(login(api, username="person", password=PASSWORD), 429, "TOO_MANY_ATTEMPTS")
    assert SharedEntry.objects.exists()
    SharedEntry.objects.all().delete()
    assert login(api, username="person", password=PASSWORD).status_code == 200


@pytest.mark.parametrize(
    "proxies, codes", [(0, ("TOO_MANY_ATTEMPTS",) * 2), (1, ("TOO_MANY_ATTEMPTS", "LOGIN_FAILED"))]
)
def test_failed_logins_count_for_the_visitor_behind_our_proxy(
    client: Client, db: None, settings: Any, proxies: int, codes: tuple[str, str]
):
    """Without a proxy of ours the header is anybody's word, and changing it gives no further try."""
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies

    def guess(name: int, address: str) -> str:
        body = {"username": f"nobody-{name}", "password": "wrong"}
        said = client.post("/api/auth/login", body, "application/json", headers={"X-Forwarded-For": address})
        return str(said.json()["code"])

    assert {guess(number, "10.0.0.1") for number in range(10)} == {"LOGIN_FAILED"}
    assert (guess(10, "10.0.0.1"), guess(11, "10.0.0.2")) == codes


@pytest.mark.django_db(transaction=True)
def test_guesses_at_the_same_moment_are_counted_one_by_one(rf: Any):
    """As many processes would make them: every thread has a connection of its own."""

    def guess(_: int) -> bool:
        adapter = get_adapter()
        try:
            adapter.pre_authenticate(rf.post("/api/auth/login"), username="person")
        except ValidationError:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(12) as pool:
        assert 0 < sum(pool.map(guess, range(12))) <= 5


def test_login_of_a_user_with_a_second_factor_needs_its_code(api: Any, person: Any, monkeypatch: Any):
    monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))  # a code's 30 s do not run out
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(person, secret)
    code = totp.format_hotp_value(totp.hotp_value(secret, next(iter(totp.yield_hotp_counters_from_time()))))
    refused(login(api, username="person", password=PASSWORD), 401, "LOGIN_FAILED")
    refused(login(api, username="person", password=PASSWORD, code="000000"), 401, "LOGIN_FAILED")
    assert login(api, username="person", password=PASSWORD, code=code).status_code == 200
    refused(login(api, username="person", password=PASSWORD, code=code), 401, "LOGIN_FAILED")


def test_guessing_codes_is_slowed_down(api: Any, person: Any):
    totp.TOTP.activate(person, totp.generate_totp_secret())
    answers = [login(api, username="person", password=PASSWORD, code=f"{number:06}") for number in range(12)]
    assert answers[-1].json()["code"] == "TOO_MANY_ATTEMPTS"


def test_status_answers_strangers(api: Any, db: None):
    assert api("get", "/api/auth/status").json()["authenticated"] is False


def test_tokens_are_listed_for_their_user_only(api: Any, person: Any, staff: Any, token_for: Any):
    mine = token_for(person, "read")
    token_for(staff, "read")
    page = api("get", "/api/auth/tokens?limit=5", mine).json()
    assert (page["count"], page["limit"], page["offset"]) == (1, 5, 0)
    assert "digest" not in page["items"][0] and mine not in json.dumps(page)


def test_token_without_admin_makes_no_tokens(api: Any, person: Any, token_for: Any):
    body = json.dumps({"name": "n", "scopes": ["read"]})
    refused(api("post", "/api/auth/tokens", token_for(person, "trade"), data=body), 403, "SCOPE_MISSING")


def test_token_may_end_itself_but_no_other(api: Any, person: Any, token_for: Any):
    mine, other = token_for(person, "read"), token_for(person, "read")
    id_of = {row.prefix: row.pk for row in ApiToken.objects.all()}
    refused(api("delete", f"/api/auth/tokens/{id_of[other[:8]]}", mine), 403, "SCOPE_MISSING")
    assert api("delete", f"/api/auth/tokens/{id_of[mine[:8]]}", mine).json()["revoked_at"]
    refused(api("get", "/api/auth/tokens", mine), 401, "AUTHENTICATION_REQUIRED")


def test_token_of_somebody_else_is_not_found(client: Client, person: Any, staff: Any, token_for: Any):
    token_for(staff, "read")
    client.force_login(person)
    refused(client.delete(f"/api/auth/tokens/{ApiToken.objects.get().pk}"), 404, "TOKEN_NOT_FOUND")


def test_expired_token_is_refused(api: Any, person: Any, token_for: Any):
    token = token_for(person, "read")
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    refused(api("get", "/api/auth/tokens", token), 401, "AUTHENTICATION_REQUIRED")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("get", "/api/nothing/here", None, 404, "ROUTE_NOT_FOUND"),
        ("get", "/api/", None, 404, "ROUTE_NOT_FOUND"),
        ("put", "/api/auth/status", None, 405, "METHOD_NOT_ALLOWED"),
        ("get", "/api/auth/tokens?limit=501", None, 422, "VALIDATION_FAILED"),
        ("get", "/api/auth/tokens?limit=x", None, 422, "VALIDATION_FAILED"),
        ("post", "/api/auth/tokens", "{not json", 400, "BODY_NOT_READABLE"),
        ("post", "/api/auth/tokens", '{"name": "", "scopes": ["root"]}', 422, "VALIDATION_FAILED"),
        ("post", "/api/auth/tokens", '{"name": "a\\u0000", "scopes": ["read"]}', 400, "VALUE_NOT_STORABLE"),
        ("delete", "/api/auth/tokens/99999999999999999999999", None, 404, "TOKEN_NOT_FOUND"),
    ],
)
def test_mistake_gets_the_one_shape(api, staff, token_for, method, path, body, status, code):
    extra = {"data": body} if body else {}
    refused(api(method, path, token_for(staff, "admin"), **extra), status, code)


def test_validation_error_names_each_field(api: Any, staff: Any, token_for: Any):
    response = api("post", "/api/auth/tokens", token_for(staff, "admin"), data='{"scopes": ["root"], "days": 0}')
    body = refused(response, 422, "VALIDATION_FAILED")
    assert [one["field"] for one in body["details"]["errors"]] == ["name", "scopes.0", "days"]
    assert "name: Field required" in body["message"]


def failing(error: Exception) -> Any:
    """A database that answers every statement with `error`."""

    def wrapper(*_: Any) -> Any:
        raise error

    return connection.execute_wrapper(wrapper)


def test_no_body_takes_fields_that_nobody_knows():
    found = platform_api.get_openapi_schema()
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body:
                name = body["schema"].get("$ref", "").rpartition("/")[2]
                shape = found["components"]["schemas"][name] if name else body["schema"]
                assert shape.get("additionalProperties") is False, f"{method} {path}: use core.schemas.Body"


def test_a_mistyped_field_is_named(api: Any, staff: Any, token_for: Any):
    token = token_for(staff, "admin")
    response = api("post", "/api/auth/tokens", token, data='{"name": "fleeting", "scopes": ["read"], "day": 1}')
    (problem,) = refused(response, 422, "VALIDATION_FAILED")["details"]["errors"]
    assert (problem["in"], problem["field"]) == ("body", "day")


def test_absent_database_is_said_plainly(api: Any, db: None):
    with failing(OperationalError("connection refused")):
        response = api("get", "/api/auth/tokens", "pp_any")
    refused(response, 503, "DATABASE_UNAVAILABLE")
    assert response.headers["Retry-After"] == "5"


def test_surprise_names_a_request_id_and_no_more(api: Any, db: None, caplog: Any):
    with failing(ValueError("a secret detail")):
        response = api("get", "/api/auth/tokens", "pp_any")
    body = refused(response, 500, "INTERNAL_ERROR")
    assert len(body["details"]["request_id"]) == 36
    assert "secret" not in response.content.decode()
    assert "a secret detail" in caplog.text


def test_documentation_is_for_callers(client: Client, person: Any, token_for: Any):
    assert client.get("/api/docs").headers["Location"].startswith("/accounts/login/")
    refused(client.get("/api/openapi.json"), 401, "AUTHENTICATION_REQUIRED")
    headers = {"Authorization": f"Bearer {token_for(person, 'read')}"}
    assert client.get("/api/openapi.json", headers=headers).json()["info"]["title"] == "Pump Platform"
    client.force_login(person)
    page = client.get("/api/docs").content.decode()
    assert "swagger-ui-bundle.js" in page
    assert 'data-api-csrf="true"' in page and 'data-csrf-token=""' not in page
    inline = [part for part in page.split("<script")[1:] if "src=" not in part.split(">")[0]]
    assert all('type="application/json"' in part.split(">")[0] for part in inline)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_unknown_address_has_the_one_shape_for_every_method(method: str, db: None):
    strict = Client(enforce_csrf_checks=True)
    refused(getattr(strict, method)("/api/training/models/abc"), 404, "ROUTE_NOT_FOUND")


def test_text_that_is_not_unicode_is_a_400(client: Client, db: None):
    body = '{"username": "\\ud800", "password": "x"}'
    answer = client.post("/api/auth/login", body, content_type="application/json")
    told = refused(answer, 400, "VALUE_NOT_STORABLE")
    assert told["message"] == "username: is no Unicode text."
    assert told["details"]["errors"] == [{"in": "body", "field": "username", "problem": "is no Unicode text"}]


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"name": "a\0b", "scopes": ["read"]}, [("name", "holds the character U+0000")]),
        ({"a": {"b": [1, 2**70]}}, [("a.b.1", "is too large")]),
        ({"limits": {"x\0": 1}}, [("limits", "holds the character U+0000")]),
        ({"a": 2**40, "b": 1}, [("a", "is too large")]),
        ({"a": 2**40, "b": "\ud800"}, [("b", "is no Unicode text")]),
        ("\0", [("", "holds the character U+0000")]),
        ({"a": float("nan"), "b": 1e300}, [("a", "is no finite number")]),
        ({"a": None, "b": True, "c": 1.5}, []),
        (None, []),
    ],
)
def test_the_field_that_cannot_be_stored_is_named(document: Any, named: list[tuple[str, str]]):
    assert unstorable.fields(document) == named


def test_too_large_body_is_a_413(client: Client, db: None, settings: Any):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    body = json.dumps({"username": "x" * 200, "password": "x"})
    refused(client.post("/api/auth/login", body, content_type="application/json"), 413, "BODY_TOO_LARGE")
