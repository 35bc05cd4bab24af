"""Between the socket and the journal: stamps the receive time, writes lines, notes the times without connection.

Receive times never go back, over reconnects and restarts too. Lives in the event loop's thread; the processor reads
`tick_us` from its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal

from apps.discovery.journal import JournalWriter, PartlyWrittenError
from apps.discovery.lines import frame_line, frame_lines, gap_line
from apps.discovery.pumpportal.client import LEFT, LOST, NO_ANSWER, SILENT

logger = logging.getLogger(__name__)

WAITING_LIMIT = 200_000
DISK_RETRY_SECONDS = 1.0
DISK = "disk"
BANNED = "banned"
UNNOTICED = {SILENT, LOST, LEFT[NO_ANSWER]}  # ends that are noticed late: nothing is known since the last frame
NO_DISK = "the disk does not take the journal"
FOREIGN = "the journal belongs to another database"
OLDER_US = 60_000_000
BEHIND_US = 5_000_000
BEHIND = "the clock is behind what is stored"
OLDER = "the recording is older than what is stored"
Clock = Literal["wall", "recorded"]


class Receiver:
    """Writes what a client receives. `wake` is called after every write, from the event loop's thread."""

    def __init__(self, journal: JournalWriter, *, last_us: int, wake: Callable[[], None]) -> None:
        self.journal = journal
        self.wake = wake
        self.clock: Clock = "wall"
        self.connected = False
        self.lost = 0
        self.disk_error = ""  # why the journal takes nothing; empty while it does
        self._retry_at = 0.0
        self.older = False  # the recording is older than what is known: its times cannot be kept
        self.behind = False  # the clock was set back: times stand still until it has caught up
        self.last_us = max(last_us, journal.last_at_us or 0)
        self._heard_us = self.last_us  # when the last frame came, or the connection
        self.tick_us = 0
        self._gap_reason, self._gap_from = ("restart", self.last_us) if self.last_us else ("", 0)
        self._waiting: list[bytes] = []

    def on_connected(self, *, recorded: bool) -> None:
        """The socket is open; `recorded`: frames bring their own times."""
        self.clock = "recorded" if recorded else "wall"
        self.older = False
        self.connected = True
        if not recorded and not self._is_overfull:
            self._heard_us = self._stamp(_now_us())
            self._end_gap(self._heard_us)
            self.flush()

    def on_frame(self, raw: str, at_us: int | None = None) -> None:
        """A frame; `at_us` its recorded time, now if there is none. Written at the next `flush`."""
        if self.disk_error and self._is_overfull:
            self._drop()
            return
        if at_us is not None:
            self._look_back(at_us)
        stamp = self._stamp(at_us if at_us is not None else _now_us())
        self._heard_us = stamp
        if self._gap_reason:
            self._end_gap(stamp)
        self._waiting.append(frame_line(stamp, raw))

    def on_frames(self, raws: Sequence[str]) -> None:
        """Frames that one read brought: received now, together."""
        if not raws or self.disk_error:
            for raw in raws:
                self.on_frame(raw)
            return
        self._heard_us = stamp = self._stamp(_now_us())
        if self._gap_reason:
            self._end_gap(stamp)
        self._waiting += frame_lines(stamp, raws)

    def on_recorded_gap(self, from_us: int, to_us: int, reason: str) -> None:
        """A gap that a replayed recording noted."""
        if not self._is_overfull:
            self._waiting.append(gap_line(from_us, self._stamp(to_us), reason))

    def on_disconnected(self, reason: str) -> None:
        """The socket is gone; the gap ends with the next connection. It began when the feed was last heard of, unless
        the feed said goodbye."""
        self.flush()
        self.connected = False
        self._start_gap(reason, self._heard_us if reason in UNNOTICED else self.last_us)

    def flush(self) -> None:
        """Write what waits. Where the disk refuses, it waits on, and is tried again once a second."""
        if not self._waiting or (self.disk_error and time.monotonic() < self._retry_at):
            return
        try:
            self.journal.append(self._waiting)
        except PartlyWrittenError as error:
            del self._waiting[: error.written]
            self._hold_back(error)
        except OSError as error:
            self._hold_back(error)
        else:
            self._waiting = []
            self._go_on()
        self.wake()

    def finish(self) -> None:
        """Write what waits, for the last time."""
        self._retry_at = 0.0
        self.flush()
        if self._waiting:
            logger.error("%d lines found no room on the disk: the next start notes a gap", len(self._waiting))

    def tick(self) -> None:
        """Let feed time pass by the wall clock, where it is the clock; sync the journal when that is due."""
        self.flush()
        try:
            self.journal.sync_if_due()
        except OSError as error:
            self._hold_back(error)
        now_us = _now_us()
        self._look_at_clock(now_us)
        if self.clock == "wall" and not self._waiting and (self.connected or self.tick_us):
            self.tick_us = self._stamp(now_us)

    def _look_back(self, at_us: int) -> None:
        if not self.older and at_us < self.last_us - OLDER_US:
            self.older = True
            logger.error("the replayed recording is older than what is stored: replay it into a database of its own")

    def _look_at_clock(self, now_us: int) -> None:
        behind_us = self.last_us - now_us if self.clock == "wall" else 0
        if behind_us > BEHIND_US and not self.behind:
            logger.error(
                "the clock is %.0f s behind the last frame's time: until it has caught up, times stand still and no "
                "window closes. Set the clock right.",
                behind_us / 1e6,
            )
        self.behind = behind_us > BEHIND_US

    def _stamp(self, at_us: int) -> int:
        self.last_us = max(self.last_us, at_us)
        return self.last_us

    def _start_gap(self, reason: str, from_us: int) -> None:
        if not self._gap_reason and from_us:
            self._gap_reason, self._gap_from = reason, from_us
        elif self._gap_reason and reason == BANNED:
            self._gap_reason = reason  # what keeps us away is no longer what began it

    def _end_gap(self, to_us: int) -> None:
        if self._gap_reason:
            self._waiting.append(gap_line(self._gap_from, to_us, self._gap_reason))
        self._gap_reason = ""

    # --- the disk refuses ---------------------------------------------------------------------------------

    @property
    def _is_overfull(self) -> bool:
        """Whether nothing more can wait: what comes now is lost, and the journal will say so by a gap."""
        return bool(self.disk_error) and len(self._waiting) >= WAITING_LIMIT

    def _drop(self) -> None:
        if self._gap_reason != DISK:
            logger.error("%d lines wait for the disk: what the feed sends now is lost", len(self._waiting))
        self.lost += 1
        self._start_gap(DISK, self.last_us)

    @property
    def waiting(self) -> int:
        """Lines that the disk has not taken yet."""
        return len(self._waiting)

    def _hold_back(self, error: OSError) -> None:
        if not self.disk_error:
            logger.error("the journal cannot be written (%s): frames wait in memory", error.strerror)
        self.disk_error = error.strerror or type(error).__name__
        self._retry_at = time.monotonic() + DISK_RETRY_SECONDS

    def _go_on(self) -> None:
        if self.disk_error:
            logger.warning("the journal is written again; %d frames were lost so far", self.lost)
            self.disk_error = ""


def _now_us() -> int:
    return time.time_ns() // 1000
