"""A trade history into the tables, by the very folding of the live stream (`Tracker`), a chunk a transaction.

A file is read in its order of time. Every coin goes on from what the tables know of it, so a file may be imported
again, after a kill too, and files may follow each other: what is there stays, what is missing comes, and of two
foldings of one window the fuller counts. The stream's own state (cursor, feed time) is not touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray

from apps.discovery import creators, curve, recordings
from apps.discovery.delimited import CsvError
from apps.discovery.loading import DatabaseStore, rebuild_windows
from apps.discovery.pumpportal.messages import Trade
from apps.discovery.pumpportal.parse import MARKET_CAP_TOLERANCE, PRODUCT_TOLERANCE
from apps.discovery.recordings import TradeChunk
from apps.discovery.rows import trade_key, trade_row
from apps.discovery.state import Config, TradeRow
from apps.discovery.tracking import Tracker
from apps.discovery.windows import TOKENS, MetricRow
from apps.discovery.writer import insert_metrics, insert_trades

NONSTANDARD_SUFFIX = "bonk"  # what a history without pools shows of another launch type
RATE_SOURCE = "history"
# Until when a history's coin was watched is not in the file: recorders stop ten minutes after the last trade, or twenty
# minutes after the first. `import_tracking` loads the exact ends where a recorder noted them.
TRACKED_IDLE = timedelta(minutes=10)
TRACKED_MOST = timedelta(minutes=20)
_FOREVER_US = 2**62
_MINUTE_MS = 60_000
_AHEAD_MS = 86_400_000  # what a recorder's clock may be wrong by

_SINCE = "'epoch'::timestamptz + %s * interval '1 microsecond'"
_INSERT_COINS = f"""
    INSERT INTO discovered_coins (mint, name, symbol, pool, curve, is_mayhem, quote_mint, uri, description, image_url,
                                  twitter, telegram, website, first_seen_at, filtered_reason, graduated, final_outcome)
    SELECT v.mint, '', '', v.pool, CASE v.pool WHEN 'pump' THEN 'standard' ELSE 'nonstandard' END, false,
           'So11111111111111111111111111111111111111112', '', '', '', '', '', '', {_SINCE.replace("%s", "v.first_us")},
           '', false, ''
    FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS v(mint, pool, first_us)
    ON CONFLICT (mint) DO UPDATE SET first_seen_at = least(discovered_coins.first_seen_at, excluded.first_seen_at)
"""
# What all committed trades of these coins come to. A coin that the live stream follows keeps its phase and state. Of
# trades that retention has dropped the candles still know how many they were, minute by minute, and the stream's row
# the highest and the last price.
_IS_LAST = "excluded.last_trade_at >= coalesce(s.last_trade_at, '-infinity')"
_IS_HIGHEST = """(excluded.ath_price_sol > s.ath_price_sol) IS NOT FALSE
                 OR excluded.ath_price_sol = s.ath_price_sol AND excluded.ath_at < s.ath_at"""
_LAST = ("last_trade_at", "last_price_sol", "last_market_cap_sol", "virtual_sol_lamports", "virtual_token_base_units")


def _taken_if(condition: str, columns: Sequence[str]) -> str:
    return ", ".join(f"{name} = CASE WHEN {condition} THEN excluded.{name} ELSE s.{name} END" for name in columns)


_UPSERT_STREAMS = f"""
    WITH stored AS (
        SELECT mint, date_trunc('minute', "timestamp") AS minute, count(*) AS trades, sum(sol_amount) AS volume
        FROM coin_transactions WHERE mint = ANY(%(mints)s) GROUP BY 1, 2),
    rolled AS (
        SELECT mint, "timestamp" AS minute, trades, volume_lamports AS volume
        FROM coin_candles_1m WHERE mint = ANY(%(mints)s)),
    totals AS (
        SELECT mint, sum(greatest(stored.trades, rolled.trades)) AS trades,
               least(sum(greatest(stored.volume, rolled.volume)), 9223372036854775807) AS volume
        FROM stored FULL JOIN rolled USING (mint, minute) GROUP BY mint),
    facts AS (
        SELECT mint, (array_agg(phase_id_at_time ORDER BY "timestamp" DESC, seq DESC))[1] AS phase_id,
               min("timestamp") AS first_at, max("timestamp") AS last_at, max(price_sol) AS ath_price_sol,
               (array_agg("timestamp" ORDER BY price_sol DESC, "timestamp", seq))[1] AS ath_at,
               (array_agg(price_sol ORDER BY "timestamp" DESC, seq DESC))[1] AS price_sol,
               (array_agg(virtual_sol_lamports ORDER BY "timestamp" DESC, seq DESC))[1] AS virtual_sol_lamports,
               (array_agg(virtual_token_base_units ORDER BY "timestamp" DESC, seq DESC))[1] AS virtual_token_base_units
        FROM coin_transactions WHERE mint = ANY(%(mints)s) GROUP BY mint)
    INSERT INTO coin_streams AS s (mint, phase_id, is_active, is_graduated, started_at, ended_at, ath_price_sol, ath_at,
                                   last_trade_at, last_price_sol, last_market_cap_sol, virtual_sol_lamports,
                                   virtual_token_base_units, trades_total, volume_lamports)
    SELECT mint, phase_id, false, false, first_at,
           greatest(last_at, least(last_at + %(idle)s, first_at + %(most)s)), ath_price_sol, ath_at, last_at, price_sol,
           price_sol * %(tokens)s, virtual_sol_lamports, virtual_token_base_units, trades, volume
    FROM facts JOIN totals USING (mint)
    ON CONFLICT (mint) DO UPDATE SET
        started_at = least(s.started_at, excluded.started_at),
        ended_at = CASE WHEN s.is_active THEN NULL
                        WHEN s.is_graduated OR s.last_trade_at = excluded.last_trade_at THEN s.ended_at
                        ELSE greatest(s.ended_at, excluded.ended_at) END,
        phase_id = CASE WHEN s.is_active OR s.is_graduated OR NOT {_IS_LAST} THEN s.phase_id
                        ELSE excluded.phase_id END,
        {_taken_if(_IS_HIGHEST, ("ath_price_sol", "ath_at"))}, {_taken_if(_IS_LAST, _LAST)},
        trades_total = greatest(s.trades_total, excluded.trades_total),
        volume_lamports = greatest(s.volume_lamports, excluded.volume_lamports)
"""
_SET_GRADUATED = f"""
    WITH v AS (SELECT * FROM unnest(%s::text[], %s::bigint[]) AS v(mint, at_us)),
         coins AS (UPDATE discovered_coins c SET graduated = true, final_outcome = 'graduated',
                          graduated_at = coalesce(c.graduated_at, {_SINCE.replace("%s", "v.at_us")})
                   FROM v WHERE c.mint = v.mint)
    UPDATE coin_streams s SET is_graduated = true, is_active = false, phase_id = 100, ended_at = s.last_trade_at
    FROM v WHERE s.mint = v.mint
"""
_SET_NONSTANDARD = "UPDATE discovered_coins SET curve = 'nonstandard' WHERE mint = ANY(%s)"
_INSERT_RATES = f"""
    INSERT INTO exchange_rates (currency, rate, source, at)
    SELECT 'USD', v.rate, '{RATE_SOURCE}', {_SINCE.replace("%s", "v.at_us")}
    FROM unnest(%s::numeric[], %s::bigint[]) AS v(rate, at_us) ON CONFLICT DO NOTHING
"""


@dataclass(slots=True)
class Imported:
    """What an import has done so far. `rows` were read, the others were new; `share` of the present file was read."""

    rows: int = 0
    trades: int = 0
    windows: int = 0
    coins: int = 0
    rates: int = 0
    seconds: float = 0.0
    share: float = 0.0

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class _Run:
    """One file: the coins met so far, and what of them was folded before this run."""

    tracker: Tracker
    first_us: dict[str, int] = field(default_factory=dict)
    folded: dict[str, set[int]] = field(default_factory=dict)
    nonstandard: set[str] = field(default_factory=set)
    graduated: dict[str, int] = field(default_factory=dict)
    last_ms: int = 0
    rate: tuple[int, float] = (0, 0.0)


def import_file(
    path: Path,
    config: Config,
    result: Imported,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    progress: Callable[[Imported], None] = lambda result: None,
) -> None:
    """Import one history, adding to `result`. Raises CsvError at the first wrong line; what came before it is in."""
    began, seconds_before = time.perf_counter(), result.seconds
    run = _Run(Tracker(config))
    with _Background() as writing:
        for chunk in recordings.read_trade_chunks(path):
            if until_ms is not None and len(chunk) and int(chunk.received_at_ms[0]) >= until_ms:
                break  # in order of time, so nothing wanted follows
            wanted = _wanted(chunk, since_ms, until_ms)
            writing.submit(_write, result, _fold(run, chunk, wanted), _taken(run), _rates(run, chunk, wanted))
            result.rows += len(wanted)
            result.share = chunk.share
            result.seconds = seconds_before + time.perf_counter() - began
            progress(result)
        run.tracker.now_us = _FOREVER_US
        run.tracker.close_windows()
        writing.submit(_write, result, [], _taken(run), [])
        writing.submit(_write_coins, result, run)
    result.seconds, result.share = seconds_before + time.perf_counter() - began, 1.0
    progress(result)


class _Background:
    """One thread that commits a chunk while the next is folded; at most one waits. Raises what the thread raised."""

    def __enter__(self) -> Self:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="import")
        self._pending: Future[None] | None = None
        return self

    def submit(self, action: Callable[..., None], *values: Any) -> None:
        if self._pending is not None:
            self._pending.result()
        self._pending = self._executor.submit(_committed, action, *values)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._pending is not None and error is None:
                self._pending.result()
        finally:
            self._executor.submit(_close_connection)
            self._executor.shutdown()


def _close_connection() -> None:
    """The connection of the thread that calls."""
    connection.close()


def _committed(action: Callable[..., None], *values: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        action(cursor, *values)


def _wanted(chunk: TradeChunk, since_ms: int | None, until_ms: int | None) -> NDArray[np.int64]:
    """Indexes of the rows in [since_ms, until_ms)."""
    inside = np.ones(len(chunk), bool)
    if since_ms is not None:
        inside &= chunk.received_at_ms >= since_ms
    if until_ms is not None:
        inside &= chunk.received_at_ms < until_ms
    return np.flatnonzero(inside)


# --- folding --------------------------------------------------------------------------------------------


def _fold(run: _Run, chunk: TradeChunk, wanted: NDArray[np.int64]) -> list[TradeRow]:
    """Fold the wanted rows of a chunk; the trades as rows of the table."""
    _check_times(run, chunk)
    tracker, whale_lamports = run.tracker, run.tracker.config.thresholds.whale_lamports
    trades = list(_trades(chunk, wanted))
    _load_coins(run, trades)
    rows: list[TradeRow] = []
    for line, at_us, trade in trades:
        tracker.now_us = at_us
        coin = tracker.coins[trade.mint]
        key = trade_key(trade, at_us)
        if key in run.folded.get(trade.mint, ()):
            continue
        phase_id = tracker.trade(coin, trade)
        rows.append(trade_row(trade, key, line, at_us, phase_id, whale_lamports))
    tracker.close_windows()
    run.nonstandard |= tracker.nonstandard
    run.graduated.update({mint: at for mint, (what, at) in tracker.outcomes.items() if what == "graduated" and at})
    return rows


def _check_times(run: _Run, chunk: TradeChunk) -> None:
    times = np.concatenate([[run.last_ms], chunk.received_at_ms])
    backwards = np.flatnonzero(np.diff(times) < 0)
    if backwards.size:
        line = int(chunk.line[backwards[0]])
        raise CsvError(chunk.path, line, "received_at", "is earlier than the line before: sort the file by time")
    if int(times[-1]) > (latest_ms := time.time() * 1000 + _AHEAD_MS):
        line = int(chunk.line[np.searchsorted(chunk.received_at_ms, latest_ms, side="right")])
        raise CsvError(chunk.path, line, "received_at", "lies in the future: no trade was recorded then")
    run.last_ms = int(times[-1])


def _trades(chunk: TradeChunk, wanted: NDArray[np.int64]) -> Iterator[tuple[int, int, Trade]]:
    """(line, epoch microseconds, trade) of the wanted rows, exactly as a replay through the websocket parses them."""
    mints = [chunk.mint[index] for index in wanted.tolist()]
    sol, token = chunk.virtual_sol_lamports[wanted], chunk.virtual_token_base_units[wanted]
    standard = _is_standard(sol, token, chunk.market_cap_sol[wanted])
    columns = zip(
        chunk.line[wanted].tolist(),
        (chunk.received_at_ms[wanted] * 1000).tolist(),
        mints,
        chunk.is_buy[wanted].tolist(),
        chunk.sol_lamports[wanted].tolist(),
        chunk.token_base_units[wanted].tolist(),
        _prices(chunk, wanted, mints),
        sol.tolist(),
        token.tolist(),
        standard.tolist(),
        strict=True,
    )
    for line, at_us, mint, is_buy, lamports, base_units, price, virtual_sol, virtual_token, on_curve in columns:
        if mint.endswith(NONSTANDARD_SUFFIX):
            trade = Trade(mint, is_buy, lamports, base_units, price, None, None, None, None, "bonk", False)
        else:
            trade = Trade(
                mint, is_buy, lamports, base_units, price, virtual_sol, virtual_token, None, None, "pump", on_curve
            )
        yield line, at_us, trade


def _is_standard(sol: NDArray[np.int64], token: NDArray[np.int64], cap: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether reserves and market cap (NaN: not recorded) keep the identities of the standard curve."""
    start = curve.INITIAL
    product = sol.astype(float) * token / (start.virtual_sol * start.virtual_token)
    spot = sol / np.maximum(token, 1) * (curve.SUPPLY / curve.LAMPORTS_PER_SOL)
    same_cap = np.isnan(cap) | (np.abs(cap - spot) <= MARKET_CAP_TOLERANCE * spot)
    result: NDArray[np.bool_] = (np.abs(product - 1) <= PRODUCT_TOLERANCE) & same_cap
    return result


def _prices(chunk: TradeChunk, wanted: NDArray[np.int64], mints: list[str]) -> list[float]:
    """SOL per token: by the reserves, away from the curve by the recorded market cap, else by the trade itself."""
    sol, token = chunk.virtual_sol_lamports[wanted], chunk.virtual_token_base_units[wanted]
    scale = curve.BASE_UNITS_PER_TOKEN / curve.LAMPORTS_PER_SOL
    away = np.array([mint.endswith(NONSTANDARD_SUFFIX) for mint in mints], bool) | (sol <= 0) | (token <= 0)
    prices = np.where(away, chunk.market_cap_sol[wanted] / TOKENS, sol / np.maximum(token, 1) * scale)
    lamports, base_units = chunk.sol_lamports[wanted], chunk.token_base_units[wanted]
    prices = np.where(np.isnan(prices), lamports / np.maximum(base_units, 1) * scale, prices)
    if (hopeless := np.flatnonzero(~(prices > 0))).size:
        line = int(chunk.line[wanted[hopeless[0]]])
        raise CsvError(chunk.path, line, "market_cap_sol", "neither reserves nor amounts give a price")
    return [float(price) for price in prices.tolist()]


def _load_coins(run: _Run, trades: list[tuple[int, int, Trade]]) -> None:
    """Bring the coins met for the first time into memory: from the tables, or as new."""
    new: dict[str, tuple[int, Trade]] = {}
    for _, at_us, trade in trades:
        if trade.mint not in run.first_us:
            run.first_us[trade.mint] = at_us
            new[trade.mint] = (at_us, trade)
    if not new:
        return
    known = DatabaseStore().load_coins(new)
    for coin in known:
        at_us = new[coin.mint][0]
        coin.filtered = ""
        coin.started_us = at_us if coin.started_us is None else min(coin.started_us, at_us)
        coin.is_graduated = coin.is_graduated and coin.last_trade_us is not None and at_us > coin.last_trade_us
    with connection.cursor() as cursor:
        folded = rebuild_windows(cursor, known, run.tracker.config, {mint: at for mint, (at, _) in new.items()})
    run.folded.update({mint: {key for key, _ in keys} for mint, keys in folded.items()})
    run.tracker.remember(known)
    for mint in new.keys() - {coin.mint for coin in known}:
        run.tracker.add(mint).is_standard = new[mint][1].is_standard


# --- writing --------------------------------------------------------------------------------------------


def _taken(run: _Run) -> list[MetricRow]:
    """The windows closed since the last call."""
    windows: list[MetricRow] = run.tracker.windows
    run.tracker.start_batch()
    return windows


def _write(
    cursor: CursorWrapper,
    result: Imported,
    rows: list[TradeRow],
    windows: list[MetricRow],
    rates: list[tuple[float, int]],
) -> None:
    result.trades += insert_trades(cursor, rows)
    result.windows += insert_metrics(cursor, windows, keep_fuller=True)
    if rates:
        cursor.execute(_INSERT_RATES, [[str(value) for value, _ in rates], [at_us for _, at_us in rates]])
        result.rates += int(cursor.rowcount)


def _rates(run: _Run, chunk: TradeChunk, wanted: NDArray[np.int64]) -> list[tuple[float, int]]:
    """SOL/USD as recorded, with its time: a pair for each change, at most one a minute."""
    kept: list[tuple[float, int]] = []
    minute, rate = run.rate
    for at_ms, value in zip(chunk.received_at_ms[wanted].tolist(), chunk.sol_usd[wanted].tolist(), strict=True):
        if value != rate and value > 0 and at_ms // _MINUTE_MS != minute:
            minute, rate = at_ms // _MINUTE_MS, value
            kept.append((value, at_ms * 1000))
    run.rate = (minute, rate)
    return kept


def _write_coins(cursor: CursorWrapper, result: Imported, run: _Run) -> None:
    """Master data and tracking state of every coin of the file."""
    mints = list(run.first_us)
    pools = ["bonk" if mint.endswith(NONSTANDARD_SUFFIX) else "pump" for mint in mints]
    cursor.execute(_INSERT_COINS, [mints, pools, list(run.first_us.values())])
    constants: dict[str, Any] = {"tokens": float(TOKENS), "idle": TRACKED_IDLE, "most": TRACKED_MOST}
    for start in range(0, len(mints), 5_000):
        cursor.execute(_UPSERT_STREAMS, {"mints": mints[start : start + 5_000], **constants})
    if run.nonstandard:
        cursor.execute(_SET_NONSTANDARD, [sorted(run.nonstandard)])
    if run.graduated:
        cursor.execute(_SET_GRADUATED, [list(run.graduated), list(run.graduated.values())])
    creators.past_changed(cursor, mints)
    result.coins += len(mints)
