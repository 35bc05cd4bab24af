#!/usr/bin/env python3
"""How fast pages of the running platform answer, one JSON line a page: to be run alone, and again during a training.

Signs in by itself as the first user. Usage: bin/page_times.py [--address URL] [--seconds 20] PATH...
"""

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bin")]
PATHS = ["/", "/training/", "/predictions/", "/discovery/"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=PATHS, metavar="PATH", help=f"default: {' '.join(PATHS)}")
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=float, default=20.0, help="in all (default 20)")
    return parser.parse_args()


def milliseconds(address: str, cookie: str) -> float:
    """How long one answer takes, until its last byte."""
    request = urllib.request.Request(address, headers={"Cookie": cookie})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
        if answer.url != address:
            raise SystemExit(f"{address} leads to {answer.url}: is this the database of that address?")
    return (time.perf_counter() - began) * 1000


def main() -> int:
    options = arguments()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pumpsite.settings")
    import django

    django.setup()
    from django.conf import settings
    from screenshots import session_of_first_user

    cookie = f"{settings.SESSION_COOKIE_NAME}={session_of_first_user()}"
    took: dict[str, list[float]] = {path: [] for path in options.paths}
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        for path in took:
            took[path].append(milliseconds(options.address.rstrip("/") + path, cookie))
    for path, found in took.items():
        p95 = sorted(found)[min(len(found) - 1, int(len(found) * 0.95))]
        line = {"page": path, "answers": len(found), "median_ms": round(statistics.median(found)), "p95_ms": round(p95)}
        print(json.dumps({**line, "load": round(os.getloadavg()[0], 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
