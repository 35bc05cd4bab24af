"""Parts of the journal, by number, time and coin: to look at, or as one file that `manage.py replay` plays."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from apps.discovery.inspection import SegmentInfo, describe_segment, read_entries
from apps.discovery.segments import (
    DamagedSegmentError,
    first_seq,
    is_packed,
    read_summary,
    segments,
    sync_folder,
)
from apps.discovery.state import Entry

PROGRESS_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines: numbers `first` to `last`, received in [since_us, until_us), frames that name `mint`. None: all.

    Gaps are taken whatever the coin: they say what is unknown of it.
    """

    first: int = 0
    last: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    mint: str | None = None

    def takes(self, entry: Entry) -> bool:
        if entry.seq < self.first or (self.last is not None and entry.seq > self.last):
            return False
        if self.since_us is not None and entry.at_us < self.since_us:
            return False
        if self.until_us is not None and entry.at_us >= self.until_us:
            return False
        return self.mint is None or entry.gap is not None or self.mint in (entry.raw or "")

    def may_be_in(self, path: Path, following: Path | None) -> bool:
        """Whether a segment can hold such lines, as far as its name and its summary tell."""
        if following is not None and first_seq(following) <= self.first:
            return False
        if self.last is not None and first_seq(path) > self.last:
            return False
        if not is_packed(path):
            return True
        try:
            summary = read_summary(path)
        except DamagedSegmentError:
            return True
        began, ended = summary.get("first_us"), summary.get("last_us")
        if self.since_us is not None and isinstance(ended, int) and ended < self.since_us:
            return False
        return not (self.until_us is not None and isinstance(began, int) and began >= self.until_us)


@dataclass(slots=True)
class Exported:
    """What an export holds so far; times are epoch microseconds."""

    lines: int = 0
    frames: int = 0
    gaps: int = 0
    first_us: int | None = None
    last_us: int | None = None


def chosen(folder: Path, selection: Selection) -> list[Path]:
    """The segments in which lines of a selection may be."""
    found = segments(folder)
    pairs = zip(found, [*found[1:], None], strict=True)
    return [path for path, following in pairs if selection.may_be_in(path, following)]


def holes(folder: Path, selection: Selection) -> list[tuple[int, int]]:
    """First and last numbers of the lines between segments that are not there and may belong to a selection. What a
    damaged segment has lost is not among them."""
    found, missing = segments(folder), []
    for path, following in pairwise(found):
        if first_seq(following) <= selection.first or not _reaches(selection, path):
            continue
        before = describe_segment(path)
        first, last = before.first_seq + before.lines, first_seq(following) - 1
        if not before.problems and first <= last and _misses(selection, first, last, before, following):
            missing.append((first, last))
    return missing


def _reaches(selection: Selection, path: Path) -> bool:
    return selection.last is None or first_seq(path) <= selection.last


def _misses(selection: Selection, first: int, last: int, before: SegmentInfo, following: Path) -> bool:
    """Whether a selection may want lines `first` to `last`, which came between two segments."""
    if last < selection.first or (selection.last is not None and first > selection.last):
        return False
    if selection.until_us is not None and before.last_us is not None and before.last_us >= selection.until_us:
        return False
    began = describe_segment(following).first_us if selection.since_us is not None else None
    return selection.since_us is None or began is None or began >= selection.since_us


def select(folder: Path, selection: Selection) -> Iterator[tuple[Entry, bytes]]:
    """The lines of a selection, each with its exact text; of a damaged segment what can still be read."""
    for path in chosen(folder, selection):
        yield from (pair for pair in read_entries(path) if selection.takes(pair[0]))


def export(
    folder: Path, selection: Selection, target: Path, *, progress: Callable[[Exported], None] = lambda done: None
) -> Exported:
    """Write a selection to a file, packed as its name ends (.zst, .gz); whole, or not at all.

    Nothing is written where nothing was selected. Raises OSError.
    """
    done = Exported()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as file:
            with _packing(file, target.suffix) as out:
                for entry, text in select(folder, selection):
                    out.write(text + b"\n")
                    _count(done, entry)
                    if done.lines % PROGRESS_LINES == 0:
                        progress(done)
            file.flush()
            os.fsync(file.fileno())
        if done.lines:
            temporary.replace(target)
            sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return done


@contextmanager
def _packing(file: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    if suffix == ".zst":
        with zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(file, closefd=False) as packing:
            yield cast(BinaryIO, packing)
    elif suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as zipping:
            yield cast(BinaryIO, zipping)
    else:
        yield file


def _count(done: Exported, entry: Entry) -> None:
    done.lines += 1
    done.frames += entry.raw is not None
    done.gaps += entry.gap is not None
    done.first_us = entry.at_us if done.first_us is None else done.first_us
    done.last_us = entry.at_us
