"""Statements of hot paths: prepared once by each connection, and rows of models without the composing of SQL.

The ORM composes and the server plans a statement each time it is run, which costs more than running it. These run on
Django's connection, inside its transactions, with its errors. Where somebody watches the queries (tests that count
them), they go through Django's cursor.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import cache
from typing import Any, Generic, TypeVar, cast

import psycopg
from django.db import connection, models
from psycopg.types.numeric import Int8

MOST_STATEMENTS = 400  # that a connection keeps prepared: each shape of parameters counts

Params = Mapping[str, Any]
Rows = list[tuple[Any, ...]]
Statement = tuple[str, Params]
M = TypeVar("M", bound=models.Model)


def fetch(sql: str, params: Params) -> list[tuple[Any, ...]]:
    """The rows of a statement; whole numbers are sent as bigint."""
    for place, (asked, values, rows) in enumerate(_asked.ahead):
        if asked == sql and values == params:
            del _asked.ahead[place]
            return rows
    with _executed(sql, _sized(params)) as cursor:
        return cast(list[tuple[Any, ...]], cursor.fetchall())


class _Asked(threading.local):
    """What this thread has been told ahead: statement, parameters, rows."""

    def __init__(self) -> None:
        self.ahead: list[tuple[str, Params, Rows]] = []


_asked = _Asked()


@contextmanager
def ahead(*statements: Statement) -> Iterator[None]:
    """Run these reads at once, one after the other on the server but without a way there and back for each; within,
    the first `fetch` of each takes its rows. Nothing that they read may be written between: by this transaction
    because the caller sees to that, by others because the first of the statements locks it."""
    if _is_watched():
        yield
        return
    session = _session()
    with connection.wrap_database_errors, session.pipeline():
        cursors = [psycopg.Cursor(session).execute(sql, _sized(params), prepare=True) for sql, params in statements]
        answers = [cursor.fetchall() for cursor in cursors]
    was = _asked.ahead
    _asked.ahead = [(sql, params, rows) for (sql, params), rows in zip(statements, answers, strict=True)]
    try:
        yield
    finally:
        _asked.ahead = was


@contextmanager
def together() -> Iterator[None]:
    """Send the writes within without waiting for the answer of each; the first that fails raises here, at the latest.

    For `Records` and `execute_soon` alone: what the ORM writes needs its answers.
    """
    if _is_watched():
        yield
        return
    with connection.wrap_database_errors, _session().pipeline():
        yield


def execute(sql: str, params: Params) -> int:
    """How many rows a statement has changed."""
    with _executed(sql, _sized(params)) as cursor:
        return int(cursor.rowcount)


def execute_soon(sql: str, params: Params) -> None:
    """Run a statement whose answer nobody needs: within `together` without waiting for it."""
    with _executed(sql, _sized(params)):
        pass


def _sized(params: Params) -> dict[str, Any]:
    """One type for all whole numbers: else each magnitude would be a statement of its own."""
    return {name: Int8(value) if type(value) is int else value for name, value in params.items()}


def _is_watched() -> bool:
    return bool(connection.force_debug_cursor or connection.execute_wrappers)


def _session() -> psycopg.Connection[Any]:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    session = cast(psycopg.Connection[Any], connection.connection)
    session.prepared_max = MOST_STATEMENTS
    return session


@contextmanager
def _executed(sql: str, params: Any) -> Iterator[Any]:
    if _is_watched():
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            yield cursor
        return
    with connection.wrap_database_errors, psycopg.Cursor(_session()) as cursor:
        cursor.execute(sql, params, prepare=True)
        yield cursor


class Records(Generic[M]):
    """The rows of a model as its instances. Values travel as text of their column's type, so that one statement is one
    prepared statement whatever its values are."""

    def __init__(self, model: type[M]) -> None:
        self._model = model
        self._fields = list(model._meta.concrete_fields)
        self._names = [field.attname for field in self._fields]
        self._loaded = [
            (place, field) for place, field in enumerate(self._fields) if hasattr(field, "from_db_value")
        ]  # columns whose values are not yet what the instance holds (JSON)
        self.table = model._meta.db_table
        self.width = len(self._fields)

    def columns(self, table: str = "") -> str:
        """All columns, as a SELECT lists them."""
        return ", ".join(f'{table or self.table}."{field.column}"' for field in self._fields)

    def select(self, tail: str, params: Params) -> list[M]:
        """The rows of `SELECT ... FROM its table` and what follows."""
        return [self.made(row) for row in fetch(_selection(self, tail), params)]

    def asked(self, tail: str, params: Params) -> Statement:
        """What `select` and `first` run, for `ahead`."""
        return _selection(self, tail), params

    def first(self, tail: str, params: Params) -> M | None:
        """The first of these rows."""
        return next(iter(self.select(tail, params)), None)

    def made(self, row: Sequence[Any]) -> M:
        """The instance of a row of all columns."""
        values = list(row)
        for place, field in self._loaded:
            values[place] = field.from_db_value(values[place], None, connection)
        return self._model.from_db(connection.alias, self._names, values)

    def insert(self, row: M) -> None:
        """Write a new row and tell the instance its key."""
        fields = [field for field in self._fields if not field.primary_key]
        with _executed(_insertion(self), [self._text(row, field, True) for field in fields]) as cursor:
            row.pk = cursor.fetchone()[0]
        row._state.adding, row._state.db = False, connection.alias

    def append(self, row: M) -> None:
        """Write a new row whose key nobody needs: within `together` without waiting for it."""
        fields = [field for field in self._fields if not field.primary_key]
        with _executed(_insertion(self), [self._text(row, field, True) for field in fields]):
            pass

    def update(self, row: M, *names: str) -> None:
        """Write these fields of a row that is there; without names all of them."""
        fields = [field for field in self._fields if not field.primary_key and (not names or field.name in names)]
        assert not names or len(fields) == len(set(names)), names
        values = [self._text(row, field, False) for field in fields]
        with _executed(_change(self, tuple(field.column for field in fields)), [*values, str(row.pk)]):
            pass

    def _text(self, row: M, field: models.Field[Any, Any], add: bool) -> Any:
        value = field.get_db_prep_save(field.pre_save(row, add), connection)
        if isinstance(value, bool):
            return "t" if value else "f"
        if isinstance(value, datetime | date):
            return value.isoformat()
        return str(value) if isinstance(value, int | float) else value


@cache
def _selection(records: Records[Any], tail: str) -> str:
    return f"SELECT {records.columns()} FROM {records.table} {tail}"


@cache
def _insertion(records: Records[Any]) -> str:
    fields = [field for field in records._fields if not field.primary_key]
    names = ", ".join(f'"{field.column}"' for field in fields)
    key = records._model._meta.pk.column
    return f'INSERT INTO {records.table} ({names}) VALUES ({", ".join(["%s"] * len(fields))}) RETURNING "{key}"'


@cache
def _change(records: Records[Any], columns: tuple[str, ...]) -> str:
    values = ", ".join(f'"{column}" = %s' for column in columns)
    return f'UPDATE {records.table} SET {values} WHERE "{records._model._meta.pk.column}" = %s'
