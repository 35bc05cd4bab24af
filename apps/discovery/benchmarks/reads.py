"""Candles, pages and ingest over a table of 1 and of 10 million trades, a million a day.

The market is made in the database: coins, trades a coin and life spans as in domain.md section 4. Each day ends with
its candles rolled up by the product's own code. 10 million: the table of one day is measured first, then nine older
days are put beneath it and the same is measured again, so growth is told apart from the machine.
"""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import Client

from apps.core.scratch import scratch_database
from apps.discovery.candles import candles
from apps.discovery.rollups import rollup_run
from apps.discovery.state import TradeRow
from apps.discovery.writer import insert_trades

DAYS = 10
COINS_A_DAY = 21_800
BUCKETS = (1, 5, 15, 60, 300, 3_600, 86_400)
COINS_BUSIEST, COINS_MEASURED = 50, 250
JUDGED = ("overview", "overview_sorted", "overview_filtered", "coin")  # the others are in the detail
INGEST_ROWS, INGEST_BATCHES = 5_000, 60
_END = datetime.now(UTC).replace(microsecond=0)

_COINS = """
    INSERT INTO bench_coins (day, mint, started_at, trades, span)
    SELECT %(day)s, substr(translate(md5(%(day)s || '-' || i) || md5(i || 'x' || %(day)s), '0', '1'), 1, 40) || 'pump',
           %(start)s + random() * interval '1 day',
           least(4074, 1 + floor(exp(random_normal(1.95, 1.95)))::int),
           interval '1 second' * least(1800, exp(random_normal(5, 1)))
    FROM generate_series(1, %(coins)s) i
"""
_MASTER = """
    INSERT INTO discovered_coins (mint, name, symbol, creator, pool, curve, is_mayhem, quote_mint, uri, description,
                                  image_url, twitter, telegram, website, first_seen_at, created_at, filtered_reason,
                                  graduated, final_outcome)
    SELECT mint, 'Coin ' || substr(mint, 1, 9), upper(substr(mint, 3, 5)), substr(md5(mint), 1, 32) || 'creator',
           'pump', 'standard', false, 'So11111111111111111111111111111111111111112', '', '', '', '', '', '', started_at,
           started_at, '', false, '' FROM bench_coins WHERE day = %(day)s
"""
_STREAMS = """
    INSERT INTO coin_streams (mint, phase_id, is_active, is_graduated, started_at, ended_at, ath_price_sol, ath_at,
                              last_trade_at, last_price_sol, last_market_cap_sol, virtual_sol_lamports,
                              virtual_token_base_units, trades_total, volume_lamports)
    SELECT mint, CASE WHEN ended THEN 99 WHEN %(now)s - started_at < interval '10 minutes' THEN 1 ELSE 2 END, NOT ended,
           false, started_at, CASE WHEN ended THEN started_at + span END, 5e-8, started_at,
           least(started_at + span, %(now)s), 4e-8,
           30 + 40 * random(), 35000000000, 920000000000000, trades, trades * 450000000::bigint
    FROM (SELECT *, started_at + span < %(now)s - interval '30 minutes' AS ended FROM bench_coins WHERE day = %(day)s) c
"""
_TRADES = """
    INSERT INTO coin_transactions (mint, timestamp, trade_key, seq, signature, trader_public_key, tx_type, sol_amount,
                                   token_amount, price_sol, virtual_sol_lamports, virtual_token_base_units, is_whale,
                                   phase_id_at_time)
    SELECT mint, at, row_number() OVER (), row_number() OVER (), substr(mint, 1, 40) || md5(mint || k),
           substr(mint, 1, 12) || md5(k::text), CASE WHEN random() < 0.5 THEN 'buy' ELSE 'sell' END,
           (exp(random_normal(-2, 1.6)) * 1e9)::bigint, (exp(random_normal(15, 1.5)) * 1e6)::bigint,
           3e-8 * (1 + random()), 35000000000, 920000000000000, random() < 0.1, 1
    FROM (SELECT mint, k, started_at + span * power(random(), 2) AS at
          FROM bench_coins, generate_series(1, trades) k WHERE day = %(day)s ORDER BY at) t
    WHERE at <= %(now)s
"""
_METRICS = """
    INSERT INTO coin_metrics (mint, timestamp, phase_id_at_time, price_open, price_high, price_low, price_close,
        market_cap_close, is_koth, volume_sol, buy_volume_sol, sell_volume_sol, num_buys, num_sells, unique_wallets,
        num_micro_trades, max_single_buy_sol, max_single_sell_sol, net_volume_sol, volatility_pct, avg_trade_size_sol,
        whale_buy_volume_sol, whale_sell_volume_sol, num_whale_buys, num_whale_sells, buy_pressure_ratio)
    SELECT mint, "timestamp" + interval '1 minute', 1, price_open, price_high, price_low, price_close,
           price_close * 1e9, false,
           volume_lamports / 1e9, buy_volume_lamports / 1e9, (volume_lamports - buy_volume_lamports) / 1e9, buys,
           trades - buys, trades, 0, 1, 1, 0, 1, 0.4, 0, 0, 0, 0, 0.5
    FROM coin_candles_1m WHERE "timestamp" >= %(start)s AND "timestamp" < %(start)s + interval '1 day'
"""
_DUE = """
    INSERT INTO coin_candles_due (minute)
    SELECT minute FROM generate_series(date_trunc('minute', %(start)s::timestamptz), %(start)s + interval '1 day',
                                       interval '1 minute') minute
"""
_SAMPLE = """
    WITH ranked AS (
        SELECT mint, started_at, last_trade_at, row_number() OVER (
            PARTITION BY ceil(extract(epoch FROM %(end)s - started_at) / 86400)
            ORDER BY trades_total DESC, mint) AS place
        FROM coin_streams)
    (SELECT mint, started_at, last_trade_at FROM ranked WHERE place <= %(busiest)s ORDER BY md5(mint) LIMIT %(busiest)s)
    UNION (SELECT mint, started_at, last_trade_at FROM ranked ORDER BY md5(mint) LIMIT %(any)s)
"""
# What no function could do without: the trades of a coin in one time range, grouped.
_BARE = """
    SELECT time_bucket(%s * interval '1 second', "timestamp"), max(price_sol), min(price_sol), sum(sol_amount), count(*)
    FROM coin_transactions WHERE mint = %s AND "timestamp" >= %s AND "timestamp" < %s GROUP BY 1 ORDER BY 1
"""


def candles_p95_ms_1m() -> dict[str, Any]:
    """The 95th percentile of a candle query, any bucket, over a million trades; the limit is a bare GROUP BY."""
    with _market():
        _fill(0)
        measured = _measure_candles()
        return _candle_result(measured) | {"detail": measured | {"trades": _trades_count()}}


def candles_p95_ms_10m() -> dict[str, Any]:
    """The same over 10 million trades; `growth` is to 1 million in the same run."""
    small, large = _both()
    growth = round(large["candles"]["p95_ms"] / small["candles"]["p95_ms"], 2)
    ingest = round(small["ingest_rows_per_second"] / large["ingest_rows_per_second"], 2)
    detail = {"growth": growth, "ingest_slower_by": ingest, "at_1m": small, "at_10m": large}
    return _candle_result(large["candles"]) | {"detail": detail}


def page_p95_ms_10m() -> dict[str, Any]:
    """The worst 95th percentile of the pages (overview in several orders and filters, coin) over 10 million trades,
    templates included; the limit is the same over 1 million in the same run."""
    small, large = _both()
    pages = {name: {"at_1m": small["pages"][name], "at_10m": large["pages"][name]} for name in large["pages"]}
    value = max(large["pages"][name]["p95_ms"] for name in JUDGED)
    limit = max(small["pages"][name]["p95_ms"] for name in JUDGED)
    ratio = round(value / limit, 2)
    return {"value": value, "unit": "ms", "limit": limit, "ratio": ratio, "detail": pages}


def _candle_result(measured: dict[str, Any]) -> dict[str, Any]:
    value, limit = measured["p95_ms"], measured["bare_p95_ms"]
    return {"value": value, "unit": "ms", "limit": limit, "ratio": round(value / limit, 2)}


@functools.cache
def _both() -> tuple[dict[str, Any], dict[str, Any]]:
    """Everything at 1 and at 10 million, measured once for all benchmarks of a run."""
    with _market():
        _fill(0)
        small = _measure()
        for day in range(1, DAYS):
            _fill(day)
        return small, _measure()


@contextmanager
def _market() -> Iterator[None]:
    """A scratch database; what is only logged of the pages' feed state is not of interest."""
    logging.disable(logging.WARNING)
    try:
        with scratch_database():
            yield
    finally:
        logging.disable(logging.NOTSET)


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "candles_p95_ms_1m": candles_p95_ms_1m,
    "candles_p95_ms_10m": candles_p95_ms_10m,
    "page_p95_ms_10m": page_p95_ms_10m,
}


# --- the market ------------------------------------------------------------------------------------------
def _fill(day: int) -> None:
    """A day of the market, `day` days before the newest one, with its candles and windows."""
    start = _END - timedelta(days=day + 1)
    values: dict[str, Any] = {"day": day, "start": start, "coins": COINS_A_DAY, "now": _END}
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE IF NOT EXISTS bench_coins"
            " (day int, mint text, started_at timestamptz, trades int, span interval)"
        )
        for statement in (_COINS, _MASTER, _STREAMS, _TRADES, _DUE):
            cursor.execute(statement, values)
    rollup_run(now=_END + timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute(_METRICS, values)
        cursor.execute("UPDATE stream_state SET feed_at = %s, updated_at = now(), connected = true", [_END])
        for table in ("coin_transactions", "coin_metrics", "coin_candles_1m", "discovered_coins", "coin_streams"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def _trades_count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM coin_transactions")
        return int(cursor.fetchone()[0])


def _sample() -> list[tuple[str, datetime, datetime]]:
    """Coins of all days: 50 of those that are the busiest of their day, and any. Ten days have ten times as many of
    either; the busiest of all days would be larger coins than those of one day, no larger table."""
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLE, {"end": _END, "busiest": COINS_BUSIEST, "any": COINS_MEASURED})
        found: list[tuple[str, datetime, datetime]] = sorted(cursor.fetchall())
    random.Random(1).shuffle(found)
    return found


# --- the measurements ------------------------------------------------------------------------------------
def _measure() -> dict[str, Any]:
    trades = _trades_count()
    measured = {"trades": trades, "candles": _measure_candles(), "pages": _measure_pages()}
    return measured | {"ingest_rows_per_second": _measure_ingest()}


def _measure_candles() -> dict[str, Any]:
    """Every bucket of every coin of the sample."""
    sample = _sample()
    asked = [(mint, seconds) for mint, *_ in sample for seconds in BUCKETS]
    ours = _timed(lambda mint, seconds: candles(mint, bucket_seconds=seconds, limit=500), asked)
    with connection.cursor() as cursor:
        bare = _timed(
            lambda *values: cursor.execute(_BARE, values) and cursor.fetchall(),
            [(seconds, mint, start, end + timedelta(seconds=1)) for mint, start, end in sample for seconds in BUCKETS],
        )
    return {**_percentiles(ours), "bare_p95_ms": _percentiles(bare)["p95_ms"], "queries": len(asked)}


def _measure_pages() -> dict[str, dict[str, float]]:
    client = Client(SERVER_NAME="localhost")
    user, _ = get_user_model().objects.get_or_create(username="bench")
    client.force_login(user)
    mints = [mint for mint, *_ in _sample()]

    def get(path: str) -> None:
        answer = client.get(path, secure=settings.HTTPS)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code}")

    addresses = {
        "overview": ["/discovery/"] * 20,
        "overview_sorted": [f"/discovery/?sort={name}" for name in ("age", "cap", "volume", "trades", "progress")] * 5,
        "overview_filtered": [f"/discovery/?phase=1&q={mint[:4]}" for mint in mints[:20]],
        "streams": ["/discovery/streams/", "/discovery/streams/?sort=cap", "/discovery/streams/?sort=volume"] * 7,
        "search_name": [f"/discovery/streams/?q=coin {mint[:5]}" for mint in mints[:20]],
        "search_mint": [f"/discovery/streams/?q={mint}" for mint in mints[:20]],
        "coin": [f"/discovery/coins/{mint}/" for mint in mints[:60]],
    }
    get("/discovery/")
    return {name: _percentiles(_timed(get, [(path,) for path in paths])) for name, paths in addresses.items()}


def _measure_ingest() -> int:
    """Rows a second of the stream's own writing of trades, one transaction a batch; what filling left to write to the
    disk is written before, where we may say so."""
    batches = list(_batches())  # its own questions to the tables are no part of the writing
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_has_role('pg_checkpoint', 'USAGE')")
        if cursor.fetchone()[0]:
            cursor.execute("CHECKPOINT")
    began = time.perf_counter()
    for batch in batches:
        with transaction.atomic(), connection.cursor() as cursor:
            insert_trades(cursor, batch)
    return round(INGEST_ROWS * INGEST_BATCHES / (time.perf_counter() - began))


def _batches() -> Iterator[list[TradeRow]]:
    mints = [mint for mint, *_ in _sample()]
    at_us, seq = int(_END.timestamp()) * 1_000_000, _trades_count() * 10
    for _ in range(INGEST_BATCHES):
        rows: list[TradeRow] = []
        for number in range(INGEST_ROWS):
            seq, at_us = seq + 1, at_us + 50
            mint = mints[number % len(mints)]
            amounts = (450_000_000, 10**12, 4e-8, 35_000_000_000, 920_000_000_000_000)
            rows.append((mint, at_us, seq, seq, f"{mint}{seq:044d}", mint, "buy", *amounts, False, 1))
        yield rows


def _timed(call: Callable[..., object], arguments: Sequence[tuple[Any, ...]]) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for values in arguments:
        began = time.perf_counter()
        call(*values)
        found.append((time.perf_counter() - began) * 1000)
    return found


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {f"p{share}_ms": round(ordered[(len(ordered) - 1) * share // 100], 2) for share in (50, 95)}
