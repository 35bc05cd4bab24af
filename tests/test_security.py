"""What strangers get, and what browsers are told."""

from typing import Any

import pytest
from django.contrib.auth.hashers import identify_hasher, make_password
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver

from pumpsite import settings as pumpsite_settings
from tests.conftest import PASSWORD

PUBLIC = ("/health", "/metrics", "/accounts/", "/api/", "/language/", "/static/")
EXAMPLES = {"str": "x", "slug": "x", "int": "1", "path": "x", "uuid": "00000000-0000-0000-0000-000000000000"}


def example_of(pattern: Any) -> str:
    """A path that a URL pattern matches."""
    route = str(pattern)
    for name, converter in pattern.converters.items():
        kind = type(converter).__name__.removesuffix("Converter").lower().replace("string", "str")
        for form in (f"<{kind}:{name}>", f"<{name}>"):
            route = route.replace(form, EXAMPLES.get(kind, "x"))
    return route


def pages(patterns: Any = None, prefix: str = "/") -> list[str]:
    """An address of every view of the site, without those of regular expressions."""
    found = []
    for pattern in patterns or get_resolver().url_patterns:
        if not hasattr(pattern.pattern, "converters") or "^" in str(pattern.pattern):
            continue
        path = prefix + example_of(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += pages(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            found.append(path)
    return found


@pytest.mark.parametrize("path", [path for path in pages() if not path.startswith(PUBLIC)])
def test_stranger_is_sent_to_the_login(client: Client, db: None, path: str):
    response = client.get(path)
    assert response.status_code == 302
    assert "/login/" in response.headers["Location"]


def test_there_is_no_sign_up(client: Client, db: None):
    assert "username" not in client.get("/accounts/signup/").content.decode()
    before = client.post("/accounts/signup/", {"username": "x", "password1": PASSWORD, "password2": PASSWORD})
    assert before.status_code in {200, 302, 403}
    assert not client.login(username="x", password=PASSWORD)


def test_there_is_no_password_by_mail(client: Client, db: None):
    assert "password/reset" not in client.get("/accounts/login/").content.decode()
    assert client.get("/accounts/password/reset/").headers["Location"] == "/accounts/login/"


def test_every_answer_carries_the_headers(client: Client, person: Any):
    client.force_login(person)
    for path in ("/accounts/password/change/", "/api/docs", "/health"):
        headers = client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["script-src"] == policy["style-src"] == policy["default-src"] == "'self'"
        assert (policy["frame-ancestors"], policy["object-src"]) == ("'none'", "'none'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def test_session_cookie_is_closed_to_scripts_and_other_sites(client: Client, person: Any):
    client.post("/accounts/login/", {"login": "person", "password": PASSWORD})
    cookie = client.cookies["sessionid"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"


def test_admin_signs_in_by_the_one_login(client: Client, db: None):
    assert client.get("/admin/login/?next=/admin/").headers["Location"].startswith("/accounts/login/")


def test_admin_is_for_staff(client: Client, person: Any, staff: Any):
    client.force_login(person)
    assert client.get("/admin/").status_code in {302, 403}
    client.force_login(staff)
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/core/apitoken/").status_code == 200
    assert client.get("/admin/core/apitoken/add/").status_code == 403


def test_admin_never_shows_a_digest(client: Client, staff: Any, token_for: Any):
    token_for(staff, "read")
    token = staff.api_tokens.get()
    client.force_login(staff)
    page = client.get(f"/admin/core/apitoken/{token.pk}/change/").content.decode()
    assert token.prefix in page and token.digest not in page


def test_passwords_are_hashed_with_argon2(settings: Any):
    settings.PASSWORD_HASHERS = pumpsite_settings.PASSWORD_HASHERS  # the tests' own are faster
    assert identify_hasher(make_password(PASSWORD)).algorithm == "argon2"


def test_form_without_the_csrf_token_is_refused(person: Any):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    assert strict.post("/accounts/logout/").status_code == 403
    assert strict.post("/language/setlang/", {"language": "de"}).status_code == 403


def test_language_is_switched(client: Client, person: Any):
    client.force_login(person)
    client.post("/language/setlang/", {"language": "de", "next": "/accounts/password/change/"})
    assert client.get("/accounts/password/change/").headers["Content-Language"] == "de"


@override_settings(ALLOWED_HOSTS=["pump.example.org"])
def test_other_hosts_are_refused(client: Client, db: None):
    assert client.get("/health", headers={"Host": "evil.example.org"}).status_code == 400
