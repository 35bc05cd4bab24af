"""Rows that the database refused: kept on disk until it takes them.

Trades and windows must not stop each other. When one of the two tables refuses its rows (a full or missing chunk, a
constraint somebody added), they are written here before the rest of their batch is committed, and tried again later.
A row that alone is refused stays here; everything else gets in.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

logger = logging.getLogger(__name__)

Rows = Sequence[tuple[Any, ...]]
Insert = Callable[[CursorWrapper, Rows], int]
AWAY = (OperationalError, InterfaceError)
_decode = msgspec.json.Decoder(list[list[Any]]).decode


class Owed:
    """A folder of refused rows, a file for each table and batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def insert_or_keep(self, cursor: CursorWrapper, table: str, rows: Rows, insert: Insert, number: int) -> int:
        """Insert within the caller's transaction, or keep the rows under the batch's number; how many were new.

        Raises the database's errors only where it is away.
        """
        if not rows:
            return 0
        try:
            with transaction.atomic():
                return insert(cursor, rows)
        except AWAY:
            raise
        except DatabaseError:
            logger.exception("%s refused %d rows: they are kept in %s", table, len(rows), self.folder)
            self._keep(self._path(table, number), rows)
            return 0

    def rows(self, table: str, reached: int) -> Iterator[tuple[Any, ...]]:
        """The kept rows of a table, of batches up to the number `reached`."""
        for _, rows in self._batches(table, reached):
            yield from rows

    def pay(self, table: str, insert: Insert, reached: int) -> int:
        """Try the kept rows of a table again, each batch in a transaction of its own; how many got in.

        A batch beyond the number `reached` was never committed: its frames will be folded again.
        """
        paid = 0
        for path, rows in self._batches(table, reached):
            refused = self._pay_rows(table, rows, insert)
            paid += len(rows) - len(refused)
            if not refused:
                path.unlink()
            elif len(refused) < len(rows):
                self._save(path, refused)
        return paid

    def _batches(self, table: str, reached: int) -> Iterator[tuple[Path, list[tuple[Any, ...]]]]:
        for path in sorted(self.folder.glob(f"{table}-*.json")):
            if int(path.stem.rpartition("-")[2]) <= reached:
                yield path, [tuple(row) for row in _decode(path.read_bytes())]

    def _pay_rows(self, table: str, rows: Rows, insert: Insert) -> list[tuple[Any, ...]]:
        """Insert what can be inserted; the rows that cannot."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                insert(cursor, rows)
            return []
        except AWAY:
            raise
        except DatabaseError as error:
            if len(rows) == 1:
                logger.error("%s still refuses a row: %s", table, str(error).splitlines()[0])
                return list(rows)
        if not self._takes_any(table):
            return list(rows)
        middle = len(rows) // 2
        return self._pay_rows(table, rows[:middle], insert) + self._pay_rows(table, rows[middle:], insert)

    def _takes_any(self, table: str) -> bool:
        """Whether the table is there at all; row by row is worth trying only then."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
            return bool(cursor.fetchone()[0])

    def _path(self, table: str, number: int) -> Path:
        return self.folder / f"{table}-{number:016d}.json"

    def _keep(self, path: Path, rows: Rows) -> None:
        """Beside what is kept there: batches in which only time has passed have the number of the one before."""
        kept = [tuple(row) for row in _decode(path.read_bytes())] if path.exists() else []
        known = set(kept)
        self._save(path, [*kept, *(row for row in rows if row not in known)])

    def _save(self, path: Path, rows: Rows) -> None:
        """On the disk when this returns; written twice it is the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as stream:
            stream.write(msgspec.json.encode(rows))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
