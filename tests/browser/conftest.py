"""A real Chromium against the real web process, over a world made by the product's own code."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environ
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.core.management import call_command
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from apps.discovery.tests import tables
from pumpsite.addresses import pages
from tests import emptying
from tests.browser.world import World, build
from tests.servers import await_true, daphne

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
NAME, PASSWORD = "visitor", "correct horse battery"
PATIENCE_MILLISECONDS = 20_000


def until(page: Any, condition: str, arg: Any = None) -> None:
    """Wait until the JavaScript is true. Playwright's own waiting evaluates text in the page, which our CSP forbids."""
    await_true(lambda: page.evaluate(condition, arg), seconds=PATIENCE_MILLISECONDS / 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Site:
    """The running site: its address, what is in its tables, the pages it has."""

    address: str
    world: World
    pages: dict[str, str] = field(default_factory=dict)

    def __call__(self, path: str) -> str:
        return self.address + path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; Playwright's event loop makes Django believe that it is called from async code."""
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is here")
    playwright_api = pytest.importorskip("playwright.sync_api")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database without a transaction around each test: pytest-django makes none when no test asks it to."""
    name = connection.settings_dict["NAME"]
    with django_db_blocker.unblock():
        if name == settings_name():
            made = setup_databases(verbosity=0, interactive=False)
            emptying.remember()
            yield
            teardown_databases(made, verbosity=0)
        else:
            yield


def settings_name() -> str:
    """The name of the database in DATABASE_URL: not the one for tests."""
    return str(environ.Env().db_url("DATABASE_URL")["NAME"])


@pytest.fixture(scope="session")
def world(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Filled once, with real commits, for all tests of this folder."""
    assert connection.settings_dict["NAME"] != settings_name(), "tests never touch the database of DATABASE_URL"
    password = make_password(PASSWORD, hasher=PBKDF2PasswordHasher())  # the web process knows no hasher of the tests
    get_user_model().objects.create(username=NAME, password=password, is_staff=True, is_superuser=True)
    yield build(tmp_path_factory.mktemp("world"))
    forget_all()


def forget_all() -> None:
    """Leave only the seed of discovery behind for the tests of other folders."""
    call_command("flush", interactive=False, verbosity=0)
    tables.reset()


@pytest.fixture(scope="session")
def site(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The web process as in the Procfile."""
    with daphne(tmp_path_factory.mktemp("site") / "daphne.log") as address:
        yield Site(address, world, dict(pages()))


@dataclass
class Browsing:
    """A page and what went wrong on it: console errors, exceptions, policy violations, failed requests."""

    page: Any
    mistakes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MILLISECONDS)
        self.page.on("console", lambda line: line.type in ("error", "warning") and self.note(line.text))
        self.page.on("pageerror", lambda error: self.note(str(error)))
        self.page.on("response", lambda answer: answer.status >= 400 and self.note(f"{answer.status} {answer.url}"))

    def note(self, text: str) -> None:
        self.mistakes.append(f"{self.page.url}: {text}")


@pytest.fixture
def browse(chromium: Any, site: Site) -> Iterator[Callable[..., Browsing]]:
    """Opens a window: `browse(language="de", scheme="light", width=390)`; signed in unless told otherwise."""
    contexts = []

    def open_window(
        *, language: str = "en", scheme: str = "dark", width: int = 1440, signed_in: bool = True
    ) -> Browsing:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, locale=language, base_url=site.address
        )
        contexts.append(context)
        browsing = Browsing(context.new_page())
        if signed_in:
            sign_in(browsing.page)
        return browsing

    yield open_window
    for context in contexts:
        context.close()


def sign_in(page: Any, password: str = PASSWORD) -> None:
    """As a person does it."""
    page.goto("/accounts/login/")
    page.fill("[name=login]", NAME)
    page.fill("[name=password]", password)
    with page.expect_navigation():
        page.click("main button[type=submit], main button:not([type])")
