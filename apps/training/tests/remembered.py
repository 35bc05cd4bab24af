"""Trained models for tests that are not about training: made once in a process, later written as they were."""

from collections.abc import Callable

from django.db import connection

TABLES = ("ml_jobs", "ml_models", "ml_trials", "ml_test_results", "ml_comparisons", "ml_comparisons_compared")
_written: dict[str, dict[str, bytes]] = {}


def once(name: str, make: Callable[[], object]) -> None:
    """The rows that `make` writes into empty tables. Its names of rows stay theirs: sequences do not go back."""
    if name in _written:
        _write_again(_written[name])
    else:
        make()
        _written[name] = {table: _rows(table) for table in TABLES}


def _rows(table: str) -> bytes:
    with connection.cursor() as cursor, cursor.cursor.copy(f"COPY {table} TO STDOUT") as copy:
        return b"".join(copy)


def _write_again(rows: dict[str, bytes]) -> None:
    with connection.cursor() as cursor:
        for table, lines in rows.items():
            with cursor.cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(lines)
