"""`manage.py export trades --format parquet -o FILE`: coins, trades or candles into a file."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError

from apps.core.commands import JsonCommand
from apps.discovery import exports, formats
from apps.discovery.candles import LONGEST_SECONDS
from apps.discovery.exports import Chunk, Wanted


class Command(JsonCommand):
    """Writes an export; a file appears under its name only when it is whole."""

    help = (
        "Write coins, trades or candles as CSV or Parquet, never more than a chunk of rows in memory. A CSV of trades "
        "can be read again by import_trades. Exit status: 0 written, 2 the file cannot be written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=exports.KINDS)
        parser.add_argument("--mint", default="", help="only this coin")
        parser.add_argument("--from", dest="since", type=_moment, help="ISO 8601 time; earlier rows are left out")
        parser.add_argument("--to", dest="until", type=_moment, help="ISO 8601 time; rows from then on are left out")
        parser.add_argument("--bucket", type=_seconds, default=60, help="seconds of a candle, 1 to 86400 (default 60)")
        parser.add_argument("--format", choices=sorted(formats.CONTENT_TYPES), default="csv")
        parser.add_argument("-o", "--output", type=Path, help="the file (default: standard output)")
        parser.add_argument("--progress", action="store_true", help="show progress also where stderr is no terminal")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON line (needs -o)")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["output"]
        if options["json"] and path is None:
            raise CommandError("--json needs -o FILE: standard output is the export itself", returncode=2)
        self.rows, self.began = 0, time.monotonic()
        self.shows = options["progress"] or self.stderr.isatty()
        wanted = Wanted(options["kind"], options["mint"], options["since"], options["until"], options["bucket"])
        chunks = self._counted(exports.chunks(wanted))
        parts = formats.pieces(options["format"], exports.COLUMNS[wanted.kind], chunks)
        if path is None:
            _write_out(parts)
            return
        try:
            size = _write_file(path, parts)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", returncode=2) from None
        self._report(path, size, as_json=options["json"])

    def _counted(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.rows += len(chunk)
            if self.shows:
                rate = self.rows / max(time.monotonic() - self.began, 0.001)
                self.stderr.write(f"\r{self.rows:,} rows, {rate:,.0f} a second ", ending="")
            yield chunk

    def _report(self, path: Path, size: int, *, as_json: bool) -> None:
        seconds = round(time.monotonic() - self.began, 3)
        if as_json:
            summary = {"file": str(path), "rows": self.rows, "bytes": size, "seconds": seconds}
            self.stdout.write(json.dumps(summary))
        else:
            self.stdout.write(f"{self.rows:,} rows, {size:,} bytes in {seconds:.1f} s: {path}")


def _write(stream: BinaryIO, parts: Iterator[bytes]) -> int:
    return sum(stream.write(part) for part in parts)


def _write_out(parts: Iterator[bytes]) -> None:
    """Write to standard output; a reader that has had enough (`| head`) ends the export without a word."""
    try:
        _write(sys.stdout.buffer, parts)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at exit


def _write_file(path: Path, parts: Iterator[bytes]) -> int:
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as stream:
            size = _write(stream, parts)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_SECONDS:
        raise ArgumentTypeError(f"{text} is not a whole number from 1 to {LONGEST_SECONDS}")
    return int(text)


def _moment(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not an ISO 8601 time such as 2025-09-07T23:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
