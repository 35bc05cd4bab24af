"""When a webhook is tried again, and what an answer means. Pure; waits are seconds, `jitter` is in 0..1.

The schedule is that of Standard Webhooks 1.0.0: ten attempts over a bit more than three days.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
PAUSE_SECONDS, LONGEST_PAUSE = 5.0, 300.0
THROTTLED_SECONDS, LONGEST_RETRY_AFTER = 60.0, 3_600.0
_BUSY = frozenset({429, 502, 503, 504})

Verdict = Literal["sent", "gone", "busy", "failed"]


def retry_seconds(attempts: int, jitter: float) -> float | None:
    """How long to wait after `attempts` failures, up to a quarter longer by `jitter`. None: give up."""
    if attempts > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[attempts - 1] * (1.0 + jitter / 4.0)


def pause_seconds(failures: int, jitter: float) -> float:
    """How long to leave a receiver alone that did not answer `failures` times in a row."""
    return min(LONGEST_PAUSE, PAUSE_SECONDS * 2.0 ** min(failures - 1, 10)) * (1.0 + jitter / 4.0)


def verdict_of(status: int | None) -> Verdict:
    """2xx arrived; 410 wants no more; busy (or no answer at all) is left alone for a while; all else just failed."""
    if status is None or status in _BUSY:
        return "busy"
    if status == 410:
        return "gone"
    return "sent" if 200 <= status < 300 else "failed"


def retry_after_seconds(header: str, now: datetime) -> float | None:
    """What a Retry-After header asks for, as seconds or as a date, at most an hour; None where it says nothing."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), LONGEST_RETRY_AFTER)
