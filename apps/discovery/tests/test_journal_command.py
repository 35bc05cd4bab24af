"""`manage.py journal`: what is asked for, as people and machines read it, with an exit status that tells."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.discovery import excerpts
from apps.discovery.journal import JournalReader, JournalWriter
from apps.discovery.lines import frame_line
from apps.discovery.models import Coin, CoinTransaction, StreamState
from apps.discovery.ownership import Ownership
from apps.discovery.pumpportal import replay
from apps.discovery.retention import pack_closed
from apps.discovery.segments import first_seq, segment_name, segments
from apps.discovery.state import Cursor
from apps.discovery.tests import tables
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.test_journal import T0, read_all
from apps.discovery.tests.test_sameness import line_of
from apps.discovery.writer import moment

FRAMES = 400


@pytest.fixture
def folder(journal_dir: Path) -> Path:
    """A journal of several segments, all but the last packed."""
    writer = JournalWriter(journal_dir, fsync="off", segment_bytes=40_000)
    for entry in SmallMarket(8).entries(FRAMES):
        writer.append([line_of(entry)])
    writer.close()
    assert pack_closed(journal_dir) >= 2
    return journal_dir


def command(folder: Path, *words: str) -> str:
    out = io.StringIO()
    call_command("journal", "--dir", str(folder), *words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def lines(folder: Path) -> list[bytes]:
    return [line_of(entry) for entry in read_all(JournalReader(folder, Cursor()))]


def test_ls_tells_the_same_of_packed_and_plain_segments_as_reading_them(folder: Path) -> None:
    told = [json.loads(line) for line in command(folder, "ls", "--json").splitlines()]
    read = [json.loads(line) for line in command(folder, "verify", "--json").splitlines()]
    assert told == read
    assert sum(one["lines"] for one in told) == FRAMES
    assert told[0]["size_bytes"] < told[0]["content_bytes"] / 2
    assert command(folder, "ls").splitlines()[0].startswith("0000000000000000.jsonl.zst ")


def test_cat_chooses_by_number_time_and_coin(folder: Path) -> None:
    entries = read_all(JournalReader(folder, Cursor()))
    assert command(folder, "cat", "100", "102").encode() == b"".join(map(line_of, entries[100:103]))
    since, until = entries[150].at_us, entries[250].at_us
    chosen = command(folder, "cat", "--from", iso(since), "--to", iso(until))
    assert chosen.encode() == b"".join(line_of(one) for one in entries if since <= one.at_us < until)
    mint = next(json.loads(one.raw)["mint"] for one in entries if one.raw and '"create"' in one.raw)
    frames = command(folder, "cat", "--mint", mint, "--raw").splitlines()
    assert frames == [one.raw for one in entries if one.raw and mint in one.raw] and len(frames) > 1


def iso(at_us: int) -> str:
    return moment(at_us).isoformat()


@pytest.mark.parametrize("name", ["part.jsonl", "part.jsonl.zst", "part.jsonl.gz"])
def test_export_is_what_replay_plays(folder: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    told = json.loads(command(folder, "export", "50", "349", "-o", str(target), "--json"))
    entries = read_all(JournalReader(folder, Cursor()))[50:350]
    assert (told["lines"], told["bytes"]) == (300, target.stat().st_size)
    played = list(replay.read([target]))
    assert [frame.text for frame in played if frame.kind != "gap"] == [one.raw for one in entries if one.gap is None]
    assert [round(frame.t_wall * 1e6) for frame in played] == [one.at_us for one in entries]
    assert list(tmp_path.glob(".part*")) == []


def test_export_replaces_nothing_unasked_and_writes_nothing_for_nothing(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "part.jsonl"
    with pytest.raises(CommandError, match="nothing was written"):
        command(folder, "export", str(FRAMES + 5), "-o", str(target))
    assert not target.exists()
    target.write_text("mine")
    with pytest.raises(CommandError, match="--force"):
        command(folder, "export", "-o", str(target))
    assert target.read_text() == "mine"
    command(folder, "export", "-o", str(target), "--force")
    assert target.read_bytes() == b"".join(lines(folder))


def test_export_only_opens_the_segments_that_can_hold_what_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read = excerpts.read_entries

    def noting(path: Path) -> Any:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(excerpts, "read_entries", noting)
    last = read_all(JournalReader(folder, Cursor()))[-1].at_us
    command(folder, "cat", str(FRAMES - 1))
    command(folder, "cat", "--from", iso(last + 1_000_000))
    assert set(opened) == {segments(folder)[-1].name}


def test_packed_segments_are_played_by_replay_as_they_lie_there(folder: Path) -> None:
    played = list(replay.read(segments(folder)))
    assert len(played) == FRAMES
    assert sorted(frame.text for frame in played if frame.kind != "gap") == sorted(
        one.raw for one in read_all(JournalReader(folder, Cursor())) if one.raw is not None
    )


def test_one_changed_byte_is_told_by_every_command_that_reads_it(folder: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    call_command("journal", "--dir", str(folder), "verify", stdout=io.StringIO(), stderr=said)
    assert "of 1 only the lines were read" in said.getvalue(), "the open segment"
    path = segments(folder)[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(CommandError, match="Problems found"):
        command(folder, "verify")
    target = tmp_path / "part.jsonl"
    for words in (("cat",), ("export", "-o", str(target))):
        with pytest.raises(CommandError, match=path.name):
            command(folder, *words)
    assert 0 < target.read_bytes().count(b"\n") < FRAMES
    command(folder, "cat", "0", "10")


def test_missing_segment_is_told_by_every_command_that_wants_its_lines(folder: Path, tmp_path: Path) -> None:
    entries, found = read_all(JournalReader(folder, Cursor())), segments(folder)
    first, after = first_seq(found[1]), first_seq(found[2])
    found[1].unlink()
    target, told = tmp_path / "part.jsonl", f"missing in the journal: {first} to {after - 1}"
    inside = iso(entries[first + 1].at_us), iso(entries[after - 1].at_us)
    for words in ((), (str(first), str(after - 1)), ("--from", inside[0], "--to", inside[1])):
        with pytest.raises(CommandError, match=told):
            command(folder, "cat", *words)
    with pytest.raises(CommandError, match=told):
        command(folder, "export", "-o", str(target))
    command(folder, "cat", "0", str(first - 1))
    command(folder, "cat", "--to", iso(entries[first - 1].at_us))
    command(folder, "cat", str(after))
    command(folder, "cat", "--from", iso(entries[after].at_us + 1))


def test_torn_end_is_told_and_what_is_no_file_is_refused(folder: Path) -> None:
    with segments(folder)[-1].open("ab") as stream:
        stream.write(b'{"t_wall": 17')
    for action in ("ls", "verify"):
        assert "13 bytes of a torn line" in command(folder, action).splitlines()[-1]
    (folder / segment_name(10**9)).mkdir()
    with pytest.raises(CommandError, match="cannot be read"):
        command(folder, "ls")


def test_journal_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no journal"):
        command(tmp_path, "ls")


# --- into the tables --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("feed_tables")
def test_replay_fills_empty_tables_and_refuses_to_double_them(folder: Path) -> None:
    told = json.loads(command(folder, "replay", "--json"))
    assert (told["first_seq"], told["end_seq"]) == (0, FRAMES)
    filled = tables.dump()
    assert filled["coin_transactions"] and filled["coin_metrics"] and filled["discovered_coins"]
    with pytest.raises(CommandError, match="twice"):
        command(folder, "replay")
    command(folder, "replay", "--continue")
    assert tables.dump() == filled


@pytest.mark.usefixtures("feed_tables")
def test_replay_in_two_parts_gives_the_same_tables(folder: Path) -> None:
    command(folder, "replay")
    whole = tables.dump()
    tables.reset()
    last = segments(folder)[-1]
    aside = last.rename(folder.parent / last.name)
    command(folder, "replay")
    assert CoinTransaction.objects.count() < len(whole["coin_transactions"])
    aside.rename(last)
    command(folder, "replay", "--continue")
    assert tables.dump() == whole


@pytest.mark.usefixtures("feed_tables")
def test_verify_misses_the_newest_segment_by_the_cursor_of_the_tables(folder: Path, settings: Any) -> None:
    settings.JOURNAL_DIR = folder
    command(folder, "replay")
    command(folder, "verify")
    segments(folder)[-1].unlink()
    with pytest.raises(CommandError, match="Problems found: 1"):
        command(folder, "verify")


@pytest.mark.usefixtures("feed_tables")
def test_replay_refuses_another_journal_and_a_running_stream(folder: Path, tmp_path: Path) -> None:
    StreamState.objects.update(segment=segment_name(7_777), next_seq=7_777)
    with pytest.raises(CommandError, match="not in this journal"):
        command(folder, "replay", "--continue")
    stream = Ownership()
    assert stream.acquire()
    try:
        with pytest.raises(CommandError, match="Stop it first"):
            command(folder, "replay", "--continue")
    finally:
        stream.release()
    assert not Coin.objects.exists()


@pytest.mark.django_db
def test_replay_without_a_database_says_so_to_people_and_programs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")  # for new connections, such as the owner's
    out = io.StringIO()
    with pytest.raises(CommandError, match="DATABASE_UNAVAILABLE"):
        call_command("journal", "--dir", str(folder), "replay", "--json", stdout=out, stderr=io.StringIO())
    assert json.loads(out.getvalue())["code"] == "DATABASE_UNAVAILABLE"


@pytest.mark.usefixtures("feed_tables")
def test_replay_begins_with_the_oldest_segment_that_is_kept(folder: Path) -> None:
    second = segments(folder)[1]
    segments(folder)[0].unlink()
    told = json.loads(command(folder, "replay", "--json"))
    assert (told["first_seq"], told["end_seq"]) == (int(second.name[:16]), FRAMES)
    assert StreamState.objects.get().frames_total <= FRAMES - int(second.name[:16])


def test_writer_goes_on_behind_a_packed_last_segment(journal_dir: Path) -> None:
    writer = JournalWriter(journal_dir, fsync="off")
    writer.append([frame_line(T0, "one")])
    writer.close()
    (journal_dir / segment_name(1)).touch()
    pack_closed(journal_dir)
    (journal_dir / segment_name(1)).unlink()
    writer = JournalWriter(journal_dir, fsync="off")
    assert (writer.next_seq, writer.last_at_us) == (1, T0)
    writer.append([frame_line(T0, "two")])
    writer.close()
    assert [entry.raw for entry in read_all(JournalReader(journal_dir, Cursor()))] == ["one", "two"]
