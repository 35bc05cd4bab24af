"""The life of a coin: phases by age, when it is given up, what is not worth following. Pure; times are epoch
microseconds, ages microseconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from apps.core.patterns import Pattern

MICROSECONDS = 1_000_000
MINUTE_US = 60 * MICROSECONDS
FINISHED = 99
GRADUATED = 100
MOST_INTERVAL_US = 86_400 * MICROSECONDS  # of any phase


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a coin's life, [begin, end) in age, with its window length; all in microseconds."""

    id: int
    interval_us: int
    begin_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Phases:
    """The trading phases in order of age, without holes: each begins where the one before ends, the first at birth."""

    steps: tuple[Phase, ...]

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int, int]]) -> Phases:
        """From rows (id, interval seconds, least age minutes, greatest age minutes); those without interval are left
        out. A hole between two phases belongs to the later one, an overlap to the earlier."""
        ordered = sorted((row for row in rows if row[1] > 0), key=lambda row: (row[2], row[0]))
        steps: list[Phase] = []
        begin = 0
        for phase_id, interval, _, greatest in ordered:
            end = greatest * MINUTE_US
            if end > begin:
                steps.append(Phase(phase_id, interval * MICROSECONDS, begin, end))
                begin = end
        return cls(tuple(steps))

    def at(self, age_us: int) -> Phase | None:
        """The phase at an age; None once every phase is over (or where there are none)."""
        for phase in self.steps:
            if age_us < phase.end_us:
                return phase
        return None

    @property
    def end_us(self) -> int:
        """The age at which a coin is finished."""
        return self.steps[-1].end_us if self.steps else 0

    @property
    def longest_interval_us(self) -> int:
        """No window is longer."""
        return max((phase.interval_us for phase in self.steps), default=0)


def window_bounds(phase: Phase, started_us: int, at_us: int) -> tuple[int, int]:
    """The window [start, end) that holds `at_us`: aligned to the epoch, cut at the phase's borders so that no two
    windows of a coin overlap."""
    start = at_us - at_us % phase.interval_us
    end = min(start + phase.interval_us, started_us + phase.end_us)
    return max(start, started_us + phase.begin_us), end


def open_window_bounds(phases: Phases, started_us: int, at_us: int) -> tuple[int, int, int]:
    """Phase (0: none any more), start and end of a window that is open when the phases become these, or when a restart
    finds it: it ends where they draw the end of one at `at_us`; where they draw none, at once."""
    phase = phases.at(at_us - started_us)
    return (phase.id, *window_bounds(phase, started_us, at_us)) if phase else (0, at_us, at_us + 1)


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides whether a coin is followed. Durations in microseconds; `bad_names` None: every name is fine.

    `spam_coins`: so many coins of one creator or one name are fine within the window, further ones are a burst.
    """

    bad_names: Pattern | None
    spam_window_us: int
    spam_coins: int
    untraded_us: int
    stale_us: int

    @classmethod
    def of(
        cls, *, bad_names: str, spam_seconds: int, spam_coins: int, untraded_seconds: int, stale_seconds: int
    ) -> Rules:
        """From settings. Raises PatternError for a pattern that is none."""
        return cls(
            Pattern(bad_names) if bad_names else None,
            spam_seconds * MICROSECONDS,
            spam_coins,
            untraded_seconds * MICROSECONDS,
            stale_seconds * MICROSECONDS,
        )

    def given_up_at(self, started_us: int, last_trade_us: int | None) -> int:
        """When a coin is no longer worth following unless it trades before: soon if nobody ever traded it."""
        if last_trade_us is None:
            return started_us + self.untraded_us
        return last_trade_us + self.stale_us


@dataclass(slots=True)
class SpamMemory:
    """The creates of the last moments, to recognise a burst by one creator or under one name."""

    recent: deque[tuple[int, str]] = field(default_factory=deque)
    counts: dict[str, int] = field(default_factory=dict)

    def is_burst(self, at_us: int, keys: Iterable[str], window_us: int, coins: int) -> bool:
        """Whether one of `keys` was created `coins` times within the window before; remembers them either way."""
        while self.recent and self.recent[0][0] <= at_us - window_us:
            self._forget(self.recent.popleft()[1])
        found = False
        for key in keys:
            found |= self.counts.get(key, 0) >= coins
            self.recent.append((at_us, key))
            self.counts[key] = self.counts.get(key, 0) + 1
        return found and window_us > 0

    def _forget(self, key: str) -> None:
        self.counts[key] -= 1
        if not self.counts[key]:
            del self.counts[key]


def spam_keys(creator: str | None, name: str, symbol: str) -> list[str]:
    """What two coins of one burst have in common: the creator, or name and symbol together."""
    keys = [f"creator {creator}"] if creator else []
    label = f"{name.strip()} {symbol.strip()}".casefold()
    return [*keys, f"name {label}"] if label.strip() else keys


def filter_reason(rules: Rules, memory: SpamMemory, *, at_us: int, creator: str | None, name: str, symbol: str) -> str:
    """Why a new coin is only known and not followed: `bad_name`, `spam_burst`, or empty."""
    burst = memory.is_burst(at_us, spam_keys(creator, name, symbol), rules.spam_window_us, rules.spam_coins)
    bad = rules.bad_names
    if bad and (bad.is_in(name) or bad.is_in(symbol)):
        return "bad_name"
    return "spam_burst" if burst else ""
