"""`manage.py bench [NAME...]`: run benchmarks, one JSON line each.

Every app may have a module `benchmarks` with `BENCHMARKS: dict[str, Callable[[], dict]]`; a function returns
`{"value", "unit"}` and, where they exist, `{"limit", "ratio", "detail"}`.
"""

import importlib
import importlib.util
import json
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

APPS = ("core", "discovery", "training", "predictions", "trading")
Benchmark = Callable[[], dict[str, Any]]


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by name, in the order of the apps."""
    found: dict[str, Benchmark] = {}
    for app in APPS:
        if importlib.util.find_spec(f"apps.{app}.benchmarks"):
            found |= importlib.import_module(f"apps.{app}.benchmarks").BENCHMARKS
    return found


def line_of(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """A result in the contract's form."""
    empty: dict[str, Any] = {"value": None, "unit": "", "limit": None, "ratio": None, "detail": {}}
    return {"name": name, **empty, **{key: value for key, value in result.items() if key in empty}}


class Command(BaseCommand):
    help = "Runs all benchmarks, or the named ones; prints one JSON line each."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME")
        parser.add_argument("--list", action="store_true", help="only print the names")

    def handle(self, *args: Any, names: list[str], **options: Any) -> None:
        known = benchmarks()
        if unknown := sorted(set(names) - set(known)):
            raise CommandError(f"There is no benchmark {', '.join(unknown)}; known: {', '.join(known) or 'none'}.")
        for name in names or known:
            line = name if options["list"] else json.dumps(line_of(name, known[name]()))
            self.stdout.write(line)
            self.stdout.flush()
