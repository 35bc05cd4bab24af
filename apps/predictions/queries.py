"""SQL of outcomes and of the figures that pages and API show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from apps.predictions.outcomes import Target
from apps.training.queries import SILENCE_SECONDS

JUDGE_LOCK = 0x6A756467

FEED_TIME = "SELECT feed_at FROM stream_state WHERE id = 1"


def feed_time() -> datetime | None:
    """Feed time up to which the tables are complete; None before the first frame."""
    with connection.cursor() as cursor:
        cursor.execute(FEED_TIME)
        row = cursor.fetchone()
    return row[0] if row else None


# A silence of the whole market counts as a gap once it has lasted; until then nobody can tell (training.queries).
SETTLED_TO = """
    SELECT least(feed_at, greatest(feed_at - %s * interval '1 second',
                                   (SELECT max(timestamp) FROM coin_transactions WHERE timestamp <= feed_at)))
    FROM stream_state WHERE id = 1"""


def settled_to() -> datetime | None:
    """The latest horizon that can be judged for good; None before the first frame."""
    with connection.cursor() as cursor:
        cursor.execute(SETTLED_TO, (SILENCE_SECONDS,))
        row = cursor.fetchone()
    return row[0] if row else None


@contextmanager
def judge_alone() -> Iterator[bool]:
    """A transaction; true within it for one judge at a time."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (JUDGE_LOCK,))
        yield cursor.fetchone()[0]


# Times and levels are compared as `training.labels` compares them; seq orders trades of one instant. Models that ask
# the same of a coin at the same moment share one case.
PREDICTIONS_JUDGE = """
WITH targets AS (
    SELECT * FROM unnest(%(models)s::bigint[], %(labels)s::int[], %(closes)s::bool[], %(rises)s::bool[],
                         %(targets)s::float8[], %(stops)s::float8[], %(latencies)s::interval[],
                         %(horizons)s::interval[])
        AS t(active_model_id, label, is_close, rises, target_factor, stop_factor, latency, horizon)
), gaps AS (
    SELECT * FROM unnest(%(gap_starts)s::timestamptz[], %(gap_ends)s::timestamptz[]) AS g(started_at, ended_at)
), due AS (
    SELECT p.active_model_id, p.mint, p.as_of, p.probability, p.tag, p.model_id, p.price_sol AS quoted_price, t.label,
           t.is_close, t.rises, t.target_factor, t.stop_factor, t.latency, p.as_of + t.latency AS entry_at,
           p.as_of + t.latency + t.horizon AS horizon_at
    FROM targets t JOIN predictions p USING (active_model_id)
    WHERE p.as_of > %(since)s AND p.as_of <= %(until)s
      AND p.as_of + t.latency * 2 + t.horizon > %(judged_to)s AND p.as_of + t.latency * 2 + t.horizon <= %(until)s
      AND NOT EXISTS (SELECT FROM model_predictions m WHERE m.active_model_id = p.active_model_id
                      AND m.mint = p.mint AND m.as_of = p.as_of AND m.as_of > %(since)s)
    ORDER BY horizon_at DESC, p.active_model_id, p.mint LIMIT %(limit)s
), cases AS (
    SELECT DISTINCT ON (mint, as_of, label)
           mint, as_of, label, is_close, rises, target_factor, stop_factor, latency, entry_at, horizon_at
    FROM due ORDER BY mint, as_of, label
), known AS (
    SELECT cases.*, entry.price AS entry_price,
           greatest(as_of, least(s.ended_at, gap.started_at, 'infinity'::timestamptz)) AS known_to,
           coalesce(s.ended_at <= gap.started_at, s.ended_at IS NOT NULL) AS tracking_ended
    FROM cases
    LEFT JOIN coin_streams s USING (mint)
    LEFT JOIN LATERAL (SELECT min(started_at) AS started_at FROM gaps WHERE ended_at > cases.as_of) gap ON true
    LEFT JOIN LATERAL (
        SELECT price_sol AS price FROM coin_transactions
        WHERE mint = cases.mint AND timestamp <= entry_at AND timestamp > entry_at - interval '1 day'
        ORDER BY timestamp DESC, seq DESC, trade_key DESC LIMIT 1
    ) entry ON true
), facts AS (
    SELECT known.*, path.*, CASE WHEN known_to >= horizon_at THEN coalesce(last.price, entry_price) END AS last_price
    FROM known
    LEFT JOIN LATERAL (
        SELECT max(price_sol) AS high, first(timestamp, -price_sol) AS high_at,
               min(price_sol) AS low, first(timestamp, price_sol) AS low_at,
               min(timestamp) FILTER (WHERE hit) AS target_at, min(seq) FILTER (WHERE hit) AS target_seq,
               min(timestamp) FILTER (WHERE stopped) AS stop_at, min(seq) FILTER (WHERE stopped) AS stop_seq
        FROM (
            SELECT timestamp, seq, price_sol,
                   CASE WHEN rises THEN price_sol >= entry_price * target_factor
                        ELSE price_sol <= entry_price * target_factor END AS hit,
                   CASE WHEN rises THEN price_sol <= entry_price * stop_factor
                        ELSE price_sol >= entry_price * stop_factor END AS stopped
            FROM coin_transactions
            WHERE mint = known.mint AND timestamp > entry_at AND timestamp <= least(horizon_at, known_to)
            ORDER BY timestamp, seq
        ) trades
    ) path ON true
    LEFT JOIN LATERAL (
        SELECT price_sol AS price FROM coin_transactions
        WHERE mint = known.mint AND timestamp > entry_at AND timestamp <= least(horizon_at, known_to)
        ORDER BY timestamp DESC, seq DESC, trade_key DESC LIMIT 1
    ) last ON true
), judged AS MATERIALIZED (
    SELECT facts.*, CASE
        WHEN known_to < entry_at THEN 'not_applicable'
        WHEN entry_price IS NULL THEN 'expired'
        WHEN is_close AND known_to < horizon_at THEN 'not_applicable'
        WHEN is_close THEN CASE
            WHEN rises AND last_price >= entry_price * target_factor THEN 'success'
            WHEN NOT rises AND last_price <= entry_price * target_factor THEN 'success' ELSE 'failed' END
        WHEN target_at IS NOT NULL AND (stop_at IS NULL OR (target_at, target_seq) < (stop_at, stop_seq)) THEN 'success'
        WHEN stop_at IS NOT NULL THEN 'failed'
        WHEN known_to < horizon_at THEN 'not_applicable'
        ELSE 'failed' END AS verdict
    FROM facts
    WHERE entry_price IS NOT NULL OR known_to < entry_at OR horizon_at <= %(hopeless)s
), left_at AS MATERIALIZED (
    SELECT judged.*, exits.exit_at, exit.price AS exit_price
    FROM judged
    LEFT JOIN LATERAL (
        SELECT CASE WHEN verdict IN ('success', 'failed') THEN latency + CASE
            WHEN is_close THEN horizon_at ELSE least(horizon_at, target_at, stop_at) END END AS exit_at
    ) exits ON exits.exit_at <= known_to
    LEFT JOIN LATERAL (
        SELECT price_sol AS price FROM coin_transactions
        WHERE mint = judged.mint AND timestamp <= exits.exit_at AND timestamp > entry_at
        ORDER BY timestamp DESC, seq DESC, trade_key DESC LIMIT 1
    ) moved ON true
    CROSS JOIN LATERAL (SELECT CASE WHEN exits.exit_at IS NOT NULL THEN coalesce(moved.price, entry_price) END) exit(price)
), told AS (
    SELECT due.active_model_id, due.probability, due.tag, due.model_id, due.quoted_price, left_at.*, CASE
        WHEN verdict = 'not_applicable' THEN CASE WHEN tracking_ended THEN 'tracking_ended' ELSE 'gap' END
        WHEN verdict = 'expired' THEN 'no_trades'
        WHEN verdict = 'failed' AND stop_at IS NOT NULL AND NOT left_at.is_close THEN 'stop_reached'
        ELSE '' END AS reason
    FROM due JOIN left_at USING (mint, as_of, label)
), written AS (
    INSERT INTO model_predictions (active_model_id, mint, as_of, horizon_at, probability, tag, entry_price_sol,
        change_pct, highest_pct, highest_at, lowest_pct, lowest_at, status, reason, model_id, quoted_price_sol,
        exit_price_sol, exit_at)
    SELECT active_model_id, mint, as_of, horizon_at, probability, tag, entry_price,
        (last_price / entry_price - 1) * 100, (high / entry_price - 1) * 100, high_at,
        (low / entry_price - 1) * 100, low_at, verdict, reason, model_id, quoted_price, exit_price, exit_at
    FROM told ON CONFLICT DO NOTHING RETURNING status
), alerts AS (
    UPDATE alert_evaluations a
    SET status = t.verdict, reason = t.reason, judged_at = %(now)s, judged_price_sol = t.last_price,
        change_pct = (t.last_price / t.entry_price - 1) * 100,
        highest_pct = (t.high / t.entry_price - 1) * 100, lowest_pct = (t.low / t.entry_price - 1) * 100
    FROM told t
    WHERE t.tag = 'alert' AND a.active_model_id = t.active_model_id AND a.mint = t.mint AND a.as_of = t.as_of
      AND a.status = 'pending' AND a.as_of > %(since)s
    RETURNING a.status, a.alert_id
)
SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM written),
       (SELECT array_agg(status) FROM alerts WHERE alert_id IS NOT NULL)"""


def predictions_judge(
    *,
    targets: Sequence[Target],
    gaps: tuple[list[datetime], list[datetime]],
    since: datetime,
    judged_to: datetime,
    until: datetime,
    hopeless: datetime,
    now: datetime,
    limit: int,
) -> tuple[int, int, list[str]]:
    """Judge predictions whose exit (the horizon and one latency) lies in (judged_to, until], newest first, and keep
    the price of the exit; all times are feed times.

    `since` is a lower bound of their `as_of`; those whose entry price is unknown wait until their horizon is older than
    `hopeless`, then expire. Returns how many were looked at, how many judged, and the verdicts on alerts (not those
    of shadows).
    """
    labels = [replace(target, active_model_id=0) for target in targets]
    parameters: dict[str, Any] = {
        "models": [target.active_model_id for target in targets],
        "labels": [labels.index(label) for label in labels],
        "closes": [target.is_close for target in targets],
        "rises": [target.rises for target in targets],
        "targets": [target.target_factor for target in targets],
        "stops": [target.stop_factor for target in targets],
        "latencies": [target.latency for target in targets],
        "horizons": [target.horizon for target in targets],
        "gap_starts": gaps[0],
        "gap_ends": gaps[1],
        "since": since,
        "judged_to": judged_to,
        "until": until,
        "hopeless": hopeless,
        "now": now,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(PREDICTIONS_JUDGE, parameters)
        looked_at, judged, verdicts = cursor.fetchone()
    return looked_at, judged, verdicts or []


ALERTS_EXPIRE = """
    UPDATE alert_evaluations SET status = 'expired', reason = 'not_judged', judged_at = %(now)s
    WHERE status = 'pending' AND horizon_at <= %(before)s
    RETURNING 1"""


def alerts_expire(*, before: datetime, now: datetime) -> int:
    """Give up on alerts whose horizon passed long ago: their model is gone or their prediction is."""
    with connection.cursor() as cursor:
        cursor.execute(ALERTS_EXPIRE, {"before": before, "now": now})
        return cursor.rowcount


ALERT_STATISTICS = """
    SELECT a.active_model_id, m.custom_name,
           count(*), count(*) FILTER (WHERE a.status = 'pending'), count(*) FILTER (WHERE a.status = 'success'),
           count(*) FILTER (WHERE a.status = 'failed'), count(*) FILTER (WHERE a.status = 'expired'),
           count(*) FILTER (WHERE a.status = 'not_applicable'),
           avg(a.change_pct) FILTER (WHERE a.status IN ('success', 'failed')),
           avg(a.highest_pct) FILTER (WHERE a.status IN ('success', 'failed')),
           avg(a.lowest_pct) FILTER (WHERE a.status IN ('success', 'failed'))
    FROM alert_evaluations a LEFT JOIN active_models m ON m.id = a.active_model_id
    WHERE a.as_of > %s
    GROUP BY a.active_model_id, m.custom_name ORDER BY a.active_model_id"""


def alert_statistics(since: datetime) -> list[tuple[Any, ...]]:
    """Per model: id, name, alerts, pending, success, failed, expired, not applicable, mean change, high, low (%)."""
    with connection.cursor() as cursor:
        cursor.execute(ALERT_STATISTICS, (since,))
        return cursor.fetchall()


SCORE_STATISTICS = """
    SELECT active_model_id, count(*), count(DISTINCT mint), count(*) FILTER (WHERE tag = 'negative'),
           count(*) FILTER (WHERE tag = 'positive'), count(*) FILTER (WHERE tag = 'alert'),
           avg(probability), avg(duration_ms), count(*) FILTER (WHERE is_late), max(as_of)
    FROM predictions WHERE as_of > %s
    GROUP BY active_model_id ORDER BY active_model_id"""


def score_statistics(since: datetime) -> list[tuple[Any, ...]]:
    """Per model: id, scores, coins, negative, positive, alert, mean probability, mean ms, late, newest `as_of`."""
    with connection.cursor() as cursor:
        cursor.execute(SCORE_STATISTICS, (since,))
        return cursor.fetchall()


SCORED_HOURS = """
    SELECT active_model_id, extract(epoch FROM max(as_of) - min(as_of))::float8 / 3600
    FROM predictions WHERE as_of > %s
    GROUP BY active_model_id ORDER BY active_model_id"""


def scored_hours(since: datetime) -> dict[int, float]:
    """Per model the hours of feed time from its first to its newest score since then."""
    with connection.cursor() as cursor:
        cursor.execute(SCORED_HOURS, (since,))
        return dict(cursor.fetchall())


SCORE_HISTOGRAM = """
    SELECT least(floor(probability * %(bins)s), %(bins)s - 1)::int, count(*)
    FROM predictions WHERE active_model_id = %(model)s AND as_of > %(since)s
    GROUP BY 1 ORDER BY 1"""


def score_histogram(active_model_id: int, since: datetime, bins: int) -> list[int]:
    """How many scores of a model lie in each of so many equal parts of 0..1."""
    counts = [0] * bins
    with connection.cursor() as cursor:
        cursor.execute(SCORE_HISTOGRAM, {"model": active_model_id, "since": since, "bins": bins})
        for place, count in cursor.fetchall():
            counts[place] = count
    return counts


OUTCOMES_BY_TAG = """
    SELECT active_model_id, tag, count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status = 'failed')
    FROM model_predictions WHERE as_of > %s
    GROUP BY active_model_id, tag ORDER BY active_model_id, tag"""


def outcomes_by_tag(since: datetime) -> list[tuple[int, str, int, int]]:
    """Of the judged scores per model and tag: id, tag, how many came true, how many did not."""
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES_BY_TAG, (since,))
        return cursor.fetchall()


LIVE_CALIBRATION = """
    SELECT avg(probability), avg((status = 'success')::int)::float8, count(*)
    FROM model_predictions
    WHERE active_model_id = %(model)s AND as_of > %(since)s AND status IN ('success', 'failed')
    GROUP BY least(floor(probability * %(bins)s), %(bins)s - 1) ORDER BY 1"""


def live_calibration(active_model_id: int, since: datetime, bins: int) -> list[tuple[float, float, int]]:
    """Mean predicted and observed share, and rows, in each part of 0..1 in which judged scores lie."""
    with connection.cursor() as cursor:
        cursor.execute(LIVE_CALIBRATION, {"model": active_model_id, "since": since, "bins": bins})
        return cursor.fetchall()


LATEST_OF_COIN = """
    SELECT DISTINCT ON (active_model_id) active_model_id, mint, as_of, scored_at, probability, tag, price_sol,
           virtual_sol_lamports, phase_id, is_late, duration_ms
    FROM predictions WHERE mint = %s
    ORDER BY active_model_id, as_of DESC"""


def latest_of_coin(mint: str) -> list[dict[str, Any]]:
    """The newest score of a coin by each model."""
    with connection.cursor() as cursor:
        cursor.execute(LATEST_OF_COIN, (mint,))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
