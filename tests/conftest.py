"""Fixtures of the tests that see the platform as a whole."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from apps.core.tokens import token_create
from tests.servers import OwnValkey, valkey_program

PASSWORD = "correct horse battery"


@pytest.fixture
def person(db: None) -> Any:
    """An ordinary user."""
    return get_user_model().objects.create_user("person", password=PASSWORD)


@pytest.fixture
def staff(db: None) -> Any:
    """A user who may do everything."""
    return get_user_model().objects.create_superuser("staff", email="", password=PASSWORD)


@pytest.fixture
def token_for() -> Callable[..., str]:
    """Makes a token: `token_for(user, "read")`."""

    def make(user: Any, *scopes: str) -> str:
        text, _ = token_create(user=user, name="test", scopes=scopes, days=1, now=timezone.now())
        return text

    return make


@pytest.fixture
def api(client: Client) -> Callable[..., Any]:
    """Calls the API with a token: `api("get", "/api/auth/status", token)`."""

    def call(method: str, path: str, token: str | None = None, **data: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return getattr(client, method)(path, headers=headers, content_type="application/json", **data)

    return call


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    """A running Valkey of the test's own."""
    program = valkey_program()
    if program is None:
        pytest.skip("no Valkey server program is here (bin/services, or VALKEY_SERVER)")
    server = OwnValkey(program, tmp_path)
    server.start()
    yield server
    server.stop()
