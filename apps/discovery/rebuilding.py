"""The tables from the journal: the live stream's own code, without a feed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.discovery.journal import JournalReader
from apps.discovery.models import Coin, CoinTransaction, StreamState
from apps.discovery.ownership import Ownership
from apps.discovery.processor import Processor
from apps.discovery.segments import first_seq, segments
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor
from apps.discovery.writer import Status

REPLAYED = "read from the journal"


class RebuildError(RuntimeError):
    """The journal cannot be read into this database; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The numbers that were read: [first_seq, end_seq)."""

    first_seq: int
    end_seq: int


def rebuild(folder: Path, *, go_on: bool, progress: Callable[[int], None]) -> Rebuilt:
    """Read a journal into the tables, from its beginning or, with `go_on`, from where the tables stand.

    `progress` gets the number reached at each commit. Killed on the way, `go_on` continues it. Raises RebuildError, and
    the database's errors where it is away.
    """
    ownership = Ownership()
    if not ownership.acquire():
        raise RebuildError("A stream is running on this database. Stop it first.")
    try:
        state = StreamState.objects.get(pk=1)
        _require_place(state, folder, go_on)
        begin = max(state.next_seq, first_seq(segments(folder)[0]))
        return _read(folder, begin, progress)
    finally:
        ownership.release()


def _require_place(state: StreamState, folder: Path, go_on: bool) -> None:
    is_empty = state.next_seq == 0 and not Coin.objects.exists() and not CoinTransaction.objects.exists()
    if not is_empty and not go_on:
        raise RebuildError(
            "The tables hold data already. Reading the journal again would count what is in them twice: replay into an "
            "empty database, or go on from where the tables stand with --continue."
        )
    if state.segment and not any(path.name.startswith(state.segment) for path in segments(folder)):
        raise RebuildError(f"The tables stand in segment {state.segment}, which is not in this journal.")


def _read(folder: Path, begin: int, progress: Callable[[int], None]) -> Rebuilt:
    processor = Processor(
        folder,
        load_config=stream_config_load,
        flush_rows=settings.FLUSH_ROWS,
        flush_seconds=settings.FLUSH_MS / 1000,
    )
    processor.prepare()

    def status() -> Status:
        progress(processor.pipeline.cursor.next_seq)
        return Status("replay", False, REPLAYED, timezone.now())

    processor.status = status
    processor.stop()  # read to the end, commit, end
    processor.run()
    reached = StreamState.objects.values_list("next_seq", flat=True).get(pk=1)
    if reached < processor.pipeline.cursor.next_seq or JournalReader(folder, _cursor()).read():
        raise RebuildError(f"The database went away at number {reached}. Start again with --continue.")
    return Rebuilt(begin, reached)


def _cursor() -> Cursor:
    state = StreamState.objects.get(pk=1)
    return Cursor(state.segment, state.offset, state.next_seq)
