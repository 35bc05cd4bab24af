"""Retention drops whole days and only those; the SQL files make hypertables of plain tables, in both editions."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app as app
from django.conf import settings
from django.db import connection

from apps.discovery import storage, tasks
from apps.discovery.candles import candles
from apps.discovery.models import CandleDue, CoinTransaction, StreamGap, StreamGapCoin, StreamState
from apps.discovery.rollups import rollup_run
from apps.discovery.tests import tables
from apps.discovery.tests.frames import SmallMarket
from apps.discovery.tests.test_pipeline import run

pytestmark = pytest.mark.usefixtures("feed_tables")

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
THREE_DAYS = {"coin_transactions": 3, "coin_metrics": 0, "predictions": 0}


def sql(name: str) -> str:
    return (Path(settings.BASE_DIR) / "sql" / name).read_text(encoding="utf-8")


def execute(statement: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def days_of_market() -> datetime:
    """A market over more than five days, rolled up; its end."""
    run(SmallMarket(11).entries(2_500), {})
    state = StreamState.objects.get(pk=1)
    first = CoinTransaction.objects.order_by("timestamp")[0].timestamp
    assert state.feed_at is not None
    assert state.feed_at - first > timedelta(days=5), "the market of the tests became too short"
    rollup_run(now=LATER)
    return state.feed_at


def test_whole_old_days_go_and_nothing_else(days_of_market: datetime, caplog: pytest.LogCaptureFixture) -> None:
    limit = days_of_market.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
    kept = list(CoinTransaction.objects.filter(timestamp__gte=limit).order_by("pk").values_list("pk", flat=True))
    metrics = tables.one("SELECT count(*) FROM coin_metrics")
    coins = tables.one("SELECT count(*) FROM discovered_coins")
    minutes = tables.one("SELECT count(*) FROM coin_candles_1m")
    with caplog.at_level(logging.WARNING, "apps.discovery.storage"):
        dropped = storage.retention_run(THREE_DAYS)
    assert [(one.table, one.before) for one in dropped] == [("coin_transactions", limit)]
    assert list(CoinTransaction.objects.order_by("pk").values_list("pk", flat=True)) == kept
    assert tables.one("SELECT count(*) FROM coin_metrics") == metrics
    assert tables.one("SELECT count(*) FROM discovered_coins") == coins
    assert tables.one("SELECT count(*) FROM coin_candles_1m") == minutes
    assert "dropped coin_transactions" in caplog.text
    assert storage.retention_run(THREE_DAYS) == []


def test_candles_of_long_ranges_outlive_their_trades(days_of_market: datetime) -> None:
    oldest = CoinTransaction.objects.order_by("timestamp")[0].mint
    before = candles(oldest, bucket_seconds=3_600, limit=10_000)
    storage.retention_run(THREE_DAYS)
    assert candles(oldest, bucket_seconds=3_600, limit=10_000) == before


def test_nothing_is_kept_back_or_dropped_by_zero_days(days_of_market: datetime) -> None:
    trades = CoinTransaction.objects.count()
    assert storage.retention_run(dict.fromkeys(THREE_DAYS, 0)) == []
    assert CoinTransaction.objects.count() == trades


def test_trades_wait_for_their_candles(days_of_market: datetime) -> None:
    first = CoinTransaction.objects.order_by("timestamp")[0].timestamp
    CandleDue.objects.create(minute=first.replace(second=0, microsecond=0))
    assert storage.retention_run(THREE_DAYS) == []
    rollup_run(now=LATER)
    assert storage.retention_run(THREE_DAYS) != []


def test_who_needs_the_data_puts_the_dropping_off(
    days_of_market: datetime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = ["somebody reads it", ""]
    monkeypatch.setattr(storage, "_holds", [])
    storage.hold(lambda: reasons.pop(0))
    with caplog.at_level(logging.WARNING, "apps.discovery.storage"):
        assert storage.retention_run(THREE_DAYS) == []
    assert "somebody reads it" in caplog.text
    assert storage.retention_run(THREE_DAYS) != []


def test_no_setting_drops_the_last_two_days() -> None:
    now = datetime(2026, 3, 10, 15, 30, tzinfo=UTC)
    assert storage.limits({"coin_metrics": 1}, now) == {"coin_metrics": datetime(2026, 3, 8, tzinfo=UTC)}
    assert storage.limits({"coin_metrics": 10**9}, now)["coin_metrics"].year == 1926


def test_sizes_name_every_hypertable() -> None:
    run(SmallMarket(1).entries(300), {})
    found = {size.table: size for size in storage.sizes()}
    assert {"coin_transactions", "coin_metrics", "coin_candles_1m"} <= set(found)
    whole = tables.one("SELECT hypertable_size('coin_transactions')")  # with what is compressed beside the chunks
    assert found["coin_transactions"].size_bytes == whole > 0
    assert found["coin_transactions"].chunks > 0


PLAIN = ("coin_metrics", "coin_transactions", "coin_candles_1m", "coin_candles_due")


@pytest.fixture
def plain_tables() -> Iterator[None]:
    """A schema `plain` whose tables are ordinary ones, with rows."""
    run(SmallMarket(7).entries(600), {})
    rollup_run(now=LATER)
    execute("DROP SCHEMA IF EXISTS plain CASCADE; CREATE SCHEMA plain")
    for name in PLAIN:
        execute(f"CREATE TABLE plain.{name} (LIKE public.{name} INCLUDING ALL)")
        execute(f"INSERT INTO plain.{name} SELECT * FROM public.{name}")
    execute("SET search_path = plain, public")
    yield
    execute("RESET search_path")
    execute("DROP SCHEMA plain CASCADE")


@pytest.mark.parametrize("times", [1, 2])
def test_plain_tables_become_hypertables_with_their_rows(plain_tables: None, times: int) -> None:
    before = {name: sorted(execute(f"SELECT to_jsonb(t)::text FROM plain.{name} t")) for name in PLAIN[:3]}
    assert all(before.values())
    for _ in range(times):
        for name in ("010_discovery.sql", "012_candles.sql", "014_community.sql"):
            execute(sql(name))
    made = execute("SELECT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_schema = 'plain'")
    assert {name for (name,) in made} == {"coin_metrics", "coin_transactions", "coin_candles_1m"}
    assert {name: sorted(execute(f"SELECT to_jsonb(t)::text FROM plain.{name} t")) for name in PLAIN[:3]} == before
    assert execute("SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'plain'")[0][0] > 3


def test_windows_are_numbered_behind_those_that_came_with_numbers(plain_tables: None) -> None:
    execute("CREATE SEQUENCE plain.coin_metrics_row_id_seq; UPDATE plain.coin_metrics SET row_id = row_id + 1000000")
    last = execute("SELECT max(row_id) FROM plain.coin_metrics")[0][0]
    for _ in range(2):
        execute(sql("016_row_numbers.sql"))
    assert execute("SELECT nextval('coin_metrics_row_id_seq')") == [(last + 1,)]
    execute(sql("016_row_numbers.sql"))
    assert execute("SELECT nextval('coin_metrics_row_id_seq')") == [(last + 2,)]


def test_trades_from_before_the_candles_become_due(plain_tables: None) -> None:
    execute("TRUNCATE plain.coin_candles_1m, plain.coin_candles_due")
    execute(sql("012_candles.sql"))
    due = execute("SELECT count(*), count(DISTINCT minute) FROM plain.coin_candles_due")[0]
    minutes = execute("SELECT count(DISTINCT date_trunc('minute', timestamp)) FROM plain.coin_transactions")[0][0]
    assert due == (minutes, minutes)


def test_the_market_by_the_hour_counts_every_trade_in_both_editions() -> None:
    run(SmallMarket(8).entries(500), {})
    rollup_run(now=LATER)
    volume, trades = execute("SELECT sum(sol_amount), count(*) FROM coin_transactions")[0]
    assert execute("SELECT sum(volume_lamports), sum(trades) FROM market_hourly")[0] == (volume, trades)


def test_the_apache_edition_takes_no_part_of_the_community_edition() -> None:
    if storage.is_community():
        pytest.skip("this is the Community edition")
    execute(sql("014_community.sql"))
    assert execute("SELECT relkind FROM pg_class WHERE oid = 'market_hourly'::regclass") == [("v",)]
    compressed = "SELECT count(*) FROM timescaledb_information.hypertables WHERE compression_enabled"
    assert execute(compressed) == [(0,)]


def test_the_statements_of_the_community_edition_can_be_parsed_and_name_real_columns() -> None:
    text = sql("014_community.sql")
    query = re.search(r"CREATE MATERIALIZED VIEW.*?AS\n(.*?)WITH NO DATA", text, re.DOTALL)
    assert query is not None
    assert execute(query[1]) == execute("SELECT * FROM market_hourly")
    for table, segments, order in re.findall(
        r"ALTER TABLE (\w+) SET .*?segmentby = '(.*?)'.*?orderby = '(.*?)'", text, re.DOTALL
    ):
        execute(f"SELECT {segments}, {order} FROM {table} LIMIT 1")
    always = text.replace("IF NOT is_community THEN", "IF true THEN").replace("<> 'timescale'", "<> 'no edition'")
    execute(always)  # PL/pgSQL parses every statement of a block before it runs the first


def test_the_tasks_of_beat_roll_up_and_drop(settings: Any) -> None:
    run(SmallMarket(11).entries(2_500), {})
    settings.RETENTION_DAYS = THREE_DAYS
    assert tasks.retention_keep() == 0, "trades wait for their candles"
    assert tasks.candles_roll_up() > 0
    while tasks.candles_roll_up():
        pass
    old, new = (StreamGap.objects.create(started_at=at, ended_at=at, reason="restart") for at in (LONG_AGO, LATER))
    for gap in (old, new):
        StreamGapCoin.objects.create(gap=gap, mint="a", lamports_before=1, lamports_after=2)
    assert tasks.retention_keep() > 0
    assert list(StreamGapCoin.objects.values_list("gap_id", flat=True)) == [new.pk]
    assert StreamGap.objects.filter(pk=old.pk).exists(), "that there was a gap is never forgotten"
    assert {"apps.discovery.tasks.candles_roll_up", "apps.discovery.tasks.retention_keep"} <= {
        entry["task"] for entry in app.conf.beat_schedule.values()
    }
