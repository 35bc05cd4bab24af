"""SQL that judges predictions: set by set, when their horizon has passed in feed time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from apps.predictions.outcomes import Target
from apps.training.columns import METRICS
from apps.training.label_rules import PRICE
from apps.training.queries import SILENCE_SECONDS

JUDGE_LOCK = 0x6A756467

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


_VALUE = "CASE metric {} END".format(
    " ".join(f"WHEN '{name}' THEN m.{name}::{'int::float8' if name == 'is_koth' else 'float8'}" for name in METRICS)
)
# Times and levels are compared as `training.labels` compares them; seq orders trades of one instant. Models that ask
# the same of a coin at the same moment share one case. The laterals on coin_metrics are empty for labels on the price.
PREDICTIONS_JUDGE = f"""
WITH targets AS (
    SELECT * FROM unnest(%(models)s::bigint[], %(labels)s::int[], %(decides)s::text[], %(metrics)s::text[],
                         %(rises)s::bool[], %(targets)s::float8[], %(stops)s::float8[], %(levels)s::float8[],
                         %(by_graduation)s::bool[], %(latencies)s::interval[], %(horizons)s::interval[])
        AS t(active_model_id, label, decides, metric, rises, target_factor, stop_factor, level, by_graduation, latency,
             horizon)
), gaps AS (
    SELECT * FROM unnest(%(gap_starts)s::timestamptz[], %(gap_ends)s::timestamptz[]) AS g(started_at, ended_at)
), due AS (
    SELECT p.active_model_id, p.mint, p.as_of, p.probability, p.tag, p.model_id, p.price_sol AS quoted_price, t.label,
           p.as_of + t.latency AS entry_at, p.as_of + t.latency + t.horizon AS horizon_at
    FROM targets t JOIN predictions p USING (active_model_id)
    WHERE p.as_of > %(since)s AND p.as_of <= %(until)s
      AND p.as_of + t.latency * 2 + t.horizon > %(judged_to)s AND p.as_of + t.latency * 2 + t.horizon <= %(until)s
      AND NOT EXISTS (SELECT FROM model_predictions m WHERE m.active_model_id = p.active_model_id
                      AND m.mint = p.mint AND m.as_of = p.as_of AND m.as_of > %(since)s)
    ORDER BY horizon_at DESC, p.active_model_id, p.mint LIMIT %(limit)s
), asked AS (
    SELECT DISTINCT ON (mint, as_of, label) mint, as_of, label, entry_at, horizon_at
    FROM due ORDER BY mint, as_of, label
), questions AS (
    SELECT DISTINCT ON (label) label, decides, metric, rises, target_factor, stop_factor, level, by_graduation, latency
    FROM targets ORDER BY label
), known AS (
    SELECT asked.*, decides, metric, rises, stop_factor, by_graduation, latency, c.graduated_at,
           entry.price AS entry_price, base.value AS base, CASE WHEN level IS NOT NULL THEN level
                                    WHEN base.value > 0 THEN base.value * target_factor END AS target,
           greatest(as_of, least(s.ended_at, gap.started_at, 'infinity'::timestamptz)) AS tracked_to,
           greatest(as_of, least(CASE WHEN decides <> 'graduates' THEN s.ended_at END, gap.started_at,
                                 'infinity'::timestamptz)) AS known_to,
           coalesce(s.ended_at <= gap.started_at, s.ended_at IS NOT NULL) AS tracking_ends,
           coalesce(c.graduated_at <= s.ended_at, false) AS graduation_ends
    FROM asked
    JOIN questions USING (label)
    LEFT JOIN coin_streams s USING (mint)
    LEFT JOIN discovered_coins c USING (mint)
    LEFT JOIN LATERAL (SELECT min(started_at) AS started_at FROM gaps WHERE ended_at > asked.as_of) gap ON true
    LEFT JOIN LATERAL (
        SELECT price_sol AS price FROM coin_transactions
        WHERE mint = asked.mint AND timestamp <= entry_at AND timestamp > entry_at - interval '1 day'
        ORDER BY timestamp DESC, seq DESC, trade_key DESC LIMIT 1
    ) entry ON true
    LEFT JOIN LATERAL (
        SELECT {_VALUE} AS value FROM coin_metrics m
        WHERE metric <> '{PRICE}' AND target_factor IS NOT NULL AND m.mint = asked.mint
          AND m.timestamp <= entry_at AND m.timestamp > entry_at - interval '1 day'
        ORDER BY m.timestamp DESC LIMIT 1
    ) metric_base ON true
    CROSS JOIN LATERAL (SELECT CASE WHEN metric = '{PRICE}' THEN entry.price ELSE metric_base.value END) base(value)
), facts AS (
    SELECT known.*, high, high_at, low, low_at,
           CASE WHEN metric = '{PRICE}' THEN path.target_at ELSE steps.target_at END AS target_at, path.target_seq,
           CASE WHEN metric = '{PRICE}' THEN path.stop_at ELSE steps.stop_at END AS stop_at, path.stop_seq,
           coalesce(steps.unknown_at < least(steps.target_at, steps.stop_at, 'infinity'::timestamptz)
                    AND (stop_factor IS NOT NULL OR steps.target_at IS NULL), false) AS doubtful,
           CASE WHEN known_to >= horizon_at THEN coalesce(last.price, entry_price) END AS last_price,
           CASE WHEN metric = '{PRICE}' THEN coalesce(last.price, entry_price) ELSE metric_last.value END AS last_value
    FROM known
    LEFT JOIN LATERAL (
        SELECT max(price_sol) AS high, first(timestamp, -price_sol) AS high_at,
               min(price_sol) AS low, first(timestamp, price_sol) AS low_at,
               min(timestamp) FILTER (WHERE hit) AS target_at, min(seq) FILTER (WHERE hit) AS target_seq,
               min(timestamp) FILTER (WHERE stopped) AS stop_at, min(seq) FILTER (WHERE stopped) AS stop_seq
        FROM (
            SELECT timestamp, seq, price_sol,
                   CASE WHEN rises THEN price_sol >= target ELSE price_sol <= target END AS hit,
                   CASE WHEN rises THEN price_sol <= base * stop_factor
                        ELSE price_sol >= base * stop_factor END AS stopped
            FROM coin_transactions
            WHERE mint = known.mint AND timestamp > entry_at AND timestamp <= least(horizon_at, known_to)
            ORDER BY timestamp
        ) trades
    ) path ON true
    LEFT JOIN LATERAL (
        SELECT price_sol AS price FROM coin_transactions
        WHERE mint = known.mint AND timestamp > entry_at AND timestamp <= least(horizon_at, known_to)
        ORDER BY timestamp DESC, seq DESC, trade_key DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
        SELECT min(timestamp) FILTER (WHERE CASE WHEN rises THEN value >= target ELSE value <= target END) AS target_at,
               min(timestamp) FILTER (WHERE CASE WHEN rises THEN value <= base * stop_factor
                                                 ELSE value >= base * stop_factor END) AS stop_at,
               min(timestamp) FILTER (WHERE value IS NULL) AS unknown_at
        FROM (SELECT m.timestamp, {_VALUE} AS value FROM coin_metrics m
              WHERE metric <> '{PRICE}' AND decides = 'reached' AND m.mint = known.mint
                AND m.timestamp > entry_at AND m.timestamp <= least(horizon_at, known_to)) rows
    ) steps ON true
    LEFT JOIN LATERAL (
        SELECT {_VALUE} AS value FROM coin_metrics m
        WHERE metric <> '{PRICE}' AND decides = 'at_end' AND m.mint = known.mint AND m.timestamp <= horizon_at
          AND m.timestamp > entry_at - interval '1 day'
        ORDER BY m.timestamp DESC LIMIT 1
    ) metric_last ON true
), answered AS MATERIALIZED (
    SELECT facts.*, horizon_at <= known_to OR (by_graduation AND tracking_ends AND graduation_ends
                                               AND coalesce(target_at, stop_at) IS NOT NULL) AS is_complete,
        CASE decides WHEN 'graduates' THEN coalesce(graduated_at <= horizon_at, false)
                     WHEN 'at_end' THEN CASE WHEN rises THEN last_value >= target ELSE last_value <= target END
                     ELSE CASE WHEN target IS NOT NULL AND NOT doubtful THEN target_at IS NOT NULL AND (stop_at IS NULL
                          OR (target_at, coalesce(target_seq, 0)) < (stop_at, coalesce(stop_seq, 0))) END
        END AS answer,
        CASE decides WHEN 'graduates' THEN least(horizon_at, graduated_at) WHEN 'at_end' THEN horizon_at
                     ELSE least(horizon_at, target_at, stop_at) END AS decided_at
    FROM facts
    WHERE entry_price IS NOT NULL OR tracked_to < entry_at OR horizon_at <= %(hopeless)s
), judged AS MATERIALIZED (
    SELECT answered.*, CASE
        WHEN tracked_to < entry_at THEN 'not_applicable'
        WHEN entry_price IS NULL THEN 'expired'
        WHEN NOT is_complete OR answer IS NULL THEN 'not_applicable'
        WHEN answer THEN 'success' ELSE 'failed' END AS verdict,
        CASE
        WHEN tracked_to < entry_at THEN CASE WHEN NOT tracking_ends THEN 'gap' WHEN graduation_ends THEN 'graduated'
                                             ELSE 'tracking_ended' END
        WHEN entry_price IS NULL THEN 'no_trades'
        WHEN NOT is_complete THEN CASE WHEN NOT tracking_ends OR decides = 'graduates' THEN 'gap'
                                       WHEN graduation_ends THEN 'graduated' ELSE 'tracking_ended' END
        WHEN answer IS NULL THEN 'undefined'
        WHEN NOT answer AND decides = 'reached' AND stop_at IS NOT NULL THEN 'stop_reached'
        ELSE '' END AS reason
    FROM answered
), left_at AS MATERIALIZED (
    SELECT judged.*, exits.exit_at, moved.price AS exit_price
    FROM judged
    LEFT JOIN LATERAL (
        SELECT CASE WHEN verdict IN ('success', 'failed') THEN decided_at + latency END AS exit_at
    ) exits ON exits.exit_at <= known_to
    LEFT JOIN LATERAL (
        SELECT price_sol AS price FROM coin_transactions
        WHERE mint = judged.mint AND timestamp <= exits.exit_at AND timestamp > entry_at - interval '1 day'
        ORDER BY timestamp DESC, seq DESC, trade_key DESC LIMIT 1
    ) moved ON true
), told AS (
    SELECT due.active_model_id, due.probability, due.tag, due.model_id, due.quoted_price, left_at.*
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
        highest_pct = (t.high / t.entry_price - 1) * 100, highest_at = t.high_at,
        lowest_pct = (t.low / t.entry_price - 1) * 100, lowest_at = t.low_at
    FROM told t
    WHERE t.tag = 'alert' AND a.active_model_id = t.active_model_id AND a.mint = t.mint AND a.as_of = t.as_of
      AND a.status = 'pending' AND a.as_of > %(since)s
    RETURNING a.status, a.alert_id
)
SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM written),
       (SELECT array_agg(status) FROM alerts WHERE alert_id IS NOT NULL),
       (SELECT array_agg(alert_id) FROM alerts WHERE alert_id IS NOT NULL)"""


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
) -> tuple[int, int, list[str], list[int]]:
    """Judge predictions whose exit (the horizon and one latency) lies in (judged_to, until], newest first, and keep
    the price of the exit; all times are feed times.

    `since` is a lower bound of their `as_of`; those whose entry price is unknown wait until their horizon is older than
    `hopeless`, then expire. Returns how many were looked at, how many judged, and the verdicts on alerts and
    their ids (not those of shadows).
    """
    labels = [replace(target, active_model_id=0) for target in targets]
    parameters: dict[str, Any] = {
        "models": [target.active_model_id for target in targets],
        "labels": [labels.index(label) for label in labels],
        "decides": [target.decides for target in targets],
        "metrics": [target.metric for target in targets],
        "rises": [target.rises for target in targets],
        "targets": [target.target_factor for target in targets],
        "stops": [target.stop_factor for target in targets],
        "levels": [target.level for target in targets],
        "by_graduation": [target.by_graduation for target in targets],
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
        looked_at, judged, verdicts, alert_ids = cursor.fetchone()
    return looked_at, judged, verdicts or [], alert_ids or []


ALERTS_EXPIRE = """
    UPDATE alert_evaluations SET status = 'expired', reason = 'not_judged', judged_at = %(now)s
    WHERE status = 'pending' AND horizon_at <= %(before)s
    RETURNING alert_id"""


def alerts_expire(*, before: datetime, now: datetime) -> list[int | None]:
    """Give up on alerts whose horizon passed long ago: their model is gone or their prediction is. Their alert ids."""
    with connection.cursor() as cursor:
        cursor.execute(ALERTS_EXPIRE, {"before": before, "now": now})
        return [alert_id for (alert_id,) in cursor.fetchall()]
