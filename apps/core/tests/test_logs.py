"""What a log says while a server is away."""

import logging
import sys

import psycopg
import pytest
from django.db import OperationalError, connection

from apps.core.logs import Outages, server_is_away


def refused() -> OperationalError:
    """What Django raises where no database listens."""
    parameters = connection.get_connection_params() | {"port": 1}
    try:
        with connection.wrap_database_errors:
            psycopg.connect(**parameters)
    except OperationalError as error:
        return error
    raise AssertionError("something listens on port 1")


def line(message: object, *values: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("apps.somewhere", logging.ERROR, __file__, 1, message, values, exc_info)


def test_failures_of_an_absent_database_are_one_line_without_a_traceback() -> None:
    outages, error = Outages(), refused()
    first = line("Task %s failed", "judge", error=error)
    assert outages.filter(first)
    assert (first.getMessage(), first.exc_info) == ("Task judge failed: the database is away", None)
    assert not any(outages.filter(line("Task %s failed", name, error=error)) for name in ("judge", "webhooks"))


@pytest.mark.parametrize("as_flag", [True, False])
def test_structured_lines_are_shortened_alike(as_flag: bool) -> None:
    try:
        raise refused()
    except OperationalError as error:
        record = line({"event": "request_failed", "code": 500, "exc_info": as_flag or error})
        assert Outages().filter(record)
    assert record.msg == {"event": "request_failed: the database is away", "code": 500}


def test_what_was_left_out_is_counted_in_the_next_line(monkeypatch: pytest.MonkeyPatch) -> None:
    outages = Outages()
    said = [outages.filter(line("the database is away (%s)", "refused")) for _ in range(4)]
    monkeypatch.setattr(Outages, "QUIET_SECONDS", 0.0)
    later = line("the database is away (%s)", "refused")
    assert (said, outages.filter(later)) == ([True, False, False, False], True)
    assert later.getMessage() == "the database is away (refused) (3 more like this since)"


def test_other_faults_keep_their_traceback_and_are_never_left_out(db: None) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")
    except OperationalError:
        exc_info = sys.exc_info()
    assert not server_is_away(exc_info[1])
    outages = Outages()
    for error in (exc_info[1], ValueError("wrong")):
        records = [line("it failed", error=error) for _ in range(3)]
        assert all(outages.filter(record) and record.exc_info for record in records)
