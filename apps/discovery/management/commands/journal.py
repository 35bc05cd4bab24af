"""`manage.py journal ls|cat|export|verify|replay`: look into the journal, take parts of it, read it into the tables."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError

from apps.core.commands import JsonCommand
from apps.discovery.excerpts import Exported, Selection, chosen, export, holes, select
from apps.discovery.inspection import SegmentInfo, describe_segment, verify_journal
from apps.discovery.models import StreamState
from apps.discovery.rebuilding import RebuildError, rebuild
from apps.discovery.segments import is_damaged, is_packed, segments

TEXTS = {
    "ls": "list the segments: times, frames, gaps, size on the disk and unpacked",
    "cat": "print lines as they are, or only the frames",
    "export": "write lines to one file that `manage.py replay` plays",
    "verify": "read every byte: damaged lines, checksums, holes in the numbers (exit status 1 if anything is wrong)",
    "replay": "read the whole journal into the tables of an empty database, by the code that runs live",
}


class Command(JsonCommand):
    """Only `replay` writes to the database. All but `replay` may be used while the stream runs."""

    help = (
        "The journal of received frames: a folder of segments <first number>.jsonl, packed (.jsonl.zst) once closed. "
        "Every line has a number that never changes. Exit status: 0 done; 1 nothing there, damaged, or impossible."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dir", type=Path, default=Path(settings.JOURNAL_DIR), help="default JOURNAL_DIR")
        actions = parser.add_subparsers(dest="action", required=True)
        added = {name: actions.add_parser(name, help=text, description=text) for name, text in TEXTS.items()}
        for name in ("ls", "verify"):
            added[name].add_argument("--json", action="store_true", help="one JSON line a segment")
        for name in ("cat", "export"):
            _add_selection(added[name])
        added["cat"].add_argument("--raw", action="store_true", help="only the frames' exact texts, no times, no gaps")
        target = "file to write; packed if its name ends in .zst or .gz"
        added["export"].add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=target)
        added["export"].add_argument("--force", action="store_true", help="replace the file if it is there")
        added["export"].add_argument("--json", action="store_true", help="print the result as one JSON line")
        added["replay"].add_argument(
            "--continue", dest="go_on", action="store_true", help="go on from where the tables stand in this journal"
        )
        added["replay"].add_argument("--json", action="store_true", help="print the result as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["dir"]
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            raise CommandError(f"The folder {folder} may not be read by this user.")
        if not segments(folder):
            raise CommandError(f"There is no journal in {folder}.")
        try:
            getattr(self, f"_{options['action']}")(folder, options)
        except FileNotFoundError as error:
            raise CommandError(f"{error.filename} went away meanwhile; start again.") from None
        except BrokenPipeError:
            sys.stderr.close()  # the reader has seen enough
        except OSError as error:
            raise CommandError(f"{error.filename or folder} cannot be read: {error.strerror}.") from None

    def _ls(self, folder: Path, options: dict[str, Any]) -> None:
        for path in segments(folder):
            self._describe(describe_segment(path), as_json=options["json"])

    def _verify(self, folder: Path, options: dict[str, Any]) -> None:
        wrong, end, plain, show = 0, 0, 0, self._progress()
        is_own = folder.resolve() == Path(settings.JOURNAL_DIR).resolve()
        known = self._known_seq() if is_own else 0  # before reading: the stream goes on meanwhile
        for info in verify_journal(folder):
            show(f"{info.name}: {info.lines:,} lines")
            self._describe(info, as_json=options["json"])
            wrong, end = wrong + len(info.problems), info.first_seq + info.lines
            plain += not is_packed(folder / info.name)
        if plain:
            self.stderr.write(f"Segments not packed yet have no checksum: of {plain} only the lines were read.")
        if known > end:
            self.stderr.write(f"The journal ends before line {end:,}, but the tables hold lines up to {known - 1:,}.")
            wrong += 1
        if wrong:
            raise CommandError(f"Problems found: {wrong}.")

    def _known_seq(self) -> int:
        """The number up to which the tables hold the journal; 0, and a word, while the database is away."""
        try:
            return StreamState.objects.values_list("next_seq", flat=True).get()
        except OperationalError:
            self.stderr.write("The database is away: whether the newest segment is missing cannot be told.")
            return 0

    def _cat(self, folder: Path, options: dict[str, Any]) -> None:
        selection = _selection(options)
        for entry, text in select(folder, selection):
            if not options["raw"]:
                self.stdout.write(text.decode("utf-8", "replace"))
            elif entry.raw is not None:
                self.stdout.write(entry.raw)
        _require_whole(folder, selection)

    def _export(self, folder: Path, options: dict[str, Any]) -> None:
        target, selection, show = options["output"], _selection(options), self._progress()
        if target.exists() and not options["force"]:
            raise CommandError(f"{target} is there already; --force replaces it.")
        try:
            done = export(folder, selection, target, progress=lambda so_far: show(_exported(so_far)))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CommandError(f"{target}: {error.strerror}") from None
        if not done.lines:
            raise CommandError("No line of the journal is chosen: nothing was written.")
        if options["json"]:
            values = asdict(done) | {"file": str(target), "bytes": target.stat().st_size}
            self.stdout.write(json.dumps(_with_times(values)))
        else:
            self.stdout.write(f"{target}: {_exported(done)}.")
        _require_whole(folder, selection)

    def _replay(self, folder: Path, options: dict[str, Any]) -> None:
        started, show = time.monotonic(), self._progress()
        try:
            done = rebuild(folder, go_on=options["go_on"], progress=lambda seq: show(f"line {seq:,}"))
        except RebuildError as error:
            raise CommandError(str(error)) from None
        seconds = time.monotonic() - started
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done) | {"seconds": round(seconds, 3)}))
        else:
            self.stdout.write(f"Lines {done.first_seq:,} to {done.end_seq - 1:,} are in the tables ({seconds:.1f} s).")
        _require_whole(folder, Selection(done.first_seq))

    def _progress(self) -> Callable[[str], None]:
        """Says how far it is, once a second, where somebody looks."""
        shown = time.monotonic()

        def show(text: str) -> None:
            nonlocal shown
            if time.monotonic() - shown >= 1:
                shown = time.monotonic()
                self.stderr.write(f"\r{text}", ending="")

        return show if self.stderr.isatty() else lambda text: None

    def _describe(self, info: SegmentInfo, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(_with_times(asdict(info))))
            return
        sizes = f"{info.size_bytes / 2**20:8.1f} MiB"
        if info.content_bytes != info.size_bytes:
            sizes += f" ({info.content_bytes / 2**20:.1f} unpacked)"
        self.stdout.write(
            f"{info.name}  {info.frames:>9,} frames  {info.gaps:>4} gaps  {sizes}  "
            f"{_iso(info.first_us) or '-'}  {_iso(info.last_us) or '-'}  {_remarks(info)}".rstrip()
        )


def _remarks(info: SegmentInfo) -> str:
    """What is wrong with a segment; also the torn end of an open one, which is how a line being written looks."""
    said = list(info.problems)
    if info.torn_bytes and not any("torn" in one for one in said):
        said.append(f"{info.torn_bytes} bytes of a torn line are at its end; the stream cuts them off at its start.")
    return " ".join(said)


def _require_whole(folder: Path, selection: Selection) -> None:
    """End with an error where something of a selection is missing or could not be read."""
    said = []
    if damaged := [path.name for path in chosen(folder, selection) if is_damaged(path)]:
        said.append(f"Only what can still be read of these damaged segments is there: {', '.join(damaged)}.")
    if missing := [f"{first:,} to {last:,}" for first, last in holes(folder, selection)]:
        said.append(f"Lines are missing in the journal: {', '.join(missing)}.")
    if said:
        raise CommandError(" ".join(said))


def _add_selection(action: ArgumentParser) -> None:
    action.add_argument("first", type=int, nargs="?", default=0, help="number of the first line (default 0)")
    action.add_argument("last", type=int, nargs="?", help="number of the last line (default: to the end)")
    action.add_argument("--from", dest="since", type=_microseconds, help="ISO 8601 time; only lines from then on")
    action.add_argument("--to", dest="until", type=_microseconds, help="ISO 8601 time; only lines before it")
    action.add_argument("--mint", help="only frames that name this coin, and the gaps")


def _selection(options: dict[str, Any]) -> Selection:
    return Selection(options["first"], options["last"], options["since"], options["until"], options["mint"])


def _exported(done: Exported) -> str:
    return f"{done.frames:,} frames and {done.gaps} gaps up to {_iso(done.last_us)}"


def _with_times(values: dict[str, Any]) -> dict[str, Any]:
    return values | {"first_us": _iso(values["first_us"]), "last_us": _iso(values["last_us"])}


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")


def _microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not an ISO 8601 time such as 2025-09-07T23:00:00Z") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
