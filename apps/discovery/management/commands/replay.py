"""`manage.py replay FILE...`: serve recorded input to the real client."""

from __future__ import annotations

import asyncio
import json
import math
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from apps.core.commands import JsonCommand
from apps.discovery.delimited import CsvError
from apps.discovery.pumpportal import replay
from apps.discovery.pumpportal.replay import Played
from apps.discovery.pumpportal.server import FeedServer, Frame, PortError, until_stopped


class Command(JsonCommand):
    """Reads the files, waits for a client, plays, waits until the client has everything, ends."""

    requires_system_checks: tuple[str, ...] = ()  # touches neither database nor pages
    help = (
        "Serve recorded input through a PumpPortal-compatible websocket server on loopback. FILE: recorded frames "
        '(JSON lines {"t_wall", "raw"}, journal segments) or a trade history (CSV), plain, .gz or .zst. Point WS_URI '
        "at the address it prints. Exit status: 0 played to the end, 1 could not serve, 2 a file is wrong, "
        "143 stopped by a signal."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--speed", type=_speed, default=1.0, help="times the recorded pace, or max (default 1)")
        parser.add_argument("--port", type=int, default=settings.SIMULATOR_PORT, help="default SIMULATOR_PORT")
        parser.add_argument("--from", dest="since", type=_moment, help="ISO 8601 time; earlier frames are left out")
        parser.add_argument("--to", dest="until", type=_moment, help="ISO 8601 time; frames from then on are left out")
        parser.add_argument("--loop", action="store_true", help="start over at the end, times going on")
        parser.add_argument("--stay", action="store_true", help="keep the connection open when all is played")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        played, started = Played(), time.monotonic()
        try:
            frames = self._frames(options)
            finished = asyncio.run(self._serve(frames, played, options))
        except CsvError as error:
            raise CommandError(str(error), returncode=2) from None
        self._report(played, time.monotonic() - started, finished, as_json=options["json"])
        if not finished:
            raise SystemExit(143)

    def _frames(self, options: dict[str, Any]) -> Iterator[Frame]:
        """All frames to play; the first is read at once, so that a wrong file is told before anybody connects."""
        source = replay.looped if options["loop"] else replay.read
        try:
            frames = source(options["files"], since=options["since"], until=options["until"])
            return chain([next(frames)], frames)
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from None
        except StopIteration:
            raise CommandError("There is nothing to play in these files between --from and --to.") from None

    async def _serve(self, frames: Iterator[Frame], played: Played, options: dict[str, Any]) -> bool:
        server = FeedServer(port=options["port"], journal_form=True)
        try:
            return await until_stopped(self._play(server, frames, played, options))
        except PortError as error:
            raise CommandError(str(error)) from None

    async def _play(self, server: FeedServer, frames: Iterator[Frame], played: Played, options: dict[str, Any]) -> None:
        async with server:
            self.stderr.write(f"Replay at {server.uri}, waiting for a client (Ctrl-C stops).")
            await replay.play(server, frames, speed=options["speed"], played=played, progress=self._progress())
            await server.offer(replay.farewell(played.last_at))
            await server.settle()
            if options["stay"]:
                await asyncio.Event().wait()

    def _progress(self) -> Any:
        shown = 0.0

        def show(played: Played) -> None:
            nonlocal shown
            if played.frames & 255 == 0 and time.monotonic() - shown >= 1:
                shown = time.monotonic()
                self.stderr.write(f"\r{played.frames:,} frames, {_iso(played.last_at)}", ending="")

        return show if self.stderr.isatty() else lambda played: None

    def _report(self, played: Played, seconds: float, finished: bool, *, as_json: bool) -> None:
        result = {
            "frames": played.frames,
            "gaps": played.gaps,
            "from": _iso(played.first_at),
            "to": _iso(played.last_at),
            "seconds": round(seconds, 3),
            "finished": finished,
        }
        if as_json:
            self.stdout.write(json.dumps(result))
        else:
            end = "all played" if finished else "stopped"
            self.stdout.write(f"{played.frames:,} frames and {played.gaps} gaps in {seconds:.1f} s, {end}.")


def _iso(moment: float) -> str | None:
    return None if math.isnan(moment) else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise ArgumentTypeError("a number above 0, or max")
    return speed


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not an ISO 8601 time such as 2025-09-07T23:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
