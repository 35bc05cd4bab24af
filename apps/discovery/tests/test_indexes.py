"""Every index of discovery is there for a query of ours and says which; search uses its own."""

from __future__ import annotations

import importlib
import re
from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.db import connection

from apps.discovery.models import Coin
from apps.discovery.queries import coins_named

pytestmark = pytest.mark.django_db

INDEXES = """
    SELECT i.relname, obj_description(i.oid, 'pg_class') FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY(%s)
      AND NOT (x.indisprimary AND obj_description(i.oid, 'pg_class') IS NULL)
    ORDER BY 1
"""


def indexes() -> dict[str, str | None]:
    """Every index of discovery's tables but plain primary keys, with its comment."""
    tables = [model._meta.db_table for model in apps.get_app_config("discovery").get_models()]
    with connection.cursor() as cursor:
        cursor.execute(INDEXES, [tables])
        return dict(cursor.fetchall())


def resolve(name: str) -> object:
    """What a dotted name stands for; raises where there is nothing."""
    parts = name.split(".")
    if len(parts) == 3:
        return importlib.import_module(name)
    return getattr(importlib.import_module(".".join(parts[:3])), parts[3])


def test_every_index_names_a_query_that_exists() -> None:
    found = indexes()
    assert len(found) > 20
    for index, comment in found.items():
        names = re.findall(r"apps\.\w+\.\w+(?:\.\w+)?", comment or "")
        assert names, f"COMMENT ON INDEX {index} must name the query it is for, or the index must go"
        for name in names:
            resolve(name)


def plan(search: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        statement, values = coins_named(search).values("mint").query.sql_with_params()
        cursor.execute(f"EXPLAIN {statement}", values)
        return "\n".join(line for (line,) in cursor.fetchall())


def test_a_search_of_names_uses_the_indexes_of_names_mints_and_creators() -> None:
    used = plan("doge")
    assert "Seq Scan" not in used
    for index in ("coins_name_search", "discovered_coins_(mint|pkey)|coins_of_creator", "creator"):
        assert re.search(index, used), used


def test_a_search_of_an_address_uses_the_indexes_of_mint_and_creator() -> None:
    Coin.objects.create(mint="A" * 44, name="", symbol="", first_seen_at=datetime(2026, 3, 1, tzinfo=UTC))
    used = plan("A" * 44)
    assert "Seq Scan" not in used
    assert "coins_name_search" not in used
