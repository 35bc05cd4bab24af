"""`manage.py import_trades FILE...`: trade histories into the tables."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from apps.core.commands import JsonCommand
from apps.discovery.delimited import CsvError
from apps.discovery.importer import Imported, import_file
from apps.discovery.services import stream_config_load

BAR_WIDTH = 30


class Command(JsonCommand):
    """Folds histories with the code of the live stream."""

    help = (
        "Load trade histories (CSV, plain, .gz or .zst; oldest first) into coin_transactions and fold them into "
        "coin_metrics with the code of the live stream. Safe to run twice and after a kill. "
        "Exit status: 0 imported, 2 a file is wrong (the message names file, line and column)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--from", dest="since", type=_moment, help="ISO 8601 time; earlier trades are left out")
        parser.add_argument("--to", dest="until", type=_moment, help="ISO 8601 time; trades from then on are left out")
        parser.add_argument("--progress", action="store_true", help="show progress also where stderr is no terminal")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        result, config = Imported(), stream_config_load()
        bounds = {"since_ms": options["since"], "until_ms": options["until"]}
        show = options["progress"] or self.stderr.isatty()
        for path in options["files"]:
            try:
                import_file(path, config, result, progress=self._progress(path.name, show=show), **bounds)
            except CsvError as error:
                raise CommandError(str(error), returncode=2) from None
            except OSError as error:
                raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from None
        if show:
            self.stderr.write("")  # ends the line of the progress
        self._report(result, as_json=options["json"])

    def _progress(self, name: str, *, show: bool) -> Callable[[Imported], None]:
        """Shows how far a file is, twice a second and at its end."""
        shown = 0.0

        def bar(result: Imported) -> None:
            nonlocal shown
            if show and (time.monotonic() - shown >= 0.5 or result.share == 1):
                shown = time.monotonic()
                self.stderr.write(f"\r{progress_line(name, result)}", ending="")

        return bar

    def _report(self, result: Imported, *, as_json: bool) -> None:
        summary = {
            "rows": result.rows,
            "trades_new": result.trades,
            "windows_new": result.windows,
            "coins": result.coins,
            "rates_new": result.rates,
            "seconds": round(result.seconds, 3),
            "rows_per_second": round(result.rows_per_second),
        }
        if as_json:
            self.stdout.write(json.dumps(summary))
        else:
            self.stdout.write(
                f"{result.rows:,} rows of {result.coins:,} coins in {result.seconds:.1f} s "
                f"({result.rows_per_second:,.0f} a second). New: {result.trades:,} trades, {result.windows:,} windows."
            )


def progress_line(name: str, result: Imported) -> str:
    """A bar for the share of the file that was read, and how fast it goes."""
    full = round(BAR_WIDTH * result.share)
    bar = "#" * full + "." * (BAR_WIDTH - full)
    return f"{name} [{bar}] {result.share:4.0%}  {result.rows:,} rows, {result.rows_per_second:,.0f} a second "


def _moment(text: str) -> int:
    """ISO 8601 to epoch milliseconds; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not an ISO 8601 time such as 2025-09-07T23:00:00Z") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
