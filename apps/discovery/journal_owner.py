"""Which database a journal belongs to: its folder and the database carry the same name.

The cursor in the database is a place in one journal. With another one beneath it, whose segments happen to have the
same names, frames would be passed over in silence.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from apps.discovery.models import StreamState
from apps.discovery.segments import segments, sync_folder

NAME = "database"


class ForeignJournalError(Exception):
    """The folder holds the journal of another database."""


def journal_claim(folder: Path) -> None:
    """Mark the folder as this database's, once; the first of the two to have a name gives it to the other.

    A new database takes up the journal it is given and reads it from its beginning. Raises ForeignJournalError when
    both have names and these differ, OSError, and the database's own errors.
    """
    known = StreamState.objects.values_list("journal_id", flat=True).get(pk=1)
    found = _read(folder)
    if known and found and known != found and segments(folder):
        raise ForeignJournalError(
            f"The journal in {folder} belongs to another database: set JOURNAL_DIR to the folder of this one's, or to "
            "an empty folder to begin a new journal."
        )
    name = known or found or str(uuid4())
    if name != known:
        StreamState.objects.filter(pk=1).update(journal_id=name)
    if name != found:
        _write(folder, name)


def _read(folder: Path) -> str:
    try:
        return (folder / NAME).read_text("utf-8").strip()
    except FileNotFoundError:
        return ""


def _write(folder: Path, name: str) -> None:
    """Whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{NAME}.new"
    new.write_text(name + "\n", "utf-8")
    new.replace(folder / NAME)
    sync_folder(folder)
