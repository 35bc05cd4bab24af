"""`manage.py journal ls|cat|verify`: look into the journal."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.discovery.journal import SegmentInfo, inspect_segment, read_segment, segments


class Command(BaseCommand):
    """Reads only; the stream may be running."""

    help = (
        "Look into the journal of received frames. ls: its segments. cat: lines as they are, by their numbers. "
        "verify: read everything and name what is damaged (exit status 1 if anything is)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dir", type=Path, default=Path(settings.JOURNAL_DIR), help="default JOURNAL_DIR")
        actions = parser.add_subparsers(dest="action", required=True)
        for name, text in (("ls", "list the segments"), ("verify", "read every line")):
            action = actions.add_parser(name, help=text)
            action.add_argument("--json", action="store_true", help="one JSON line a segment")
        cat = actions.add_parser("cat", help="print lines")
        cat.add_argument("first", type=int, nargs="?", default=0, help="number of the first line (default 0)")
        cat.add_argument("last", type=int, nargs="?", help="number of the last line (default: to the end)")
        cat.add_argument("--raw", action="store_true", help="only the frames' exact texts, without times and gaps")

    def handle(self, *args: Any, **options: Any) -> None:
        found = segments(options["dir"])
        if not found:
            raise CommandError(f"There is no journal in {options['dir']}.")
        try:
            getattr(self, f"_{options['action']}")(found, options)
        except BrokenPipeError:
            sys.stderr.close()  # the reader has seen enough

    def _ls(self, found: list[Path], options: dict[str, Any]) -> None:
        for path in found:
            self._tell(inspect_segment(path), as_json=options["json"])

    def _verify(self, found: list[Path], options: dict[str, Any]) -> None:
        wrong, expected = 0, None
        for path in found:
            info = inspect_segment(path)
            self._tell(info, as_json=options["json"])
            last = path is found[-1]
            wrong += len(info.damaged) + info.backwards + (info.torn_bytes > 0 and not last)
            if expected is not None and info.first_seq < expected:
                self.stderr.write(f"{info.name} begins at {info.first_seq}, but the one before ends at {expected}.")
                wrong += 1
            expected = info.first_seq + info.lines
        if wrong:
            raise CommandError(f"{wrong} places are damaged.")

    def _cat(self, found: list[Path], options: dict[str, Any]) -> None:
        first, last = options["first"], options["last"]
        for index, path in enumerate(found):
            begins_after = index + 1 < len(found) and int(found[index + 1].stem) <= first
            if begins_after or (last is not None and int(path.stem) > last):
                continue
            for seq, line in read_segment(path):
                if seq >= first and (last is None or seq <= last):
                    self._print(line, raw=options["raw"])

    def _print(self, line: bytes, *, raw: bool) -> None:
        text = line.decode("utf-8", "replace")
        if not raw:
            self.stdout.write(text)
            return
        try:
            frame = json.loads(text).get("raw")
        except (ValueError, AttributeError):
            frame = text
        if frame is not None:
            self.stdout.write(frame)

    def _tell(self, info: SegmentInfo, *, as_json: bool) -> None:
        if as_json:
            values = {name: getattr(info, name) for name in SegmentInfo.__slots__}
            self.stdout.write(json.dumps(values | {"first_us": _iso(info.first_us), "last_us": _iso(info.last_us)}))
            return
        notes = [f"{len(info.damaged)} damaged (first: line {info.damaged[0]})"] if info.damaged else []
        notes += [f"{info.torn_bytes} bytes of a torn line"] if info.torn_bytes else []
        notes += [f"{info.backwards} lines go back in time"] if info.backwards else []
        self.stdout.write(
            f"{info.name}  {info.frames:>9,} frames  {info.gaps:>4} gaps  {info.size_bytes / 2**20:8.1f} MiB  "
            f"{_iso(info.first_us) or '-'}  {_iso(info.last_us) or '-'}  {'; '.join(notes)}".rstrip()
        )


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")
