"""A disk that takes no more: nothing is damaged, nothing comes twice, it is said aloud, and it goes on by itself."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.discovery import receiver as receiving
from apps.discovery.inspection import verify_journal
from apps.discovery.journal import JournalReader, JournalWriter, PartlyWrittenError
from apps.discovery.lines import frame_line
from apps.discovery.models import Coin, StreamState
from apps.discovery.pages_feed import badge
from apps.discovery.pumpportal.server import Frame
from apps.discovery.receiver import DISK, NO_DISK, Receiver
from apps.discovery.state import Cursor
from apps.discovery.tests.frames import SmallMarket, create
from apps.discovery.tests.process import Feed, StreamProcess, wait_until
from apps.discovery.tests.test_journal import T0, read_all
from apps.discovery.tests.test_sameness import line_of

BEFORE = 2**20  # bytes in the segment before the limit bites, so that the limit hurts no other file of the tests


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: writes stop short, then fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Leave not one byte free."""
    ballast = folder / "ballast"
    with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))
    return ballast


def problems(folder: Path) -> list[str]:
    return [problem for info in verify_journal(folder) for problem in info.problems]


@hypothesis_settings(max_examples=40, deadline=None)
@given(room=st.integers(0, 700), batch=st.integers(1, 6), cut_late=st.booleans())
def test_append_that_fails_half_way_keeps_whole_lines_and_goes_on(room: int, batch: int, cut_late: bool) -> None:
    lines = [frame_line(T0 + number, f"{number:03d}" * (1 + number % 7)) for number in range(30)]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        writer = JournalWriter(Path(name), fsync="off", segment_bytes=2 * BEFORE)
        writer.append([frame_line(T0, "x" * BEFORE)])
        reader = JournalReader(Path(name), Cursor())
        seen, rest = reader.read()[1:], list(lines)
        with largest_file(BEFORE + room):
            if cut_late:  # the disk does not even let the torn line be cut off
                patched.setattr("apps.discovery.journal.os.ftruncate", refuse)
            while rest:
                try:
                    writer.append(rest[:batch])
                except PartlyWrittenError as error:
                    del rest[: error.written]
                    break
                del rest[:batch]
            seen += reader.read()
            patched.undo()
        assert 0 < len(rest) <= len(lines)
        writer.append(rest)
        writer.close()
        seen += read_all(reader)
        assert [frame_line(entry.at_us, entry.raw or "") for entry in seen] == lines
        assert [entry.seq for entry in seen] == list(range(1, 31)) and problems(Path(name)) == []


def refuse(*args: object) -> None:
    raise OSError(5, "Input/output error")


def test_failed_rotation_leaves_the_old_segment_in_use(journal_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(journal_dir, fsync="off", segment_bytes=10)
    writer.append([frame_line(T0, "first")])
    with monkeypatch.context() as patched:
        patched.setattr("apps.discovery.journal.os.open", refuse)
        with pytest.raises(OSError, match="Input"):
            writer.append([frame_line(T0, "second")])
    writer.append([frame_line(T0, "second")])
    writer.close()
    assert [entry.raw for entry in read_all(JournalReader(journal_dir, Cursor()))] == ["first", "second"]


def test_frames_wait_then_are_lost_and_counted_then_go_on_behind_a_gap(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "WAITING_LIMIT", 20)
    monkeypatch.setattr(receiving, "DISK_RETRY_SECONDS", 0.0)
    folder = small_disk / "journal"
    receiver = Receiver(JournalWriter(folder, fsync="off"), last_us=0, wake=lambda: None)

    def receive(begin: int, end: int) -> None:
        for number in range(begin, end):
            receiver.on_frame(f"{number:04d}" * 1_500, T0 + number)
            receiver.flush()

    receive(0, 5)
    ballast = fill_disk(small_disk)
    receive(5, 60)
    assert receiver.disk_error == "No space left on device" and receiver.lost > 10
    ballast.unlink()
    receiver.flush()
    receive(60, 70)
    assert receiver.disk_error == ""
    receiver.journal.close()
    entries = read_all(JournalReader(folder, Cursor()))
    kept = [int(entry.raw[:4]) for entry in entries if entry.raw is not None]
    first_lost = 60 - receiver.lost
    assert kept == [*range(first_lost), *range(60, 70)]
    gaps = [entry.gap for entry in entries if entry.gap is not None]
    assert gaps == [(T0 + first_lost - 1, T0 + 60, DISK)]
    assert problems(folder) == []


def test_end_on_a_full_disk_is_told_and_the_next_start_notes_the_gap(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(JournalWriter(small_disk / "journal"), last_us=0, wake=lambda: None)
    receiver.on_frame("first", T0)
    receiver.flush()
    ballast = fill_disk(small_disk)
    for number in range(1, 4):
        receiver.on_frame("x" * 4_096, T0 + number)
    receiver.finish()
    receiver.journal.close()
    assert "3 lines found no room" in caplog.text
    ballast.unlink()
    again = Receiver(JournalWriter(small_disk / "journal"), last_us=0, wake=lambda: None)
    again.on_frame("later", T0 + 9)
    again.finish()
    again.journal.close()
    entries = read_all(JournalReader(small_disk / "journal", Cursor()))
    assert [entry.gap or entry.raw for entry in entries] == ["first", (T0, T0 + 9, "restart"), "later"]


def test_sync_that_fails_is_said_and_does_not_end_the_stream(
    journal_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.discovery.journal.FSYNC_SECONDS", 0.0)
    monkeypatch.setattr(receiving, "DISK_RETRY_SECONDS", 0.0)
    receiver = Receiver(JournalWriter(journal_dir), last_us=0, wake=lambda: None)
    receiver.on_frame("one", T0)
    with monkeypatch.context() as patched:
        patched.setattr("apps.discovery.journal.os.fdatasync", refuse)
        receiver.tick()
        assert receiver.disk_error == "Input/output error"
    receiver.on_frame("two", T0 + 1)
    receiver.tick()
    assert receiver.disk_error == ""
    receiver.journal.close()
    assert [entry.raw for entry in read_all(JournalReader(journal_dir, Cursor()))] == ["one", "two"]


def test_reserve_of_the_disk_is_left_to_others(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.discovery.journal.FSYNC_SECONDS", 0.0)
    writer = JournalWriter(small_disk / "journal", fsync="off", reserve_bytes=500_000)
    written = 0
    with pytest.raises(OSError, match="reserve"):
        while True:
            writer.append([frame_line(T0, "x" * 50_000)])
            writer.sync_if_due()
            written += 1
    assert 8 <= written <= 12
    writer.reserve_bytes = 0
    writer.sync_if_due()
    writer.append([frame_line(T0, "again")])
    writer.close()
    assert problems(small_disk / "journal") == []


@pytest.mark.usefixtures("feed_tables")
def test_stream_catches_up_packs_stops_on_a_full_disk_and_goes_on(tmp_path: Path, small_disk: Path) -> None:
    entries, folder = SmallMarket(5).entries(600), small_disk / "journal"
    writer = JournalWriter(folder, fsync="off", segment_bytes=10_000)
    for entry in entries[:100]:
        writer.append([line_of(entry)])
    writer.close()
    coming = [Frame(one.raw, "control", t_wall=one.at_us / 1e6) for one in entries[100:] if one.raw is not None]
    with Feed(journal_form=True) as feed:
        settings = {"JOURNAL_DIR": str(folder), "JOURNAL_RESERVE_MB": "0"}
        with StreamProcess(tmp_path, feed.server.uri, **settings) as stream:
            wait_until(lambda: state().next_seq >= 100, "what lay in the journal")
            wait_until(lambda: len(list(folder.glob("*.jsonl"))) == 1, "the packing of what is closed")
            ballast = fill_disk(small_disk)
            feed.offer(coming)
            wait_until(lambda: state().detail == f"{NO_DISK}: No space left on device", "the loud state")
            assert badge()["tone"] == "bad" and "No space left" in badge()["trouble"]
            assert state().next_seq < 100 + len(coming)
            ballast.unlink()
            wait_until(lambda: state().next_seq >= 100 + len(coming), "the rest")
            wait_until(lambda: state().detail == "", "the end of the trouble")
            assert stream.terminate() == 0
    assert problems(folder) == []
    found = [entry.raw for entry in read_all(JournalReader(folder, Cursor())) if entry.raw is not None]
    assert found == [entry.raw for entry in entries if entry.raw is not None]


def state() -> StreamState:
    return StreamState.objects.get(pk=1)


@pytest.mark.usefixtures("feed_tables")
def test_stream_waits_for_a_folder_that_cannot_be_made_and_goes_on_when_it_was_removed(tmp_path: Path) -> None:
    blocked, mints = tmp_path / "blocked", [f"{letter * 40}pump" for letter in "AB"]
    blocked.write_text("a file where the folder should be")

    def says_no_disk() -> bool:
        return StreamState.objects.get().detail.startswith(NO_DISK)

    with Feed() as feed, StreamProcess(tmp_path, feed.server.uri, JOURNAL_DIR=str(blocked / "journal")) as stream:
        wait_until(says_no_disk, "the loud state")
        blocked.unlink()
        for mint in mints:
            wait_until(lambda: feed.server.clients and not says_no_disk(), "the connection")
            feed.publish(Frame(create(mint), "create", mint))
            wait_until(lambda mint=mint: Coin.objects.filter(mint=mint).exists(), "a coin")
            before = set(feed.server._clients)
            if mint == mints[0]:
                shutil.rmtree(blocked)
                wait_until(lambda before=before: set(feed.server._clients) - before, "a new round")
        assert stream.terminate() == 0
