#!/usr/bin/env python3
"""Pictures of every page of the running demo, wide and narrow, dark and light, into screenshots/.

Signs in by itself as the first user. Needs a Chromium on the host. Usage: bin/screenshots.py [--help]
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
Scheme = Literal["dark", "light"]
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SETTLE_MILLISECONDS = 1200


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    runtime = Path(os.environ.get("RUNTIME_DIR") or ROOT / ".runtime")
    known = runtime / "address"
    parser.add_argument("--address", default=known.read_text().strip() if known.exists() else "http://127.0.0.1:8000/")
    parser.add_argument("--out", type=Path, default=ROOT / "screenshots", help="folder (default: screenshots)")
    parser.add_argument("--only", default="", help="only pages whose name contains this")
    parser.add_argument("--language", default="en", choices=["en", "de"])
    parser.add_argument("--size", choices=SIZES, action="append", help="default: both")
    parser.add_argument("--scheme", choices=get_args(Scheme), action="append", help="default: both")
    parser.add_argument("--whole", action="store_true", help="the whole page, not only what fits the window")
    return parser.parse_args()


def wanted_pages(only: str) -> list[tuple[str, str]]:
    from pumpsite.addresses import pages

    return [(name, path) for name, path in pages() if only in name]


def session_of_first_user() -> str:
    """The key of a new session, so that no password has to be typed."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
    from django.contrib.sessions.backends.db import SessionStore

    user = get_user_model().objects.filter(is_active=True).order_by("id").first()
    if user is None:
        raise SystemExit("there is no user yet: start make demo once")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.set_expiry(3600)
    session.create()
    return str(session.session_key)


def shots(options: argparse.Namespace) -> Iterator[tuple[str, Scheme]]:
    """`(size, scheme)` in the order they are taken."""
    for size in options.size or SIZES:
        for scheme in options.scheme or get_args(Scheme):
            yield size, scheme


def take(options: argparse.Namespace, pages: list[tuple[str, str]], key: str) -> int:
    """Take all pictures; how many there are."""
    from playwright.sync_api import sync_playwright

    program = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if program is None:
        raise SystemExit("no Chromium here: apt install chromium")
    cookies: list[Any] = [
        {"name": "sessionid", "value": key, "url": options.address},
        {"name": "django_language", "value": options.language, "url": options.address},
    ]
    count = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        for size, scheme in shots(options):
            width, height = SIZES[size]
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            context.add_cookies(cookies)
            page = context.new_page()
            for name, path in pages:
                page.goto(options.address.rstrip("/") + path)
                page.wait_for_timeout(SETTLE_MILLISECONDS)
                target = options.out / f"{name}-{size}-{scheme}-{options.language}.png"
                page.screenshot(path=str(target), full_page=options.whole)
                count += 1
                print(target, flush=True)
            context.close()
        browser.close()
    return count


def main() -> None:
    options = arguments()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pumpsite.settings")
    import django

    django.setup()
    pages, key = wanted_pages(options.only), session_of_first_user()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{take(options, pages, key)} pictures in {options.out}")


if __name__ == "__main__":
    main()
