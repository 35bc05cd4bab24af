"""What the stream needs to know of the tables when it starts, and of coins that are not in its memory."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from apps.discovery.lifecycle import window_bounds
from apps.discovery.meter import Reading
from apps.discovery.owed import Owed
from apps.discovery.rows import DOUBLES_US
from apps.discovery.state import Config, Cursor, RecentCreate, Snapshot, TrackedCoin, TradeRow
from apps.discovery.windows import Window

Bounds = tuple[TrackedCoin, int, int, int]  # the coin, its phase, begin and end of its window


def _us(column: str) -> str:
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


def _at(parameter: str = "%s") -> str:
    return f"'epoch'::timestamptz + {parameter} * interval '1 microsecond'"


_STATE = f"""
    SELECT segment, "offset", next_seq, coalesce({_us("feed_at")}, 0), frames_total, oddities::text, state
    FROM stream_state WHERE id = 1
"""
_COIN = f"""
    SELECT c.mint, c.created_at IS NOT NULL, c.creator, c.curve = 'standard', c.filtered_reason, {_us("s.started_at")},
           coalesce(s.is_active, false), coalesce(s.is_graduated, c.graduated), {_us("s.ended_at")},
           coalesce(s.phase_id, 0), 0, s.ath_price_sol, {_us("s.ath_at")}, {_us("s.last_trade_at")}, s.last_price_sol,
           s.virtual_sol_lamports, s.virtual_token_base_units, coalesce(s.trades_total, 0),
           coalesce(s.volume_lamports, 0)
    FROM discovered_coins c LEFT JOIN coin_streams s USING (mint)
"""
_COINS_BY_MINT = _COIN + "WHERE c.mint = ANY(%s) ORDER BY c.mint"
_COINS_FOLLOWED = _COIN + f"WHERE s.is_active OR s.last_trade_at >= {_at()} ORDER BY c.mint"
_WINDOW_TRADES = f"""
    SELECT t.mint, t.trade_key, t.tx_type = 'buy', t.sol_amount, t.price_sol, t.virtual_sol_lamports,
           t.trader_public_key, {_us('t."timestamp"')}, t.seq, t.phase_id_at_time
    FROM coin_transactions t
    JOIN unnest(%s::text[], %s::bigint[], %s::bigint[], %s::int[]) AS w(mint, start_us, end_us, phase_id)
         ON t.mint = w.mint AND t."timestamp" >= {_at("w.start_us")} AND t."timestamp" < {_at("w.end_us")}
        AND t.phase_id_at_time = w.phase_id
    WHERE t."timestamp" >= {_at()} AND t."timestamp" < {_at()}
    ORDER BY t."timestamp", t.seq, t.mint
"""
_RECENT_KEYS = f"""
    SELECT {_us('"timestamp"')}, trade_key FROM coin_transactions WHERE "timestamp" > {_at()}
    ORDER BY "timestamp", seq
"""
_RECENT_CREATES = f"""
    SELECT {_us("created_at")}, creator, name, symbol FROM discovered_coins
    WHERE created_at > {_at()} ORDER BY created_at, mint
"""
_READING = f"""
    SELECT {_us("at")}, frames, trades, judged, exact, compared, seamless FROM feed_meter ORDER BY at DESC LIMIT 1
"""


class DatabaseStore:
    """Looks coins up in the tables (`state.Store`)."""

    def load_coins(self, mints: Collection[str]) -> list[TrackedCoin]:
        """The known ones among `mints`, as committed, without open windows."""
        with connection.cursor() as cursor:
            cursor.execute(_COINS_BY_MINT, [list(mints)])
            return [TrackedCoin(*row) for row in cursor.fetchall()]


def load_snapshot(config: Config, owed: Owed | None = None) -> Snapshot:
    """Everything a pipeline needs to go on after the last commit; trades that their table refused count too."""
    with connection.cursor() as cursor:
        cursor.execute(_STATE)
        segment, offset, next_seq, feed_us, frames_total, oddities, state = cursor.fetchone()
        snapshot = Snapshot(Cursor(segment, offset, next_seq), feed_us, frames_total, _counts(oddities), state)
        unpaid = list(owed.rows("coin_transactions", next_seq)) if owed is not None else []
        snapshot.coins = _followed(cursor, config, feed_us, unpaid)
        cursor.execute(_RECENT_KEYS, [feed_us - DOUBLES_US])
        snapshot.recent_keys = list(cursor.fetchall())
        if recent := [(row[1], row[2]) for row in unpaid if row[1] > feed_us - DOUBLES_US]:
            snapshot.recent_keys = sorted([*snapshot.recent_keys, *recent])
        cursor.execute(_RECENT_CREATES, [feed_us - config.rules.spam_window_us])
        snapshot.recent_creates = [RecentCreate(*row) for row in cursor.fetchall()]
        cursor.execute(_READING)
        snapshot.reading = Reading(*row) if (row := cursor.fetchone()) else None
    return snapshot


def _counts(text: str) -> dict[str, int]:
    return {str(kind): int(count) for kind, count in json.loads(text).items()}


def _followed(cursor: CursorWrapper, config: Config, feed_us: int, unpaid: Sequence[TradeRow]) -> list[TrackedCoin]:
    cursor.execute(_COINS_FOLLOWED, [feed_us - config.phases.longest_interval_us])
    coins = [TrackedCoin(*row) for row in cursor.fetchall()]
    rebuild_windows(cursor, coins, config, {coin.mint: feed_us for coin in coins}, unpaid)
    return coins


def rebuild_windows(
    cursor: CursorWrapper,
    coins: Iterable[TrackedCoin],
    config: Config,
    at_us: dict[str, int],
    unpaid: Sequence[TradeRow] = (),
) -> dict[str, list[tuple[int, int]]]:
    """Give each coin the window that is open at its moment, folded from its committed trades and those `unpaid`, which
    their table refused.

    Returns what was folded: (trade key, time) by mint. A coin without a trade in that window gets none.
    """
    bounds: dict[str, Bounds] = {}
    for coin in coins:
        if coin.started_us is not None and (phase := config.phases.at(at_us[coin.mint] - coin.started_us)):
            bounds[coin.mint] = (coin, phase.id, *window_bounds(phase, coin.started_us, at_us[coin.mint]))
    if not bounds:
        return {}
    whale = config.thresholds.whale_lamports
    folded: dict[str, list[tuple[int, int]]] = {}
    for mint, key, is_buy, lamports, price, virtual_sol, trader, traded_us, *_ in _window_trades(
        cursor, bounds, unpaid
    ):
        coin, phase_id, start_us, end_us = bounds[mint]
        coin.window = coin.window or Window(phase_id, start_us, end_us)
        coin.window.add(is_buy, lamports, price, virtual_sol, trader, coin.creator, whale)
        folded.setdefault(mint, []).append((key, traded_us))
    return folded


def _window_trades(
    cursor: CursorWrapper, bounds: dict[str, Bounds], unpaid: Sequence[TradeRow]
) -> list[tuple[Any, ...]]:
    """The trades of these windows as _WINDOW_TRADES gives them, in the order of the feed."""
    _, ids, starts, ends = map(list, zip(*bounds.values(), strict=True))
    cursor.execute(_WINDOW_TRADES, [list(bounds), starts, ends, ids, min(starts), max(ends)])
    trades: list[tuple[Any, ...]] = cursor.fetchall()
    if unpaid:
        stored = {(trade[0], trade[1]) for trade in trades}
        refused = [_as_window_trade(row) for row in unpaid if row[0] in bounds and (row[0], row[2]) not in stored]
        trades += [trade for trade in refused if _is_within(trade, bounds[trade[0]])]
        trades.sort(key=lambda trade: (trade[7], trade[8], trade[0]))
    return trades


def _as_window_trade(row: TradeRow) -> tuple[Any, ...]:
    mint, at_us, key, seq, _, trader, side, lamports, _, price, virtual_sol, _, _, phase_id = row
    return mint, key, side == "buy", lamports, price, virtual_sol, trader, at_us, seq, phase_id


def _is_within(trade: tuple[Any, ...], bound: Bounds) -> bool:
    _, phase_id, start_us, end_us = bound
    return bool(start_us <= trade[7] < end_us and trade[9] == phase_id)
