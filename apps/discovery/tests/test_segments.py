"""Closed segments: packed without a moment at which one is missing, checked byte by byte, kept as long as wanted."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.discovery import segments as files
from apps.discovery.inspection import describe_segment, inspect_segment, summarize, verify_journal
from apps.discovery.journal import LOST, JournalReader, JournalWriter
from apps.discovery.lines import frame_line, gap_line
from apps.discovery.retention import PACKED_A_ROUND, Limits, Stored, expired, pack_closed, remove_expired, tidy
from apps.discovery.segments import DamagedSegmentError, check_packed, is_packed, pack, segments
from apps.discovery.state import Cursor, Entry
from apps.discovery.tests.test_journal import T0, fill, read_all


def problems(folder: Path) -> list[str]:
    return [problem for info in verify_journal(folder) for problem in info.problems]


def test_packed_journal_reads_like_the_plain_one_from_any_cursor(
    journal_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.discovery.journal.CHUNK_BYTES", 300)
    fill(journal_dir, 120)
    plain = read_all(JournalReader(journal_dir, Cursor()))
    cursors, reader = [], JournalReader(journal_dir, Cursor())
    while reader.read():
        cursors.append(reader.cursor)
    count = len(segments(journal_dir))
    assert pack_closed(journal_dir) == count - 1 > 1
    assert len(segments(journal_dir)) == count and pack_closed(journal_dir) == 0
    assert read_all(JournalReader(journal_dir, Cursor())) == plain
    for cursor in cursors:
        assert read_all(JournalReader(journal_dir, cursor)) == plain[cursor.next_seq :]


def test_backlog_of_plain_segments_is_packed_little_by_little(journal_dir: Path) -> None:
    fill(journal_dir, 500)
    count = len(segments(journal_dir))
    for packed in (PACKED_A_ROUND, 2 * PACKED_A_ROUND):
        tidy(journal_dir, committed_seq=0, limits=Limits())
        assert [is_packed(path) for path in segments(journal_dir)] == [True] * packed + [False] * (count - packed)


def test_reader_in_the_middle_of_a_segment_does_not_notice_its_packing(journal_dir: Path) -> None:
    writer = JournalWriter(journal_dir, segment_bytes=400, fsync="off")
    reader, seen = JournalReader(journal_dir, Cursor()), []
    for number in range(60):
        writer.append([frame_line(T0 + number, str(number))])
        if number % 7 == 0:
            seen += [entry.raw for entry in reader.read()]
        if number % 11 == 0:
            pack_closed(journal_dir)
    seen += [entry.raw for entry in read_all(reader)]
    assert seen == [str(number) for number in range(60)]
    writer.close()


def test_segment_that_is_packed_while_the_journal_is_verified_is_found(journal_dir: Path) -> None:
    fill(journal_dir, 120)
    verifying = verify_journal(journal_dir)
    infos = [next(verifying)]
    pack_closed(journal_dir)
    infos += verifying
    assert [info.name.endswith(".zst") for info in infos] == [False, True, False]
    assert sum(info.lines for info in infos) == 120 and not any(info.problems for info in infos)


def test_packed_segment_is_an_ordinary_zstd_file(journal_dir: Path) -> None:
    fill(journal_dir, 50)
    path = segments(journal_dir)[0]
    text = path.read_bytes()
    packed = pack(path, summarize(path))
    assert not path.exists()
    if shutil.which("zstd") is None:
        pytest.skip("there is no zstd command here")
    assert subprocess.run(["zstd", "-dcq", str(packed)], capture_output=True, check=True).stdout == text


def test_packed_segment_tells_what_it_holds_without_being_read(journal_dir: Path) -> None:
    writer = JournalWriter(journal_dir, fsync="off")
    writer.append([frame_line(T0, '{"gap":{,"gap":{}'), gap_line(T0, T0 + 5, "closed"), frame_line(T0 + 9, "x")])
    writer.close()
    path = segments(journal_dir)[0]
    before = inspect_segment(path)
    told = describe_segment(pack(path, summarize(path)))
    assert (told.lines, told.frames, told.gaps, told.first_us, told.last_us) == (3, 2, 1, T0, T0 + 9)
    assert (told.content_bytes, told.first_us, told.last_us) == (before.size_bytes, before.first_us, before.last_us)
    assert told.problems == []


def test_every_flipped_byte_of_a_packed_segment_is_found(journal_dir: Path) -> None:
    fill(journal_dir, 12, segment_bytes=10**6)
    path = segments(journal_dir)[0]
    packed = pack(path, summarize(path))
    check_packed(packed)
    whole, chance = packed.read_bytes(), random.Random(1)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << chance.randrange(8)
        packed.write_bytes(changed)
        with pytest.raises(DamagedSegmentError):
            check_packed(packed)


@pytest.mark.parametrize("left", [0, 1, 30, 200, -60, -1])
def test_cut_off_segment_is_found_and_gives_what_is_left(journal_dir: Path, left: int) -> None:
    fill(journal_dir, 60, segment_bytes=10**6)
    (journal_dir / files.segment_name(60)).touch()
    pack_closed(journal_dir)
    path = segments(journal_dir)[0]
    path.write_bytes(path.read_bytes()[:left])
    assert problems(journal_dir)
    found = [entry.raw for entry in read_all(JournalReader(journal_dir, Cursor()))]
    assert found == [f'{{"n":{number}}}' for number in range(len(found))]


def test_damaged_segment_does_not_keep_the_reader_from_the_next_one_and_is_a_gap(journal_dir: Path) -> None:
    fill(journal_dir, 120)
    pack_closed(journal_dir)
    damaged, following = segments(journal_dir)[1:3]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 3] ^= 0xFF
    damaged.write_bytes(data)
    entries = read_all(JournalReader(journal_dir, Cursor()))
    after = next(number for number, entry in enumerate(entries) if entry.seq == files.first_seq(following))
    assert entries[after - 1].gap == (entries[after - 2].at_us, entries[after].at_us, LOST)
    assert entries[after].raw == f'{{"n":{files.first_seq(following)}}}' and entries[-1].seq == 119


def test_lines_that_are_gone_are_a_gap_also_right_after_a_start(journal_dir: Path) -> None:
    fill(journal_dir, 120)
    missing, following = segments(journal_dir)[1:3]
    begin, end = files.first_seq(missing), files.first_seq(following)
    missing.unlink()
    entries = read_all(JournalReader(journal_dir, Cursor()))
    gap = Entry(end - 1, T0 + end, None, (T0 + begin - 1, T0 + end, LOST))
    assert entries[begin : begin + 2] == [gap, Entry(end, T0 + end, f'{{"n":{end}}}')]
    assert entries[-1].seq == 119
    started = JournalReader(journal_dir, Cursor(missing.name, 0, begin), T0 + begin - 1)
    assert read_all(started) == entries[begin:]


def test_missing_segment_is_a_hole_in_the_numbers(journal_dir: Path) -> None:
    fill(journal_dir, 120)
    pack_closed(journal_dir)
    assert problems(journal_dir) == []
    missing, following = segments(journal_dir)[1:3]
    missing.unlink()
    begin, end = files.first_seq(missing), files.first_seq(following)
    assert problems(journal_dir) == [
        f"{end - begin} lines before it are missing: numbers {begin} to {end - 1}.",
    ]


def test_torn_line_inside_a_packed_segment_is_told(journal_dir: Path) -> None:
    fill(journal_dir, 20, segment_bytes=10**6)
    path = segments(journal_dir)[0]
    path.write_bytes(path.read_bytes() + frame_line(T0, "torn")[:9])
    (journal_dir / files.segment_name(20)).touch()
    pack_closed(journal_dir)
    assert problems(journal_dir) == ["9 bytes of a torn line are at its end."]
    assert len(read_all(JournalReader(journal_dir, Cursor()))) == 20


# --- a crash at any step of packing ---------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", ["os.fsync", "os.utime", "Path.replace", "sync_folder", "Path.unlink"])
def test_crash_at_any_step_of_packing_leaves_a_whole_segment(
    journal_dir: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal_dir, 120)
    expected = read_all(JournalReader(journal_dir, Cursor()))

    def crash(*args: object, **options: object) -> None:
        raise Crash

    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr(f"apps.discovery.segments.{step}", crash)
        pack_closed(journal_dir)
    assert read_all(JournalReader(journal_dir, Cursor())) == expected
    assert pack_closed(journal_dir) > 0
    assert problems(journal_dir) == [] and read_all(JournalReader(journal_dir, Cursor())) == expected
    assert not list(journal_dir.glob("*.new"))


def test_disk_that_refuses_while_packing_leaves_the_plain_segment(
    journal_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal_dir, 120)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("apps.discovery.segments.os.fsync", full)
        assert pack_closed(journal_dir) == 0
    assert sorted(path.name for path in journal_dir.iterdir() if path.name != "lock") == [
        path.name for path in segments(journal_dir)
    ]


# --- retention --------------------------------------------------------------------------------------------


stored = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 1_000), st.integers(0, 1_000)), max_size=12)


@given(stored, st.integers(0, 600), st.integers(0, 3_000), st.integers(0, 500), st.integers(0, 1_000))
def test_what_is_removed_is_old_or_too_much_and_in_the_tables(
    raw: list[tuple[int, int, int]], committed: int, keep_bytes: int, keep_seconds: int, open_bytes: int
) -> None:
    closed, end = [], 0
    for number, (lines, size, age) in enumerate(raw):
        end += lines
        closed.append(Stored(Path(str(number)), end, size, 1_000.0 - age))
    limits = Limits(keep_bytes, keep_seconds)
    gone = expired(closed, open_bytes=open_bytes, committed_seq=committed, now=1_000.0, limits=limits)
    assert gone == [one.path for one in closed[: len(gone)]]
    assert all(one.end_seq <= committed for one in closed[: len(gone)])
    if not keep_bytes and not keep_seconds:
        assert gone == []
    rest = closed[len(gone) :]
    if rest and rest[0].end_seq <= committed:
        assert not keep_bytes or open_bytes + sum(one.size_bytes for one in rest) <= keep_bytes
        assert not keep_seconds or 1_000.0 - rest[0].written_at <= keep_seconds


def test_old_segments_go_once_the_tables_hold_them_and_keep_their_age_when_packed(journal_dir: Path) -> None:
    fill(journal_dir, 120)
    plain = segments(journal_dir)
    for path in plain[:2]:
        os.utime(path, (1_000, 1_000))
    pack_closed(journal_dir)
    limits = Limits(keep_seconds=86_400)
    assert remove_expired(journal_dir, committed_seq=files.first_seq(plain[1]), limits=limits) == [
        plain[0].with_name(plain[0].name + ".zst")
    ]
    tidy(journal_dir, committed_seq=120, limits=limits)
    assert [files.first_seq(path) for path in segments(journal_dir)] == [files.first_seq(path) for path in plain[2:]]
    assert problems(journal_dir) == []
    entries: list[Entry] = read_all(JournalReader(journal_dir, Cursor()))
    assert entries[0].seq == files.first_seq(plain[2]) and entries[-1].seq == 119


def test_segment_in_use_is_never_removed(journal_dir: Path) -> None:
    fill(journal_dir, 120)
    assert remove_expired(journal_dir, committed_seq=10**9, limits=Limits(keep_bytes=1))
    assert len(segments(journal_dir)) == 1
    writer = JournalWriter(journal_dir)
    assert writer.next_seq == 120
    writer.close()
