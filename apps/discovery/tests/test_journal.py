"""The journal: nothing written is lost, a torn line harms nothing, any place can be found again."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from apps.discovery import journal
from apps.discovery.journal import JournalBusyError, JournalReader, JournalWriter
from apps.discovery.lines import decode_line, decode_lines, entry_of, frame_line, gap_line
from apps.discovery.state import Cursor, Entry

T0 = 1_783_089_923_111_020


def fill(folder: Path, count: int, *, segment_bytes: int = 2_000) -> None:
    writer = JournalWriter(folder, segment_bytes=segment_bytes, fsync="off")
    for number in range(count):
        writer.append([frame_line(T0 + number, f'{{"n":{number}}}')])
    writer.close()


def read_all(reader: JournalReader) -> list[Entry]:
    entries: list[Entry] = []
    while chunk := reader.read():
        entries += chunk
    return entries


@given(st.integers(0, 4 * 10**15), st.text(max_size=200))
def test_line_gives_back_time_and_text_exactly(at_us: int, raw: str) -> None:
    line = frame_line(at_us, raw)
    assert line.count(b"\n") == 1
    assert decode_line(line) == Entry(0, at_us, raw)


def test_reader_walks_through_all_segments(journal_dir: Path) -> None:
    fill(journal_dir, 200)
    assert len(journal.segments(journal_dir)) > 3
    entries = read_all(JournalReader(journal_dir, Cursor()))
    assert [entry.seq for entry in entries] == list(range(200))
    assert [entry.raw for entry in entries] == [f'{{"n":{number}}}' for number in range(200)]


def test_reader_goes_on_from_any_cursor(journal_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CHUNK_BYTES", 100)
    fill(journal_dir, 60)
    reader = JournalReader(journal_dir, Cursor())
    while chunk := reader.read():
        rest = read_all(JournalReader(journal_dir, reader.cursor))
        assert [entry.seq for entry in rest] == list(range(chunk[-1].seq + 1, 60))


def test_reader_follows_a_growing_journal(journal_dir: Path) -> None:
    writer = JournalWriter(journal_dir, segment_bytes=300)
    reader, seen = JournalReader(journal_dir, Cursor()), []
    for number in range(50):
        writer.append([frame_line(T0, str(number))])
        seen += [entry.raw for entry in reader.read()]
    assert seen == [str(number) for number in range(50)]
    writer.close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_torn_last_line_is_cut_off_and_its_number_is_used_again(journal_dir: Path, cut: int) -> None:
    fill(journal_dir, 10, segment_bytes=10**6)
    path = journal.segments(journal_dir)[0]
    line = frame_line(T0, "torn" * 20)
    path.write_bytes(path.read_bytes() + line[:cut])
    writer = JournalWriter(journal_dir)
    assert writer.next_seq == 10
    writer.append([frame_line(T0, "next")])
    writer.close()
    assert [entry.raw for entry in read_all(JournalReader(journal_dir, Cursor()))][9:] == ['{"n":9}', "next"]


def test_numbers_never_repeat_when_the_disk_lost_lines_that_the_tables_know(journal_dir: Path) -> None:
    fill(journal_dir, 5)
    writer = JournalWriter(journal_dir, least_seq=100)
    writer.append([frame_line(T0, "after")])
    writer.close()
    reader = JournalReader(journal_dir, Cursor("0000000000000000.jsonl", 10**6, 100))
    assert [(entry.seq, entry.raw) for entry in read_all(reader)] == [(100, "after")]


def test_damaged_line_is_handed_on_as_it_is(journal_dir: Path) -> None:
    fill(journal_dir, 3, segment_bytes=10**6)
    path = journal.segments(journal_dir)[0]
    path.write_bytes(path.read_bytes() + b"\x00\xff garbage\n\n" + frame_line(T0, "good"))
    entries = read_all(JournalReader(journal_dir, Cursor()))
    assert [entry.seq for entry in entries] == [0, 1, 2, 3, 4, 5]
    assert entries[3].raw == "\x00\ufffd garbage" and entries[5].raw == "good"


def test_line_end_in_the_wrong_place_shifts_no_number() -> None:
    """As many objects as lines are not yet one object a line."""
    first, second, third = (frame_line(T0 + number, str(number)) for number in range(3))
    merged, split = first[:-1] + second, first[:-1].replace(b',"raw"', b'\n,"raw"') + second
    for data in (merged + b"\n" + third, split + third):
        whole = decode_lines(data, 5, T0)
        alone = [entry_of(line, seq, T0) for seq, line in enumerate(data.splitlines(), 5)]
        assert [(entry.seq, entry.raw) for entry in whole] == [(entry.seq, entry.raw) for entry in alone]


@pytest.mark.parametrize("damaged", [b"none\n", b"\n", frame_line(T0 + 9, "x").replace(b"raw", b"r\raw")])
def test_time_before_a_restart_is_that_of_the_last_line_that_has_one(journal_dir: Path, damaged: bytes) -> None:
    writer = JournalWriter(journal_dir, fsync="off")
    writer.append([frame_line(T0, "a"), frame_line(T0 + 1, "b"), damaged])
    writer.close()
    writer = JournalWriter(journal_dir, fsync="off")
    assert (writer.last_at_us, writer.next_seq) == (T0 + 1, 3)
    writer.close()


def test_second_writer_is_refused(journal_dir: Path) -> None:
    writer = JournalWriter(journal_dir)
    with pytest.raises(JournalBusyError):
        JournalWriter(journal_dir)
    writer.close()
    JournalWriter(journal_dir).close()


def test_failed_write_leaves_no_half_line(journal_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(journal_dir, fsync="off")
    writer.append([frame_line(T0, "first")])
    real_write = journal.os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 20:
            return real_write(file, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        writer.append([frame_line(T0, "second")[:30] + b"\n"])
    monkeypatch.undo()
    writer.append([frame_line(T0, "third")])
    writer.close()
    assert [entry.raw for entry in read_all(JournalReader(journal_dir, Cursor()))] == ["first", "third"]


def test_command_lists_prints_and_verifies(journal_dir: Path) -> None:
    fill(journal_dir, 30, segment_bytes=10**6)
    out = io.StringIO()
    call_command("journal", "--dir", str(journal_dir), "ls", "--json", stdout=out)
    info = json.loads(out.getvalue())
    assert (info["frames"], info["gaps"], info["damaged"]) == (30, 0, [])
    out = io.StringIO()
    call_command("journal", "--dir", str(journal_dir), "cat", "3", "4", "--raw", stdout=out)
    assert out.getvalue().splitlines() == ['{"n":3}', '{"n":4}']
    path = journal.segments(journal_dir)[0]
    path.write_bytes(path.read_bytes() + b"broken\n" + gap_line(T0, T0 + 100, "closed"))
    with pytest.raises(CommandError, match="Problems found: 1"):
        call_command("journal", "--dir", str(journal_dir), "verify", stdout=io.StringIO())
