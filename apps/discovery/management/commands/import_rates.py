"""`manage.py import_rates FILE`: what one SOL cost in the past."""

from __future__ import annotations

import json
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.discovery.delimited import CsvError
from apps.discovery.rates import rates_import

HELP = """Import what one SOL cost, from a CSV file with the columns
  at        2026-07-04, 2026-07-04T12:00:00Z or epoch seconds; without a zone it is UTC
  currency  USD or EUR
  rate      the price of one SOL, with a decimal point
  source    where it is from (optional; else "import")
A wrong file changes nothing (exit status 2, the message names file, line and column); the same file twice is once."""


class Command(BaseCommand):
    help = HELP

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lines, new = rates_import(path=options["file"])
        except CsvError as error:
            raise CommandError(str(error), returncode=2) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from None
        text = json.dumps({"lines": lines, "new": new}) if options["json"] else f"{lines:,} rates read, {new:,} new."
        self.stdout.write(text)
