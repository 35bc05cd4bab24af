"""The gap ledger: times without a connection, and what can be told of them afterwards.

A coin's virtual reserves after its last trade before a gap and before its first trade after it say how much SOL moved
on balance while nobody looked: at least that much was traded. Nothing can be told of a coin that was not traded again
(`coins_unseen`), of one that is not on the standard curve, or where another gap lies between the two trades. Of gaps
that overlap (a connection that breaks while trades are refused) the longest is told of, so nothing counts twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q, QuerySet

from apps.discovery import queries
from apps.discovery.models import CoinMetric, Phase, StreamGap, StreamState
from apps.discovery.pumpportal.client import LEFT, LOST, SILENT
from apps.discovery.state import REFUSED

FIRST_LOOK = timedelta(seconds=60)
LAST_LOOK = timedelta(minutes=30)  # a coin that has not traded for so long is no longer followed
MOST_GAPS = 20
MOST_COINS = 5_000  # of one gap, those that moved most
REASONS = ("restart", SILENT, "disk", "journal", "banned", "stopped", LOST, REFUSED, *LEFT.values())

Span = tuple[datetime, datetime, str]


def reason_kind(reason: str) -> str:
    """A reason as one of a few words, for metrics."""
    if reason in REASONS:
        return reason
    return "closed" if reason.startswith("closed") else "other"


def touches(gaps: list[Span], start: datetime, end: datetime) -> bool:
    """Whether one of the gaps overlaps [start, end)."""
    return any(began < end and ended > start for began, ended, _ in gaps)


def mark_windows(rows: list[CoinMetric]) -> list[CoinMetric]:
    """The rows, each with `touches_gap`: whether the feed was away during a part of the window."""
    if not rows:
        return rows
    lengths = {id_: timedelta(seconds=length) for id_, length in Phase.objects.values_list("id", "interval_seconds")}
    longest = max(lengths.values(), default=timedelta(0))
    ends = [row.timestamp for row in rows]
    found = queries.gaps_between(min(ends) - longest, max(ends))
    for row in rows:
        start = row.timestamp - lengths.get(row.phase_id_at_time, longest)
        row.touches_gap = touches(found, start, row.timestamp)  # type: ignore[attr-defined]
    return rows


def gaps_of_coin(mint: str) -> QuerySet[StreamGap]:
    """The gaps in which a coin was traded unseen, newest first."""
    return StreamGap.objects.filter(coins__mint=mint)


def gaps_assess() -> int:
    """Look at the gaps that are due for it: a minute after their end, and once more when nothing can change any more.

    Returns how many. May run twice: what it writes is absolute.
    """
    now = StreamState.objects.values_list("feed_at", flat=True).filter(pk=1).first()
    if now is None:
        return 0
    first = Q(assessed_at=None, ended_at__lte=now - FIRST_LOOK)
    last = Q(assessed_at__lt=F("ended_at") + LAST_LOOK, ended_at__lte=now - LAST_LOOK)
    due = StreamGap.objects.filter(first | last).order_by("-started_at", "-id")
    ids = list(due.values_list("id", flat=True)[:MOST_GAPS])
    for gap_id in ids:
        _assess(gap_id, now)
    return len(ids)


# A coin whose tracking was taken up again later counts as followed all the time: the tables keep no more than that.
ASSESS = """
WITH gap AS (
    SELECT g.started_at, g.ended_at,
           (SELECT max(o.ended_at) FROM stream_gaps o
            WHERE o.id <> g.id AND o.ended_at <= g.started_at) AS previous_end,
           (SELECT min(o.started_at) FROM stream_gaps o
            WHERE o.id <> g.id AND o.started_at >= g.ended_at) AS next_start,
           EXISTS (SELECT 1 FROM stream_gaps o
                   WHERE o.started_at < g.ended_at AND o.ended_at > g.started_at
                   AND (o.ended_at - o.started_at, -o.id) > (g.ended_at - g.started_at, -g.id)) AS is_within
    FROM stream_gaps g WHERE g.id = %(gap)s
), found AS (
    SELECT s.mint,
           CASE WHEN c.curve = 'standard' AND NOT gap.is_within
                     AND coalesce(before.at, c.created_at) >= coalesce(gap.previous_end, '-infinity')
                THEN coalesce(before.lamports, c.virtual_sol_lamports) END AS lamports_before,
           CASE WHEN c.curve = 'standard' THEN after.lamports END AS lamports_after
    FROM gap
    JOIN coin_streams s ON s.started_at <= gap.started_at AND (s.ended_at IS NULL OR s.ended_at > gap.started_at)
    JOIN discovered_coins c ON c.mint = s.mint
    LEFT JOIN LATERAL (
        SELECT t."timestamp" AS at, t.virtual_sol_lamports AS lamports FROM coin_transactions t
        WHERE t.mint = s.mint AND t."timestamp" <= gap.started_at AND t."timestamp" > gap.started_at - interval '2 days'
        ORDER BY t."timestamp" DESC, t.seq DESC LIMIT 1
    ) before ON true
    LEFT JOIN LATERAL (
        SELECT t.virtual_sol_lamports - CASE t.tx_type WHEN 'buy' THEN t.sol_amount ELSE -t.sol_amount END AS lamports
        FROM coin_transactions t
        WHERE t.mint = s.mint AND t."timestamp" >= gap.ended_at AND t."timestamp" < gap.ended_at + %(reach)s
          AND t."timestamp" <= coalesce(gap.next_start, 'infinity')
        ORDER BY t."timestamp", t.seq LIMIT 1
    ) after ON true
), kept AS (
    INSERT INTO stream_gap_coins (gap_id, mint, lamports_before, lamports_after)
    SELECT %(gap)s, mint, lamports_before, lamports_after FROM found WHERE lamports_before <> lamports_after
    ORDER BY abs(lamports_after - lamports_before) DESC, mint LIMIT %(most)s
    ON CONFLICT (gap_id, mint) DO UPDATE
    SET lamports_before = excluded.lamports_before, lamports_after = excluded.lamports_after
)
UPDATE stream_gaps SET (coins_followed, coins_changed, coins_unseen, moved_lamports, assessed_at) = (
    SELECT count(*), count(*) FILTER (WHERE lamports_before <> lamports_after),
           count(*) FILTER (WHERE lamports_before IS NULL OR lamports_after IS NULL),
           coalesce(sum(abs(lamports_after - lamports_before)), 0)::bigint, %(now)s FROM found)
WHERE id = %(gap)s
"""


def _assess(gap_id: int, now: datetime) -> None:
    values: dict[str, Any] = {"gap": gap_id, "now": now, "reach": LAST_LOOK, "most": MOST_COINS}
    with connection.cursor() as cursor:
        cursor.execute(ASSESS, values)
