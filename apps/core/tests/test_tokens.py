"""Tokens: kept as hashes, limited by scope, user and time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import PlatformError
from apps.core.models import ApiToken
from apps.core.tokens import (
    AuthenticationRequiredError,
    authenticate,
    bearer_of,
    digest_of,
    scopes_expand,
    scopes_of_user,
    token_create,
    token_revoke,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def person(db: None) -> Any:
    return get_user_model().objects.create_user("person", password="x")


@pytest.fixture
def staff(db: None) -> Any:
    return get_user_model().objects.create_user("staff", password="x", is_staff=True)


def make(user: Any, *scopes: str, days: int = 1) -> tuple[str, ApiToken]:
    return token_create(user=user, name="n", scopes=scopes, days=days, now=NOW)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ([], set()),
        (["read"], {"read"}),
        (["trade"], {"read", "trade"}),
        (["admin"], {"read", "trade", "admin"}),
        (["nonsense", "read"], {"read"}),
    ],
)
def test_scopes_are_nested(given, held):
    assert scopes_expand(given) == held


def test_strangers_hold_nothing():
    assert scopes_of_user(AnonymousUser()) == frozenset()


def test_people_trade_and_staff_does_everything(person, staff):
    assert scopes_of_user(person) == {"read", "trade"}
    assert scopes_of_user(staff) == {"read", "trade", "admin"}


def test_token_itself_is_kept_nowhere(person):
    text, row = make(person, "read")
    row.refresh_from_db()
    kept = " ".join(str(getattr(row, field.attname)) for field in ApiToken._meta.concrete_fields)
    assert row.digest == digest_of(text)
    assert text not in kept and text.removeprefix("pp_")[8:] not in kept


def test_token_answers_for_its_user(person):
    text, row = make(person, "read")
    caller = authenticate(text, now=NOW)
    assert (caller.user, caller.scopes, caller.token) == (person, frozenset({"read"}), row)


def test_use_is_noted_at_most_once_a_minute(person):
    text, row = make(person, "read")
    for seconds in (0, 30, 59):
        authenticate(text, now=NOW + timedelta(seconds=seconds))
    row.refresh_from_db()
    assert row.last_used_at == NOW
    authenticate(text, now=NOW + timedelta(seconds=61))
    row.refresh_from_db()
    assert row.last_used_at == NOW + timedelta(seconds=61)


def test_expired_token_is_refused(person):
    text, _ = make(person, "read", days=1)
    authenticate(text, now=NOW + timedelta(hours=23))
    with pytest.raises(AuthenticationRequiredError):
        authenticate(text, now=NOW + timedelta(days=1))


def test_revoked_token_is_refused(person):
    text, row = make(person, "read")
    token_revoke(token=row, now=NOW)
    with pytest.raises(AuthenticationRequiredError):
        authenticate(text, now=NOW)


def test_token_of_a_disabled_user_is_refused(person):
    text, _ = make(person, "read")
    person.is_active = False
    person.save()
    with pytest.raises(AuthenticationRequiredError):
        authenticate(text, now=NOW)


def test_token_loses_what_its_user_lost(staff):
    text, _ = make(staff, "admin")
    staff.is_staff = False
    staff.save()
    assert authenticate(text, now=NOW).scopes == {"read", "trade"}


@pytest.mark.parametrize(
    ("scopes", "days", "code"),
    [
        ([], 1, "SCOPE_UNKNOWN"),
        (["root"], 1, "SCOPE_UNKNOWN"),
        (["admin"], 1, "SCOPE_MISSING"),
        (["read"], 0, "EXPIRY_OUT_OF_RANGE"),
        (["read"], 367, "EXPIRY_OUT_OF_RANGE"),
    ],
)
def test_token_that_may_not_be_is_refused_with_a_code(person, scopes, days, code):
    with pytest.raises(PlatformError) as refused:
        make(person, *scopes, days=days)
    assert refused.value.code == code
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Bearer", None), ("Basic abc", None), ("", None), ("abc", None)],
)
def test_bearer_header_is_read(header, token):
    assert bearer_of(header) == token


@given(st.text())
def test_any_header_is_read_without_an_error(header):
    assert bearer_of(header) is None or bearer_of(header) in header
