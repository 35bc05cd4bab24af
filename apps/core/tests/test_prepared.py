"""Prepared statements do what the ORM does, in its transactions and with its errors."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.models import WebhookEndpoint
from apps.core.prepared import Records, ahead, execute, execute_soon, fetch, together

pytestmark = pytest.mark.django_db
ENDPOINTS = Records(WebhookEndpoint)


def endpoint(**fields: object) -> WebhookEndpoint:
    return WebhookEndpoint(**{"name": "one", "url": "https://example.org/a", "kinds": ["trades"], **fields})


def fields_of(row: WebhookEndpoint) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_row_written_is_the_row_that_the_orm_reads_and_the_other_way_round() -> None:
    row = endpoint(model_ids=[3, 4], kinds=[])
    ENDPOINTS.insert(row)
    assert fields_of(WebhookEndpoint.objects.get(pk=row.pk)) == fields_of(row)
    found = ENDPOINTS.first("WHERE id = %(id)s", {"id": row.pk})
    assert found is not None and fields_of(found) == fields_of(row) and found == row
    found.kinds, found.name, found.failures = ["alerts"], "two", 7
    ENDPOINTS.update(found, "kinds", "failures")
    kept = WebhookEndpoint.objects.get(pk=row.pk)
    assert (kept.kinds, kept.failures, kept.name) == (["alerts"], 7, "one")
    ENDPOINTS.update(found)
    assert WebhookEndpoint.objects.get(pk=row.pk).name == "two"


def test_it_is_undone_with_its_transaction_and_its_errors_are_djangos() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ENDPOINTS.insert(endpoint())
        ENDPOINTS.insert(endpoint(url=None))
    assert fetch("SELECT count(*) FROM webhook_endpoints", {}) == [(0,)]
    with transaction.atomic():
        ENDPOINTS.insert(endpoint())
        transaction.set_rollback(True)
    assert execute("DELETE FROM webhook_endpoints", {}) == 0


@pytest.mark.parametrize("number", [1, 40_000, 3_000_000_000, None])
def test_numbers_of_any_size_are_one_statement(number: int | None) -> None:
    sql = "SELECT %(number)s::bigint, %(at)s::timestamptz"
    at = timezone.now()
    assert fetch(sql, {"number": number, "at": at}) == [(number, at)]
    names = {row[0] for row in fetch("SELECT parameter_types::text FROM pg_prepared_statements", {})}
    assert not any("smallint" in name or "integer" in name.replace("bigint", "") for name in names)


def test_who_watches_the_queries_sees_them() -> None:
    with CaptureQueriesContext(connection) as seen:
        ENDPOINTS.insert(endpoint())
        assert fetch("SELECT name FROM webhook_endpoints WHERE id > %(id)s", {"id": 0}) == [("one",)]
    assert len(seen) == 2


def test_reads_ahead_are_taken_once_and_by_their_parameters() -> None:
    sql, one, two = "SELECT count(*) + %(n)s FROM webhook_endpoints", {"n": 1}, {"n": 2}
    with transaction.atomic(), ahead((sql, one), (sql, two)):
        ENDPOINTS.insert(endpoint())
        assert [fetch(sql, two), fetch(sql, one)] == [[(2,)], [(1,)]]  # as it was when they were read
        assert [fetch(sql, two), fetch(sql, one)] == [[(3,)], [(2,)]]
    with ahead((sql, one)):
        pass
    assert fetch(sql, one) == [(2,)]


def test_writes_together_are_all_made_or_none() -> None:
    with transaction.atomic(), together():
        first = endpoint()
        ENDPOINTS.insert(first)
        ENDPOINTS.append(endpoint(url="https://example.org/b"))
        first.name = "changed"
        ENDPOINTS.update(first, "name")
        execute_soon("UPDATE webhook_endpoints SET failures = %(n)s", {"n": 7})
    assert list(WebhookEndpoint.objects.order_by("id").values_list("name", "failures")) == [("changed", 7), ("one", 7)]
    with pytest.raises(IntegrityError), transaction.atomic(), together():
        ENDPOINTS.append(endpoint(url="https://example.org/c"))
        ENDPOINTS.append(endpoint(url="https://example.org/b"))
        execute_soon("UPDATE webhook_endpoints SET failures = %(n)s", {"n": 8})
    assert WebhookEndpoint.objects.filter(failures=7).count() == WebhookEndpoint.objects.count() == 2
