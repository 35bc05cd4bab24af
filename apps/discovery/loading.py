"""What the stream needs to know of the tables when it starts, and of coins that are not in its memory."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper

from apps.discovery.lifecycle import FINISHED, MOST_INTERVAL_US, open_window_bounds, window_bounds
from apps.discovery.meter import Reading
from apps.discovery.owed import Owed
from apps.discovery.rows import DOUBLES_US
from apps.discovery.state import REFUSED, Config, Cursor, RecentCreate, Snapshot, TrackedCoin, TradeRow
from apps.discovery.windows import Window

_RECENTLY_US = 3_600_000_000  # a coin traded so recently may have an open window


class Bounds(NamedTuple):
    """An open window and the trades in it: those in [from_us, end_us) that fell into the phases from `least_phase` to
    `greatest_phase`. `phase_id` 0: that of its first trade."""

    coin: TrackedCoin
    phase_id: int
    start_us: int
    end_us: int
    from_us: int
    least_phase: int
    greatest_phase: int

    def holds(self, at_us: int, phase_id: int) -> bool:
        """Whether a trade is in it."""
        return self.from_us <= at_us < self.end_us and self.least_phase <= phase_id <= self.greatest_phase


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
# OFFSET keeps the lateral queries from becoming a join over all trades of the time: each is a look at one coin's key.
_WINDOW_TRADES = f"""
    SELECT t.* FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::int[], %s::int[])
                    AS w(mint, from_us, end_us, least_phase, greatest_phase),
    LATERAL (
        SELECT t.mint, t.trade_key, t.tx_type = 'buy', t.sol_amount, t.price_sol, t.virtual_sol_lamports,
               t.trader_public_key, {_us('t."timestamp"')} AS at_us, t.seq, t.phase_id_at_time, t.is_whale
        FROM coin_transactions t
        WHERE t.mint = w.mint AND t."timestamp" >= {_at("w.from_us")} AND t."timestamp" < {_at("w.end_us")}
          AND t."timestamp" >= {_at()} AND t."timestamp" < {_at()}
          AND t.phase_id_at_time BETWEEN w.least_phase AND w.greatest_phase
        OFFSET 0
    ) t
    ORDER BY t.at_us, t.seq, t.mint
"""
_LAST_CLOSED = f"""
    SELECT w.mint, (
        SELECT {_us('m."timestamp"')} FROM coin_metrics m
        WHERE m.mint = w.mint AND m."timestamp" > {_at()} AND m."timestamp" <= {_at()}
        ORDER BY m."timestamp" DESC LIMIT 1
    ) FROM unnest(%s::text[]) AS w(mint)
"""
_RECENT_KEYS = f"""
    SELECT {_us('"timestamp"')}, trade_key FROM coin_transactions WHERE "timestamp" > {_at()}
    ORDER BY "timestamp", seq
"""
_RECENT_CREATES = f"""
    SELECT {_us("created_at")}, creator, name, symbol FROM discovered_coins
    WHERE created_at > {_at()} ORDER BY created_at, mint
"""
_OPEN_GAP = f"""
    SELECT {_us("started_at")} FROM stream_gaps WHERE reason = '{REFUSED}' AND ended_at = {_at()} ORDER BY id LIMIT 1
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
        refused = {row[0]: row[1] for row in owed.rows("coin_metrics", next_seq)} if owed is not None else {}
        snapshot.coins = _followed(cursor, config, feed_us, unpaid, refused)
        cursor.execute(_RECENT_KEYS, [feed_us - DOUBLES_US])
        snapshot.recent_keys = list(cursor.fetchall())
        if recent := [(row[1], row[2]) for row in unpaid if row[1] > feed_us - DOUBLES_US]:
            snapshot.recent_keys = sorted([*snapshot.recent_keys, *recent])
        cursor.execute(_RECENT_CREATES, [feed_us - config.rules.spam_window_us])
        snapshot.recent_creates = [RecentCreate(*row) for row in cursor.fetchall()]
        cursor.execute(_READING)
        snapshot.reading = Reading(*row) if (row := cursor.fetchone()) else None
        cursor.execute(_OPEN_GAP, [feed_us])
        snapshot.refused_us = row[0] if (row := cursor.fetchone()) else feed_us
    return snapshot


def _counts(text: str) -> dict[str, int]:
    return {str(kind): int(count) for kind, count in json.loads(text).items()}


def _followed(
    cursor: CursorWrapper, config: Config, feed_us: int, unpaid: Sequence[TradeRow], closed: dict[str, int]
) -> list[TrackedCoin]:
    cursor.execute(_COINS_FOLLOWED, [feed_us - max(config.phases.longest_interval_us, _RECENTLY_US)])
    coins = [TrackedCoin(*row) for row in cursor.fetchall()]
    _reopen_windows(cursor, coins, config, feed_us, unpaid, closed)
    return coins


def rebuild_windows(
    cursor: CursorWrapper, coins: Iterable[TrackedCoin], config: Config, at_us: dict[str, int]
) -> dict[str, list[tuple[int, int]]]:
    """Give each coin the window that the phases draw at its moment, folded from its committed trades.

    Returns what was folded: (trade key, time) by mint. A coin without a trade in that window gets none.
    """
    bounds: dict[str, Bounds] = {}
    for coin in coins:
        if coin.started_us is not None and (phase := config.phases.at(at_us[coin.mint] - coin.started_us)):
            start_us, end_us = window_bounds(phase, coin.started_us, at_us[coin.mint])
            bounds[coin.mint] = Bounds(coin, phase.id, start_us, end_us, start_us, phase.id, phase.id)
    return _fold(cursor, bounds, ())


def _reopen_windows(
    cursor: CursorWrapper,
    coins: Sequence[TrackedCoin],
    config: Config,
    feed_us: int,
    unpaid: Sequence[TradeRow],
    closed: dict[str, int],
) -> None:
    """Give each coin its open window back: its trades after its last row, those `unpaid` too, which their table
    refused. So a trade is in one window whatever the phases were when it came (`lifecycle.open_window_bounds`).

    `closed`: ends of windows that their table refused.
    """
    cursor.execute(_LAST_CLOSED, [feed_us - MOST_INTERVAL_US, feed_us, [coin.mint for coin in coins]])
    ends = {mint: max(end_us or feed_us - MOST_INTERVAL_US, closed.get(mint, 0)) for mint, end_us in cursor.fetchall()}
    bounds: dict[str, Bounds] = {}
    for coin in coins:
        if coin.started_us is not None:
            phase_id, start_us, end_us = open_window_bounds(config.phases, coin.started_us, feed_us)
            bounds[coin.mint] = Bounds(coin, phase_id, start_us, end_us, ends[coin.mint], 1, FINISHED - 1)
    _fold(cursor, bounds, unpaid)


def _fold(
    cursor: CursorWrapper, bounds: dict[str, Bounds], unpaid: Sequence[TradeRow]
) -> dict[str, list[tuple[int, int]]]:
    folded: dict[str, list[tuple[int, int]]] = {}
    for mint, key, is_buy, lamports, price, virtual_sol, trader, traded_us, _, phase_id, is_whale in (
        _window_trades(cursor, bounds, unpaid) if bounds else ()
    ):
        coin, window_phase, start_us, end_us, *_ = bounds[mint]
        coin.window = coin.window or Window(window_phase or phase_id, min(start_us, traded_us), end_us)
        whale = lamports if is_whale else lamports + 1  # as it was judged when it came
        coin.window.add(is_buy, lamports, price, virtual_sol, trader, coin.creator, whale)
        folded.setdefault(mint, []).append((key, traded_us))
    return folded


def _window_trades(
    cursor: CursorWrapper, bounds: dict[str, Bounds], unpaid: Sequence[TradeRow]
) -> list[tuple[Any, ...]]:
    """The trades of these windows as _WINDOW_TRADES gives them, in the order of the feed."""
    _, _, _, ends, froms, least, greatest = map(list, zip(*bounds.values(), strict=True))
    cursor.execute(_WINDOW_TRADES, [list(bounds), froms, ends, least, greatest, min(froms), max(ends)])
    trades: list[tuple[Any, ...]] = cursor.fetchall()
    if unpaid:
        stored = {(trade[0], trade[1]) for trade in trades}
        refused = [_as_window_trade(row) for row in unpaid if row[0] in bounds and (row[0], row[2]) not in stored]
        trades += [trade for trade in refused if bounds[trade[0]].holds(trade[7], trade[9])]
        trades.sort(key=lambda trade: (trade[7], trade[8], trade[0]))
    return trades


def _as_window_trade(row: TradeRow) -> tuple[Any, ...]:
    mint, at_us, key, seq, _, trader, side, lamports, _, price, virtual_sol, _, is_whale, phase_id = row
    return mint, key, side == "buy", lamports, price, virtual_sol, trader, at_us, seq, phase_id, is_whale
