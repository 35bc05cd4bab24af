"""`manage.py import_tracking FILE`: until when a recorder watched each coin."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from apps.discovery.delimited import CsvError
from apps.discovery.recordings import open_recording

ENDS = """
    UPDATE coin_streams s SET ended_at = greatest(v.ended_at, s.last_trade_at)
    FROM unnest(%s::text[], %s::timestamptz[]) AS v(mint, ended_at)
    WHERE s.mint = v.mint AND NOT s.is_active AND NOT s.is_graduated
"""


class _Summary(msgspec.Struct, rename="camel"):
    token_address: str
    ended_at: datetime


class Command(BaseCommand):
    """Makes the end of tracking exact: what came after it is unknown, not quiet."""

    help = (
        "Load until when a recorder watched each coin (JSON lines with tokenAddress and endedAt, plain, .gz or .zst) "
        "into coin_streams.ended_at, after import_trades. Labels that look past it are unknown. Safe to run twice. "
        "Exit status: 0 loaded, 2 the file is wrong (the message names file and line)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--json", action="store_true", help="print the result as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            summaries = _read(options["file"])
        except CsvError as error:
            raise CommandError(str(error), returncode=2) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from None
        with connection.cursor() as cursor:
            cursor.execute(ENDS, [list(summaries), list(summaries.values())])
            coins = cursor.rowcount
        if options["json"]:
            self.stdout.write(json.dumps({"summaries": len(summaries), "coins": coins}))
        else:
            self.stdout.write(f"{len(summaries):,} summaries, end of tracking of {coins:,} coins.")


def _read(path: Path) -> dict[str, datetime]:
    """The latest end of each coin. Raises CsvError, naming the line."""
    decoder, ends = msgspec.json.Decoder(_Summary), dict[str, datetime]()
    with open_recording(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                summary = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise CsvError(str(path), number, None, f"not a summary of a coin: {error}") from None
            if summary.ended_at.tzinfo is None:
                raise CsvError(str(path), number, "endedAt", "has no time zone (write Z for UTC)")
            ends[summary.token_address] = max(summary.ended_at, ends.get(summary.token_address, summary.ended_at))
    return ends
