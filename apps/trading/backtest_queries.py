"""What a backtest reads: the stored alerts, and all that is recorded of their coins, in a few big reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from django.db import connection

from apps.discovery.curve import INITIAL, Reserves
from apps.discovery.pumpportal.parse import PRODUCT_TOLERANCE
from apps.predictions.models import AlertEvaluation
from apps.trading.entries import Signal, concerns, signal_of
from apps.trading.memory import CoinHistory, History, Known
from apps.trading.models import Strategy
from apps.trading.queries import LONGEST_LOOK_BACK
from apps.training.queries import copy_records

# When a coin was found to be off the standard curve is not kept: it is the first trade that shows it.
COINS = """
SELECT c.mint, c.first_seen_at,
       CASE WHEN c.is_mayhem THEN c.first_seen_at WHEN c.curve <> 'standard' THEN coalesce(least(
           (SELECT min(t."timestamp") FROM coin_transactions t
            WHERE t.mint = c.mint AND (t.virtual_sol_lamports IS NULL OR t.virtual_token_base_units IS NULL
               OR abs(t.virtual_sol_lamports::float8 * t.virtual_token_base_units / %s - 1) > %s)),
           (SELECT min(m."timestamp") FROM coin_metrics m WHERE m.mint = c.mint AND m.bonding_curve_pct IS NULL)
       ), c.first_seen_at) END,
       CASE WHEN c.graduated THEN coalesce(c.graduated_at, c.first_seen_at) END,
       c.virtual_sol_lamports, c.virtual_token_base_units, s.last_trade_at,
       coalesce(s.virtual_sol_lamports, c.virtual_sol_lamports),
       coalesce(s.virtual_token_base_units, c.virtual_token_base_units), c.creator
FROM discovered_coins c LEFT JOIN coin_streams s ON s.mint = c.mint
WHERE c.mint = ANY(%s)
"""
_PRODUCT = float(INITIAL.virtual_sol * INITIAL.virtual_token)
TRADES = """
SELECT k.number, t."timestamp", coalesce(t.seq, -1), t.virtual_sol_lamports, t.virtual_token_base_units
FROM unnest(%s::text[]) WITH ORDINALITY AS k(mint, number) JOIN coin_transactions t ON t.mint = k.mint
WHERE t."timestamp" > %s AND t."timestamp" <= %s
  AND t.virtual_sol_lamports IS NOT NULL AND t.virtual_token_base_units > 0
"""
TRADE = np.dtype([(name, np.int64) for name in ("coin", "at_us", "seq", "virtual_sol", "virtual_token")])
GAPS = "SELECT started_at, ended_at FROM stream_gaps WHERE started_at < %s AND ended_at > %s ORDER BY started_at"


def signals_stored(strategy: Strategy, since: datetime, until: datetime) -> list[Signal]:
    """The alerts that concern the strategy among those of (`since`, `until`], in the order of their commit."""
    alerts = AlertEvaluation.objects.filter(alert_id__isnull=False, fired_at__gt=since, fired_at__lte=until)
    signals = (signal_of(alert) for alert in alerts.order_by("alert_id").iterator())
    return [signal for signal in signals if concerns(strategy, signal)]


def history_load(mints: Sequence[str], since: datetime, until: datetime) -> History:
    """All that is recorded of these coins from as long before `since` as the engine looks back, up to `until`."""
    wanted = sorted(set(mints))
    oldest = since - LONGEST_LOOK_BACK
    with connection.cursor() as cursor:
        cursor.execute(COINS, [_PRODUCT, PRODUCT_TOLERANCE, wanted])
        coins = {row[0]: _coin(*row[1:]) for row in cursor.fetchall()}
        cursor.execute(GAPS, [until, oldest])
        gaps = cursor.fetchall()
    _trades_fill(wanted, coins, oldest, until)
    return History(coins, gaps)


def _coin(
    first_seen_at: datetime,
    off_curve_at: datetime | None,
    graduated_at: datetime | None,
    sol: int | None,
    token: int | None,
    last_trade_at: datetime | None,
    last_sol: int | None,
    last_token: int | None,
    creator: str | None,
) -> CoinHistory:
    streamed = Known(last_trade_at, _reserves(last_sol, last_token)) if last_trade_at else None
    created = Known(first_seen_at, _reserves(sol, token))
    return CoinHistory(first_seen_at, off_curve_at, graduated_at, created, streamed, creator=creator)


def _reserves(sol: int | None, token: int | None) -> Reserves | None:
    return Reserves(sol, token) if sol and token else None


def _trades_fill(mints: Sequence[str], coins: dict[str, CoinHistory], since: datetime, until: datetime) -> None:
    """Give each coin its trades, in order."""
    rows = copy_records(TRADES, (list(mints), since, until), TRADE, ["at_us"])
    rows = rows[np.lexsort((rows["seq"], rows["at_us"], rows["coin"]))]
    ends = np.searchsorted(rows["coin"], np.arange(1, len(mints) + 2))
    columns = {name: rows[name].tolist() for name in ("at_us", "seq", "virtual_sol", "virtual_token")}
    for number, mint in enumerate(mints):
        coin = coins.get(mint)
        if coin is not None:
            for name, values in columns.items():
                setattr(coin, name, values[ends[number] : ends[number + 1]])
