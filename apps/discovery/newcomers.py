"""Reading the new coins in pieces, each exactly once, behind the stream.

The stream commits in the order of feed time, so every coin created before `stream_state.feed_at` is there: a reader's
cursor moves over half-open stretches of feed time, in the transaction that does something with their coins.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from apps.discovery.models import FeedCursor, StreamState

_END = """
    SELECT created_at FROM discovered_coins
    WHERE created_at >= %s AND created_at < %s ORDER BY created_at, mint OFFSET %s LIMIT 1
"""


def slice_take(name: str, *, begin_before: timedelta, most: int) -> tuple[datetime, datetime] | None:
    """The next stretch [begin, end) of a reader, with about `most` coins created in it; None where there is none.

    Within the caller's transaction: the cursor has moved when that commits. A reader seen for the first time begins
    `begin_before` the present feed time.
    """
    feed_at = StreamState.objects.filter(pk=1).values_list("feed_at", flat=True).first()
    if feed_at is None:
        return None
    FeedCursor.objects.get_or_create(name=name, defaults={"feed_at": feed_at - begin_before})
    cursor = FeedCursor.objects.select_for_update().get(name=name)
    begin, end = cursor.feed_at, _end(cursor.feed_at, feed_at, most)
    if end <= begin:
        return None
    cursor.feed_at = end
    cursor.save()
    return begin, end


def _end(begin: datetime, feed_at: datetime, most: int) -> datetime:
    """Where a stretch with `most` coins ends; at the present where there are fewer (or all have one time)."""
    with connection.cursor() as cursor:
        cursor.execute(_END, [begin, feed_at, most])
        row = cursor.fetchone()
    return row[0] if row and row[0] > begin else feed_at
